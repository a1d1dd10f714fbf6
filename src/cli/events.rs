//! `trivote events`: synthetic HGCal modules as CSV.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;

use super::Global;
use super::endings::Format;
use super::inputs::positive;
use crate::host::event_statistics::{EventStatistics, PERCENTS, Quantiles};
use crate::host::generator::{Generator, Population};
use crate::host::geometry::CELLS;
use crate::report::{Side, TextTable, files, grouped, significant};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Number of events
    #[arg(long, short = 'n', default_value = "2000", value_parser = positive)]
    count: usize,
    /// Seed; event i of a seed is the same whatever the count
    #[arg(long, default_value = "1")]
    seed: u64,
    /// top-pair (few cells), busy (pile-up), or a mixture of both
    #[arg(long, default_value = "mixture")]
    population: Population,
    /// CSV file to write: columns CALQ_0 to CALQ_47
    #[arg(long, short, value_parser = Format::Csv.parser())]
    output: PathBuf,
}

pub fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<String> {
    files::check_writable(&arguments.output, [])?;
    let events = Generator::new(arguments.population, arguments.seed).events(0, arguments.count);
    let mut text = (0..CELLS).map(|cell| format!("CALQ_{cell}")).collect::<Vec<_>>().join(",");
    text.push('\n');
    for event in &events {
        let cells: Vec<String> = event.charges().iter().map(ToString::to_string).collect();
        text.push_str(&cells.join(","));
        text.push('\n');
    }
    files::write_file(&arguments.output, text.as_bytes())?;
    let statistics = EventStatistics::of(&events).expect("at least one event");
    if global.json {
        return Ok(format!("{}\n", serde_json::to_string_pretty(&statistics)?));
    }
    let mut columns = vec![(format!("{} events", grouped(events.len())), Side::Left)];
    columns.extend(PERCENTS.map(|percent| (format!("{percent} %"), Side::Right)));
    let columns: Vec<(&str, Side)> = columns.iter().map(|(name, side)| (name.as_str(), *side)).collect();
    let mut table = TextTable::new(&columns);
    let mut row = |name: &str, quantiles: Option<Quantiles>| {
        if let Some(quantiles) = quantiles {
            table.row(std::iter::once(name.to_owned()).chain(quantiles.map(significant)));
        }
    };
    row("occupied cells", Some(statistics.occupied_cells));
    row("log2 of the sum of charges", Some(statistics.log2_sum));
    row("hottest cell's share", Some(statistics.hottest_share));
    row("rms radius (two cells or more)", statistics.rms_radius);
    row("share near the hottest (two cells or more)", statistics.share_around_hottest);
    row("charges that are not zero", Some(statistics.cell_charges));
    let mut text = String::new();
    writeln!(text, "{table}\nwritten: {}", arguments.output.display())?;
    Ok(text)
}

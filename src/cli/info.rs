//! `trivote info`: layers, formats, registers, bits, cycles and area of a design.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;

use super::Global;
use super::area::{AreaArguments, areas};
use super::inputs::{DesignArgument, open, read_plan};
use super::schedule::{ScheduleArguments, Scheduled, schedule};
use crate::net::TensorKind;
use crate::report::area::AreaSummary;
use crate::report::grouped;
use crate::report::network::{network_json, off_chip_table, stage_table};
use crate::report::plan::PlanSummary;
use crate::report::schedule::ScheduleReport;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    design: DesignArgument,
    /// Show what this protection plan protects, too
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    #[command(flatten)]
    schedule: ScheduleArguments,
    #[command(flatten)]
    area: AreaArguments,
}

pub fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<String> {
    let opened = open(&arguments.design, global)?;
    let (network, off_chip) = (&opened.design.accelerator, opened.design.off_chip.as_ref());
    let Scheduled { schedule, .. } = schedule(&opened, &arguments.schedule, global)?;
    let cycles = ScheduleReport::new(network, &schedule);
    let model = areas(&opened, &arguments.area, &schedule)?.model;
    let summary = AreaSummary::new(&model)?;
    let plan = arguments.plan.as_deref().map(|path| anyhow::Ok(read_plan(path, &opened)?.0)).transpose()?;
    let plan = plan.map(|plan| PlanSummary::new(&plan, &opened.inventory, &model)).transpose()?;
    if global.json {
        let mut value: serde_json::Value = serde_json::from_str(&network_json(network, off_chip, &opened.inventory))?;
        value["schedule"] = serde_json::to_value(&cycles)?;
        value["area"] = serde_json::to_value(&summary)?;
        if let Some(plan) = &plan {
            value["plan"] = serde_json::to_value(plan)?;
        }
        return Ok(format!("{}\n", serde_json::to_string_pretty(&value)?));
    }
    let mut text = String::new();
    let config = &opened.design.config;
    writeln!(text, "{}", config.name)?;
    if !config.description.is_empty() {
        writeln!(text, "{}", config.description)?;
    }
    writeln!(text, "\nin hardware: {}\n\n{}", network.name(), stage_table(network))?;
    writeln!(
        text,
        "weight registers: {} kernel bits + {} bias bits = {}\nfingerprint: {}\n",
        grouped(opened.inventory.tensor_bits(TensorKind::Kernel)),
        grouped(opened.inventory.tensor_bits(TensorKind::Bias)),
        grouped(opened.inventory.bits()),
        network.fingerprint(),
    )?;
    match off_chip {
        Some(decoder) => writeln!(text, "off-chip: {}\n\n{}", decoder.name(), off_chip_table(decoder))?,
        None => writeln!(text, "off-chip: nothing\n")?,
    }
    write!(text, "{}\n{}", cycles.tables(), summary.tables())?;
    if let Some(plan) = &plan {
        write!(text, "\n{}", plan.table())?;
    }
    Ok(text)
}

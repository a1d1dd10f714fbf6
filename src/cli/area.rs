//! What most verbs need to talk of area: the technology.

use std::fs;

use anyhow::{Context, bail};
use clap::Args;

use super::inputs::Opened;
use crate::hw::schedule::Schedule;
use crate::hw::{AreaModel, Protection, Technology};
use crate::net::Fingerprint;
use crate::protect::Prices;

/// How areas are priced.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Area")]
pub struct AreaArguments {
    /// Technology: osu018, sky130hd, xc7, or a TOML file of your own [default: the design's]
    #[arg(long, value_name = "NAME")]
    technology: Option<String>,
}

/// Area of a design in a technology.
pub struct Areas {
    /// The model.
    pub model: AreaModel,
    /// The options that chose it, in canonical form.
    pub options: Vec<String>,
    /// Files read.
    pub sources: Vec<(String, Fingerprint)>,
}

/// Makes the area model of a design that is built by `schedule`.
///
/// # Errors
/// When there is no such technology, or its file is faulty.
pub fn areas(opened: &Opened, arguments: &AreaArguments, schedule: &Schedule) -> anyhow::Result<Areas> {
    let hardware = &opened.design.config.hardware;
    let name = arguments.technology.as_ref().unwrap_or(&hardware.technology);
    let mut sources = Vec::new();
    let technology = if Technology::SHIPPED.contains(&name.as_str()) {
        Technology::shipped(name)?
    } else {
        // On the command line a file is relative to where the user is, in a design to the design.
        let (path, bytes) = match &arguments.technology {
            None => (opened.design.files.path(name), opened.design.files.read(name).ok()),
            Some(name) => (name.clone(), fs::read(name).ok()),
        };
        let Some(bytes) = bytes else {
            let shipped = Technology::SHIPPED.join(", ");
            bail!("technology `{name}` is neither shipped ({shipped}) nor a file that can be read ({path})");
        };
        let text = std::str::from_utf8(&bytes).with_context(|| format!("{path}: is not UTF-8 text"))?;
        sources.push((path.clone(), Fingerprint::of_bytes(&bytes)));
        Technology::from_toml(&path, text)?
    };
    let mut options = Vec::new();
    if arguments.technology.is_some() {
        options.extend(["--technology".to_owned(), name.clone()]);
    }
    Ok(Areas { model: AreaModel::new(&opened.design.accelerator, &technology, schedule), options, sources })
}

impl Areas {
    /// What budgets are measured against when bits are protected in this way.
    ///
    /// # Errors
    /// When the area model fails.
    pub fn prices(&self, protection: Protection) -> anyhow::Result<Prices> {
        let report = self.model.report(&[])?;
        let technology = self.model.technology();
        Ok(Prices {
            technology: technology.name().to_owned(),
            unit: technology.unit(),
            plain_bit: technology.register_bit(Protection::NONE).cost(),
            bit: technology.protection_bit(protection).cost(),
            registers: report.area.registers.cost(),
            accelerator: report.area.total().cost(),
        })
    }
}

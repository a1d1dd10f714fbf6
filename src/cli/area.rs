//! What most verbs need to talk of area: the technology and how far the design is unrolled.

use std::fs;
use std::num::NonZeroU64;

use anyhow::{Context, bail};
use clap::Args;

use super::inputs::Opened;
use crate::hw::{AreaModel, Protection, Technology};
use crate::import::design::DESIGN_FILE;
use crate::net::Fingerprint;
use crate::protect::Prices;

/// How areas are priced.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Area")]
pub struct AreaArguments {
    /// Technology: osu018, sky130hd, xc7, or a TOML file of your own [default: the design's]
    #[arg(long, value_name = "NAME")]
    technology: Option<String>,
    /// Times each multiplier is used per event; 1 is fully unrolled [default: the design's]
    #[arg(long, value_name = "N", value_parser = reuse_factor)]
    reuse_factor: Option<NonZeroU64>,
}

fn reuse_factor(text: &str) -> Result<NonZeroU64, String> {
    text.parse().map_err(|_| "a whole number from 1 is needed; 1 is fully unrolled".to_owned())
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

/// Builds the area model of a design.
///
/// # Errors
/// When there is no such technology, its file is faulty, or the design's reuse factor is 0.
pub fn areas(opened: &Opened, arguments: &AreaArguments) -> anyhow::Result<Areas> {
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
    let reuse_factor = match arguments.reuse_factor {
        Some(factor) => factor,
        None => NonZeroU64::new(u64::from(hardware.reuse_factor)).with_context(|| {
            format!("{}: hardware.reuse_factor is 0; 1 is fully unrolled", opened.design.files.path(DESIGN_FILE))
        })?,
    };
    let mut options = Vec::new();
    if arguments.technology.is_some() {
        options.extend(["--technology".to_owned(), name.clone()]);
    }
    if arguments.reuse_factor.is_some() {
        options.extend(["--reuse-factor".to_owned(), reuse_factor.to_string()]);
    }
    let network = &opened.design.accelerator;
    let unrolled = AreaModel::new(network, &technology, NonZeroU64::MIN).report(&[])?;
    let most = unrolled.layers.iter().map(|layer| layer.parts.macs).max().unwrap_or(0);
    if reuse_factor.get() > most {
        bail!(
            "reuse factor {reuse_factor}: the largest layer has {most} products per event to share multipliers among"
        );
    }
    Ok(Areas { model: AreaModel::new(network, &technology, reuse_factor), options, sources })
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

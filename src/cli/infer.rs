//! `trivote infer`: events through the design, bit for bit as the hardware does.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::Global;
use super::endings::Format;
use super::inputs::{DesignArgument, EventArguments, open, prepare};
use crate::campaign::{ErrorSummary, class_counts, infer};
use crate::report::files;
use crate::report::infer::InferReport;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    design: DesignArgument,
    /// NPZ file to write: latent (values), codes (integers), decoded and error, a row per event; class, label and
    /// correct where events have labels
    #[arg(long, short, value_name = "FILE", value_parser = Format::Npz.parser())]
    output: Option<PathBuf>,
    #[command(flatten)]
    events: EventArguments,
}

pub fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<String> {
    let opened = open(&arguments.design, global)?;
    let prepared = prepare(&opened, &arguments.events)?;
    if let Some(path) = &arguments.output {
        let own_files = opened.own_files();
        let inputs = prepared.sources.iter().map(|(name, _)| name.as_str());
        files::check_writable(path, inputs.chain(own_files.iter().map(String::as_str)))?;
    }
    let inference = infer(&opened.design.accelerator, &prepared.evaluator, &prepared.events)?;
    let classes = prepared.evaluator.classes().and_then(|classes| class_counts(&inference, classes));
    let mut provenance = opened.provenance("infer", Vec::new());
    prepared.record(&mut provenance);
    let report = InferReport {
        inference: &inference,
        errors: ErrorSummary::of(&inference).context("there are no events")?,
        network: &opened.design.accelerator,
        metric: prepared.evaluator.metric().name(),
        classes: classes.as_deref(),
    };
    let json = report.json(&provenance);
    if let Some(path) = &arguments.output {
        files::write_file(path, &report.npz(&provenance)?)?;
    }
    if global.json {
        return Ok(json);
    }
    let mut text = format!("{}: {}", opened.name(), report.table());
    if let Some(path) = &arguments.output {
        writeln!(text, "\nwritten: {}", path.display())?;
    }
    Ok(text)
}

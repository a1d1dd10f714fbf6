//! `trivote merge`: the oracle whose shards were run apart.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::Global;
use super::endings::Format;
use super::oracle::{finish, totals_file};
use crate::report::files;
use crate::report::partial::{PartialOracle, merge};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Shards written by `trivote oracle --shard i/n`, all n of them
    #[arg(required = true, value_name = "SHARD")]
    shards: Vec<PathBuf>,
    /// File to write, a row per bit: CSV, or Parquet if it ends in .parquet; totals and provenance go beside it, to
    /// FILE.json
    #[arg(long, short, value_name = "FILE", value_parser = Format::Rows.parser())]
    output: Option<PathBuf>,
}

pub fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<String> {
    let names: Vec<String> = arguments.shards.iter().map(|path| path.display().to_string()).collect();
    let totals = arguments.output.as_deref().map(totals_file);
    for path in arguments.output.iter().chain(&totals) {
        files::check_writable(path, names.iter().map(String::as_str))?;
    }
    let mut parts = Vec::new();
    for (path, name) in arguments.shards.iter().zip(names) {
        let bytes = fs::read(path).with_context(|| format!("{name}: cannot be read"))?;
        let part = PartialOracle::read(&name, &bytes)?;
        parts.push((name, part));
    }
    finish(&merge(parts)?, arguments.output.as_deref(), global)
}

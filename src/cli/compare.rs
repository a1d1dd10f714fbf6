//! `trivote compare`: results of any number of designs, side by side.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use serde_json::Value;

use super::Global;
use crate::import::results::read_results;
use crate::report::compare::{NamedResult, gather, page};
use crate::report::files;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Results of sweep, simulate, oracle and analyze: folders or files, or LABEL=PATH; without a label they go by the
    /// name of their design. What has one label is shown as one system
    #[arg(required = true, value_name = "RESULT")]
    results: Vec<String>,
    /// Page to write, ending in .html; the points of all sweeps and all figures go beside it, as .csv and .json
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub fn run(arguments: &Arguments, global: &Global) -> anyhow::Result<String> {
    let mut named = Vec::new();
    let mut notes = Vec::new();
    for text in &arguments.results {
        let (label, path) = labeled(text);
        let found = read_results(Path::new(path))?;
        notes.extend(found.notes);
        named.extend(found.results.into_iter().map(|result| NamedResult { label: label.map(str::to_owned), result }));
    }
    let outputs = arguments.output.as_deref().map(|page| outputs(page, &named)).transpose()?;
    let (comparison, left_out) = gather(&named)?;
    drop(named);
    notes.extend(left_out);
    if !global.quiet {
        for note in &notes {
            eprintln!("note: {note}");
        }
    }
    let json = comparison.json();
    if let Some([html, csv, data]) = &outputs {
        let page = page::html(&comparison);
        let table = comparison.csv();
        files::write_files(&[(html, page.as_bytes()), (csv, table.as_bytes()), (data, json.as_bytes())])?;
    }
    if global.json {
        return Ok(json);
    }
    let mut text = comparison.tables();
    if let Some(outputs) = &outputs {
        let written = outputs.each_ref().map(|path| path.display().to_string());
        writeln!(text, "\nwritten: {}", written.join(", "))?;
    }
    Ok(text)
}

/// Takes `LABEL=PATH` apart; paths may hold `=`, and one that exists wins.
fn labeled(text: &str) -> (Option<&str>, &str) {
    match text.split_once('=') {
        Some((label, path)) if !Path::new(text).exists() => (Some(label), path),
        _ => (None, text),
    }
}

/// The files to write: page, CSV, JSON.
fn outputs(page: &Path, results: &[NamedResult]) -> anyhow::Result<[PathBuf; 3]> {
    if page.extension().is_none_or(|ending| ending != "html") {
        bail!("{}: is the page, so its name must end in .html", page.display());
    }
    if let Some(folder) = page.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
        bail!("{}: there is no folder {} to write it into; make it first", page.display(), folder.display());
    }
    let outputs = [page.to_owned(), page.with_extension("csv"), page.with_extension("json")];
    let inputs = || results.iter().flat_map(|named| named.result.files.iter().map(String::as_str));
    for output in &outputs {
        files::check_writable(output, inputs())?;
    }
    let [_, csv, json] = &outputs;
    if let Some(foreign) = [csv, json].into_iter().find(|path| path.exists()).filter(|_| !is_comparison(json)) {
        bail!(
            "{}: exists, and is not of an earlier comparison, but would be written beside {}; name another page",
            foreign.display(),
            page.display()
        );
    }
    Ok(outputs)
}

/// Whether a file is the JSON of a comparison.
fn is_comparison(path: &Path) -> bool {
    let parsed = fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    parsed.is_some_and(|value| value.get("systems").is_some() && value.get("sources").is_some())
}

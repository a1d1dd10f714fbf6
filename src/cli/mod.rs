//! The command line: one file per verb, arguments, progress, exit codes. Computes nothing itself.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage.

// Doc comments of arguments are the help text, which is shown as it stands.
#![allow(clippy::doc_markdown)]

mod analyze;
mod area;
mod checkpoint;
mod compare;
mod endings;
mod event_files;
mod events;
mod flips;
mod guided;
mod import;
mod infer;
mod info;
mod inject;
mod inputs;
mod known_oracle;
mod merge;
mod oracle;
mod planned;
mod progress;
mod rankings;
mod schedule;
mod scores;
mod shipped;
mod simulate;
mod sweep;
mod trials;
mod verify;

use std::io::{self, Write};
use std::panic;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

use crate::import::sites::catches_panics;

/// Which weight registers of a fixed-point neural-network accelerator deserve triplication.
///
/// Reads a trained QKeras network, flips every bit of its weight registers exactly, prices triple modular redundancy
/// (TMR) in area, and says what each area budget buys.
///
/// Outputs have the formats that their options name: an ending that says another format (out.csv for arrays) is refused; a
/// name without an ending, or with one that says no format, is taken.
#[derive(Debug, Parser)]
#[command(name = "trivote", version, max_term_width = 110, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    global: Global,
}

/// Options of every verb.
#[derive(Debug, Clone, Args)]
struct Global {
    /// Print JSON instead of tables
    #[arg(long, global = true, help_heading = "Global options")]
    json: bool,
    /// No progress bar and no notes
    #[arg(long, short, global = true, help_heading = "Global options")]
    quiet: bool,
    /// Worker threads [default: one per core]; results do not depend on it
    #[arg(long, global = true, value_name = "N", help_heading = "Global options",
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a design folder from a Keras/QKeras model file
    Import(import::Arguments),
    /// Show layers, formats, registers, cycles and area of a design
    Info(info::Arguments),
    /// Run events through a design, bit for bit as the hardware does
    Infer(infer::Arguments),
    /// Flip every bit of the weight registers, one at a time, and measure the error exactly
    Oracle(oracle::Arguments),
    /// Put the shards of an oracle together
    Merge(merge::Arguments),
    /// Flip several bits at once, at random or all pairs, and say how sure the estimates are
    Inject(inject::Arguments),
    /// Score every bit without flipping it: gradient, Hessian and better ones; compare rankings, draw figures
    Analyze(Box<analyze::Arguments>),
    /// Show what each area budget for selective TMR buys, for several rankings of the bits
    Sweep(sweep::Arguments),
    /// Expose a design to upsets for hours, and say how often its output goes wrong, and how wrong
    Simulate(Box<simulate::Arguments>),
    /// Set designs side by side: what area buys and what single bits and missions do, as one HTML page, CSV and JSON
    Compare(compare::Arguments),
    /// Generate synthetic events of HGCal modules as CSV
    Events(events::Arguments),
}

/// Exit code of arguments that contradict each other, as of those that `clap` refuses.
const WRONG_USAGE: u8 = 2;

/// Wrong usage that `clap` cannot see.
fn wrong_usage(text: &str) -> clap::Error {
    clap::Error::raw(ErrorKind::ArgumentConflict, format!("{text}\n"))
}

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    tell_of_bugs_alone();
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) if error.is::<clap::Error>() => {
            eprint!("{error}");
            ExitCode::from(WRONG_USAGE)
        }
        Err(error) => {
            eprintln!("error: {}", message(&error));
            ExitCode::FAILURE
        }
    }
}

/// Panics in readers of broken files are caught and told as errors; no trace of them goes to the terminal.
fn tell_of_bugs_alone() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !catches_panics() {
            tell(info);
        }
    }));
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let global = &cli.global;
    let run_verb = || match &cli.verb {
        Verb::Import(arguments) => import::run(arguments, global),
        Verb::Info(arguments) => info::run(arguments, global),
        Verb::Infer(arguments) => infer::run(arguments, global),
        Verb::Oracle(arguments) => oracle::run(arguments, global),
        Verb::Merge(arguments) => merge::run(arguments, global),
        Verb::Inject(arguments) => inject::run(arguments, global),
        Verb::Analyze(arguments) => analyze::run(arguments, global),
        Verb::Sweep(arguments) => sweep::run(arguments, global),
        Verb::Simulate(arguments) => simulate::run(arguments, global),
        Verb::Compare(arguments) => compare::run(arguments, global),
        Verb::Events(arguments) => events::run(arguments, global),
    };
    let text = crate::campaign::with_threads(global.threads, run_verb)??;
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// The error and its causes on one line; a cause that its error already quotes is not said again.
fn message(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// A reader that has seen enough (`trivote info ... | head`) is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        super::Cli::command().debug_assert();
    }
}

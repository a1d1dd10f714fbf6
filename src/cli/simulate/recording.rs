//! Options for looking at one mission cycle by cycle: a trace as CSV, waveforms as VCD.

use std::io;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::campaign::{FrameEvents, Mission, MissionInput, Observer, Recording, record};
use crate::cli::endings::Format;
use crate::fault::TimedFault;
use crate::hw::{BitId, Cycle, Machine};
use crate::report::trace::Trace;
use crate::report::waves::{DEFAULT_WORDS_LIMIT, Waves};
use crate::report::{EdgeTimes, files};

/// Cycles shown before the first fault, unless another start is asked for; fewer in a short window.
const LEAD_CYCLES: u64 = 20;

/// Cycles shown unless another number is asked for.
const WINDOW_CYCLES: u64 = 200;

/// What to look at, and where to write it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Cycle by cycle")]
pub struct RecordingArguments {
    /// CSV file to write, a row per cycle: frames, what strikes, error flags, stages, stalls, FIFO levels (of --replica; one
    /// scenario only)
    #[arg(long, value_name = "FILE", value_parser = Format::Csv.parser())]
    trace: Option<PathBuf>,
    /// Waveforms to write (.vcd), for GTKWave or Surfer: clock, handshakes, stages, every copy and voted value, error flags, what
    /// strikes (of --replica; one scenario only)
    #[arg(long, value_name = "FILE", value_parser = Format::Vcd.parser())]
    vcd: Option<PathBuf>,
    /// First cycle to look at [default: 20 before the first fault]
    #[arg(long, value_name = "CYCLE")]
    window_start: Option<u64>,
    /// Cycles to look at [default: 200]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    window_cycles: Option<u64>,
}

impl RecordingArguments {
    /// Whether there is a window and nothing to write of it.
    pub const fn is_window_idle(&self) -> bool {
        !self.is_asked() && (self.window_start.is_some() || self.window_cycles.is_some())
    }

    /// Whether anything is to be written.
    pub const fn is_asked(&self) -> bool {
        self.trace.is_some() || self.vcd.is_some()
    }

    /// The files to write.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.trace.iter().chain(&self.vcd)
    }

    /// Runs one replica of a mission in the window and writes what is asked for; gives a line that says so.
    ///
    /// # Errors
    /// When the window lies behind the mission, the clock cannot be written in picoseconds, or a file cannot be written.
    pub fn write(
        &self,
        input: &MissionInput<'_>,
        mission: &Mission<'_>,
        replica: u32,
        faults: &[TimedFault],
    ) -> anyhow::Result<String> {
        let first_fault = faults.first().map_or(0, |fault| fault.at.0);
        let window = self.window_cycles.unwrap_or(WINDOW_CYCLES);
        let lead = LEAD_CYCLES.min(window / 4);
        let start = self.window_start.unwrap_or_else(|| first_fault.saturating_sub(lead));
        if start >= mission.cycles {
            anyhow::bail!("--window-start {start} is after the mission, which has {} cycles", mission.cycles);
        }
        let end = start.saturating_add(window).min(mission.cycles);
        let times = EdgeTimes::new(input.schedule.clock, Cycle(end))?;
        let protection = |bit: BitId| mission.protection[bit.index()];
        let mut machine = Machine::new(input.network, input.inventory, input.schedule, protection);
        let (mut rows, mut dump) = (Vec::new(), Vec::new());
        let mut trace = Trace::new(&mut rows, &machine, times)?;
        let mut waves = Waves::new(&mut dump, &machine, times, DEFAULT_WORDS_LIMIT)?;
        let events = FrameEvents::new(mission.seed, replica, input.events.len());
        let recording = Recording {
            machine: &mut machine,
            faults,
            scrub_cycles: mission.scrub_cycles,
            window: Cycle(start)..Cycle(end),
        };
        let mut observers: Vec<&mut dyn Observer<Error = io::Error>> = Vec::new();
        if self.trace.is_some() {
            observers.push(&mut trace);
        }
        if self.vcd.is_some() {
            observers.push(&mut waves);
        }
        record(recording, |frame| input.events[events.at(frame)].codes(), &mut observers)
            .context("the recording cannot be kept")?;
        trace.finish()?;
        let shown = self.vcd.as_ref().map_or(&[][..], |_| waves.left_out());
        let left_out: Vec<&str> = shown.iter().map(|element| element.name()).collect();
        waves.finish()?;
        let mut written = Vec::new();
        for (path, bytes) in [(&self.trace, &rows), (&self.vcd, &dump)] {
            if let Some(path) = path {
                files::write_file(path, bytes)?;
                written.push(path.display().to_string());
            }
        }
        let room = match left_out.as_slice() {
            [] => String::new(),
            kinds => format!("; no room for words of {}", kinds.join(", ")),
        };
        Ok(format!("written: {} (cycles {start} to {} of replica {replica}{room})\n", written.join(", "), end - 1))
    }
}

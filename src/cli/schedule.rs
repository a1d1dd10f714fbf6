//! What most verbs need to talk of cycles: how the design is built, and the schedule that follows.

use std::num::NonZeroU64;

use anyhow::Context;
use clap::Args;

use super::Global;
use super::inputs::Opened;
use crate::hw::schedule::timing::{Clock, Strategy};
use crate::hw::schedule::{Io, LayerOptions, Schedule, ScheduleOptions, not_unrolled};
use crate::import::design::{DESIGN_FILE, HardwareConfig};

/// How the design is built.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Schedule")]
pub struct ScheduleArguments {
    /// How values come in: econ_t (everything unrolled, a frame in each cycle), parallel (a frame at once) or stream
    /// (pixel by pixel) [default: the design's; parallel where a reuse factor given here needs it; stream where neither
    /// says and the network has branches]
    #[arg(long, value_name = "IO")]
    io: Option<Io>,
    /// Clock frequency in MHz [default: the design's]
    #[arg(long, value_name = "MHZ", value_parser = clock)]
    clock: Option<Clock>,
    /// How products are built: latency or resource, in all layers that the design gives none of their own [default:
    /// the design's]
    #[arg(long, value_name = "NAME")]
    strategy: Option<Strategy>,
    /// Times each multiplier is used (per frame of a dense layer, per output position of a convolution), in all layers
    /// that have none of their own; what is not legal becomes the nearest that is [default: the design's]
    #[arg(long, value_name = "N", value_parser = reuse_factor)]
    reuse_factor: Option<NonZeroU64>,
    /// Reuse factor of one layer; may be given several times, of one layer the last holds
    #[arg(long, value_name = "LAYER=N", value_parser = layer_reuse)]
    layer_reuse: Vec<(String, NonZeroU64)>,
    /// Most packets that a FIFO of a streaming design holds [default: the design's, or a frame]
    #[arg(long, value_name = "N", value_parser = fifo_depth)]
    fifo_depth: Option<NonZeroU64>,
}

fn clock(text: &str) -> Result<Clock, String> {
    let mhz = text.parse().map_err(|_| "a frequency in MHz is needed, such as 40 or 160.3".to_owned())?;
    Clock::new(mhz).map_err(|error| error.to_string())
}

fn reuse_factor(text: &str) -> Result<NonZeroU64, String> {
    text.parse().map_err(|_| "a whole number from 1 is needed; with 1 no multiplier is shared".to_owned())
}

fn layer_reuse(text: &str) -> Result<(String, NonZeroU64), String> {
    let (layer, factor) = text.rsplit_once('=').ok_or("write LAYER=N, the name of a layer and its reuse factor")?;
    Ok((layer.to_owned(), reuse_factor(factor)?))
}

fn fifo_depth(text: &str) -> Result<NonZeroU64, String> {
    text.parse().map_err(|_| "a whole number from 1 is needed: the packets a FIFO holds".to_owned())
}

/// How a design is built, with its times.
pub struct Scheduled {
    /// The schedule.
    pub schedule: Schedule,
    /// The options that chose it, in canonical form.
    pub options: Vec<String>,
}

/// Schedules a design, and says on standard error what is not as asked for.
///
/// # Errors
/// When the design's description or the arguments name what does not exist, or do not go together.
pub fn schedule(opened: &Opened, arguments: &ScheduleArguments, global: &Global) -> anyhow::Result<Scheduled> {
    let design = &opened.design;
    let key = |key: &str| format!("{}: hardware.{key}", design.files.path(DESIGN_FILE));
    let (options, notes) =
        arguments.merged_with(&design.config.hardware, not_unrolled(&design.accelerator).is_some(), &key)?;
    let schedule =
        Schedule::new(&design.accelerator, &options).with_context(|| format!("design `{}`", opened.name()))?;
    if !global.quiet {
        for note in notes {
            eprintln!("note: {note}");
        }
        for stage in schedule.stages.iter().filter(|stage| stage.is_legalized()) {
            eprintln!(
                "warning: layer `{}`: reuse factor {} is not legal; it gets {}, the nearest that is",
                stage.name, stage.asked_reuse, stage.reuse_factor
            );
        }
    }
    Ok(Scheduled { schedule, options: arguments.canonical() })
}

impl ScheduleArguments {
    /// What is asked for here, and where nothing is, what the design says; and notes on what that means. `key` says where
    /// a key of the design stands, `is_refused` whether econ_t cannot build its network.
    fn merged_with(
        &self,
        hardware: &HardwareConfig,
        is_refused: bool,
        key: &dyn Fn(&str) -> String,
    ) -> anyhow::Result<(ScheduleOptions, Vec<String>)> {
        let strategy = |text: &str, name: &str| text.parse::<Strategy>().with_context(|| key(name));
        let mut layers: Vec<(String, LayerOptions)> = Vec::new();
        for (layer, own) in &hardware.layers {
            let name = format!("layers.{layer}.strategy");
            let strategy = own.strategy.as_ref().map(|text| strategy(text, &name)).transpose()?;
            layers.push((layer.clone(), LayerOptions { reuse_factor: own.reuse_factor, strategy }));
        }
        for (layer, factor) in &self.layer_reuse {
            match layers.iter_mut().find(|(name, _)| name == layer) {
                Some((_, own)) => own.reuse_factor = Some(*factor),
                None => {
                    layers.push((layer.clone(), LayerOptions { reuse_factor: Some(*factor), ..Default::default() }));
                }
            }
        }
        let reuse_factor = self.reuse_factor.unwrap_or(hardware.reuse_factor);
        let is_shared = |factor: NonZeroU64| factor.get() > 1;
        let shares = is_shared(reuse_factor) || layers.iter().filter_map(|(_, own)| own.reuse_factor).any(is_shared);
        let asks_to_share =
            self.reuse_factor.into_iter().chain(self.layer_reuse.iter().map(|(_, factor)| *factor)).any(is_shared);
        let of_design: Option<Io> =
            hardware.io.as_ref().map(|text| text.parse().with_context(|| key("io"))).transpose()?;
        let mut notes = Vec::new();
        let io = match self.io.or(of_design) {
            Some(Io::EconT) if self.io.is_none() && asks_to_share => {
                notes.push(
                    "io parallel instead of the design's econ_t, which shares no multiplier; --io chooses".to_owned(),
                );
                Io::Parallel
            }
            Some(io) => io,
            None if is_refused => Io::Stream,
            None if shares => Io::Parallel,
            None => Io::EconT,
        };
        if self.fifo_depth.is_some() && io != Io::Stream {
            notes.push(format!("--fifo-depth changes nothing: io {io} has no FIFOs"));
        }
        if self.strategy.is_some() && io == Io::EconT {
            notes.push(format!("--strategy changes nothing: io {io} has one way to build products"));
        }
        let clock = match self.clock {
            Some(clock) => clock,
            None => Clock::new(hardware.clock_mhz).with_context(|| key("clock_mhz"))?,
        };
        let strategy = match self.strategy {
            Some(strategy) => strategy,
            None => strategy(&hardware.strategy, "strategy")?,
        };
        let fifo_depth = self.fifo_depth.or(hardware.fifo_depth);
        Ok((ScheduleOptions { io, clock, reuse_factor, strategy, layers, fifo_depth }, notes))
    }

    fn canonical(&self) -> Vec<String> {
        let given = [
            ("--io", self.io.map(|io| io.to_string())),
            ("--clock", self.clock.map(|clock| clock.mhz().to_string())),
            ("--strategy", self.strategy.map(|strategy| strategy.to_string())),
            ("--reuse-factor", self.reuse_factor.map(|factor| factor.to_string())),
            ("--fifo-depth", self.fifo_depth.map(|depth| depth.to_string())),
        ];
        let given = given.into_iter().filter_map(|(name, value)| Some([name.to_owned(), value?]));
        let layers =
            self.layer_reuse.iter().map(|(layer, factor)| ["--layer-reuse".to_owned(), format!("{layer}={factor}")]);
        given.chain(layers).flatten().collect()
    }
}

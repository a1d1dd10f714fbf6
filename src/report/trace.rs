//! A machine cycle by cycle as CSV: what every stage does, what strikes, and what is out of order.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::edge_times::EdgeTimes;
use super::oracle::quoted;
use crate::campaign::{Observed, Observer};
use crate::hw::{ElementArray, Load, Machine, StageActivity};

/// Writes a row for every cycle observed.
///
/// | column | meaning |
/// |---|---|
/// | `cycle` | number of the cycle |
/// | `time_ns` | when it begins, in nanoseconds from cycle 0 |
/// | `frame` | number of the frame that the machine takes at the end of the cycle; empty when it takes none |
/// | `output` | 1 while a result stands in the output register, otherwise 0 |
/// | `load` | 1 when the weight registers are loaded again at the end of the cycle, otherwise 0 |
/// | `injections` | what strikes at the beginning of the cycle, as `address:kind`, separated by `;` |
/// | `error_flags` | arrays whose error flag is up, as `layer.tensor`, separated by `;` |
/// | `wrong_copies` | flip-flops of weights and biases that do not hold what was loaded |
/// | `wrong_values` | registers that the datapath does not see as configured |
/// | `STAGE.state` | `work`, `stall` (it would work or hand on, but there is no room behind it) or `idle` |
/// | `STAGE.waiting` | packets in the FIFO or register in front of the stage |
/// | `STAGE.in_pipeline` | packets computed and not yet handed on |
///
/// Registers (`output`, `wrong_copies`, `waiting`, `in_pipeline`) are as they stand during the cycle, after what strikes in
/// it and before the edge that ends it. A stage that works and stalls in one cycle is `stall`. The last three columns come for
/// every stage, in the order of the data.
#[derive(Debug)]
pub struct Trace<W> {
    writer: W,
    times: EdgeTimes,
    elements: Vec<ElementArray>,
    /// By stage, at the beginning of the cycle.
    before: Vec<StageActivity>,
    has_output: bool,
    wrong_copies: u32,
}

impl<W: Write> Trace<W> {
    /// Writes the names of the columns for a machine.
    ///
    /// # Errors
    /// When the writer refuses.
    pub fn new(mut writer: W, machine: &Machine<'_>, times: EdgeTimes) -> io::Result<Self> {
        let fixed = "cycle,time_ns,frame,output,load,injections,error_flags,wrong_copies,wrong_values";
        let stages = machine.schedule().stages.iter().flat_map(|stage| {
            ["state", "waiting", "in_pipeline"].map(|column| quoted(&format!("{}.{column}", stage.name)))
        });
        let columns: Vec<String> = [fixed.to_owned()].into_iter().chain(stages).collect();
        writeln!(writer, "{}", columns.join(","))?;
        Ok(Self { writer, times, elements: machine.elements(), before: Vec::new(), has_output: false, wrong_copies: 0 })
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When the writer refuses.
    pub fn finish(mut self) -> io::Result<W> {
        self.writer.flush()?;
        Ok(self.writer)
    }
}

impl<W: Write> Observer for Trace<W> {
    type Error = io::Error;

    fn begin(&mut self, _: &Machine<'_>) -> io::Result<()> {
        Ok(())
    }

    fn before_edge(&mut self, now: &Observed<'_>) -> io::Result<()> {
        self.before.clear();
        self.before.extend((0..now.machine.schedule().stages.len()).map(|stage| now.machine.activity(stage)));
        self.has_output = now.machine.output().is_some();
        self.wrong_copies = now.machine.bank().wrong_copies();
        Ok(())
    }

    fn after_edge(&mut self, now: &Observed<'_>) -> io::Result<()> {
        let (machine, bank) = (now.machine, now.machine.bank());
        let inventory = machine.inventory();
        let injections: Vec<String> = now
            .faults
            .iter()
            .map(|fault| format!("{}:{}", fault.upset.address(inventory, &self.elements), fault.upset.kind().name()))
            .collect();
        let raised = inventory.arrays().iter().zip(bank.error_flags()).filter(|(_, flag)| **flag);
        let flags: Vec<String> = raised.map(|(array, _)| format!("{}.{}", array.layer, array.tensor)).collect();
        let mut row = format!(
            "{},{},{},{},{},{},{},{},{}",
            now.cycle.0,
            self.times.edge(now.cycle),
            now.taken().map(|frame| frame.to_string()).unwrap_or_default(),
            u8::from(self.has_output),
            u8::from(now.load == Load::Reload),
            quoted(&injections.join(";")),
            quoted(&flags.join(";")),
            self.wrong_copies,
            bank.wrong_values().len(),
        );
        for (stage, before) in self.before.iter().enumerate() {
            let StageActivity { is_working, is_stalled, .. } = machine.activity(stage);
            let state = match (is_working, is_stalled) {
                (_, true) => "stall",
                (true, false) => "work",
                (false, false) => "idle",
            };
            write!(row, ",{state},{},{}", before.waiting, before.in_pipeline).expect("a text takes what is written");
        }
        writeln!(self.writer, "{row}")
    }
}

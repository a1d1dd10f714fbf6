//! `Signals`: the variables of a value change dump, each written when it changes and only then.

use std::io::{self, Write};

use vcd::{IdCode, ReferenceIndex, TimescaleUnit, Value, VarType};

use crate::num::cast;

/// Number of a variable in the order of its declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SignalIdx(u32);

impl SignalIdx {
    /// The variable declared so many places later.
    pub(super) fn later(self, places: usize) -> Self {
        Self(self.0 + cast::id(places))
    }
}

/// What a variable shows: its bits, least significant bit lowest, and which of them are known; the others are `x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bits {
    pub(super) value: u64,
    pub(super) known: u64,
}

impl Bits {
    /// Nothing known.
    pub(super) const UNKNOWN: Self = Self { value: 0, known: 0 };

    /// All known.
    pub(super) const fn of(value: u64) -> Self {
        Self { value, known: u64::MAX }
    }

    /// A number in two's complement.
    pub(super) const fn of_signed(value: i64) -> Self {
        Self::of(value.cast_unsigned())
    }
}

impl From<bool> for Bits {
    fn from(value: bool) -> Self {
        Self::of(u64::from(value))
    }
}

#[derive(Debug, Clone, Copy)]
struct Signal {
    id: IdCode,
    kind: VarType,
    width: u32,
    bits: Bits,
    is_changed: bool,
}

/// The variables and where they are written.
pub(super) struct Signals<W: Write> {
    writer: vcd::Writer<W>,
    variables: Vec<Signal>,
    /// Those that changed since the last time written.
    changed: Vec<SignalIdx>,
    is_dumped: bool,
}

/// Makes a name out of any text: letters, digits and `_`, and no digit first. Readers take a dot for a border between scopes,
/// and a bracket for an index.
fn plain(text: &str) -> String {
    let mut name: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if name.starts_with(|first: char| first.is_ascii_digit()) || name.is_empty() {
        name.insert(0, '_');
    }
    name
}

/// Names for texts, each its own: where two would be alike the later one gets a number.
pub(super) fn own_names<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for text in texts {
        let first = plain(text);
        let numbered = (2..).map(|number: u32| format!("{first}_{number}"));
        let name = std::iter::once(first.clone()).chain(numbered).find(|name| !names.contains(name));
        names.push(name.expect("there are more numbers than names"));
    }
    names
}

impl<W: Write> Signals<W> {
    /// Begins the header: no date, so that equal work gives equal files.
    pub(super) fn new(writer: W) -> io::Result<Self> {
        let mut writer = vcd::Writer::new(writer);
        writer.version(concat!("trivote ", env!("CARGO_PKG_VERSION")))?;
        writer.timescale(1, TimescaleUnit::PS)?;
        Ok(Self { writer, variables: Vec::new(), changed: Vec::new(), is_dumped: false })
    }

    /// Opens a scope.
    pub(super) fn open(&mut self, name: &str) -> io::Result<()> {
        self.writer.add_module(name)
    }

    /// Closes the scope opened last.
    pub(super) fn close(&mut self) -> io::Result<()> {
        self.writer.upscope()
    }

    /// A variable; nothing is known of it.
    fn declare(&mut self, kind: VarType, width: u32, name: &str) -> io::Result<SignalIdx> {
        // As in addresses, bit 0 is the most significant.
        let last = i32::try_from(width).expect("words have at most 64 bits") - 1;
        let range = (kind == VarType::Wire && width > 1).then_some(ReferenceIndex::Range(0, last));
        let id = self.writer.add_var(kind, width, name, range)?;
        self.variables.push(Signal { id, kind, width, bits: Bits::UNKNOWN, is_changed: false });
        Ok(SignalIdx(cast::id(self.variables.len() - 1)))
    }

    /// A wire or register of so many bits.
    pub(super) fn wire(&mut self, width: u32, name: &str) -> io::Result<SignalIdx> {
        self.declare(VarType::Wire, width, name)
    }

    /// A number that no hardware holds.
    pub(super) fn number(&mut self, name: &str) -> io::Result<SignalIdx> {
        self.declare(VarType::Integer, u64::BITS, name)
    }

    /// A marker without a value.
    pub(super) fn event(&mut self, name: &str) -> io::Result<SignalIdx> {
        self.declare(VarType::Event, 1, name)
    }

    /// Ends the header.
    pub(super) fn end_header(&mut self) -> io::Result<()> {
        self.writer.enddefinitions()
    }

    /// Number of variables.
    pub(super) fn len(&self) -> usize {
        self.variables.len()
    }

    /// What a variable shows from the next time written on.
    pub(super) fn set(&mut self, at: SignalIdx, bits: Bits) {
        let signal = &mut self.variables[cast::index(at.0)];
        let mask = u64::MAX >> (u64::BITS - signal.width);
        let bits = Bits { value: bits.value & bits.known & mask, known: bits.known & mask };
        if signal.bits != bits {
            signal.bits = bits;
            if !std::mem::replace(&mut signal.is_changed, true) {
                self.changed.push(at);
            }
        }
    }

    /// Writes what changed, at a time; the first time all there is.
    pub(super) fn write(&mut self, time_ps: u64) -> io::Result<()> {
        if !self.is_dumped {
            self.is_dumped = true;
            self.writer.timestamp(time_ps)?;
            self.writer.begin(vcd::SimulationCommand::Dumpvars)?;
            self.changed.clear();
            for at in 0..self.variables.len() {
                // An event that is written has happened.
                if self.variables[at].kind != VarType::Event {
                    self.write_one(at)?;
                }
            }
            return self.writer.end();
        }
        if self.changed.is_empty() {
            return Ok(());
        }
        self.writer.timestamp(time_ps)?;
        for at in std::mem::take(&mut self.changed) {
            self.write_one(cast::index(at.0))?;
        }
        Ok(())
    }

    /// Lets an event happen at the time last written.
    pub(super) fn happen(&mut self, event: SignalIdx) -> io::Result<()> {
        self.writer.change_scalar(self.variables[cast::index(event.0)].id, Value::V1)
    }

    /// Ends the file.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.writer.flush()
    }

    fn write_one(&mut self, at: usize) -> io::Result<()> {
        let signal = &mut self.variables[at];
        signal.is_changed = false;
        let Signal { id, width, bits, .. } = *signal;
        let value = |place: u32| match (bits.known >> place & 1, bits.value >> place & 1) {
            (0, _) => Value::X,
            (_, 0) => Value::V0,
            _ => Value::V1,
        };
        if width == 1 {
            self.writer.change_scalar(id, value(0))
        } else {
            self.writer.change_vector(id, (0..width).rev().map(value))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_each_its_own() {
        let texts = ["a", "a.pad", "a_pad", "1st", "", "a b[2]", "a/pad", "µ"];
        let names = own_names(texts.into_iter());
        assert_eq!(names, ["a", "a_pad", "a_pad_2", "_1st", "_", "a_b_2_", "a_pad_3", "__2"]);
    }

    #[test]
    fn a_variable_is_written_when_it_changes() {
        let mut text = Vec::new();
        let mut signals = Signals::new(&mut text).unwrap();
        signals.open("top").unwrap();
        let word = signals.wire(3, "word").unwrap();
        let bit = signals.wire(1, "bit").unwrap();
        let event = signals.event("event").unwrap();
        signals.close().unwrap();
        signals.end_header().unwrap();
        signals.set(word, Bits::of_signed(-2));
        signals.write(5).unwrap();
        signals.set(word, Bits { value: 0b101, known: 0b110 });
        signals.set(bit, true.into());
        signals.write(6).unwrap();
        signals.set(word, Bits { value: 0b100, known: 0b110 });
        signals.write(7).unwrap();
        signals.set(word, Bits::UNKNOWN);
        signals.write(8).unwrap();
        signals.happen(event).unwrap();
        signals.finish().unwrap();
        let text = String::from_utf8(text).unwrap();
        let (header, changes) = text.split_once("$enddefinitions $end\n").unwrap();
        assert!(
            header.contains("$timescale 1 ps $end\n$scope module top $end\n$var wire 3 ! word [0:2] $end\n"),
            "{header}"
        );
        assert_eq!(changes, "#5\n$dumpvars\nb110 !\nx\"\n$end\n#6\nb10x !\n1\"\n#8\nbxxx !\n1#\n");
    }
}

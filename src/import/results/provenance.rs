//! What every result file says about where it came from.

use serde::{Deserialize, Serialize};

/// Enough to run the same command again and to know that it was fed the same.
///
/// Neither time nor place enter: the same work gives the same bytes, on any machine, with any number of threads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Version of trivote.
    pub trivote: String,
    /// The command, without what cannot change the result (threads, output, progress).
    pub command: Vec<String>,
    /// Name of the design.
    pub design_name: String,
    /// Fingerprint of the accelerator's registers and arithmetic.
    pub design: String,
    /// Fingerprint of the values of all events, in their order; none where there are no events.
    pub events: Option<String>,
    /// Seeds used, by purpose.
    pub seeds: Vec<(String, u64)>,
    /// SHA-256 of every file read, by name.
    pub inputs: Vec<(String, String)>,
}

impl Provenance {
    /// Provenance of a command by this version.
    pub fn new(command: Vec<String>, design_name: &str, design: String) -> Self {
        Self {
            trivote: env!("CARGO_PKG_VERSION").to_owned(),
            command,
            design_name: design_name.to_owned(),
            design,
            events: None,
            seeds: Vec::new(),
            inputs: Vec::new(),
        }
    }

    /// The file of `--sites`: the only bits that the command looked at are those that it lists.
    pub fn sites_file(&self) -> Option<&str> {
        let at = self.command.iter().position(|word| word == "--sites")?;
        self.command.get(at + 1).map(String::as_str)
    }
}

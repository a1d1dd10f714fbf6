//! The little of ZIP that `.keras` archives need: the architecture and the weights, of bounded size.

use std::io::{Cursor, Read};

use zip::ZipArchive;

use super::{KerasError, ModelSource};

/// What a ZIP file starts with.
const MAGIC: &[u8] = b"PK\x03\x04";
/// The architecture in an archive.
const ARCHITECTURE: &str = "config.json";
/// The weights in an archive.
const WEIGHTS: &str = "model.weights.h5";
/// Largest part read, in bytes: four times the largest tensor.
const MAX_BYTES: u64 = 1 << 28;

/// A `.keras` archive held in memory.
pub(super) struct Archive<'a> {
    name: &'a str,
    zip: ZipArchive<Cursor<&'a [u8]>>,
}

impl<'a> Archive<'a> {
    /// Whether the bytes start like a ZIP file.
    pub fn is_zip(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC)
    }

    /// Opens an archive held in memory.
    pub fn open(source: ModelSource<'a>) -> Result<Self, KerasError> {
        let zip = ZipArchive::new(Cursor::new(source.bytes)).map_err(|problem| KerasError::Archive {
            file: source.name.to_owned(),
            entry: "the archive".to_owned(),
            problem: problem.to_string(),
        })?;
        Ok(Self { name: source.name, zip })
    }

    /// The architecture's JSON.
    pub fn architecture(&mut self) -> Result<Vec<u8>, KerasError> {
        self.entry(ARCHITECTURE)
    }

    /// The HDF5 file of the weights.
    pub fn weights(&mut self) -> Result<Vec<u8>, KerasError> {
        self.entry(WEIGHTS)
    }

    fn entry(&mut self, entry: &str) -> Result<Vec<u8>, KerasError> {
        let file = self.name;
        let failed = |problem: String| KerasError::Archive { file: file.to_owned(), entry: entry.to_owned(), problem };
        let part = self.zip.by_name(entry).map_err(|problem| failed(format!("{problem}; is this a Keras model?")))?;
        let mut content = Vec::new();
        // What an archive says about sizes need not be true.
        part.take(MAX_BYTES + 1).read_to_end(&mut content).map_err(|problem| failed(problem.to_string()))?;
        if u64::try_from(content.len()).is_ok_and(|len| len > MAX_BYTES) {
            return Err(failed(format!("has more than {MAX_BYTES} bytes")));
        }
        Ok(content)
    }
}

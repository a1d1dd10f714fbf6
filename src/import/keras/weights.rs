//! Where a layer's tensors lie in a weights file.
//!
//! Keras keeps them in one group per top-level layer: `<layer>/<layer>/kernel:0`, or, when that layer is a model,
//! `<model>/<layer>/kernel:0`; the group's `weight_names` attribute lists them. Whole-model files hold the groups under
//! `model_weights`, weights-only files at the root. Finds and reads; quantizes nothing.

use super::KerasError;
use super::graph::Step;
use super::h5::{H5, join};
use crate::net::TensorKind;

/// A weights file.
pub(super) struct Weights<'a> {
    h5: &'a H5<'a>,
    /// Group that holds one group per top-level layer; empty for the root.
    root: &'static str,
    /// All datasets below `root`, relative to it.
    datasets: Vec<String>,
}

impl<'a> Weights<'a> {
    /// Looks over the file.
    pub fn open(h5: &'a H5<'a>) -> Result<Self, KerasError> {
        let root = if h5.has_group("model_weights") { "model_weights" } else { "" };
        Ok(Self { h5, root, datasets: h5.datasets(root)? })
    }

    /// Name of the file for messages.
    pub const fn file(&self) -> &'a str {
        self.h5.name()
    }

    /// A tensor of a layer, in C order.
    pub fn read(&self, step: &Step<'_>, tensor: TensorKind, shape: &[usize]) -> Result<Vec<f32>, KerasError> {
        let path = self.find(step, tensor)?;
        // The shape comes first: a tensor of the shape expected is never larger than the architecture says.
        let found = self.h5.shape(&path)?;
        if !found.iter().copied().eq(shape.iter().map(|axis| u64::try_from(*axis).unwrap_or(u64::MAX))) {
            return Err(KerasError::WeightShape {
                file: self.file().to_owned(),
                layer: step.layer.name.clone(),
                tensor,
                found,
                expected: shape.to_vec(),
            });
        }
        Ok(self.h5.read(&path)?.values)
    }

    fn find(&self, step: &Step<'_>, tensor: TensorKind) -> Result<String, KerasError> {
        let layer = step.layer.name.as_str();
        let top = step.path.first().copied().unwrap_or(layer);
        let group = join(self.root, top);
        let below_top: Vec<&str> =
            self.datasets.iter().filter_map(|path| path.strip_prefix(top)?.strip_prefix('/')).collect();
        let mut found: Vec<String>;
        let searched;
        if below_top.is_empty() {
            // Written from another nesting than the architecture's, such as an encoder alone: the layer's name decides.
            found = self.datasets.iter().filter(|path| names(path, Some(layer), tensor)).cloned().collect();
            found = found.into_iter().map(|path| join(self.root, &path)).collect();
            searched = self.root.to_owned();
        } else {
            // In a layer's own group the tensor's name is enough; in a model's the layer must be named too.
            let owner = (!step.path.is_empty()).then_some(layer);
            let listed = self.h5.texts(&group, "weight_names")?.unwrap_or_default();
            let candidates = listed.iter().map(String::as_str).filter(|path| below_top.contains(path));
            found = candidates.filter(|path| names(path, owner, tensor)).map(str::to_owned).collect();
            if found.is_empty() {
                found = below_top.iter().filter(|path| names(path, owner, tensor)).map(ToString::to_string).collect();
            }
            found = found.into_iter().map(|path| join(&group, &path)).collect();
            searched = group;
        }
        found.sort_unstable();
        found.dedup();
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => Err(KerasError::MissingWeights {
                file: self.file().to_owned(),
                layer: layer.to_owned(),
                tensor,
                group: format!("/{searched}"),
            }),
            _ => Err(KerasError::AmbiguousWeights {
                file: self.file().to_owned(),
                layer: layer.to_owned(),
                tensor,
                found,
            }),
        }
    }
}

/// Whether a dataset's path ends in `[owner/]<tensor>` or `[owner/]<tensor>:0`.
fn names(path: &str, owner: Option<&str>, tensor: TensorKind) -> bool {
    let (before, last) = path.rsplit_once('/').unwrap_or(("", path));
    let named = last.strip_suffix(":0").unwrap_or(last) == tensor.to_string();
    named && owner.is_none_or(|owner| before == owner || before.ends_with(&format!("/{owner}")))
}

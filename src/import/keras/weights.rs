//! Where a layer's tensors lie in a weights file.
//!
//! Keras 2 keeps them by name, in one group per top-level layer: `<layer>/<layer>/kernel:0`, or, when that layer is a
//! model, `<model>/<layer>/kernel:0`; the group's `weight_names` attribute lists them. Whole-model files hold the groups
//! under `model_weights`, weights-only files at the root. Archives (`.keras`) and files named `*.weights.h5` keep them by
//! position, which is `positions`' knowledge. Finds and reads; quantizes nothing.

use std::fmt;

use super::KerasError;
use super::graph::{Model, Step};
use super::h5::{H5, join};
use super::positions::Positions;
use crate::net::TensorKind;

/// A tensor of a layer, by the name that Keras gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variable {
    /// `kernel`
    Kernel,
    /// `depthwise_kernel`
    DepthwiseKernel,
    /// `bias`
    Bias,
    /// `gamma` of a batch normalization.
    Gamma,
    /// `beta` of a batch normalization.
    Beta,
    /// `moving_mean` of a batch normalization.
    MovingMean,
    /// `moving_variance` of a batch normalization.
    MovingVariance,
}

impl Variable {
    /// The attribute that says how it is quantized; for a kernel or a bias.
    pub(super) const fn quantizer(self) -> &'static str {
        match self {
            Self::DepthwiseKernel => "depthwise_quantizer",
            Self::Bias => "bias_quantizer",
            _ => "kernel_quantizer",
        }
    }

    /// The registers it becomes.
    pub(super) const fn registers(self) -> TensorKind {
        match self {
            Self::Bias => TensorKind::Bias,
            _ => TensorKind::Kernel,
        }
    }

    /// Whether it belongs to a batch normalization.
    pub(super) const fn is_statistic(self) -> bool {
        matches!(self, Self::Gamma | Self::Beta | Self::MovingMean | Self::MovingVariance)
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kernel => "kernel",
            Self::DepthwiseKernel => "depthwise_kernel",
            Self::Bias => "bias",
            Self::Gamma => "gamma",
            Self::Beta => "beta",
            Self::MovingMean => "moving_mean",
            Self::MovingVariance => "moving_variance",
        })
    }
}

/// A weights file.
pub(super) struct Weights<'a> {
    h5: &'a H5<'a>,
    /// Group that holds one group per top-level layer; empty for the root.
    root: &'static str,
    /// All datasets below `root`, relative to it.
    datasets: Vec<String>,
    /// Where the tensors lie, if the file has no names.
    positions: Option<Positions>,
}

impl<'a> Weights<'a> {
    /// Looks over the file; `model` is the whole architecture.
    pub fn open(h5: &'a H5<'a>, model: &Model) -> Result<Self, KerasError> {
        let root = if h5.has_group("model_weights") { "model_weights" } else { "" };
        let datasets = h5.datasets(root)?;
        let positions = datasets.iter().any(|path| path.contains("/vars/")).then(|| Positions::of(model));
        Ok(Self { h5, root, datasets, positions })
    }

    /// Name of the file for messages.
    pub const fn file(&self) -> &'a str {
        self.h5.name()
    }

    /// A tensor of a layer, in C order.
    pub fn read(&self, step: &Step<'_>, tensor: Variable, shape: &[usize]) -> Result<Vec<f32>, KerasError> {
        let path = match &self.positions {
            Some(positions) => self.placed(positions, step, tensor)?,
            None => self.find(step, tensor)?,
        };
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

    /// The error of a value that cannot be computed with: its index, and the value.
    pub fn bad_value(&self, step: &Step<'_>, tensor: Variable, (index, value): (usize, f32)) -> KerasError {
        KerasError::WeightValue { file: self.file().to_owned(), layer: step.layer.name.clone(), tensor, index, value }
    }

    fn missing(&self, step: &Step<'_>, tensor: Variable, group: &str) -> KerasError {
        KerasError::MissingWeights {
            file: self.file().to_owned(),
            layer: step.layer.name.clone(),
            tensor,
            group: format!("/{group}"),
        }
    }

    fn placed(&self, positions: &Positions, step: &Step<'_>, tensor: Variable) -> Result<String, KerasError> {
        let path = positions.path(step, tensor);
        if self.datasets.contains(&path) {
            return Ok(path);
        }
        Err(self.missing(step, tensor, path.rsplit_once('/').map_or("", |(group, _)| group)))
    }

    fn find(&self, step: &Step<'_>, tensor: Variable) -> Result<String, KerasError> {
        let layer = step.layer.name.as_str();
        let top = step.path.first().copied().unwrap_or(layer);
        let group = join(self.root, top);
        let below_top: Vec<&str> =
            self.datasets.iter().filter_map(|path| path.strip_prefix(top)?.strip_prefix('/')).collect();
        let fits = |path: &str, owner| names(path, owner, tensor);
        let mut found: Vec<String>;
        let searched;
        if below_top.is_empty() {
            // Written from another nesting than the architecture's, such as an encoder alone: the layer's name decides.
            found = self.datasets.iter().filter(|path| fits(path, Some(layer))).cloned().collect();
            found = found.into_iter().map(|path| join(self.root, &path)).collect();
            searched = self.root.to_owned();
        } else {
            // In a layer's own group the tensor's name is enough; in a model's the layer must be named too.
            let owner = (!step.path.is_empty()).then_some(layer);
            let listed = self.h5.texts(&group, "weight_names")?.unwrap_or_default();
            let candidates = listed.iter().map(String::as_str).filter(|path| below_top.contains(path));
            found = candidates.filter(|path| fits(path, owner)).map(str::to_owned).collect();
            if found.is_empty() {
                found = below_top.iter().filter(|path| fits(path, owner)).map(ToString::to_string).collect();
            }
            // Inside a layer that folds one, a batch normalization may have the name of one that stands by itself.
            if let Some(owner) = owner.filter(|_| found.len() > 1)
                && let Some(own) = found.iter().find(|path| path.split('/').next() == Some(owner)).cloned()
            {
                found = vec![own];
            }
            found = found.into_iter().map(|path| join(&group, &path)).collect();
            searched = group;
        }
        found.sort_unstable();
        found.dedup();
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => Err(self.missing(step, tensor, &searched)),
            _ => Err(KerasError::AmbiguousWeights {
                file: self.file().to_owned(),
                layer: layer.to_owned(),
                tensor,
                found,
            }),
        }
    }
}

/// Whether a dataset's path ends in `[owner/]<tensor>` or `[owner/]<tensor>:0`; a batch normalization that a layer folds
/// stands in a group of its own, `[owner/]<normalization>/<tensor>`.
fn names(path: &str, owner: Option<&str>, tensor: Variable) -> bool {
    let (before, last) = path.rsplit_once('/').unwrap_or(("", path));
    let named = last.strip_suffix(":0").unwrap_or(last) == tensor.to_string();
    let owned = |group: &str, owner: &str| group == owner || group.ends_with(&format!("/{owner}"));
    named
        && owner.is_none_or(|owner| {
            owned(before, owner)
                || (tensor.is_statistic() && before.rsplit_once('/').is_some_and(|(above, _)| owned(above, owner)))
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::ModelSource;
    use super::super::graph::Model;
    use super::*;

    /// A weights file with one value, its position, per dataset of shape `[1]`.
    fn file(datasets: &[&str]) -> Vec<u8> {
        fn fill(group: &mut hdf5_pure::GroupBuilder, datasets: &[(String, f32)]) {
            let mut children: Vec<&str> = datasets.iter().map(|(path, _)| path.split('/').next().unwrap()).collect();
            children.dedup();
            for child in children {
                let below = |path: &str| path.strip_prefix(child)?.strip_prefix('/').map(str::to_owned);
                let inner: Vec<_> = datasets.iter().filter_map(|(path, value)| Some((below(path)?, *value))).collect();
                if inner.is_empty() {
                    let value = datasets.iter().find(|(path, _)| path == child).unwrap().1;
                    group.create_dataset(child).with_f32_data(&[value]).with_shape(&[1]);
                } else {
                    let mut made = group.create_group(child);
                    fill(&mut made, &inner);
                    group.add_group(made.finish());
                }
            }
        }
        let value = |index| crate::num::cast::nearest_f32(crate::num::cast::f64_from_count(index));
        let mut builder = hdf5_pure::FileBuilder::new();
        let mut tops: Vec<&str> = datasets.iter().map(|path| path.split('/').next().unwrap()).collect();
        tops.dedup();
        for top in tops {
            let below = |path: &str| path.strip_prefix(top)?.strip_prefix('/').map(str::to_owned);
            let inner: Vec<_> =
                datasets.iter().enumerate().filter_map(|(index, path)| Some((below(path)?, value(index)))).collect();
            let mut group = builder.create_group(top);
            fill(&mut group, &inner);
            builder.add_group(group.finish());
        }
        builder.finish().unwrap()
    }

    /// Looks for the kernel of layer `a`, which stands in a model `m` when `nested`.
    fn kernel(datasets: &[&str], nested: bool) -> Result<f32, String> {
        let layer = json!({"class_name": "QDense", "config": {"name": "a"}});
        let input = json!({"class_name": "InputLayer", "config": {"name": "i"}});
        let inner = json!({"class_name": "Sequential", "config": {"name": "m", "layers": [input, layer]}});
        let layers = if nested { json!([input, inner]) } else { json!([input, layer]) };
        let model = json!({"class_name": "Sequential", "config": {"name": "net", "layers": layers}});
        let model = Model::parse("m", model).unwrap();
        let steps = model.steps(&[]).unwrap();
        let bytes = file(datasets);
        let h5 = H5::open(ModelSource { name: "w", bytes: &bytes }).unwrap();
        let weights = Weights::open(&h5, &model).map_err(|error| error.to_string())?;
        let step = steps.last().unwrap();
        weights.read(step, Variable::Kernel, &[1]).map(|values| values[0]).map_err(|error| error.to_string())
    }

    #[test]
    fn tensors_are_found_wherever_keras_puts_them() {
        let cases: [(&[&str], bool); 7] = [
            (&["b/b/kernel:0", "a/a/kernel:0", "a/a/bias:0"], false),
            (&["model_weights/x/a/kernel:0", "model_weights/a/a/kernel:0", "optimizer_weights/a/a/kernel:0"], false),
            (&["b/kernel:0", "a/kernel", "a/bias"], false),
            // The inner name of a layer's own group is not always that of the layer.
            (&["b/b/kernel:0", "a/a_1/kernel:0", "a/a_1/bias:0"], false),
            (&["n/a/kernel:0", "m/a/kernel:0", "m/b/kernel:0"], true),
            // Saved from the inner model alone, or from a model that holds this one.
            (&["b/b/kernel:0", "a/a/kernel:0", "aa/aa/kernel:0"], true),
            (&["b/b/kernel:0", "outer/a/kernel:0", "outer/b/kernel:0"], false),
        ];
        for (datasets, nested) in cases {
            assert_eq!(kernel(datasets, nested), Ok(1.0), "{datasets:?}");
        }
    }

    #[test]
    fn normalizations_are_found_inside_and_beside_their_layers() {
        for (tensor, expected) in [(Variable::Gamma, "gamma"), (Variable::MovingVariance, "moving_variance")] {
            let inside = format!("a/norm/{expected}:0");
            assert!(names(&inside, Some("a"), tensor) && names(&inside, None, tensor));
            assert!(names(&format!("m/{inside}"), Some("a"), tensor) && !names(&inside, Some("b"), tensor));
            assert!(names(&inside, Some("norm"), tensor));
        }
        assert!(!names("a/norm/kernel:0", Some("a"), Variable::Kernel));
    }

    #[test]
    fn missing_and_ambiguous_tensors() {
        let cases: [(&[&str], bool, &str); 5] = [
            (&["a/a/bias:0"], false, "w: no kernel of layer `a` in group `/a`"),
            (&["b/b/kernel:0"], false, "w: no kernel of layer `a` in group `/`"),
            (&["m/b/kernel:0"], true, "w: no kernel of layer `a` in group `/m`"),
            (&["m/x/a/kernel:0", "m/y/a/kernel:0"], true, "Found `m/x/a/kernel:0`, `m/y/a/kernel:0`"),
            (&["layers/dense/vars/0"], false, "w: no kernel of layer `a` in group `/layers/q_dense/vars`"),
        ];
        for (datasets, nested, expected) in cases {
            let message = kernel(datasets, nested).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }
}

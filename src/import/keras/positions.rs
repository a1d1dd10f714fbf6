//! Where tensors lie in files that keep them by position: `model.weights.h5` of a `.keras` archive, `*.weights.h5`.
//!
//! Every layer has the group `layers/<class>[_<n>]/vars` with its variables by number, `<class>` being the name of its
//! class in snake case and `<n>` counting the layers of that class in the model's order from 0, which is not written.
//! A sub-model holds the groups of its layers. Keras 2.13 to 2.15 and Keras 3 write the same. A layer that folds a batch
//! normalization has it in the group `batchnorm`.

use std::collections::HashMap;

use super::attributes::flag;
use super::graph::{Config, Model, Step};
use super::weights::Variable;

/// The group of every layer of a model, by the names of the sub-models around it and its own.
#[derive(Debug)]
pub(super) struct Positions {
    groups: HashMap<Vec<String>, String>,
}

impl Positions {
    /// Counts the layers of a model and its sub-models.
    pub fn of(model: &Model) -> Self {
        let mut groups = HashMap::new();
        let mut pending = vec![(model, Vec::new(), String::new())];
        while let Some((model, path, group)) = pending.pop() {
            let mut counts: HashMap<String, usize> = HashMap::new();
            for layer in &model.layers {
                let class = snake_case(layer.class.rsplit('>').next().unwrap_or(&layer.class));
                let count = counts.entry(class.clone()).or_default();
                let number = if *count == 0 { String::new() } else { format!("_{count}") };
                *count += 1;
                let group = format!("{group}layers/{class}{number}/");
                let mut path = path.clone();
                path.push(layer.name.clone());
                if let Some(inner) = &layer.model {
                    pending.push((inner, path.clone(), group.clone()));
                }
                groups.insert(path, group);
            }
        }
        Self { groups }
    }

    /// Path of the dataset that holds a tensor.
    pub fn path(&self, step: &Step<'_>, tensor: Variable) -> String {
        let names: Vec<String> =
            step.path.iter().copied().chain([step.layer.name.as_str()]).map(str::to_owned).collect();
        let group = self.groups.get(&names).map_or("", String::as_str);
        let inside = tensor.is_statistic() && step.layer.class.ends_with("Batchnorm");
        let inside = if inside { "batchnorm/" } else { "" };
        format!("{group}{inside}vars/{}", number(tensor, &step.layer.config))
    }
}

/// A variable's number: what is trained comes first, in the order of its making.
fn number(tensor: Variable, config: &Config) -> usize {
    let has = |attribute: &str| usize::from(config.get(attribute).and_then(flag).unwrap_or(true));
    match tensor {
        Variable::Kernel | Variable::DepthwiseKernel | Variable::Gamma => 0,
        Variable::Bias => 1,
        Variable::Beta => has("scale"),
        Variable::MovingMean => has("scale") + has("center"),
        Variable::MovingVariance => has("scale") + has("center") + 1,
    }
}

/// `to_snake_case` of Keras: `QConv2DBatchnorm` becomes `q_conv2d_batchnorm`.
fn snake_case(class: &str) -> String {
    let letters: Vec<char> = class.chars().collect();
    // A word begins at a capital that a small letter follows, unless it is the first letter or a word just began.
    let mut words = String::with_capacity(class.len() + 4);
    let mut next = 0;
    while next < letters.len() {
        words.push(letters[next]);
        let word = |at: usize| {
            letters.get(at).is_some_and(char::is_ascii_uppercase)
                && letters.get(at + 1).is_some_and(char::is_ascii_lowercase)
        };
        next += 1;
        if word(next) {
            words.push('_');
            words.push(letters[next]);
            next += 1;
            while letters.get(next).is_some_and(char::is_ascii_lowercase) {
                words.push(letters[next]);
                next += 1;
            }
        }
    }
    // And at a capital that follows a small letter.
    let mut name = String::with_capacity(words.len() + 4);
    let mut small = false;
    for letter in words.chars() {
        if small && letter.is_ascii_uppercase() {
            name.push('_');
        }
        small = letter.is_ascii_lowercase();
        name.push(letter.to_ascii_lowercase());
    }
    if name.starts_with('_') { format!("private{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_in_snake_case_as_keras_writes_them() {
        for (class, name) in [
            ("QConv2DBatchnorm", "q_conv2d_batchnorm"),
            ("QDepthwiseConv2DBatchnorm", "q_depthwise_conv2d_batchnorm"),
            ("LeakyReLU", "leaky_re_lu"),
            ("ReLU", "re_lu"),
            ("Dense", "dense"),
            ("QDense", "q_dense"),
            ("InputLayer", "input_layer"),
            ("GlobalAveragePooling2D", "global_average_pooling2d"),
            ("FQConv2D", "fq_conv2d"),
            ("_Own", "private__own"),
        ] {
            assert_eq!(snake_case(class), name);
        }
    }
}

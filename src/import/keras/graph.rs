//! Models, sub-models and the layers through them in the order of their computation, from the architecture's JSON.
//!
//! Only what connects layers; what a layer computes is read by `config`. Branches may part and meet again in an `Add`;
//! layers used twice and models with several inputs or outputs are refused by name.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::{Map, Value};

use super::KerasError;

/// Layers that read several others.
const JOINING: &str = "Add";

/// The configuration of one layer.
pub(super) type Config = Map<String, Value>;

/// A model or sub-model.
#[derive(Debug)]
pub(super) struct Model {
    pub name: String,
    /// In the file's order.
    pub layers: Vec<Layer>,
    outputs: Vec<String>,
}

/// A layer, or a model used as one.
#[derive(Debug)]
pub(super) struct Layer {
    pub name: String,
    pub class: String,
    /// Empty for a sub-model.
    pub config: Config,
    /// The sub-model.
    pub model: Option<Model>,
    /// Names of the layers read, one list per use of the layer.
    inbound: Vec<Vec<String>>,
}

/// A layer met on the way through a model and the sub-models in it.
#[derive(Debug)]
pub(super) struct Step<'m> {
    pub layer: &'m Layer,
    /// Names of the sub-models around the layer, outermost first, the root excluded.
    pub path: Vec<&'m str>,
    /// The steps whose outputs it reads, all before it; none for the input layer.
    pub inputs: Vec<usize>,
}

/// A sub-model and where it stands.
#[derive(Debug)]
pub(super) struct Located<'m> {
    pub model: &'m Model,
    /// The model it is a layer of; `None` for the root.
    pub parent: Option<&'m Model>,
    /// Names of the sub-models around its layers, its own last, the root excluded.
    pub path: Vec<&'m str>,
}

impl Model {
    /// Reads the architecture: `{"class_name": ..., "config": {"name": ..., "layers": [...]}}`.
    pub fn parse(file: &str, architecture: Value) -> Result<Self, KerasError> {
        let malformed = |field: &str, found: &Value, expected| malformed(file, "(root)", field, found, expected);
        let Value::Object(mut root) = architecture else {
            return Err(malformed("the architecture", &architecture, "an object"));
        };
        let class = take_text(&mut root, "class_name").unwrap_or_default();
        let config = root.remove("config").unwrap_or_default();
        match config {
            // Keras before 2.2.3 wrote a sequential model as the bare list of its layers.
            Value::Array(layers) => Self::sequential(file, "sequential".to_owned(), layers, None),
            Value::Object(config) if config.get("layers").is_some_and(Value::is_array) => {
                Self::from_config(file, &class, "model", config)
            }
            other => Err(malformed("config", &other, "the configuration of a Functional or Sequential model")),
        }
    }

    fn from_config(file: &str, class: &str, name: &str, mut config: Config) -> Result<Self, KerasError> {
        let name = take_text(&mut config, "name").unwrap_or_else(|| name.to_owned());
        let Some(Value::Array(layers)) = config.remove("layers") else {
            return Err(malformed(file, &name, "layers", &Value::Null, "a list of layers"));
        };
        if class == "Sequential" {
            return Self::sequential(file, name, layers, config.get("build_input_shape"));
        }
        let outputs = config.remove("output_layers").unwrap_or_default();
        let mut parsed = Vec::with_capacity(layers.len());
        for entry in layers {
            parsed.push(Layer::parse(file, &name, entry)?);
        }
        let outputs = tensors(&outputs)
            .ok_or_else(|| malformed(file, &name, "output_layers", &outputs, "a list of [layer, 0, 0]"))?;
        Ok(Self { name, layers: parsed, outputs })
    }

    fn sequential(
        file: &str,
        name: String,
        entries: Vec<Value>,
        input_shape: Option<&Value>,
    ) -> Result<Self, KerasError> {
        let mut layers: Vec<Layer> = Vec::with_capacity(entries.len() + 1);
        for entry in entries {
            let mut layer = Layer::parse(file, &name, entry)?;
            if layers.is_empty() && layer.class != "InputLayer" {
                // The input is implied; Keras names it after the layer that states its shape.
                let mut config = Config::new();
                let shape = layer.config.get("batch_input_shape").cloned().or_else(|| input_shape.cloned());
                config.extend(shape.map(|shape| ("batch_input_shape".to_owned(), shape)));
                layers.push(Layer {
                    name: format!("{}_input", layer.name),
                    class: "InputLayer".to_owned(),
                    config,
                    model: None,
                    inbound: Vec::new(),
                });
            }
            layer.inbound = layers.last().map(|before| vec![vec![before.name.clone()]]).unwrap_or_default();
            layers.push(layer);
        }
        let outputs = layers.last().map(|layer| layer.name.clone()).into_iter().collect();
        Ok(Self { name, layers, outputs })
    }

    /// The layers that the output depends on, each behind all that it reads, otherwise in the file's order: the input layer
    /// is the first, the output layer the last.
    fn ordered(&self) -> Result<Vec<&Layer>, KerasError> {
        let mut by_name = HashMap::with_capacity(self.layers.len());
        for (index, layer) in self.layers.iter().enumerate() {
            if by_name.insert(layer.name.as_str(), index).is_some() {
                return Err(self.topology(&layer.name, "there are two layers of this name".to_owned()));
            }
        }
        let [output] = &self.outputs[..] else {
            let problem = format!("the model has {} outputs ({}); one is supported", self.outputs.len(), {
                self.outputs.join(", ")
            });
            return Err(self.topology(self.outputs.first().map_or("", String::as_str), problem));
        };
        let find = |name: &str, reader: &str| {
            by_name.get(name).copied().ok_or_else(|| self.topology(reader, format!("there is no layer `{name}`")))
        };
        let mut sources: HashMap<usize, HashSet<usize>> = HashMap::new();
        let mut pending = vec![find(output, "(output)")?];
        while let Some(index) = pending.pop() {
            if sources.contains_key(&index) {
                continue;
            }
            let layer = &self.layers[index];
            let read = self.inputs_of(layer)?.iter().map(|name| find(name, &layer.name));
            let read = read.collect::<Result<HashSet<_>, _>>()?;
            pending.extend(&read);
            sources.insert(index, read);
        }
        self.one_input(sources.keys().map(|index| &self.layers[*index]))?;
        self.sorted(&sources)
    }

    /// The layers of `sources`, each behind its sources; of those that may come next, the first in the file does.
    fn sorted(&self, sources: &HashMap<usize, HashSet<usize>>) -> Result<Vec<&Layer>, KerasError> {
        let mut readers: HashMap<usize, Vec<usize>> = HashMap::new();
        for (index, read) in sources {
            for source in read {
                readers.entry(*source).or_default().push(*index);
            }
        }
        let mut missing: HashMap<usize, usize> = sources.iter().map(|(index, read)| (*index, read.len())).collect();
        let mut ready: BTreeSet<usize> = missing.iter().filter(|(_, count)| **count == 0).map(|(at, _)| *at).collect();
        let mut ordered = Vec::with_capacity(sources.len());
        while let Some(index) = ready.pop_first() {
            ordered.push(&self.layers[index]);
            for reader in readers.remove(&index).unwrap_or_default() {
                let count = missing.get_mut(&reader).expect("every reader has a count");
                *count -= 1;
                if *count == 0 {
                    ready.insert(reader);
                }
            }
        }
        if ordered.len() < sources.len() {
            let left = missing.iter().filter(|(_, count)| **count > 0).map(|(index, _)| *index).min();
            let layer = left.map_or("", |index| &self.layers[index].name);
            return Err(self.topology(layer, "the layers form a cycle".to_owned()));
        }
        Ok(ordered)
    }

    fn one_input<'m>(&self, layers: impl Iterator<Item = &'m Layer>) -> Result<(), KerasError> {
        let mut inputs: Vec<&str> = layers.filter(|at| at.class == "InputLayer").map(|at| at.name.as_str()).collect();
        inputs.sort_unstable();
        if inputs.len() > 1 {
            let problem = format!("the model has {} inputs ({}); one is supported", inputs.len(), inputs.join(", "));
            return Err(self.topology(inputs[0], problem));
        }
        Ok(())
    }

    /// The layers from input to output with sub-models replaced by their layers, each behind all that it reads; the input
    /// layer comes first, the output layer last.
    ///
    /// `path` names the sub-models around this model's layers.
    pub fn steps<'m>(&'m self, path: &[&'m str]) -> Result<Vec<Step<'m>>, KerasError> {
        let mut steps: Vec<Step<'m>> = Vec::new();
        // The step that gives a layer's output.
        let mut giver: HashMap<&str, usize> = HashMap::new();
        for layer in self.ordered()? {
            let inputs: Vec<usize> = self.inputs_of(layer)?.iter().map(|name| giver[name.as_str()]).collect();
            match &layer.model {
                None => steps.push(Step { layer, path: path.to_vec(), inputs }),
                Some(inner) => {
                    let mut path = path.to_vec();
                    path.push(&layer.name);
                    // The input layer of an inner model only renames what the outer model feeds it.
                    let [outside] = inputs[..] else { unreachable!("a model reads one layer: checked by inputs_of") };
                    let before = steps.len();
                    let place = |step: usize| if step == 0 { outside } else { before + step - 1 };
                    let mut inner = inner.steps(&path)?;
                    for step in &mut inner {
                        step.inputs.iter_mut().for_each(|input| *input = place(*input));
                    }
                    let last = place(inner.len() - 1);
                    steps.extend(inner.into_iter().skip(1));
                    giver.insert(&layer.name, last);
                    continue;
                }
            }
            giver.insert(&layer.name, steps.len() - 1);
        }
        Ok(steps)
    }

    /// This model and all models in it, outermost first.
    pub fn located(&self) -> Vec<Located<'_>> {
        let mut found = vec![Located { model: self, parent: None, path: Vec::new() }];
        let mut next = 0;
        while next < found.len() {
            let (model, path) = (found[next].model, found[next].path.clone());
            for layer in &model.layers {
                if let Some(inner) = &layer.model {
                    let mut path = path.clone();
                    path.push(&layer.name);
                    found.push(Located { model: inner, parent: Some(model), path });
                }
            }
            next += 1;
        }
        found
    }

    /// The layers of this model that read the output of the layer `name`.
    pub fn readers<'m>(&'m self, name: &'m str) -> impl Iterator<Item = &'m Layer> {
        self.layers.iter().filter(move |layer| layer.inbound.iter().flatten().any(|input| input == name))
    }

    /// The layers whose outputs `layer` reads: none for an input layer, one for any other but `Add`.
    pub fn inputs_of<'m>(&self, layer: &'m Layer) -> Result<&'m [String], KerasError> {
        if layer.class == "InputLayer" {
            return Ok(&[]);
        }
        let problem = match &layer.inbound[..] {
            [inputs] => match &inputs[..] {
                [] => "it reads no layer".to_owned(),
                [_] => return Ok(inputs),
                _ if layer.class == JOINING => return Ok(inputs),
                _ => format!(
                    "it reads {} layers ({}); one is supported, and several by {JOINING}",
                    inputs.len(),
                    inputs.join(", ")
                ),
            },
            [] => "it reads no layer".to_owned(),
            uses => format!("it is used {} times; a layer in hardware stands in one place", uses.len()),
        };
        Err(self.topology(&layer.name, format!("{}: {problem}", layer.class)))
    }

    fn topology(&self, layer: &str, problem: String) -> KerasError {
        KerasError::Topology { model: self.name.clone(), layer: layer.to_owned(), problem }
    }
}

impl Layer {
    fn parse(file: &str, model: &str, entry: Value) -> Result<Self, KerasError> {
        let Value::Object(mut entry) = entry else {
            return Err(malformed(file, model, "layers", &entry, "a list of objects"));
        };
        let Some(class) = take_text(&mut entry, "class_name") else {
            return Err(malformed(file, model, "class_name", &Value::Object(entry), "the class of the layer"));
        };
        let config = entry.remove("config").unwrap_or_default();
        let Value::Object(config) = config else {
            return Err(malformed(file, model, "config", &config, "the configuration of a layer"));
        };
        let name = take_text(&mut entry, "name").or_else(|| config.get("name")?.as_str().map(str::to_owned));
        let Some(name) = name else {
            return Err(malformed(file, model, "name", &Value::Object(config), "the name of the layer"));
        };
        let inbound = match entry.remove("inbound_nodes") {
            None => Vec::new(),
            Some(nodes) => inbound(&nodes).ok_or_else(|| {
                let expected = "Keras 2's [[[layer, node, tensor, {}]]], or the arguments that Keras 3 writes,";
                malformed(file, model, &format!("{name}.inbound_nodes"), &nodes, expected)
            })?,
        };
        if config.get("layers").is_some_and(Value::is_array) {
            let model = Some(Model::from_config(file, &class, &name, config)?);
            return Ok(Self { name, class, config: Config::new(), model, inbound });
        }
        Ok(Self { name, class, config, model: None, inbound })
    }
}

/// One entry per use: `[["a", 0, 0, {}], ...]` of Keras 2, where older files leave out one level for a single input, or
/// `{"args": [...], "kwargs": {...}}` of Keras 3.
fn inbound(nodes: &Value) -> Option<Vec<Vec<String>>> {
    nodes.as_array()?.iter().map(|node| if node.is_object() { arguments(node) } else { tensors(node) }).collect()
}

/// The layers whose outputs a call of Keras 3 takes: every `{"class_name": "__keras_tensor__", "config":
/// {"keras_history": ["a", 0, 0], ...}}` in its arguments.
fn arguments(node: &Value) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let mut pending = vec![node];
    while let Some(value) = pending.pop() {
        match value {
            Value::Object(object) if object.get("class_name").is_some_and(|class| class == "__keras_tensor__") => {
                found.push(value.pointer("/config/keras_history/0")?.as_str()?.to_owned());
            }
            // The last pushed is the next looked at, so arguments are met in their order.
            Value::Object(object) => pending.extend(object.values().rev()),
            Value::Array(items) => pending.extend(items.iter().rev()),
            _ => {}
        }
    }
    (!found.is_empty()).then_some(found)
}

/// `[["a", 0, 0], ...]` or the bare `["a", 0, 0]`.
fn tensors(value: &Value) -> Option<Vec<String>> {
    let list = value.as_array()?;
    if let Some(name) = list.first().and_then(Value::as_str) {
        return Some(vec![name.to_owned()]);
    }
    list.iter().map(|tensor| Some(tensor.as_array()?.first()?.as_str()?.to_owned())).collect()
}

fn take_text(object: &mut Config, key: &str) -> Option<String> {
    match object.remove(key) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

fn malformed(file: &str, model: &str, field: &str, found: &Value, expected: &'static str) -> KerasError {
    KerasError::Malformed {
        file: file.to_owned(),
        model: model.to_owned(),
        field: field.to_owned(),
        found: super::attributes::brief(found),
        expected,
    }
}

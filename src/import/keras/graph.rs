//! Models, sub-models and the chain of layers through them, from the architecture's JSON.
//!
//! Only what connects layers; what a layer computes is read by `config`. A network on a chip is a chain here: layers
//! with several inputs, layers used twice and models with several outputs are refused by name.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::KerasError;

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

    /// The layers from the input layer to the output layer.
    pub fn chain(&self) -> Result<Vec<&Layer>, KerasError> {
        let mut by_name = HashMap::with_capacity(self.layers.len());
        for layer in &self.layers {
            if by_name.insert(layer.name.as_str(), layer).is_some() {
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
        let mut chain = vec![find(output, "(output)")?];
        while let Some(layer) = chain.last()
            && layer.class != "InputLayer"
        {
            let source = find(self.input_of(layer)?, &layer.name)?;
            if chain.len() > self.layers.len() {
                return Err(self.topology(&layer.name, "the layers form a cycle".to_owned()));
            }
            chain.push(source);
        }
        chain.reverse();
        Ok(chain)
    }

    /// The layers from input to output with sub-models replaced by their layers; the input layer comes first.
    ///
    /// `path` names the sub-models around this model's layers.
    pub fn steps<'m>(&'m self, path: &[&'m str]) -> Result<Vec<Step<'m>>, KerasError> {
        let mut steps = Vec::new();
        for layer in self.chain()? {
            match &layer.model {
                None => steps.push(Step { layer, path: path.to_vec() }),
                Some(inner) => {
                    let mut path = path.to_vec();
                    path.push(&layer.name);
                    // The input layer of an inner model only renames what the outer model feeds it.
                    steps.extend(inner.steps(&path)?.into_iter().skip(1));
                }
            }
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

    /// The layer whose output `layer` reads.
    pub fn input_of<'m>(&self, layer: &'m Layer) -> Result<&'m str, KerasError> {
        let problem = match &layer.inbound[..] {
            [inputs] => match &inputs[..] {
                [input] => return Ok(input),
                _ => format!("it reads {} layers ({}); one is supported", inputs.len(), inputs.join(", ")),
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
                let expected = "Keras 2's [[[layer, node, tensor, {}]]]";
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

/// `[[["a", 0, 0, {}], ...], ...]`, one inner list per use; older files leave out one level for a single input.
fn inbound(nodes: &Value) -> Option<Vec<Vec<String>>> {
    nodes.as_array()?.iter().map(tensors).collect()
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
        found: super::config::brief(found),
        expected,
    }
}

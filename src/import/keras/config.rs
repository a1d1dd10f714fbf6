//! Typed layer configurations, read from a layer's JSON.
//!
//! Absent attributes take Keras' defaults; an attribute whose value cannot be built is refused with its name, its value
//! and what is supported. Weights are not read here.

use serde_json::Value;

use super::KerasError;
use super::graph::{Config, Layer};
use super::quantizer::QuantizerConfig;
use crate::net::Padding2d;

/// Largest axis of a feature map or kernel.
pub(super) const MAX_AXIS: u64 = 1 << 20;

/// Characters of a JSON value shown in a message.
const SHOWN: usize = 80;

/// What one layer computes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum LayerConfig {
    /// `InputLayer`: shape without the batch.
    Input(Vec<usize>),
    /// `Dense`, `QDense`, `FQDense`.
    Dense(Weighted),
    /// `Conv2D`, `QConv2D`, `FQConv2D`.
    Conv2d(Weighted, Sliding),
    /// `Conv2DTranspose`.
    Conv2dTranspose(Weighted, Sliding),
    /// `Activation`, `QActivation`.
    Activation(Function),
    /// `Flatten`.
    Flatten,
    /// `Reshape`: target shape without the batch, at most one axis `None` (-1).
    Reshape(Vec<Option<usize>>),
    /// `ZeroPadding2D`.
    ZeroPad2d(Padding2d),
    /// `Dropout`: nothing at inference.
    Identity,
}

/// What all layers with weights have.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Weighted {
    /// Output channels.
    pub units: usize,
    pub use_bias: bool,
    pub kernel_quantizer: Option<QuantizerConfig>,
    pub bias_quantizer: Option<QuantizerConfig>,
    /// The `activation` attribute.
    pub activation: Function,
}

/// How a kernel slides: `[rows, columns]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sliding {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub same: bool,
}

/// An element-wise function.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Function {
    Linear,
    Relu,
    Sigmoid,
    Softmax,
    Quantizer(QuantizerConfig),
}

impl LayerConfig {
    /// Reads a layer; `None` when its class is not known.
    pub fn parse(layer: &Layer) -> Result<Option<Self>, KerasError> {
        let at = Attributes { layer: &layer.name, class: &layer.class, config: &layer.config };
        Ok(Some(match layer.class.as_str() {
            "InputLayer" => Self::Input(at.input_shape()?),
            "Dense" => Self::Dense(at.weighted("units", false)?),
            "QDense" | "FQDense" => Self::Dense(at.weighted("units", true)?),
            "Conv2D" => Self::Conv2d(at.weighted("filters", false)?, at.sliding()?),
            "QConv2D" | "FQConv2D" => Self::Conv2d(at.weighted("filters", true)?, at.sliding()?),
            "Conv2DTranspose" => {
                at.only("output_padding", &Value::Null)?;
                Self::Conv2dTranspose(at.weighted("filters", false)?, at.sliding()?)
            }
            "Activation" | "QActivation" => match at.config.get("activation") {
                None | Some(Value::Null) => return Err(at.missing("activation", "a function")),
                Some(_) => Self::Activation(at.function("activation")?),
            },
            "Flatten" => {
                at.only("data_format", &"channels_last".into())?;
                Self::Flatten
            }
            "Reshape" => Self::Reshape(at.target_shape()?),
            "ZeroPadding2D" => {
                at.only("data_format", &"channels_last".into())?;
                Self::ZeroPad2d(at.zero_padding()?)
            }
            "Dropout" => Self::Identity,
            _ => return Ok(None),
        }))
    }
}

/// A layer's attributes, with errors that name the layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attributes<'a> {
    pub layer: &'a str,
    pub class: &'a str,
    pub config: &'a Config,
}

impl Attributes<'_> {
    /// The error of an attribute whose value cannot be built.
    pub fn unsupported(&self, attribute: &str, value: &Value, supported: &str) -> KerasError {
        KerasError::Unsupported {
            layer: self.layer.to_owned(),
            class: self.class.to_owned(),
            attribute: attribute.to_owned(),
            value: brief(value),
            supported: supported.to_owned(),
        }
    }

    /// The error of an attribute that must be there.
    pub fn missing(&self, attribute: &str, expected: &str) -> KerasError {
        KerasError::MissingAttribute {
            layer: self.layer.to_owned(),
            class: self.class.to_owned(),
            attribute: attribute.to_owned(),
            expected: expected.to_owned(),
        }
    }

    /// Refuses any value but `supported`, which also stands for an absent or null attribute.
    fn only(&self, attribute: &str, supported: &Value) -> Result<(), KerasError> {
        match self.config.get(attribute) {
            Some(value) if !value.is_null() && value != supported => {
                Err(self.unsupported(attribute, value, &brief(supported)))
            }
            _ => Ok(()),
        }
    }

    fn weighted(&self, units: &str, quantized: bool) -> Result<Weighted, KerasError> {
        let value = self.config.get(units).ok_or_else(|| self.missing(units, "a number of output channels"))?;
        let units = axis(value, 1)
            .ok_or_else(|| self.unsupported(units, value, &format!("an integer from 1 to {MAX_AXIS}")))?;
        let use_bias = match self.config.get("use_bias") {
            None => true,
            Some(value) => flag(value).ok_or_else(|| self.unsupported("use_bias", value, "true, false"))?,
        };
        let parse = |attribute: &str| match self.config.get(attribute) {
            Some(value) if quantized => QuantizerConfig::parse(self, attribute, value),
            _ => Ok(None),
        };
        // QDense and QConv2D make the absent scale of their kernel, not of their bias, one found from the weights.
        let kernel_quantizer = parse("kernel_quantizer")?.map(|found| found.trained(self, "kernel_quantizer"));
        Ok(Weighted {
            units,
            use_bias,
            kernel_quantizer: kernel_quantizer.transpose()?,
            bias_quantizer: if use_bias { parse("bias_quantizer")? } else { None },
            activation: self.function("activation")?,
        })
    }

    fn sliding(&self) -> Result<Sliding, KerasError> {
        self.only("data_format", &"channels_last".into())?;
        self.only("groups", &1.into())?;
        self.ones("dilation_rate")?;
        let kernel = self.pair("kernel_size")?.ok_or_else(|| self.missing("kernel_size", "[rows, columns]"))?;
        let stride = self.pair("strides")?.unwrap_or([1, 1]);
        let same = match self.config.get("padding") {
            None => false,
            Some(value) => match value.as_str().map(str::to_ascii_lowercase).as_deref() {
                Some("valid") => false,
                Some("same") => true,
                _ => return Err(self.unsupported("padding", value, "\"same\", \"valid\"")),
            },
        };
        Ok(Sliding { kernel, stride, same })
    }

    fn ones(&self, attribute: &str) -> Result<(), KerasError> {
        match self.pair(attribute)? {
            None | Some([1, 1]) => Ok(()),
            Some(_) => Err(self.unsupported(attribute, &self.config[attribute], "[1, 1]")),
        }
    }

    /// One integer for both axes, or `[rows, columns]`; each at least 1.
    fn pair(&self, attribute: &str) -> Result<Option<[usize; 2]>, KerasError> {
        let Some(value) = self.config.get(attribute) else {
            return Ok(None);
        };
        let both = || match value {
            Value::Array(axes) => match &axes[..] {
                [rows, columns] => Some([axis(rows, 1)?, axis(columns, 1)?]),
                _ => None,
            },
            single => axis(single, 1).map(|size| [size, size]),
        };
        let supported = || format!("one or two integers from 1 to {MAX_AXIS}");
        both().map(Some).ok_or_else(|| self.unsupported(attribute, value, &supported()))
    }

    fn input_shape(&self) -> Result<Vec<usize>, KerasError> {
        let attribute = if self.config.contains_key("batch_shape") { "batch_shape" } else { "batch_input_shape" };
        let supported = "the input's shape, [null, axis, ...]";
        let value = self.config.get(attribute).ok_or_else(|| self.missing(attribute, supported))?;
        value
            .as_array()
            .filter(|axes| (2..=4).contains(&axes.len()))
            .and_then(|axes| axes[1..].iter().map(|size| axis(size, 1)).collect())
            .ok_or_else(|| self.unsupported(attribute, value, "[null, axis, ...] of 1 to 3 known axes"))
    }

    fn target_shape(&self) -> Result<Vec<Option<usize>>, KerasError> {
        let value = self.config.get("target_shape").ok_or_else(|| self.missing("target_shape", "a list of axes"))?;
        let supported = || self.unsupported("target_shape", value, "1 to 3 axes, one of them -1 at most");
        let axes = value.as_array().filter(|axes| (1..=3).contains(&axes.len())).ok_or_else(supported)?;
        let parsed = axes.iter().map(|size| match size.as_i64() {
            Some(-1) => Ok(None),
            _ => axis(size, 1).map(Some).ok_or_else(supported),
        });
        let parsed: Vec<_> = parsed.collect::<Result<_, _>>()?;
        if parsed.iter().filter(|size| size.is_none()).count() > 1 { Err(supported()) } else { Ok(parsed) }
    }

    /// `p`, `[rows, columns]`, or `[[top, bottom], [left, right]]`.
    fn zero_padding(&self) -> Result<Padding2d, KerasError> {
        let one = Value::from(1);
        let value = self.config.get("padding").unwrap_or(&one);
        let sides = |value: &Value| match value {
            Value::Array(sides) => match &sides[..] {
                [before, after] => Some((axis(before, 0)?, axis(after, 0)?)),
                _ => None,
            },
            single => axis(single, 0).map(|size| (size, size)),
        };
        let read = || {
            let ((top, bottom), (left, right)) = match value {
                Value::Array(axes) => match &axes[..] {
                    [rows, columns] => (sides(rows)?, sides(columns)?),
                    _ => return None,
                },
                single => (sides(single)?, sides(single)?),
            };
            Some(Padding2d { top, bottom, left, right })
        };
        let supported = "p, [rows, columns] or [[top, bottom], [left, right]]";
        read().ok_or_else(|| self.unsupported("padding", value, supported))
    }

    fn function(&self, attribute: &str) -> Result<Function, KerasError> {
        let Some(value) = self.config.get(attribute) else {
            return Ok(Function::Linear);
        };
        let name = match value {
            Value::Null => return Ok(Function::Linear),
            Value::String(name) => Some(name.as_str()),
            Value::Object(object) => match (object.get("class_name"), object.get("config")) {
                (Some(Value::String(class)), Some(Value::String(name))) if class == "function" => Some(name.as_str()),
                _ => None,
            },
            _ => None,
        };
        match name {
            Some("linear") => return Ok(Function::Linear),
            Some("relu") => return Ok(Function::Relu),
            Some("sigmoid") => return Ok(Function::Sigmoid),
            Some("softmax") => return Ok(Function::Softmax),
            _ => {}
        }
        match QuantizerConfig::parse(self, attribute, value)? {
            Some(quantizer) => Ok(Function::Quantizer(quantizer)),
            None => Ok(Function::Linear),
        }
    }
}

/// An integer from `least` to [`MAX_AXIS`].
fn axis(value: &Value, least: u64) -> Option<usize> {
    let size = value.as_u64().filter(|size| (least..=MAX_AXIS).contains(size))?;
    usize::try_from(size).ok()
}

/// A JSON boolean, or a number as Python would take it for one.
pub(super) fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => match number.as_f64() {
            Some(0.0) => Some(false),
            Some(1.0) => Some(true),
            _ => None,
        },
        _ => None,
    }
}

/// A JSON value as text, cut to a readable length.
pub(super) fn brief(value: &Value) -> String {
    let mut text = String::new();
    write_brief(value, &mut text);
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

fn write_brief(value: &Value, text: &mut String) {
    // What is beyond the length shown need not be written.
    let full = |text: &String| text.len() > 4 * SHOWN;
    match value {
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if full(text) {
                    break;
                }
                text.push_str(if index == 0 { "" } else { ", " });
                write_brief(item, text);
            }
            text.push(']');
        }
        Value::Object(object) => {
            text.push('{');
            for (index, (key, item)) in object.iter().enumerate() {
                if full(text) {
                    break;
                }
                text.push_str(if index == 0 { "" } else { ", " });
                text.push_str(key);
                text.push_str(": ");
                write_brief(item, text);
            }
            text.push('}');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

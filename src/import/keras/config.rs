//! Typed layer configurations, read from a layer's JSON.
//!
//! Absent attributes take Keras' defaults; an attribute whose value cannot be built is refused with its name, its value
//! and what is supported. Weights are not read here.

use serde_json::Value;

use super::KerasError;
use super::attributes::{Attributes, MAX_AXIS, axis, flag};
use super::graph::Layer;
use super::quantizer::{QuantizerConfig, exponent_of};
use super::weights::Variable;
use crate::net::Padding2d;
use crate::num::cast;

/// Smallest slope below 0: 2^-30.
const MAX_SHIFT: i32 = 30;
/// The data format that hardware works in.
const CHANNELS_LAST: &str = "channels_last";

/// What one layer computes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum LayerConfig {
    /// `InputLayer`: shape without the batch.
    Input(Vec<usize>),
    /// `Dense`, `QDense`, `FQDense`, `QDenseBatchnorm`.
    Dense(Weighted),
    /// `Conv2D`, `QConv2D`, `FQConv2D`, `QConv2DBatchnorm`.
    Conv2d(Weighted, Sliding),
    /// `Conv2DTranspose`.
    Conv2dTranspose(Weighted, Sliding),
    /// `QDepthwiseConv2D`, `QDepthwiseConv2DBatchnorm`; its units are the outputs per input channel.
    DepthwiseConv2d(Weighted, Sliding),
    /// `BatchNormalization`.
    BatchNormalization(Normalization),
    /// Pooling over windows or over the whole map.
    Pool(Pool),
    /// `Add`.
    Add,
    /// `Activation`, `QActivation`, `Softmax`.
    Activation(Function),
    /// `ReLU`, `LeakyReLU`.
    Rectifier(Rectifier),
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
    /// Output channels; of a depthwise convolution, per input channel.
    pub units: usize,
    /// Name of its kernel.
    pub kernel: Variable,
    pub use_bias: bool,
    pub kernel_quantizer: Option<QuantizerConfig>,
    /// Also of a layer without bias whose batch normalization makes one.
    pub bias_quantizer: Option<QuantizerConfig>,
    /// The batch normalization that is folded into kernel and bias before they are quantized.
    pub normalization: Option<Normalization>,
    /// The `activation` attribute.
    pub activation: Function,
}

/// A batch normalization at inference: `(x - mean) * gamma / sqrt(variance + epsilon) + beta`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Normalization {
    /// The axis of the channels, the batch counted; -1 is the last.
    pub axis: i64,
    pub epsilon: f32,
    /// Whether it has a beta.
    pub center: bool,
    /// Whether it has a gamma.
    pub scale: bool,
}

/// How a kernel slides: `[rows, columns]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sliding {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub same: bool,
}

/// What is taken of the values in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PoolKind {
    Max,
    Average,
}

/// `MaxPooling2D`, `AveragePooling2D`, `QAveragePooling2D`, and their global forms.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pool {
    pub kind: PoolKind,
    /// The window; `None` for the whole map.
    pub slide: Option<Sliding>,
    /// Whether a pool over the whole map gives `[1, 1, channels]`.
    pub keep_dims: bool,
    /// What the reciprocal of the number of values is quantized by.
    pub average_quantizer: Option<QuantizerConfig>,
    /// The `activation` attribute.
    pub activation: Function,
}

/// `x` above 0, `x * 2^-shift` below (0 without a slope), at most `max`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rectifier {
    /// Negative binary exponent of the slope below 0.
    pub shift: Option<u32>,
    pub max: Option<f64>,
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

/// What becomes of the weights of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weights {
    /// They stay as they are.
    Float,
    Quantized,
    /// A batch normalization is folded into them first.
    Folded,
}

impl LayerConfig {
    /// Reads a layer; `None` when its class is not known.
    pub fn parse(layer: &Layer) -> Result<Option<Self>, KerasError> {
        use Weights::{Float, Folded, Quantized};
        let at = Attributes { layer: &layer.name, class: &layer.class, config: &layer.config };
        let average = PoolKind::Average;
        Ok(Some(match layer.class.as_str() {
            "InputLayer" => Self::Input(at.input_shape()?),
            "Dense" => Self::Dense(at.weighted("units", Float)?),
            "QDense" | "FQDense" => Self::Dense(at.weighted("units", Quantized)?),
            "QDenseBatchnorm" => Self::Dense(at.weighted("units", Folded)?),
            "Conv2D" => Self::Conv2d(at.weighted("filters", Float)?, at.sliding()?),
            "QConv2D" | "FQConv2D" => Self::Conv2d(at.weighted("filters", Quantized)?, at.sliding()?),
            "QConv2DBatchnorm" => Self::Conv2d(at.weighted("filters", Folded)?, at.sliding()?),
            "QDepthwiseConv2D" => Self::DepthwiseConv2d(at.weighted("depth_multiplier", Quantized)?, at.sliding()?),
            "QDepthwiseConv2DBatchnorm" => {
                Self::DepthwiseConv2d(at.weighted("depth_multiplier", Folded)?, at.sliding()?)
            }
            "Conv2DTranspose" => {
                at.only("output_padding", &Value::Null)?;
                Self::Conv2dTranspose(at.weighted("filters", Float)?, at.sliding()?)
            }
            "BatchNormalization" => Self::BatchNormalization(at.normalization()?),
            "MaxPooling2D" => Self::Pool(at.pool(PoolKind::Max, false)?),
            "AveragePooling2D" | "QAveragePooling2D" => Self::Pool(at.pool(average, false)?),
            "GlobalMaxPooling2D" => Self::Pool(at.pool(PoolKind::Max, true)?),
            "GlobalAveragePooling2D" | "QGlobalAveragePooling2D" => Self::Pool(at.pool(average, true)?),
            "Add" => Self::Add,
            "ReLU" => Self::Rectifier(at.relu()?),
            "LeakyReLU" => Self::Rectifier(at.leaky_relu()?),
            "Softmax" => {
                at.only("axis", &(-1).into())?;
                Self::Activation(Function::Softmax)
            }
            "Activation" | "QActivation" => match at.config.get("activation") {
                None | Some(Value::Null) => return Err(at.missing("activation", "a function")),
                Some(_) => Self::Activation(at.function("activation")?),
            },
            "Flatten" => {
                at.only("data_format", &CHANNELS_LAST.into())?;
                Self::Flatten
            }
            "Reshape" => Self::Reshape(at.target_shape()?),
            "ZeroPadding2D" => {
                at.only("data_format", &CHANNELS_LAST.into())?;
                Self::ZeroPad2d(at.zero_padding()?)
            }
            "Dropout" => Self::Identity,
            _ => return Ok(None),
        }))
    }
}

impl Attributes<'_> {
    fn weighted(&self, units: &str, weights: Weights) -> Result<Weighted, KerasError> {
        let kernel = if units == "depth_multiplier" { Variable::DepthwiseKernel } else { Variable::Kernel };
        let one = Value::from(1);
        let value = match self.config.get(units) {
            None if kernel == Variable::DepthwiseKernel => &one,
            None => return Err(self.missing(units, "a number of output channels")),
            Some(value) => value,
        };
        let units = axis(value, 1)
            .ok_or_else(|| self.unsupported(units, value, &format!("an integer from 1 to {MAX_AXIS}")))?;
        let use_bias = self.flag("use_bias", true)?;
        let parse = |variable: Variable| {
            let attribute = variable.quantizer();
            match self.config.get(attribute) {
                Some(value) if weights != Weights::Float => {
                    let found = QuantizerConfig::parse(self, attribute, value)?;
                    found.map(|found| found.for_weights(self, attribute)).transpose()
                }
                _ => Ok(None),
            }
        };
        // QDense and QConv2D make the absent scale of their kernel, not of their bias, one found from the weights.
        let kernel_quantizer = parse(kernel)?.map(|found| found.trained(self, kernel.quantizer()));
        let normalization = (weights == Weights::Folded).then(|| self.folded()).transpose()?;
        Ok(Weighted {
            units,
            kernel,
            use_bias,
            kernel_quantizer: kernel_quantizer.transpose()?,
            bias_quantizer: if use_bias || normalization.is_some() { parse(Variable::Bias)? } else { None },
            normalization,
            activation: self.function("activation")?,
        })
    }

    fn sliding(&self) -> Result<Sliding, KerasError> {
        self.only("data_format", &CHANNELS_LAST.into())?;
        self.only("groups", &1.into())?;
        self.ones("dilation_rate")?;
        let kernel = self.pair("kernel_size")?.ok_or_else(|| self.missing("kernel_size", "[rows, columns]"))?;
        let stride = self.pair("strides")?.unwrap_or([1, 1]);
        Ok(Sliding { kernel, stride, same: self.same()? })
    }

    fn same(&self) -> Result<bool, KerasError> {
        match self.config.get("padding") {
            None => Ok(false),
            Some(value) => match value.as_str().map(str::to_ascii_lowercase).as_deref() {
                Some("valid") => Ok(false),
                Some("same") => Ok(true),
                _ => Err(self.unsupported("padding", value, "\"same\", \"valid\"")),
            },
        }
    }

    /// The batch normalization of a layer that folds it in. Both ways to fold are the same at inference.
    fn folded(&self) -> Result<Normalization, KerasError> {
        match self.config.get("folding_mode") {
            Some(value) if !matches!(value.as_str(), Some("ema_stats_folding" | "batch_stats_folding")) => {
                Err(self.unsupported("folding_mode", value, "\"ema_stats_folding\", \"batch_stats_folding\""))
            }
            _ => self.normalization(),
        }
    }

    fn normalization(&self) -> Result<Normalization, KerasError> {
        let axis = match self.config.get("axis") {
            None => Some(-1),
            Some(Value::Array(axes)) if axes.len() == 1 => axes[0].as_i64(),
            Some(value) => value.as_i64(),
        };
        let axis =
            axis.ok_or_else(|| self.unsupported("axis", &self.config["axis"], "-1, or the axis of the channels"));
        let epsilon = self.number("epsilon", 1e-3)?;
        if !(0.0..1e30).contains(&epsilon) {
            return Err(self.unsupported("epsilon", &self.config["epsilon"], "a number of 0 or more"));
        }
        Ok(Normalization {
            axis: axis?,
            epsilon: cast::nearest_f32(epsilon),
            center: self.flag("center", true)?,
            scale: self.flag("scale", true)?,
        })
    }

    fn pool(&self, kind: PoolKind, global: bool) -> Result<Pool, KerasError> {
        self.only("data_format", &CHANNELS_LAST.into())?;
        let slide = if global {
            None
        } else {
            let kernel = self.pair("pool_size")?.unwrap_or([2, 2]);
            let stride = match self.config.get("strides") {
                None | Some(Value::Null) => kernel,
                Some(_) => self.pair("strides")?.unwrap_or(kernel),
            };
            Some(Sliding { kernel, stride, same: self.same()? })
        };
        let average_quantizer = match self.config.get("average_quantizer") {
            Some(value) => QuantizerConfig::parse(self, "average_quantizer", value)?
                .map(|found| found.for_weights(self, "average_quantizer"))
                .transpose()?,
            None => None,
        };
        let keep_dims = self.flag("keepdims", false)?;
        Ok(Pool { kind, slide, keep_dims, average_quantizer, activation: self.function("activation")? })
    }

    fn relu(&self) -> Result<Rectifier, KerasError> {
        if self.number("threshold", 0.0)? != 0.0 {
            return Err(self.unsupported("threshold", &self.config["threshold"], "0"));
        }
        let max = match self.config.get("max_value") {
            None | Some(Value::Null) => None,
            Some(value) => {
                let max = value.as_f64().filter(|max| *max >= 0.0);
                Some(max.ok_or_else(|| self.unsupported("max_value", value, "null, or a number of 0 or more"))?)
            }
        };
        Ok(Rectifier { shift: self.slope("negative_slope", 0.0)?, max })
    }

    fn leaky_relu(&self) -> Result<Rectifier, KerasError> {
        // Keras 3 renamed it.
        let attribute = if self.config.contains_key("negative_slope") { "negative_slope" } else { "alpha" };
        Ok(Rectifier { shift: self.slope(attribute, 0.3)?, max: None })
    }

    /// The negative binary exponent of a slope; `None` for a slope of 0.
    fn slope(&self, attribute: &str, default: f64) -> Result<Option<u32>, KerasError> {
        if self.number(attribute, default)? == 0.0 {
            return Ok(None);
        }
        let default = Value::from(default);
        let value = self.config.get(attribute).unwrap_or(&default);
        slope_shift(value).map(Some).ok_or_else(|| self.unsupported(attribute, value, SLOPES))
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

    fn flag(&self, attribute: &str, default: bool) -> Result<bool, KerasError> {
        match self.config.get(attribute) {
            None => Ok(default),
            Some(value) => flag(value).ok_or_else(|| self.unsupported(attribute, value, "true, false")),
        }
    }

    fn number(&self, attribute: &str, default: f64) -> Result<f64, KerasError> {
        match self.config.get(attribute) {
            None | Some(Value::Null) => Ok(default),
            Some(value) => value.as_f64().ok_or_else(|| self.unsupported(attribute, value, "a number")),
        }
    }
}

/// The slopes below 0 that cost a shift alone.
pub(super) const SLOPES: &str = "0, or a power of two from 2^-30 to 1";

/// `shift` when the value is `2^-shift`, a slope of at most 1.
pub(super) fn slope_shift(value: &Value) -> Option<u32> {
    let exponent = exponent_of(value).filter(|exponent| (-MAX_SHIFT..=0).contains(exponent))?;
    Some(exponent.unsigned_abs())
}

//! QKeras quantizers as a model file states them (qkeras 0.9.0, `qkeras/quantizers.py`).
//!
//! Names, defaults and forms alone; what a quantizer makes of weights is `registers`, what it means in hardware is
//! `num::qkeras`. Quantizers that no fixed-point register can follow (stochastic rounding, float scales, binary and
//! ternary weights) are refused.

use serde_json::Value;

use super::KerasError;
use super::config::{Attributes, flag};
use super::graph::Config;
use crate::num::qkeras::{Sign, Symmetry};
use crate::num::{FormatError, MAX_WIDTH, Quantizer, cast, qkeras};

/// QKeras computes `2^integer`, and `2^bits` of a `quantized_relu`, in 32-bit integers. Negative `integer` it cannot
/// evaluate at all; they are read as what `ap_fixed` makes of them.
const MAX_INTEGER: i64 = 30;
/// QKeras computes scaled weights in `f32`, which holds integers of 24 bits and a sign.
const MAX_AUTO_BITS: u8 = 25;

/// A quantizer as configured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct QuantizerConfig {
    pub bits: u8,
    pub integer: i16,
    pub symmetric: Symmetry,
    pub sign: Sign,
    pub alpha: Alpha,
}

/// The scale of a `quantized_bits`.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Alpha {
    /// Python's `None`.
    Absent,
    /// Binary exponents: one, or one per output channel.
    PowersOfTwo(Vec<i32>),
    /// Found from the weights.
    AutoPo2,
}

/// Arguments of `quantized_bits`, in order.
const BITS_ARGUMENTS: [&str; 11] = [
    "bits",
    "integer",
    "symmetric",
    "keep_negative",
    "alpha",
    "use_stochastic_rounding",
    "scale_axis",
    "qnoise_factor",
    "var_name",
    "use_ste",
    "use_variables",
];
/// Arguments of `quantized_relu`, in order.
const RELU_ARGUMENTS: [&str; 11] = [
    "bits",
    "integer",
    "use_sigmoid",
    "negative_slope",
    "use_stochastic_rounding",
    "relu_upper_bound",
    "is_quantized_clip",
    "qnoise_factor",
    "var_name",
    "use_ste",
    "use_variables",
];
/// Arguments that change training or names alone.
const WITHOUT_EFFECT: [&str; 3] = ["var_name", "use_ste", "use_variables"];

const SUPPORTED: &str = "quantized_bits, quantized_relu";

impl QuantizerConfig {
    /// Reads a quantizer: an object `{"class_name", "config"}` or a text such as `quantized_relu(6,2)`; `None` for
    /// null.
    pub fn parse(at: &Attributes<'_>, attribute: &str, value: &Value) -> Result<Option<Self>, KerasError> {
        let refused = || at.unsupported(attribute, value, SUPPORTED);
        let empty = Config::new();
        let called;
        let (class, config) = match value {
            Value::Null => return Ok(None),
            Value::Object(object) => {
                let class = object.get("class_name").and_then(Value::as_str).ok_or_else(refused)?;
                let config = match object.get("config") {
                    None | Some(Value::Null) => &empty,
                    Some(Value::Object(config)) => config,
                    Some(_) => return Err(refused()),
                };
                // Registered names carry their package: `qkeras>quantized_bits`.
                (class.rsplit('>').next().unwrap_or(class), config)
            }
            Value::String(text) => {
                let (class, arguments) = call(text).ok_or_else(refused)?;
                let names = match class {
                    "quantized_bits" => &BITS_ARGUMENTS,
                    "quantized_relu" => &RELU_ARGUMENTS,
                    _ => return Err(refused()),
                };
                called = named(arguments, names).ok_or_else(refused)?;
                (class, &called)
            }
            _ => return Err(refused()),
        };
        let fields = Fields { at, attribute, config };
        match class {
            "quantized_bits" => Self::bits(&fields).map(Some),
            "quantized_relu" => Self::relu(&fields).map(Some),
            _ => Err(refused()),
        }
    }

    fn bits(fields: &Fields<'_>) -> Result<Self, KerasError> {
        fields.known(&BITS_ARGUMENTS)?;
        fields.only("use_stochastic_rounding", 0.0)?;
        fields.only("qnoise_factor", 1.0)?;
        fields.null("scale_axis")?;
        let bits = fields.bits()?;
        let alpha = fields.alpha()?;
        let sign = if fields.flag("keep_negative", true)? { Sign::Keep } else { Sign::Drop };
        // A text sets `symmetric` too.
        let symmetric = fields.flag("symmetric", false)? || alpha == Alpha::AutoPo2;
        let symmetric = if symmetric { Symmetry::Symmetric } else { Symmetry::Full };
        if bits == 1 && sign == Sign::Keep {
            return Err(fields.refused("bits", "2 to 32 with keep_negative (QKeras makes 1 bit -1 or +1)"));
        }
        Self { bits, integer: fields.integer()?, symmetric, sign, alpha }.checked(fields.at, fields.attribute)
    }

    fn relu(fields: &Fields<'_>) -> Result<Self, KerasError> {
        fields.known(&RELU_ARGUMENTS)?;
        for argument in ["use_sigmoid", "negative_slope", "use_stochastic_rounding"] {
            fields.only(argument, 0.0)?;
        }
        fields.only("qnoise_factor", 1.0)?;
        fields.only("is_quantized_clip", 1.0)?;
        fields.null("relu_upper_bound")?;
        let bits = fields.bits()?;
        if i64::from(bits) > MAX_INTEGER {
            return Err(fields.refused("bits", &format!("1 to {MAX_INTEGER} for quantized_relu")));
        }
        let (symmetric, sign, alpha) = (Symmetry::Full, Sign::Drop, Alpha::PowersOfTwo(vec![0]));
        let config = Self { bits, integer: fields.integer()?, symmetric, sign, alpha };
        config.checked(fields.at, fields.attribute)
    }

    /// The quantizer of a kernel, whose absent scale `QDense` and `QConv2D` turn into `auto_po2`
    /// (`_set_trainable_parameter`).
    pub fn trained(self, at: &Attributes<'_>, attribute: &str) -> Result<Self, KerasError> {
        if self.alpha != Alpha::Absent {
            return Ok(self);
        }
        Self { alpha: Alpha::AutoPo2, symmetric: Symmetry::Symmetric, ..self }.checked(at, attribute)
    }

    /// The configuration itself, once it is clear that a register can follow it.
    fn checked(self, at: &Attributes<'_>, attribute: &str) -> Result<Self, KerasError> {
        if self.alpha == Alpha::AutoPo2 && !(2..=MAX_AUTO_BITS).contains(&self.bits) {
            let supported = format!("2 to {MAX_AUTO_BITS} with alpha = auto_po2");
            return Err(at.unsupported(&format!("{attribute}.bits"), &self.bits.into(), &supported));
        }
        self.format().map_err(|source| format_error(at, attribute, source))?;
        Ok(self)
    }

    /// The quantizer of an activation: one register format, without a scale.
    pub fn activation(&self, at: &Attributes<'_>, attribute: &str) -> Result<Quantizer, KerasError> {
        match &self.alpha {
            Alpha::Absent => {}
            Alpha::PowersOfTwo(exponents) if exponents.iter().all(|exponent| *exponent == 0) => {}
            _ => {
                let value = at.config.get(attribute).unwrap_or(&Value::Null);
                let alpha = value.pointer("/config/alpha").unwrap_or(value);
                return Err(at.unsupported(&format!("{attribute}.alpha"), alpha, "1 or null for an activation"));
            }
        }
        self.format().map_err(|source| format_error(at, attribute, source))
    }

    /// The register, its rounding and overflow, the scale apart.
    pub fn format(&self) -> Result<Quantizer, FormatError> {
        qkeras::quantized_bits(self.bits, self.integer, self.symmetric, self.sign)
    }
}

/// The arguments of one quantizer.
struct Fields<'a> {
    at: &'a Attributes<'a>,
    /// The layer's attribute that holds the quantizer.
    attribute: &'a str,
    config: &'a Config,
}

impl Fields<'_> {
    fn refused(&self, argument: &str, supported: &str) -> KerasError {
        let value = self.config.get(argument).unwrap_or(&Value::Null);
        self.at.unsupported(&format!("{}.{argument}", self.attribute), value, supported)
    }

    /// Refuses arguments of other QKeras versions that may change the meaning.
    fn known(&self, names: &[&str]) -> Result<(), KerasError> {
        let unknown = self.config.iter().find(|(name, value)| !value.is_null() && !names.contains(&name.as_str()));
        unknown.map_or(Ok(()), |(name, _)| {
            let known: Vec<_> = names.iter().copied().filter(|name| !WITHOUT_EFFECT.contains(name)).collect();
            Err(self.refused(name, &format!("the arguments of qkeras 0.9.0 ({})", known.join(", "))))
        })
    }

    /// Refuses any number or truth value but `value`.
    fn only(&self, argument: &str, value: f64) -> Result<(), KerasError> {
        match self.config.get(argument) {
            None | Some(Value::Null) => Ok(()),
            Some(found) if number(found) == Some(value) => Ok(()),
            Some(_) => Err(self.refused(argument, &value.to_string())),
        }
    }

    fn null(&self, argument: &str) -> Result<(), KerasError> {
        match self.config.get(argument) {
            None | Some(Value::Null) => Ok(()),
            Some(_) => Err(self.refused(argument, "null")),
        }
    }

    fn flag(&self, argument: &str, default: bool) -> Result<bool, KerasError> {
        match self.config.get(argument) {
            None => Ok(default),
            Some(value) => flag(value).ok_or_else(|| self.refused(argument, "true, false, 0, 1")),
        }
    }

    fn bits(&self) -> Result<u8, KerasError> {
        let bits = self.whole("bits", 8, &format!("1 to {MAX_WIDTH}"))?;
        u8::try_from(bits).ok().filter(|bits| (1..=MAX_WIDTH).contains(bits)).ok_or_else(|| {
            format_error(self.at, &format!("{}.bits", self.attribute), FormatError::Width { width: bits })
        })
    }

    fn integer(&self) -> Result<i16, KerasError> {
        let integer = self.whole("integer", 0, "an integer")?;
        let small = i16::try_from(integer).ok().filter(|_| integer <= MAX_INTEGER);
        small.ok_or_else(|| self.refused("integer", &format!("at most {MAX_INTEGER}")))
    }

    fn whole(&self, argument: &str, default: i64, supported: &str) -> Result<i64, KerasError> {
        let Some(value) = self.config.get(argument) else {
            return Ok(default);
        };
        // 1.0 is a whole number in Python; 2^53 bounds what a float can say exactly.
        let from_float = || value.as_f64().filter(|v| v.fract() == 0.0 && v.abs() < 9e15).map(cast::floor_i64);
        value.as_i64().or_else(from_float).ok_or_else(|| self.refused(argument, supported))
    }

    fn alpha(&self) -> Result<Alpha, KerasError> {
        let supported = "null, \"auto_po2\", a power of two, or one per output channel";
        let refused = || self.refused("alpha", supported);
        match self.config.get("alpha") {
            None | Some(Value::Null) => Ok(Alpha::Absent),
            Some(Value::String(text)) if text == "auto_po2" => Ok(Alpha::AutoPo2),
            Some(value) => {
                // An array is wrapped by newer versions of Keras.
                let value = value.pointer("/config/value").unwrap_or(value);
                let exponents: Option<Vec<i32>> =
                    channel_scales(value).iter().map(|alpha| exponent_of(alpha)).collect();
                exponents.filter(|exponents| !exponents.is_empty()).map(Alpha::PowersOfTwo).ok_or_else(refused)
            }
        }
    }
}

fn format_error(at: &Attributes<'_>, attribute: &str, source: FormatError) -> KerasError {
    KerasError::Format {
        layer: at.layer.to_owned(),
        class: at.class.to_owned(),
        attribute: attribute.to_owned(),
        source,
    }
}

/// A number, a truth value counting as 0 or 1.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        other => other.as_f64(),
    }
}

/// The scales of an array that broadcasts against a kernel: only its last axis is longer than 1.
fn channel_scales(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => match &items[..] {
            [Value::Array(_)] => channel_scales(&items[0]),
            _ => items.iter().collect(),
        },
        single => vec![single],
    }
}

/// `e` when the value is `2^e`.
fn exponent_of(value: &Value) -> Option<i32> {
    let alpha = value.as_f64().filter(|alpha| alpha.is_normal() && *alpha > 0.0)?;
    let power_of_two = alpha.to_bits() & ((1 << 52) - 1) == 0;
    power_of_two.then(|| i32::try_from(alpha.to_bits() >> 52).expect("11 bits fit") - 1023)
}

/// `name(a, b=c)` -> the name and its arguments; a bare name has none.
fn call(text: &str) -> Option<(&str, Vec<&str>)> {
    let Some((name, rest)) = text.trim().split_once('(') else {
        return Some((text.trim(), Vec::new()));
    };
    let inner = rest.trim_end().strip_suffix(')')?;
    if inner.trim().is_empty() {
        return Some((name.trim(), Vec::new()));
    }
    // A list argument, such as an array of scales, would be split here; it then is refused as a value.
    Some((name.trim(), inner.split(',').map(str::trim).collect()))
}

/// Positional and keyword arguments as a configuration; `None` when they do not fit the names.
fn named(arguments: Vec<&str>, names: &[&str]) -> Option<Config> {
    let mut config = Config::new();
    let mut keywords = false;
    for (position, argument) in arguments.into_iter().enumerate() {
        let (name, text) = match argument.split_once('=') {
            Some((name, text)) => {
                keywords = true;
                (name.trim(), text.trim())
            }
            None if keywords => return None,
            None => (*names.get(position)?, argument),
        };
        if config.insert(name.to_owned(), literal(text)?).is_some() {
            return None;
        }
    }
    Some(config)
}

/// A Python literal: number, truth value, `None` or quoted text.
fn literal(text: &str) -> Option<Value> {
    let quoted = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    match text {
        "True" => Some(true.into()),
        "False" => Some(false.into()),
        "None" => Some(Value::Null),
        _ => {
            if let Some(inner) = quoted('\'').or_else(|| quoted('"')) {
                return Some(inner.into());
            }
            let whole = text.parse::<i64>().map(Value::from).ok();
            whole.or_else(|| serde_json::Number::from_f64(text.parse().ok()?).map(Value::Number))
        }
    }
}

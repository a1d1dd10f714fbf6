//! QKeras quantizers as a model file states them (qkeras 0.9.0, `qkeras/quantizers.py`).
//!
//! Names, defaults and forms alone; what a quantizer makes of weights is `registers`, what it means in hardware is
//! `num::qkeras`. Quantizers that no fixed-point register can follow (stochastic rounding, float scales, binary and
//! ternary weights) are refused.

use serde_json::Value;

use super::KerasError;
use super::attributes::{Attributes, flag};
use super::config::{SLOPES, slope_shift};
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
    /// Negative binary exponent of the slope below 0, if there is one: `negative_slope` of `quantized_relu`.
    pub slope: Option<u32>,
    /// What it gives at most, where that is less than its format can hold: `relu_upper_bound` without
    /// `is_quantized_clip`.
    pub bound: Option<f64>,
    /// A `relu_upper_bound` that has no effect, since the quantizer clips at its own maximum (`is_quantized_clip`).
    pub idle_bound: Option<f64>,
}

/// What an activation does to every value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Activated {
    /// Negative binary exponent of the slope below 0, applied first.
    pub leak: Option<u32>,
    pub quantizer: Quantizer,
    /// Smallest and largest raw value, where that is less than the format can hold.
    pub clip: Option<(i64, i64)>,
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
        let integer = fields.integer()?;
        Self { bits, integer, symmetric, sign, alpha, slope: None, bound: None, idle_bound: None }
            .checked(fields.at, fields.attribute)
    }

    fn relu(fields: &Fields<'_>) -> Result<Self, KerasError> {
        fields.known(&RELU_ARGUMENTS)?;
        fields.only("use_stochastic_rounding", 0.0)?;
        fields.only("qnoise_factor", 1.0)?;
        if fields.config.get("use_sigmoid").is_some_and(|value| number(value) != Some(0.0) && !value.is_null()) {
            let why = "0 (which sigmoid is meant is a setting of the program that trained, not of its file)";
            return Err(fields.refused("use_sigmoid", why));
        }
        let bits = fields.bits()?;
        if i64::from(bits) > MAX_INTEGER {
            return Err(fields.refused("bits", &format!("1 to {MAX_INTEGER} for quantized_relu")));
        }
        let slope = match fields.config.get("negative_slope") {
            None | Some(Value::Null) => None,
            Some(value) if number(value) == Some(0.0) => None,
            // A slope takes one bit for the sign; what it leads to at least must be a whole number of steps.
            Some(value) => match slope_shift(value) {
                Some(shift) if shift < u32::from(bits) => Some(shift),
                Some(_) => {
                    let least = format!("0, or a power of two from 2^-{} to 1 with {bits} bits", bits - 1);
                    return Err(fields.refused("negative_slope", &least));
                }
                None => return Err(fields.refused("negative_slope", SLOPES)),
            },
        };
        let bound = match fields.config.get("relu_upper_bound") {
            None | Some(Value::Null) => None,
            // QKeras takes a bound of 0 for none.
            Some(value) => match value.as_f64() {
                Some(0.0) => None,
                Some(bound) if bound > 0.0 => Some(bound),
                _ => return Err(fields.refused("relu_upper_bound", "null, or a number of 0 or more")),
            },
        };
        let (bound, idle_bound) = if fields.flag("is_quantized_clip", true)? { (None, bound) } else { (bound, None) };
        let (symmetric, alpha) = (Symmetry::Full, Alpha::PowersOfTwo(vec![0]));
        let sign = if slope.is_some() { Sign::Keep } else { Sign::Drop };
        let config = Self { bits, integer: fields.integer()?, symmetric, sign, alpha, slope, bound, idle_bound };
        let config = config.checked(fields.at, fields.attribute)?;
        config.clip().map_err(|step| {
            fields.refused("relu_upper_bound", &format!("a multiple of the quantizer's step, {step}"))
        })?;
        Ok(config)
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

    /// The quantizer of weights: without a slope or a bound.
    pub fn for_weights(self, at: &Attributes<'_>, attribute: &str) -> Result<Self, KerasError> {
        self.plain(at, attribute)?;
        Ok(self)
    }

    /// Refuses a slope and a bound.
    fn plain(&self, at: &Attributes<'_>, attribute: &str) -> Result<(), KerasError> {
        if self.slope.is_none() && self.bound.is_none() {
            return Ok(());
        }
        let value = at.config.get(attribute).unwrap_or(&Value::Null);
        Err(at.unsupported(attribute, value, "a quantizer without negative_slope and relu_upper_bound here"))
    }

    /// The quantizer of an activation that needs nothing but one: one register format, without a scale.
    pub fn plain_activation(&self, at: &Attributes<'_>, attribute: &str) -> Result<Quantizer, KerasError> {
        self.plain(at, attribute)?;
        Ok(self.activation(at, attribute)?.quantizer)
    }

    /// What an activation does: one register format, without a scale.
    pub fn activation(&self, at: &Attributes<'_>, attribute: &str) -> Result<Activated, KerasError> {
        match &self.alpha {
            Alpha::Absent => {}
            Alpha::PowersOfTwo(exponents) if exponents.iter().all(|exponent| *exponent == 0) => {}
            _ => {
                let value = at.config.get(attribute).unwrap_or(&Value::Null);
                let alpha = value.pointer("/config/alpha").unwrap_or(value);
                return Err(at.unsupported(&format!("{attribute}.alpha"), alpha, "1 or null for an activation"));
            }
        }
        let quantizer = self.format().map_err(|source| format_error(at, attribute, source))?;
        let clip = self.clip().expect("the bound was checked when the quantizer was read");
        // A slope of 1 is none: the format has a sign.
        Ok(Activated { leak: self.slope.filter(|shift| *shift > 0), quantizer, clip })
    }

    /// Smallest and largest raw value, where the format could hold more; the step when the bound is no multiple of it.
    ///
    /// QKeras: `2^integer * negative_slope * clip(.., -1, 0)` below 0, `min(.., relu_upper_bound)` above.
    fn clip(&self) -> Result<Option<(i64, i64)>, f64> {
        let Ok(format) = self.format().map(|quantizer| quantizer.format) else {
            return Ok(None);
        };
        let low = match self.slope {
            Some(shift) => format.min_raw() >> shift,
            None => format.min_raw(),
        };
        let high = match self.bound {
            Some(bound) if bound < format.value(format.max_raw()) => {
                let steps = bound / format.value(1);
                if steps.fract() != 0.0 {
                    return Err(format.value(1));
                }
                cast::floor_i64(steps)
            }
            _ => format.max_raw(),
        };
        Ok((low > format.min_raw() || high < format.max_raw()).then_some((low, high)))
    }

    /// Whether its scale is found from the weights.
    pub fn has_found_scale(&self) -> bool {
        self.alpha == Alpha::AutoPo2
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
pub(super) fn exponent_of(value: &Value) -> Option<i32> {
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

//! From a tensor of float weights to the integers in registers, as QKeras quantizes it.
//!
//! The quantization of a single weight is `num::quantize`; here are the scales around it, above all the search for
//! power-of-two scales (`alpha="auto_po2"`). Reads no file.

use super::quantizer::{Alpha, QuantizerConfig};
use crate::net::{TensorError, WeightTensor};
use crate::num::qkeras::Sign;
use crate::num::{FormatError, QFormat, cast};

/// `keras.backend.epsilon()`.
const EPSILON: f32 = 1e-7;
/// Rounds of the search for a power-of-two scale.
const AUTO_ROUNDS: usize = 5;
/// Larger weights would overflow the `f32` sums.
const MAX_SCALED: f32 = 1e18;
/// Relative distance from the border between two powers of two within which the order of `TensorFlow`'s `f32` sums and
/// its logarithm, neither of which is specified, may choose the other one. Generous for sums of 2^14 terms.
const NEAR_TIE: f32 = 2e-5;

/// Registers made of a float tensor, and remarks for the user.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Registers {
    pub tensor: WeightTensor,
    pub remarks: Vec<String>,
}

/// Why a tensor cannot be quantized.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Unquantizable {
    /// A weight that is infinite, not a number, or too large for `f32` once scaled.
    Value(usize),
    /// No register of that format.
    Format(FormatError),
    /// The registers do not make a tensor.
    Tensor(TensorError),
}

impl QuantizerConfig {
    /// The registers that hold `values` (C order, the last axis being the output channel).
    ///
    /// QKeras returns `x + (xq - x)` in `f32`. From 18 bits on that can differ from `xq` in the last places when `x`
    /// lies far beyond the range; the registers hold `xq`.
    pub fn registers(&self, shape: &[usize], values: &[f32]) -> Result<Registers, Unquantizable> {
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            return Err(Unquantizable::Value(index));
        }
        let channels = shape.last().copied().unwrap_or(1);
        let exponents = match &self.alpha {
            Alpha::AutoPo2 => return self.auto(shape, values),
            Alpha::Absent => vec![0; channels],
            Alpha::PowersOfTwo(exponents) if exponents.len() == 1 => vec![exponents[0]; channels],
            Alpha::PowersOfTwo(exponents) => exponents.clone(),
        };
        let quantizer = self.format().map_err(Unquantizable::Format)?;
        let raw = values.iter().map(|value| quantizer.quantize_f64(f64::from(*value)));
        let raw = raw.collect::<Result<Vec<_>, _>>().expect("finite, checked above");
        let tensor = WeightTensor::with_channel_shift(shape.to_vec(), raw, quantizer.format, exponents);
        Ok(Registers { tensor: tensor.map_err(Unquantizable::Tensor)?, remarks: Vec::new() })
    }

    /// `alpha="auto_po2"`: registers `z` in `-(2^(bits-1)-1) ..= 2^(bits-1)-1`, whatever `keep_negative` says, and a
    /// scale `2^e` per channel: value = `z * 2^(e + integer)`.
    fn auto(&self, shape: &[usize], values: &[f32]) -> Result<Registers, Unquantizable> {
        let format = QFormat::signed(self.bits, self.integer.saturating_add(1)).map_err(Unquantizable::Format)?;
        let unit = f64::from(self.integer).exp2();
        let scaled: Vec<f32> = values.iter().map(|value| cast::nearest_f32(f64::from(*value) / unit)).collect();
        if let Some(index) = scaled.iter().position(|value| value.abs() > MAX_SCALED) {
            return Err(Unquantizable::Value(index));
        }
        let mut remarks = Vec::new();
        if self.sign == Sign::Drop {
            remarks.push("keep_negative = 0 has no effect with alpha = auto_po2: the registers are signed".to_owned());
        }
        let found = auto_po2(&scaled, shape, self.bits);
        let step = i32::from(self.bits) - 1;
        let shifts = found.exponents.iter().map(|exponent| exponent + step).collect();
        for (channels, what) in [
            (&found.silent, "all weights are 0, so the scale is QKeras' epsilon and means nothing"),
            (&found.near_ties, "the scale lies on the border of two powers of two; TensorFlow may choose the other"),
        ] {
            if !channels.is_empty() {
                remarks.push(format!("alpha = auto_po2, channels {channels:?}: {what}"));
            }
        }
        let tensor = WeightTensor::with_channel_shift(shape.to_vec(), found.raw, format, shifts);
        Ok(Registers { tensor: tensor.map_err(Unquantizable::Tensor)?, remarks })
    }
}

/// What the search for power-of-two scales finds.
#[derive(Debug, Clone, PartialEq)]
struct AutoPo2 {
    /// Integers in C order.
    raw: Vec<i64>,
    /// Binary exponent per channel.
    exponents: Vec<i32>,
    /// Channels whose weights are all 0.
    silent: Vec<usize>,
    /// Channels whose scale was a matter of rounding errors.
    near_ties: Vec<usize>,
}

/// `quantized_bits.__call__` with `alpha="auto_po2"` (and `_get_scale`), on `x = weight / 2^integer`.
///
/// Everything is `f32` as in QKeras; a mean is summed in `f64` and rounded once, since the order of `TensorFlow`'s own
/// sums is unspecified. The scale `s` is rounded to `2^round(log2(s))` exactly. A kernel has one scale per output
/// channel from the start. A bias (one axis) starts with one scale for all and then has one per value, because
/// `_get_scale` averages nothing along the only axis.
fn auto_po2(x: &[f32], shape: &[usize], bits: u8) -> AutoPo2 {
    let channels = shape.last().copied().unwrap_or(1);
    let top = cast::nearest_f32(f64::from((1_u32 << (bits - 1)) - 1));
    let per_channel = x.len() / channels.max(1);
    let largest = |values: &mut dyn Iterator<Item = &f32>| values.fold(0.0_f32, |most, value| most.max(value.abs()));
    let channel = |c: usize| x.iter().skip(c).step_by(channels);
    let mut ties = vec![false; channels];
    let mut exponents = vec![0; channels];
    let all = largest(&mut x.iter());
    for c in 0..channels {
        let most = if shape.len() > 1 { largest(&mut channel(c)) } else { all };
        (exponents[c], ties[c]) = round_log2(most * 2.0 / (top * 2.0) + EPSILON);
    }
    let mut z = vec![0.0_f32; x.len()];
    for _ in 0..AUTO_ROUNDS {
        for (index, (z, x)) in z.iter_mut().zip(x).enumerate() {
            let scale = cast::nearest_f32(f64::from(exponents[index % channels]).exp2());
            let level = (x.abs() / scale + 0.5).floor();
            *z = (if level < top { level } else { top }).copysign(*x);
        }
        for c in 0..channels {
            let (mut xz, mut zz) = (0.0_f64, 0.0_f64);
            for (x, z) in channel(c).zip(z.iter().skip(c).step_by(channels)) {
                xz += f64::from(x * z);
                zz += f64::from(z * z);
            }
            let mean = |sum: f64| cast::nearest_f32(sum / cast::f64_from_count(per_channel));
            let (exponent, tie) = round_log2(mean(xz) / (mean(zz) + EPSILON) + EPSILON);
            exponents[c] = exponent;
            ties[c] |= tie;
        }
    }
    let numbered = |wanted: &dyn Fn(usize) -> bool| (0..channels).filter(|c| wanted(*c)).collect::<Vec<_>>();
    AutoPo2 {
        raw: z.iter().map(|level| cast::floor_i64(f64::from(*level))).collect(),
        silent: numbered(&|c| channel(c).all(|value| *value == 0.0)),
        near_ties: numbered(&|c| ties[c]),
        exponents,
    }
}

/// `round(log2(scale))` for a positive, finite, normal `scale`, and whether it is a near tie.
fn round_log2(scale: f32) -> (i32, bool) {
    let bits = scale.to_bits();
    let exponent = i32::try_from((bits >> 23) & 0xff).expect("8 bits fit") - 127;
    let mantissa = f32::from_bits((bits & 0x7f_ffff) | 0x3f80_0000);
    // 24 bits squared are exact in `f64`; sqrt(2) is irrational, so there is no tie.
    let up = f64::from(mantissa) * f64::from(mantissa) > 2.0;
    let tie = (mantissa / std::f32::consts::SQRT_2 - 1.0).abs() < NEAR_TIE;
    (exponent + i32::from(up), tie)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::num::qkeras::Symmetry;

    const EIGHT_BITS: QuantizerConfig = QuantizerConfig {
        bits: 8,
        integer: 0,
        symmetric: Symmetry::Full,
        sign: Sign::Keep,
        alpha: Alpha::AutoPo2,
        slope: None,
        bound: None,
        idle_bound: None,
    };

    #[test]
    fn logarithms_are_rounded_exactly() {
        let root = std::f32::consts::SQRT_2;
        let cases = [(1.0, 0), (1.4, 0), (1.42, 1), (2.0, 1), (0.7, -1), (0.71, 0), (1e-7, -23), (3e18, 61)];
        for (scale, exponent) in cases {
            assert_eq!(round_log2(scale), (exponent, false), "{scale}");
        }
        // The neighbors of sqrt(2) in `f32` fall on different sides, and both are reported.
        assert_eq!(root.to_bits(), 0x3fb5_04f3);
        assert_eq!(round_log2(root), (0, true));
        assert_eq!(round_log2(f32::from_bits(0x3fb5_04f4)), (1, true));
    }

    #[test]
    fn a_bias_has_one_scale_per_value() {
        let config = QuantizerConfig { bits: 4, ..EIGHT_BITS };
        let found = config.registers(&[3], &[0.5, 0.06, -0.01]).unwrap();
        assert_eq!(found.tensor.channel_shift().len(), 3);
        assert!(found.tensor.channel_shift()[0] != found.tensor.channel_shift()[2], "{found:?}");
    }

    #[test]
    fn oddities_are_remarked() {
        let found =
            QuantizerConfig { sign: Sign::Drop, ..EIGHT_BITS }.registers(&[2, 2], &[0.5, 0.0, -0.5, 0.0]).unwrap();
        let remarks = found.remarks.join("\n");
        assert!(
            remarks.contains("keep_negative = 0 has no effect") && remarks.contains("channels [1]: all weights are 0")
        );
        assert!(found.tensor.format().is_signed() && found.tensor.raw()[2] < 0);
        // One weight w: z = 127 in the end, and the scale is w * 127 / (127^2 + epsilon).
        let border = 127.0 * std::f32::consts::SQRT_2 / 256.0;
        let found = EIGHT_BITS.registers(&[1, 1], &[border]).unwrap();
        assert!(found.remarks.join("").contains("channels [0]: the scale lies on the border"), "{found:?}");
    }

    #[test]
    fn weights_that_no_register_can_hold() {
        let fixed = QuantizerConfig { alpha: Alpha::PowersOfTwo(vec![0]), ..EIGHT_BITS };
        for config in [&fixed, &EIGHT_BITS] {
            assert_eq!(config.registers(&[2], &[0.0, f32::NAN]), Err(Unquantizable::Value(1)));
            assert_eq!(config.registers(&[2], &[f32::NEG_INFINITY, 0.0]), Err(Unquantizable::Value(0)));
        }
        assert_eq!(EIGHT_BITS.registers(&[2], &[0.0, 1e30]), Err(Unquantizable::Value(1)));
        assert_eq!(fixed.registers(&[2], &[0.0, 1e30]).unwrap().tensor.raw(), [0, 127]);
        let far = QuantizerConfig { alpha: Alpha::PowersOfTwo(vec![65]), ..EIGHT_BITS };
        assert!(matches!(far.registers(&[1], &[0.0]), Err(Unquantizable::Tensor(TensorError::Shift { .. }))));
    }
}

//! Batch normalization: folded into the weights of its layer, or a fixed-point scale and shift of its own.
//!
//! Folding is `f32` as in `QKeras` (`get_folded_weights`); what is folded is quantized by `registers`. A batch
//! normalization that stands by itself becomes registers in a stated format, as hls4ml makes them.

use super::KerasError;
use super::config::Normalization;
use super::graph::Step;
use super::registers::Registers;
use super::weights::{Variable, Weights};
use crate::net::WeightTensor;
use crate::num::{MAX_POINT, Overflow, QFormat, Quantizer, Rounding, cast};

/// What hls4ml stores scales and shifts in unless told otherwise, `ap_fixed<16,6>`: width and integer bits.
const DEFAULT: (u8, i16) = (16, 6);
/// By how many units in the last place `TensorFlow`'s reciprocal square root, which depends on the processor, and the
/// product with gamma may differ from the ones here.
const ROOT_ERROR: u32 = 3;

/// The variables of a batch normalization, one value per channel.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Statistics {
    gamma: Option<Vec<f32>>,
    beta: Option<Vec<f32>>,
    mean: Vec<f32>,
    /// Plus epsilon, so above 0.
    variance: Vec<f32>,
}

impl Normalization {
    /// Reads the variables of a batch normalization over the last axis of `shape`.
    pub fn read(self, weights: &Weights<'_>, step: &Step<'_>, shape: &[usize]) -> Result<Statistics, KerasError> {
        let channels = shape.last().copied().unwrap_or(1);
        // The batch is axis 0.
        if self.axis != -1 && self.axis != cast::i64_from_len(shape.len()) {
            let at = super::accelerator::attributes(step);
            let supported = format!("-1 or {}, the axis of the channels", shape.len());
            return Err(at.unsupported("axis", &self.axis.into(), &supported));
        }
        let read = |variable| {
            let values = weights.read(step, variable, &[channels])?;
            match values.iter().position(|value| !value.is_finite()) {
                Some(index) => Err(weights.bad_value(step, variable, (index, values[index]))),
                None => Ok(values),
            }
        };
        let mut variance = read(Variable::MovingVariance)?;
        for (index, value) in variance.iter_mut().enumerate() {
            let sum = *value + self.epsilon;
            // A sum that is no number is refused too.
            if !(sum > 0.0 && sum.is_finite()) {
                return Err(weights.bad_value(step, Variable::MovingVariance, (index, *value)));
            }
            *value = sum;
        }
        Ok(Statistics {
            gamma: self.scale.then(|| read(Variable::Gamma)).transpose()?,
            beta: self.center.then(|| read(Variable::Beta)).transpose()?,
            mean: read(Variable::MovingMean)?,
            variance,
        })
    }
}

impl Statistics {
    /// `gamma / sqrt(variance + epsilon)` in `f32`, as `TensorFlow` computes it value by value.
    fn inverse(&self, channel: usize) -> f32 {
        let root = 1.0 / self.variance[channel].sqrt();
        self.gamma.as_ref().map_or(root, |gamma| root * gamma[channel])
    }

    /// The inverse, and how far off `TensorFlow`'s may be on either side.
    fn inverses(&self, channel: usize) -> [f32; 3] {
        let inverse = self.inverse(channel);
        let moved = |next: fn(f32) -> f32| (0..ROOT_ERROR).fold(inverse, |value, _| next(value));
        [inverse, moved(f32::next_down), moved(f32::next_up)]
    }

    /// Kernel weights of one channel each, `channel_of` their index, with the normalization folded in.
    pub fn folded_kernel(&self, kernel: &[f32], channel_of: impl Fn(usize) -> usize) -> Folded {
        Folded::of(kernel.len(), |index| self.inverses(channel_of(index)).map(|inverse| inverse * kernel[index]))
    }

    /// The bias of the layer (0 without one) with the normalization folded in.
    pub fn folded_bias(&self, bias: Option<&[f32]>) -> Folded {
        let beta = |channel: usize| self.beta.as_ref().map_or(0.0, |beta| beta[channel]);
        let centered = |channel: usize| bias.map_or(0.0, |bias| bias[channel]) - self.mean[channel];
        Folded::of(self.mean.len(), |channel| {
            self.inverses(channel).map(|inverse| inverse * centered(channel) + beta(channel))
        })
    }

    /// Registers of a scale and a shift.
    ///
    /// Scale and shift are `gamma / sqrt(variance + epsilon)` and `beta - mean * scale`, computed in `f64`.
    pub fn scale_and_shift(&self, layer: &str, format: Option<Quantizer>) -> Result<ScaleAndShift, KerasError> {
        let channels = self.mean.len();
        let gamma = |channel: usize| self.gamma.as_ref().map_or(1.0, |gamma| f64::from(gamma[channel]));
        let beta = |channel: usize| self.beta.as_ref().map_or(0.0, |beta| f64::from(beta[channel]));
        let scale: Vec<f64> = (0..channels).map(|c| gamma(c) / f64::from(self.variance[c]).sqrt()).collect();
        let shift: Vec<f64> = (0..channels).map(|c| beta(c) - f64::from(self.mean[c]) * scale[c]).collect();
        let scales = Fixed::of(layer, "scale", &scale, format)?;
        let shifts = Fixed::of(layer, "shift", &shift, format)?;
        let note = format!(
            "layer `{layer}`: the batch normalization is a scale in {} and a shift in {}; largest difference to the float \
             ones: scale {:.2e} ({:.2} % of its value), shift {:.2e}{}",
            scales.quantizer,
            shifts.quantizer,
            scales.largest_difference(&scale),
            100.0 * scales.largest_share(&scale),
            shifts.largest_difference(&shift),
            if format.is_none() && (scales.is_moved() || shifts.is_moved()) {
                "; ap_fixed<16,6>, the default, does not hold them all"
            } else {
                ""
            }
        );
        let fault = |tensor: Variable| {
            move |source| crate::net::NetError::Tensor { layer: layer.to_owned(), tensor: tensor.registers(), source }
        };
        let registers = WeightTensor::new(vec![1, 1, channels], scales.raw, scales.quantizer.format);
        let shift_registers = WeightTensor::new(vec![channels], shifts.raw, shifts.quantizer.format);
        Ok(ScaleAndShift {
            scale: registers.map_err(fault(Variable::Kernel))?,
            shift: shift_registers.map_err(fault(Variable::Bias))?,
            trained: [scale, shift].concat(),
            note,
        })
    }
}

/// A batch normalization in registers of its own.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ScaleAndShift {
    /// `[1, 1, channels]`.
    pub scale: WeightTensor,
    /// `[channels]`.
    pub shift: WeightTensor,
    /// What they were rounded from: all scales, then all shifts.
    pub trained: Vec<f64>,
    /// Their formats and what these lose.
    pub note: String,
}

/// Weights with a batch normalization folded in.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Folded {
    pub values: Vec<f32>,
    /// The same, had `TensorFlow` rounded its square roots otherwise.
    neighbors: [Vec<f32>; 2],
}

impl Folded {
    fn of(len: usize, value: impl Fn(usize) -> [f32; 3]) -> Self {
        let all: Vec<_> = (0..len).map(value).collect();
        let [values, less, more]: [Vec<f32>; 3] = [0, 1, 2].map(|at| all.iter().map(|values| values[at]).collect());
        Self { values, neighbors: [less, more] }
    }

    /// The weights that another rounding of the square root would have brought to another register value.
    pub fn near_ties(&self, registers: &Registers, quantizer: Quantizer) -> Vec<usize> {
        let held = registers.tensor.raw();
        let moved = |index: usize| {
            self.neighbors
                .iter()
                .any(|values| quantizer.quantize_f64(f64::from(values[index])).is_ok_and(|raw| raw != held[index]))
        };
        (0..self.values.len()).filter(|index| moved(*index)).collect()
    }
}

/// Real values in registers of one format.
struct Fixed {
    quantizer: Quantizer,
    raw: Vec<i64>,
}

impl Fixed {
    /// In the format asked for, which must hold them; otherwise in 16 bits, 6 of them integer bits or as many more as it
    /// takes.
    fn of(layer: &str, what: &'static str, values: &[f64], format: Option<Quantizer>) -> Result<Self, KerasError> {
        let misfit = |channel: usize, format| KerasError::NormalizationFormat {
            layer: layer.to_owned(),
            what,
            channel,
            value: values[channel],
            format,
        };
        let Some(quantizer) = format else {
            let formats = (DEFAULT.1..=MAX_POINT).map(|int_bits| Quantizer {
                format: QFormat::signed(DEFAULT.0, int_bits).expect("16 bits and a point within bounds"),
                rounding: Rounding::Truncate,
                overflow: Overflow::Wrap,
            });
            let mut last = Err(0);
            for quantizer in formats {
                last = Self::held(values, quantizer).map(|raw| Self { quantizer, raw });
                if last.is_ok() {
                    break;
                }
            }
            let widest = QFormat::signed(DEFAULT.0, MAX_POINT).expect("16 bits and a point within bounds");
            return last.map_err(|channel| {
                misfit(channel, Quantizer { format: widest, rounding: Rounding::Truncate, overflow: Overflow::Wrap })
            });
        };
        let raw = Self::held(values, quantizer).map_err(|channel| misfit(channel, quantizer))?;
        Ok(Self { quantizer, raw })
    }

    /// The register values; the first channel whose value does not fit, where the format would wrap it around.
    fn held(values: &[f64], quantizer: Quantizer) -> Result<Vec<i64>, usize> {
        let raw = |channel: usize, value: f64| {
            let raw = quantizer.quantize_f64(value).map_err(|_| channel)?;
            // Saturation is what a format that saturates is asked for.
            let may_lose = matches!(quantizer.overflow, Overflow::Wrap | Overflow::SaturateZero);
            let is_lost = (value - quantizer.format.value(raw)).abs() >= quantizer.format.value(1);
            if may_lose && is_lost { Err(channel) } else { Ok(raw) }
        };
        values.iter().enumerate().map(|(channel, value)| raw(channel, *value)).collect()
    }

    fn is_moved(&self) -> bool {
        self.quantizer.format.int_bits() != DEFAULT.1
    }

    fn differences<'a>(&'a self, values: &'a [f64]) -> impl Iterator<Item = (f64, f64)> + 'a {
        self.raw.iter().zip(values).map(|(raw, value)| ((self.quantizer.format.value(*raw) - value).abs(), value.abs()))
    }

    fn largest_difference(&self, values: &[f64]) -> f64 {
        self.differences(values).map(|(difference, _)| difference).fold(0.0, f64::max)
    }

    /// Largest difference in shares of the value; values of 0 are exact.
    fn largest_share(&self, values: &[f64]) -> f64 {
        self.differences(values).filter(|(_, value)| *value > 0.0).map(|(d, value)| d / value).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::super::quantizer::{Alpha, QuantizerConfig};
    use super::*;
    use crate::num::qkeras::{Sign, Symmetry};

    fn statistics(scale: &[f32], shift: &[f32]) -> Statistics {
        let one = vec![1.0; scale.len()];
        let mean = vec![0.0; scale.len()];
        Statistics { gamma: Some(scale.to_vec()), beta: Some(shift.to_vec()), mean, variance: one }
    }

    #[test]
    fn folding_is_that_of_qkeras() {
        let norm = Statistics {
            gamma: Some(vec![2.0, -1.0]),
            beta: Some(vec![0.5, 0.25]),
            mean: vec![1.0, -3.0],
            variance: vec![4.0, 0.25],
        };
        // Channel 0: 2 / 2, channel 1: -1 / 0.5.
        assert_eq!(norm.folded_kernel(&[1.0, 2.0, 3.0, 4.0], |index| index % 2).values, [1.0, -4.0, 3.0, -8.0]);
        assert_eq!(norm.folded_bias(Some(&[10.0, 20.0])).values, [9.5, -45.75]);
        assert_eq!(norm.folded_bias(None).values, [-0.5, -5.75]);
        let bare = Statistics { gamma: None, beta: None, ..norm };
        assert_eq!(bare.folded_bias(None).values, [-0.5, 6.0]);
    }

    #[test]
    fn weights_on_the_border_of_two_register_values_are_found() {
        let config = QuantizerConfig {
            bits: 8,
            integer: 2,
            symmetric: Symmetry::Full,
            sign: Sign::Keep,
            alpha: Alpha::PowersOfTwo(vec![0]),
            slope: None,
            bound: None,
            idle_bound: None,
        };
        // Steps of 2^-5: half of one is a border.
        let folded = statistics(&[1.0], &[0.0]).folded_kernel(&[0.25, 0.25 + 0.015_625, 0.26, -0.015_625], |_| 0);
        let registers = config.registers(&[4, 1], &folded.values).unwrap();
        assert_eq!(folded.near_ties(&registers, config.format().unwrap()), [1, 3]);
    }

    #[test]
    fn scales_and_shifts_in_registers() {
        let norm = statistics(&[0.7, -1.5], &[0.25, -3.0]);
        let ScaleAndShift { scale, shift, trained, note } = norm.scale_and_shift("bn", None).unwrap();
        // 0.7 * 1024 = 716.8: truncated, as ap_fixed does unless told otherwise.
        assert_eq!((scale.raw(), scale.shape()), (&[716, -1536][..], &[1, 1, 2][..]));
        assert_eq!((shift.raw(), shift.format().to_string().as_str()), (&[256, -3072][..], "ap_fixed<16,6>"));
        // gamma / sqrt(1) and beta - mean * that, not yet rounded.
        assert_eq!(trained, [f64::from(0.7_f32), -1.5, 0.25, -3.0]);
        assert!(note.contains("scale 7.81e-4 (0.11 % of its value), shift 0.00e0"), "{note}");

        let wide = statistics(&[100.0, 0.5], &[-32.5, 0.0]);
        let ScaleAndShift { scale, shift, note, .. } = wide.scale_and_shift("bn", None).unwrap();
        assert_eq!((scale.format().to_string(), scale.raw()[0]), ("ap_fixed<16,8>".to_owned(), 25600));
        assert_eq!((shift.format().to_string(), shift.raw()[0]), ("ap_fixed<16,7>".to_owned(), -16640));
        assert!(note.contains("the default, does not hold them all"), "{note}");
        assert!(statistics(&[1e30], &[f32::MAX]).scale_and_shift("bn", None).is_err());
    }

    #[test]
    fn formats_asked_for_are_kept_or_refused() {
        let wide = statistics(&[0.5, 100.0], &[-32.5, 0.0]);
        let given = |format: &str| wide.scale_and_shift("bn", Some(format.parse().unwrap()));
        let refused = given("ap_fixed<16,6>").unwrap_err().to_string();
        assert!(
            refused
                .contains("the scale of channel 1 of the batch normalization is 100, which does not fit ap_fixed<16,6"),
            "{refused}"
        );
        let ScaleAndShift { scale, .. } = given("ap_fixed<16,6,RND_CONV,SAT>").unwrap();
        assert_eq!(scale.raw(), [512, 32767]);
        let ScaleAndShift { scale, shift, .. } = given("ap_fixed<12,8,RND_CONV>").unwrap();
        assert_eq!((scale.raw(), shift.raw()), (&[8, 1600][..], &[-520, 0][..]));
        assert!(given("ap_ufixed<16,8>").unwrap_err().to_string().contains("shift of channel 0"));
    }
}

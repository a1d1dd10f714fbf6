//! Weight and bias tensors: the integers that hardware registers hold.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::num::QFormat;

/// Which of a layer's two parameter tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TensorKind {
    /// The weights proper.
    Kernel,
    /// One value per output channel.
    Bias,
}

impl fmt::Display for TensorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kernel => "kernel",
            Self::Bias => "bias",
        })
    }
}

/// Why a tensor cannot exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TensorError {
    /// Number of values and shape disagree.
    #[error("{values} values do not fill the shape {shape:?}")]
    Count {
        /// Values given.
        values: usize,
        /// Shape given.
        shape: Vec<usize>,
    },
    /// A value is beyond its register.
    #[error("weight {index} = {value} does not fit {format}")]
    Range {
        /// C-order index of the value.
        index: usize,
        /// The raw value.
        value: i64,
        /// The register.
        format: QFormat,
    },
    /// The per-channel scale has another length than the last axis.
    #[error("{shifts} channel scales for {channels} output channels")]
    Channels {
        /// Scales given.
        shifts: usize,
        /// Output channels.
        channels: usize,
    },
    /// A per-channel scale too large to be meant.
    #[error("channel {channel} is scaled by 2^{shift}; 2^-64 to 2^64 are supported")]
    Shift {
        /// Output channel.
        channel: usize,
        /// The exponent given.
        shift: i32,
    },
}

/// A tensor of registers, all of one format; the last axis is the output channel.
///
/// Raw values are in C order: `[in, out]` for a dense kernel, `[kernel_row, kernel_column, in, out]` for a convolution,
/// `[out]` for a bias. The real value of element `i` of channel `c` is `raw[i] * 2^(channel_shift[c] - frac_bits)`: a
/// power-of-two scale per channel (QKeras `auto_po2`) moves the binary point of that channel and costs no hardware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightTensor {
    shape: Vec<usize>,
    raw: Vec<i64>,
    format: QFormat,
    channel_shift: Vec<i32>,
}

impl WeightTensor {
    /// A tensor without per-channel scales.
    ///
    /// # Errors
    /// When the number of values does not fit the shape, or a value does not fit the format.
    pub fn new(shape: Vec<usize>, raw: Vec<i64>, format: QFormat) -> Result<Self, TensorError> {
        let channels = shape.last().copied().unwrap_or(1);
        Self::with_channel_shift(shape, raw, format, vec![0; channels])
    }

    /// A tensor whose output channel `c` is scaled by `2^channel_shift[c]`.
    ///
    /// # Errors
    /// As [`WeightTensor::new`], and when there is not one scale in `2^-64 ..= 2^64` per output channel.
    pub fn with_channel_shift(
        shape: Vec<usize>,
        raw: Vec<i64>,
        format: QFormat,
        channel_shift: Vec<i32>,
    ) -> Result<Self, TensorError> {
        let count = shape.iter().try_fold(1_usize, |count, axis| count.checked_mul(*axis));
        if count != Some(raw.len()) || raw.is_empty() {
            return Err(TensorError::Count { values: raw.len(), shape });
        }
        if let Some(index) = raw.iter().position(|value| !format.contains(*value)) {
            return Err(TensorError::Range { index, value: raw[index], format });
        }
        let channels = shape.last().copied().unwrap_or(1);
        if channel_shift.len() != channels {
            return Err(TensorError::Channels { shifts: channel_shift.len(), channels });
        }
        if let Some(channel) = channel_shift.iter().position(|shift| !(-64..=64).contains(shift)) {
            return Err(TensorError::Shift { channel, shift: channel_shift[channel] });
        }
        Ok(Self { shape, raw, format, channel_shift })
    }

    /// Axis lengths, the output channel last.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Raw values in C order.
    pub fn raw(&self) -> &[i64] {
        &self.raw
    }

    /// The register that holds each value.
    pub const fn format(&self) -> QFormat {
        self.format
    }

    /// Binary exponent of the scale of each output channel.
    pub fn channel_shift(&self) -> &[i32] {
        &self.channel_shift
    }

    /// Number of registers.
    pub const fn len(&self) -> usize {
        self.raw.len()
    }

    /// Whether there is no register; never true for a tensor that passed its checks.
    pub const fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// Number of output channels: the length of the last axis.
    pub fn channels(&self) -> usize {
        self.channel_shift.len()
    }

    /// Fractional bits of output channel `channel`: the step of its values is `2^-frac`.
    pub fn frac_bits(&self, channel: usize) -> i32 {
        self.format.frac_bits() - self.channel_shift[channel]
    }

    /// Real value that register `index` means when it holds `raw`.
    pub fn value_of(&self, index: usize, raw: i64) -> f64 {
        self.format.value(raw) * f64::from(self.channel_shift[index % self.channels()]).exp2()
    }

    /// Real value of element `index`.
    pub fn value(&self, index: usize) -> f64 {
        self.value_of(index, self.raw[index])
    }

    /// The same tensor with register `index` holding `raw`.
    ///
    /// # Errors
    /// When `raw` does not fit the format.
    pub fn with_value(&self, index: usize, raw: i64) -> Result<Self, TensorError> {
        if !self.format.contains(raw) {
            return Err(TensorError::Range { index, value: raw, format: self.format });
        }
        let mut changed = self.clone();
        changed.raw[index] = raw;
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channel_scales_move_the_binary_point() {
        let format = QFormat::signed(4, 1).unwrap();
        let tensor = WeightTensor::with_channel_shift(vec![2, 2], vec![1, 1, -8, 7], format, vec![0, 2]).unwrap();
        assert_eq!([0, 1, 2, 3].map(|i| tensor.value(i)), [0.125, 0.5, -1.0, 3.5]);
        assert_eq!((tensor.frac_bits(0), tensor.frac_bits(1)), (3, 1));
    }

    #[test]
    fn bad_tensors_are_refused() {
        let format = QFormat::signed(4, 1).unwrap();
        assert!(matches!(WeightTensor::new(vec![2, 2], vec![0; 3], format), Err(TensorError::Count { .. })));
        assert!(matches!(WeightTensor::new(vec![0], vec![], format), Err(TensorError::Count { .. })));
        assert_eq!(
            WeightTensor::new(vec![2], vec![0, 8], format),
            Err(TensorError::Range { index: 1, value: 8, format })
        );
        assert!(matches!(
            WeightTensor::with_channel_shift(vec![2], vec![0, 0], format, vec![0]),
            Err(TensorError::Channels { .. })
        ));
        assert!(matches!(
            WeightTensor::with_channel_shift(vec![1], vec![0], format, vec![65]),
            Err(TensorError::Shift { .. })
        ));
    }
}

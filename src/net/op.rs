//! `Op`: what one node of a network computes.

use super::tensor::{TensorKind, WeightTensor};
use crate::num::{Quantizer, cast};

/// Rows and columns added around a feature map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Padding2d {
    /// Rows above.
    pub top: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the left.
    pub left: usize,
    /// Columns to the right.
    pub right: usize,
}

impl Padding2d {
    /// Keras `padding="same"`: the output has `ceil(input / stride)` rows and columns, the odd row or column of padding
    /// goes below and right.
    pub fn same(input: [usize; 2], kernel: [usize; 2], stride: [usize; 2]) -> Self {
        let total = |axis: usize| {
            let out = input[axis].div_ceil(stride[axis]);
            ((out.saturating_sub(1)) * stride[axis] + kernel[axis]).saturating_sub(input[axis])
        };
        let (rows, columns) = (total(0), total(1));
        Self { top: rows / 2, bottom: rows - rows / 2, left: columns / 2, right: columns - columns / 2 }
    }
}

/// A tap of a window and the pixel of the map that it sees, each as they lie row by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tap {
    /// Place in the window.
    pub place: usize,
    /// Input pixel.
    pub pixel: usize,
}

/// Geometry of a window that slides over a zero-padded feature map: `[rows, columns]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window2d {
    /// Window size.
    pub kernel: [usize; 2],
    /// Step from one output to the next.
    pub stride: [usize; 2],
    /// Zeros around the input.
    pub padding: Padding2d,
}

impl Window2d {
    /// Output `[rows, columns]` over an input of `[rows, columns]`; `None` when the window does not fit.
    pub fn output(&self, input: [usize; 2]) -> Option<[usize; 2]> {
        let padded =
            [input[0] + self.padding.top + self.padding.bottom, input[1] + self.padding.left + self.padding.right];
        let axis = |a: usize| {
            let free = padded[a].checked_sub(self.kernel[a])?;
            Some(free.checked_div(self.stride[a])? + 1)
        };
        Some([axis(0)?, axis(1)?])
    }

    /// What the window sees at an output position of an input of `[rows, columns]`, in the order of its places; taps that
    /// see padding are left out.
    #[inline]
    pub fn taps(&self, [out_row, out_column]: [usize; 2], [rows, columns]: [usize; 2]) -> impl Iterator<Item = Tap> {
        let window = *self;
        let [kernel_rows, kernel_columns] = self.kernel;
        (0..kernel_rows)
            .filter_map(move |kernel_row| Some((kernel_row, window.input_row(out_row, kernel_row, rows)?)))
            .flat_map(move |(kernel_row, row)| {
                (0..kernel_columns).filter_map(move |kernel_column| {
                    let column = window.input_column(out_column, kernel_column, columns)?;
                    Some(Tap { place: kernel_row * kernel_columns + kernel_column, pixel: row * columns + column })
                })
            })
    }

    /// Number of input pixels that the window sees at an output position, padding left out.
    pub fn count(&self, [out_row, out_column]: [usize; 2], input: [usize; 2]) -> usize {
        let rows = (0..self.kernel[0]).filter(|row| self.input_row(out_row, *row, input[0]).is_some());
        let columns = (0..self.kernel[1]).filter(|column| self.input_column(out_column, *column, input[1]).is_some());
        rows.count() * columns.count()
    }

    /// Input row that row `kernel_row` of the window sees at output row `out_row`; `None` when it sees padding.
    #[inline]
    pub fn input_row(&self, out_row: usize, kernel_row: usize, input_rows: usize) -> Option<usize> {
        (out_row * self.stride[0] + kernel_row).checked_sub(self.padding.top).filter(|row| *row < input_rows)
    }

    /// Input column that column `kernel_column` of the window sees at output column `out_column`; `None` when padding.
    #[inline]
    pub fn input_column(&self, out_column: usize, kernel_column: usize, input_columns: usize) -> Option<usize> {
        (out_column * self.stride[1] + kernel_column)
            .checked_sub(self.padding.left)
            .filter(|column| *column < input_columns)
    }
}

/// A fully connected layer: `acc[out] = bias[out] + sum_in kernel[in, out] * x[in]`, exact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dense {
    /// Registers `[in, out]`.
    pub kernel: WeightTensor,
    /// Registers `[out]`.
    pub bias: Option<WeightTensor>,
}

/// A two-dimensional convolution over `[rows, columns, channels]`, exact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conv2d {
    /// Registers `[kernel_row, kernel_column, in, out]`.
    pub kernel: WeightTensor,
    /// Registers `[out]`.
    pub bias: Option<WeightTensor>,
    /// How the kernel slides.
    pub window: Window2d,
}

/// A two-dimensional convolution of every channel by itself, over `[rows, columns, channels]`, exact.
///
/// Output channel `c` sees input channel `c / (out / in)`. With a window of 1x1 and as many outputs as inputs it is a
/// scale and a shift per channel: a batch normalization that is not folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DepthwiseConv2d {
    /// Registers `[kernel_row, kernel_column, out]`.
    pub kernel: WeightTensor,
    /// Registers `[out]`.
    pub bias: Option<WeightTensor>,
    /// How the kernel slides.
    pub window: Window2d,
}

impl DepthwiseConv2d {
    /// Whether it scales and shifts every value by itself.
    pub fn is_pointwise(&self) -> bool {
        self.window == Window2d { kernel: [1, 1], stride: [1, 1], padding: Padding2d::default() }
    }
}

/// The mean over a window, padding left out: the exact sum of the values times a fixed-point reciprocal of their number.
///
/// Exact where the number of values is a power of two of at most `2^reciprocal_bits`; otherwise the mean is off by at most
/// `2^-(reciprocal_bits + 1)` times the sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AveragePool2d {
    /// How the window slides.
    pub window: Window2d,
    /// Fractional bits of the reciprocals.
    pub reciprocal_bits: u32,
}

impl AveragePool2d {
    /// `2^reciprocal_bits / count`, rounded to the nearest integer, ties up.
    ///
    /// # Panics
    /// When `count` is 0.
    pub fn reciprocal(&self, count: usize) -> i64 {
        let count = cast::i64_from_len(count);
        ((1_i64 << self.reciprocal_bits) + count / 2) / count
    }
}

/// What a node computes from its inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// The accelerator's input register: quantizes what the host sends.
    Input(Quantizer),
    /// A fully connected layer; its output is the accumulator.
    Dense(Dense),
    /// A convolution; its output is the accumulator.
    Conv2d(Conv2d),
    /// A convolution of every channel by itself; its output is the accumulator.
    DepthwiseConv2d(DepthwiseConv2d),
    /// The largest value of every window, channel by channel; padding does not count.
    MaxPool2d(Window2d),
    /// The mean of every window, channel by channel.
    AveragePool2d(AveragePool2d),
    /// The sum of two or more inputs of one shape, exact.
    Add,
    /// Rounds and clips every value.
    Quantize(Quantizer),
    /// `max(x, 0)`, exact.
    Relu,
    /// `x` where it is positive, otherwise `x * 2^-shift`, exact: the binary point moves by `shift`.
    LeakyRelu {
        /// Negative binary exponent of the slope below 0.
        shift: u32,
    },
    /// `x` brought into `low ..= high`, integers on its own binary point.
    Clip {
        /// Smallest integer.
        low: i64,
        /// Largest integer.
        high: i64,
    },
    /// The same values in another shape (C order).
    Reshape,
    /// Zeros around a feature map.
    ZeroPad2d(Padding2d),
}

impl Op {
    /// The operation's parameter tensors, kernel first.
    pub fn tensors(&self) -> impl Iterator<Item = (TensorKind, &WeightTensor)> {
        let (kernel, bias) = match self {
            Self::Dense(dense) => (Some(&dense.kernel), dense.bias.as_ref()),
            Self::Conv2d(conv) => (Some(&conv.kernel), conv.bias.as_ref()),
            Self::DepthwiseConv2d(conv) => (Some(&conv.kernel), conv.bias.as_ref()),
            _ => (None, None),
        };
        kernel.map(|t| (TensorKind::Kernel, t)).into_iter().chain(bias.map(|t| (TensorKind::Bias, t)))
    }

    /// The window that slides over its input, if one does.
    pub const fn window(&self) -> Option<&Window2d> {
        match self {
            Self::Conv2d(conv) => Some(&conv.window),
            Self::DepthwiseConv2d(conv) => Some(&conv.window),
            Self::MaxPool2d(window) => Some(window),
            Self::AveragePool2d(pool) => Some(&pool.window),
            _ => None,
        }
    }

    /// One of the operation's parameter tensors.
    pub fn tensor(&self, kind: TensorKind) -> Option<&WeightTensor> {
        self.tensors().find(|(k, _)| *k == kind).map(|(_, tensor)| tensor)
    }

    /// The same operation with one parameter tensor replaced; unchanged when it has no such tensor.
    #[must_use]
    pub fn with_tensor(&self, kind: TensorKind, tensor: WeightTensor) -> Self {
        let mut op = self.clone();
        match (&mut op, kind) {
            (
                Self::Dense(Dense { kernel, .. })
                | Self::Conv2d(Conv2d { kernel, .. })
                | Self::DepthwiseConv2d(DepthwiseConv2d { kernel, .. }),
                TensorKind::Kernel,
            ) => *kernel = tensor,
            (
                Self::Dense(Dense { bias, .. })
                | Self::Conv2d(Conv2d { bias, .. })
                | Self::DepthwiseConv2d(DepthwiseConv2d { bias, .. }),
                TensorKind::Bias,
            ) => *bias = Some(tensor),
            _ => {}
        }
        op
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_see_the_map_and_leave_padding_out() {
        // Over a map of two rows and three columns with a row of zeros above and a column to the right.
        let padding = Padding2d { top: 1, bottom: 0, left: 0, right: 1 };
        let window = Window2d { kernel: [2, 2], stride: [1, 2], padding };
        assert_eq!(window.output([2, 3]), Some([2, 2]));
        let taps = |at| window.taps(at, [2, 3]).map(|tap| (tap.place, tap.pixel)).collect::<Vec<_>>();
        assert_eq!(taps([0, 0]), [(2, 0), (3, 1)]);
        assert_eq!(taps([0, 1]), [(2, 2)]);
        assert_eq!(taps([1, 0]), [(0, 0), (1, 1), (2, 3), (3, 4)]);
        assert_eq!(taps([1, 1]), [(0, 2), (2, 5)]);
        for at in [[0, 0], [0, 1], [1, 0], [1, 1]] {
            assert_eq!(window.count(at, [2, 3]), taps(at).len(), "{at:?}");
        }
    }
}

//! Shapes of layers: what Keras computes from the input's shape, with every size checked.
//!
//! Shared by the two halves of a model; makes no nodes.

use super::KerasError;
use super::config::Sliding;
use super::graph::Layer;
use crate::net::{Padding2d, Window2d};

/// Most values of a feature map, and most weights of a layer.
const MAX_VALUES: usize = 1 << 24;

/// A layer and the shape of its input, for shape rules and their errors.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    pub layer: &'a Layer,
    /// Without the batch.
    pub shape: &'a [usize],
}

impl At<'_> {
    /// The error of an input that the layer cannot take.
    pub fn misfit(&self, expected: String) -> KerasError {
        KerasError::Shape {
            layer: self.layer.name.clone(),
            class: self.layer.class.clone(),
            shape: self.shape.to_vec(),
            expected,
        }
    }

    /// Checks that `shape` is of a size that can be built.
    pub fn sized(&self, shape: Vec<usize>) -> Result<Vec<usize>, KerasError> {
        let values = shape.iter().try_fold(1_usize, |count, axis| count.checked_mul(*axis));
        match values {
            Some(count) if (1..=MAX_VALUES).contains(&count) => Ok(shape),
            _ => Err(self.misfit(format!("it would make {shape:?}; 1 to {MAX_VALUES} values are supported"))),
        }
    }

    /// `[features]`.
    pub fn features(&self) -> Result<usize, KerasError> {
        match self.shape {
            [features] => Ok(*features),
            _ => Err(self.misfit("it takes [features] (flatten first)".to_owned())),
        }
    }

    /// `[rows, columns, channels]`.
    pub fn map(&self) -> Result<[usize; 3], KerasError> {
        <[usize; 3]>::try_from(self.shape).map_err(|_| self.misfit("it takes [rows, columns, channels]".to_owned()))
    }

    /// `Flatten`.
    pub fn flat(&self) -> Result<Vec<usize>, KerasError> {
        self.sized(vec![self.shape.iter().product()])
    }

    /// `Reshape`; `None` stands for the axis that is left.
    pub fn reshaped(&self, target: &[Option<usize>]) -> Result<Vec<usize>, KerasError> {
        let values: usize = self.shape.iter().product();
        let known = target.iter().flatten().try_fold(1_usize, |count, axis| count.checked_mul(*axis));
        let filled = |known: usize| target.iter().map(|axis| axis.unwrap_or(values / known)).collect::<Vec<_>>();
        let fits = |shape: &Vec<usize>| shape.iter().try_fold(1_usize, |n, axis| n.checked_mul(*axis)) == Some(values);
        let shape = known.filter(|known| *known > 0).map(filled).filter(fits);
        shape.ok_or_else(|| {
            let target: Vec<_> =
                target.iter().map(|axis| axis.map_or("-1".to_owned(), |axis| axis.to_string())).collect();
            self.misfit(format!("it makes [{}], which has another number of values", target.join(", ")))
        })
    }

    /// `ZeroPadding2D`.
    pub fn padded(&self, padding: Padding2d) -> Result<Vec<usize>, KerasError> {
        let [rows, columns, channels] = self.map()?;
        self.sized(vec![rows + padding.top + padding.bottom, columns + padding.left + padding.right, channels])
    }

    /// `Conv2D`: window and output shape.
    pub fn convolved(&self, slide: Sliding, filters: usize) -> Result<(Window2d, Vec<usize>), KerasError> {
        let [rows, columns, _] = self.map()?;
        let padding = if slide.same {
            Padding2d::same([rows, columns], slide.kernel, slide.stride)
        } else {
            Padding2d::default()
        };
        let window = Window2d { kernel: slide.kernel, stride: slide.stride, padding };
        let [out_rows, out_columns] = window.output([rows, columns]).ok_or_else(|| {
            self.misfit(format!("its window of {}x{} does not fit", slide.kernel[0], slide.kernel[1]))
        })?;
        Ok((window, self.sized(vec![out_rows, out_columns, filters])?))
    }

    /// `Conv2DTranspose`: window over the output, and output shape (`deconv_output_length` of Keras 2.15).
    pub fn transposed(&self, slide: Sliding, filters: usize) -> Result<(Window2d, Vec<usize>), KerasError> {
        let [rows, columns, _] = self.map()?;
        let length = |input: usize, axis: usize| {
            let beyond = if slide.same { 0 } else { slide.kernel[axis].saturating_sub(slide.stride[axis]) };
            input.saturating_mul(slide.stride[axis]).saturating_add(beyond)
        };
        let (out_rows, out_columns) = (length(rows, 0), length(columns, 1));
        let shape = self.sized(vec![out_rows, out_columns, filters])?;
        let padding = if slide.same {
            Padding2d::same([out_rows, out_columns], slide.kernel, slide.stride)
        } else {
            Padding2d::default()
        };
        Ok((Window2d { kernel: slide.kernel, stride: slide.stride, padding }, shape))
    }
}

//! The layers off-chip: a chain of Keras layers to a [`FloatNetwork`].
//!
//! Quantized layers are allowed here too; their weights become the `f32` values that QKeras computes with.

use super::KerasError;
use super::accelerator::{attributes, unquantizable};
use super::config::{Function, LayerConfig, Weighted};
use super::graph::Step;
use super::quantizer::QuantizerConfig;
use super::shape::At;
use super::weights::{Variable, Weights};
use crate::net::{Activation, FloatNetwork, FloatNode, FloatOp};
use crate::num::cast;

const SUPPORTED: &str = "InputLayer, Dense, Conv2D, Conv2DTranspose, QDense, QConv2D, FQDense, FQConv2D, Activation, \
                         QActivation, Flatten, Reshape, ZeroPadding2D, Dropout";

/// Builds the network from the decoder's layers, the input layer first; `shape` is what the accelerator sends.
pub(super) fn build(
    name: &str,
    steps: &[Step<'_>],
    weights: &Weights<'_>,
    shape: &[usize],
    notes: &mut Vec<String>,
) -> Result<FloatNetwork, KerasError> {
    let input = steps.first().expect("a chain starts with its input layer").layer;
    // The input layer of a sequential model may be implied, without a shape.
    if !input.config.is_empty()
        && let Some(LayerConfig::Input(stated)) = LayerConfig::parse(input)?
        && stated != shape
    {
        return Err(At { layer: input, shape }.misfit(format!("it takes {stated:?}")));
    }
    let first = FloatNode { name: input.name.clone(), op: FloatOp::Input, input: 0, shape: shape.to_vec() };
    let mut builder = Builder { nodes: vec![first], weights, notes };
    for step in &steps[1..] {
        builder.step(step)?;
    }
    Ok(FloatNetwork::new(name, builder.nodes)?)
}

struct Builder<'a> {
    nodes: Vec<FloatNode>,
    weights: &'a Weights<'a>,
    notes: &'a mut Vec<String>,
}

impl Builder<'_> {
    fn step(&mut self, step: &Step<'_>) -> Result<(), KerasError> {
        let unsupported = || KerasError::UnsupportedLayer {
            layer: step.layer.name.clone(),
            class: step.layer.class.clone(),
            place: "in the decoder",
            supported: SUPPORTED,
        };
        let config = LayerConfig::parse(step.layer)?.ok_or_else(unsupported)?;
        if let LayerConfig::Dense(weighted) | LayerConfig::Conv2d(weighted, _) = &config
            && weighted.normalization.is_some()
        {
            return Err(unsupported());
        }
        let name = step.layer.name.as_str();
        let shape = self.shape().to_vec();
        let at = At { layer: step.layer, shape: &shape };
        match config {
            LayerConfig::Identity => {}
            LayerConfig::Activation(function) => self.function(step, name, &function)?,
            LayerConfig::Flatten => self.push(name, FloatOp::Reshape, at.flat()?),
            LayerConfig::Reshape(target) => self.push(name, FloatOp::Reshape, at.reshaped(&target)?),
            LayerConfig::ZeroPad2d(padding) => self.push(name, FloatOp::ZeroPad2d(padding), at.padded(padding)?),
            LayerConfig::Dense(weighted) => {
                let shape = [at.features()?, weighted.units];
                let (kernel, bias) = self.parameters(step, at, &weighted, &shape)?;
                self.push(name, FloatOp::Dense { kernel, bias }, vec![weighted.units]);
                self.function(step, &format!("{name}.activation"), &weighted.activation)?;
            }
            LayerConfig::Conv2d(weighted, slide) => {
                let (window, out) = at.convolved(slide, weighted.units)?;
                let shape = [slide.kernel[0], slide.kernel[1], at.map()?[2], weighted.units];
                let (kernel, bias) = self.parameters(step, at, &weighted, &shape)?;
                self.push(name, FloatOp::Conv2d { kernel, bias, window }, out);
                self.function(step, &format!("{name}.activation"), &weighted.activation)?;
            }
            LayerConfig::Conv2dTranspose(weighted, slide) => {
                let (window, out) = at.transposed(slide, weighted.units)?;
                let shape = [slide.kernel[0], slide.kernel[1], weighted.units, at.map()?[2]];
                let (kernel, bias) = self.parameters(step, at, &weighted, &shape)?;
                self.push(name, FloatOp::Conv2dTranspose { kernel, bias, window }, out);
                self.function(step, &format!("{name}.activation"), &weighted.activation)?;
            }
            LayerConfig::Input(_)
            | LayerConfig::DepthwiseConv2d(..)
            | LayerConfig::BatchNormalization(_)
            | LayerConfig::Pool(_)
            | LayerConfig::Add
            | LayerConfig::Rectifier(_) => return Err(unsupported()),
        }
        Ok(())
    }

    fn shape(&self) -> &[usize] {
        &self.nodes.last().expect("the input node comes first").shape
    }

    fn push(&mut self, name: &str, op: FloatOp, shape: Vec<usize>) {
        let input = self.nodes.len() - 1;
        self.nodes.push(FloatNode { name: name.to_owned(), op, input, shape });
    }

    fn function(&mut self, step: &Step<'_>, name: &str, function: &Function) -> Result<(), KerasError> {
        let op = match function {
            Function::Linear => return Ok(()),
            Function::Relu => FloatOp::Activation(Activation::Relu),
            Function::Sigmoid => FloatOp::Activation(Activation::Sigmoid),
            Function::Softmax => FloatOp::Activation(Activation::Softmax),
            Function::Quantizer(quantizer) => {
                FloatOp::Quantize(quantizer.plain_activation(&attributes(step), "activation")?)
            }
        };
        let shape = self.shape().to_vec();
        self.push(name, op, shape);
        Ok(())
    }

    fn parameters(
        &mut self,
        step: &Step<'_>,
        at: At<'_>,
        weighted: &Weighted,
        shape: &[usize],
    ) -> Result<(Vec<f32>, Vec<f32>), KerasError> {
        let shape = at.sized(shape.to_vec())?;
        let kernel = self.tensor(step, Variable::Kernel, &shape, weighted.kernel_quantizer.as_ref())?;
        if !weighted.use_bias {
            return Ok((kernel, vec![0.0; weighted.units]));
        }
        let bias = self.tensor(step, Variable::Bias, &[weighted.units], weighted.bias_quantizer.as_ref())?;
        Ok((kernel, bias))
    }

    fn tensor(
        &mut self,
        step: &Step<'_>,
        tensor: Variable,
        shape: &[usize],
        quantizer: Option<&QuantizerConfig>,
    ) -> Result<Vec<f32>, KerasError> {
        let values = self.weights.read(step, tensor, shape)?;
        let Some(quantizer) = quantizer else {
            return Ok(values);
        };
        let registers = quantizer
            .registers(shape, &values)
            .map_err(|why| unquantizable(why, step, tensor, self.weights, &values))?;
        let layer = &step.layer.name;
        self.notes.extend(registers.remarks.iter().map(|remark| format!("layer `{layer}`: {tensor}: {remark}")));
        let held = registers.tensor;
        Ok((0..held.len()).map(|index| cast::nearest_f32(held.value(index))).collect())
    }
}

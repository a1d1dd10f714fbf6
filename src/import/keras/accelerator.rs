//! The layers in hardware: a chain of Keras layers to a [`Network`] of integer operations.
//!
//! Whatever an integer register cannot follow exactly (float weights, float activations) is refused.

use super::KerasError;
use super::config::{Attributes, Function, LayerConfig, Weighted};
use super::graph::Step;
use super::quantizer::QuantizerConfig;
use super::registers::Unquantizable;
use super::shape::At;
use super::weights::Weights;
use crate::net::{Conv2d, Dense, NetError, Network, NetworkBuilder, NodeId, Op, TensorKind, WeightTensor};
use crate::num::Quantizer;

const SUPPORTED: &str = "InputLayer, QActivation, QDense, QConv2D, FQDense, FQConv2D, Activation (linear, relu), Flatten, \
                         Reshape, ZeroPadding2D, Dropout";
const FUNCTIONS: &str = "linear, relu, quantized_bits, quantized_relu";

/// Builds the network from the accelerator's layers, the input layer first.
///
/// Without `input_format` the input register takes the format of the `QActivation` that follows the input.
pub(super) fn build(
    name: &str,
    steps: &[Step<'_>],
    weights: &Weights<'_>,
    input_format: Option<Quantizer>,
    notes: &mut Vec<String>,
) -> Result<Network, KerasError> {
    // All layers are read before the first is built: a layer that cannot be built at all is the message to begin with.
    let configs = steps.iter().map(hardware).collect::<Result<Vec<_>, _>>()?;
    let [LayerConfig::Input(shape), rest @ ..] = &configs[..] else {
        return Err(unsupported(&steps[0]));
    };
    let shape = At { layer: steps[0].layer, shape }.sized(shape.clone())?;
    let (register, format) = match (input_format, rest) {
        (Some(format), _) => (0, format),
        (None, [LayerConfig::Activation(Function::Quantizer(quantizer)), ..]) => {
            (1, quantizer.activation(&attributes(&steps[1]), "activation")?)
        }
        (None, _) => return Err(KerasError::InputFormat { layer: steps[0].layer.name.clone() }),
    };
    let network = NetworkBuilder::new(name, &steps[register].layer.name, &shape, format)?;
    let mut builder = Builder { last: network.input(), network, weights, notes };
    for (step, config) in steps.iter().zip(&configs).skip(register + 1) {
        builder.step(step, config)?;
    }
    Ok(builder.network.finish()?)
}

/// The configuration of a layer that can stand in hardware.
fn hardware(step: &Step<'_>) -> Result<LayerConfig, KerasError> {
    match step.layer.class.as_str() {
        "Dense" | "Conv2D" | "Conv2DTranspose" => None,
        _ => LayerConfig::parse(step.layer)?,
    }
    .ok_or_else(|| unsupported(step))
}

struct Builder<'a> {
    network: NetworkBuilder,
    last: NodeId,
    weights: &'a Weights<'a>,
    notes: &'a mut Vec<String>,
}

impl Builder<'_> {
    fn step(&mut self, step: &Step<'_>, config: &LayerConfig) -> Result<(), KerasError> {
        let name = step.layer.name.as_str();
        let shape = self.network.shape(self.last).to_vec();
        let at = At { layer: step.layer, shape: &shape };
        match config {
            LayerConfig::Identity => {}
            LayerConfig::Activation(function) => self.function(step, name, function)?,
            LayerConfig::Flatten => self.last = self.network.reshape(name, self.last, at.flat()?)?,
            LayerConfig::Reshape(target) => {
                self.last = self.network.reshape(name, self.last, at.reshaped(target)?)?;
            }
            LayerConfig::ZeroPad2d(padding) => {
                at.padded(*padding)?;
                self.push(name, Op::ZeroPad2d(*padding))?;
            }
            LayerConfig::Dense(weighted) => {
                let shape = [at.features()?, weighted.units];
                let (kernel, bias) = self.parameters(step, at, weighted, &shape)?;
                self.push(name, Op::Dense(Dense { kernel, bias }))?;
                self.function(step, &format!("{name}.activation"), &weighted.activation)?;
            }
            LayerConfig::Conv2d(weighted, slide) => {
                let (window, _) = at.convolved(*slide, weighted.units)?;
                let shape = [slide.kernel[0], slide.kernel[1], at.map()?[2], weighted.units];
                let (kernel, bias) = self.parameters(step, at, weighted, &shape)?;
                self.push(name, Op::Conv2d(Conv2d { kernel, bias, window }))?;
                self.function(step, &format!("{name}.activation"), &weighted.activation)?;
            }
            LayerConfig::Input(_) | LayerConfig::Conv2dTranspose(..) => return Err(unsupported(step)),
        }
        Ok(())
    }

    fn push(&mut self, name: &str, op: Op) -> Result<(), KerasError> {
        self.last = self.network.push(name, op, &[self.last])?;
        Ok(())
    }

    fn function(&mut self, step: &Step<'_>, name: &str, function: &Function) -> Result<(), KerasError> {
        let at = attributes(step);
        match function {
            Function::Linear => Ok(()),
            Function::Relu => self.push(name, Op::Relu),
            Function::Quantizer(quantizer) => self.push(name, Op::Quantize(quantizer.activation(&at, "activation")?)),
            Function::Sigmoid | Function::Softmax => {
                let value = at.config.get("activation").unwrap_or(&serde_json::Value::Null);
                Err(at.unsupported("activation", value, &format!("{FUNCTIONS} (in the accelerator)")))
            }
        }
    }

    fn parameters(
        &mut self,
        step: &Step<'_>,
        at: At<'_>,
        weighted: &Weighted,
        shape: &[usize],
    ) -> Result<(WeightTensor, Option<WeightTensor>), KerasError> {
        let shape = at.sized(shape.to_vec())?;
        let needed = |attribute: &str| {
            let expected = "quantized_bits or quantized_relu (weights in hardware are fixed-point)";
            attributes(step).missing(attribute, expected)
        };
        let kernel = weighted.kernel_quantizer.as_ref().ok_or_else(|| needed("kernel_quantizer"))?;
        let kernel = self.registers(step, TensorKind::Kernel, &shape, kernel)?;
        if !weighted.use_bias {
            return Ok((kernel, None));
        }
        let bias = weighted.bias_quantizer.as_ref().ok_or_else(|| needed("bias_quantizer"))?;
        let bias = self.registers(step, TensorKind::Bias, &[weighted.units], bias)?;
        Ok((kernel, Some(bias)))
    }

    fn registers(
        &mut self,
        step: &Step<'_>,
        tensor: TensorKind,
        shape: &[usize],
        quantizer: &QuantizerConfig,
    ) -> Result<WeightTensor, KerasError> {
        let values = self.weights.read(step, tensor, shape)?;
        let registers = quantizer
            .registers(shape, &values)
            .map_err(|why| unquantizable(why, step, tensor, self.weights.file(), &values))?;
        let layer = &step.layer.name;
        self.notes.extend(registers.remarks.iter().map(|remark| format!("layer `{layer}`: {tensor}: {remark}")));
        Ok(registers.tensor)
    }
}

/// The error of a tensor that cannot be quantized.
pub(super) fn unquantizable(
    why: Unquantizable,
    step: &Step<'_>,
    tensor: TensorKind,
    file: &str,
    values: &[f32],
) -> KerasError {
    let layer = step.layer.name.clone();
    match why {
        Unquantizable::Value(index) => {
            KerasError::WeightValue { file: file.to_owned(), layer, tensor, index, value: values[index] }
        }
        Unquantizable::Format(source) => KerasError::Format {
            layer,
            class: step.layer.class.clone(),
            attribute: format!("{tensor}_quantizer"),
            source,
        },
        Unquantizable::Tensor(source) => NetError::Tensor { layer, tensor, source }.into(),
    }
}

/// The attributes of a layer.
pub(super) fn attributes<'m>(step: &Step<'m>) -> Attributes<'m> {
    Attributes { layer: &step.layer.name, class: &step.layer.class, config: &step.layer.config }
}

fn unsupported(step: &Step<'_>) -> KerasError {
    KerasError::UnsupportedLayer {
        layer: step.layer.name.clone(),
        class: step.layer.class.clone(),
        place: "in the accelerator",
        supported: SUPPORTED,
    }
}

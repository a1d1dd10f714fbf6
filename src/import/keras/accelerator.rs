//! The layers in hardware: a graph of Keras layers to a [`Network`] of integer operations.
//!
//! Whatever an integer register cannot follow exactly (float weights, float activations) is refused.

use super::KerasError;
use super::attributes::Attributes;
use super::config::{Function, LayerConfig, Normalization, Pool, Rectifier, Weighted};
use super::graph::Step;
use super::normalization::{Folded, ScaleAndShift};
use super::pooling;
use super::quantizer::QuantizerConfig;
use super::registers::{Registers, Unquantizable};
use super::shape::At;
use super::weights::{Variable, Weights};
use crate::net::{
    Conv2d, Dense, DepthwiseConv2d, NetError, Network, NetworkBuilder, NodeId, Op, Padding2d, WeightTensor, Window2d,
};
use crate::num::{Quantizer, cast};

const SUPPORTED: &str = "InputLayer, QActivation, QDense, QConv2D, QDepthwiseConv2D, FQDense, FQConv2D, QDenseBatchnorm, \
                         QConv2DBatchnorm, QDepthwiseConv2DBatchnorm, BatchNormalization, MaxPooling2D, \
                         AveragePooling2D, QAveragePooling2D, their global forms, Add, Activation (linear, relu; softmax \
                         at the end), ReLU, LeakyReLU, Softmax (at the end), Flatten, Reshape, ZeroPadding2D, Dropout";
const FUNCTIONS: &str = "linear, relu, quantized_bits, quantized_relu";

/// What the model file does not say of the accelerator.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Formats {
    /// Format of the input register.
    pub input: Option<Quantizer>,
    /// Format of scales and shifts of batch normalizations that are not folded.
    pub normalization: Option<Quantizer>,
}

/// The accelerator, what its registers were rounded from, and whether a softmax at its end was left to the host.
pub(super) struct Built {
    pub network: Network,
    pub trained: Vec<f64>,
    pub is_classifier: bool,
}

/// Builds the network from the accelerator's layers, the input layer first, the output layer last.
///
/// Without a format for it the input register takes that of the `QActivation` that follows the input.
pub(super) fn build(
    name: &str,
    steps: &[Step<'_>],
    weights: &Weights<'_>,
    formats: Formats,
    notes: &mut Vec<String>,
) -> Result<Built, KerasError> {
    // All layers are read before the first is built: a layer that cannot be built at all is the message to begin with.
    let configs = steps.iter().map(hardware).collect::<Result<Vec<_>, _>>()?;
    let [LayerConfig::Input(shape), rest @ ..] = &configs[..] else {
        return Err(unsupported(&steps[0]));
    };
    let shape = At { layer: steps[0].layer, shape }.sized(shape.clone())?;
    let reads_input = steps.iter().filter(|step| step.inputs.contains(&0)).count();
    let (register, format) = match (formats.input, rest) {
        (Some(format), _) => (0, format),
        (None, [LayerConfig::Activation(Function::Quantizer(quantizer)), ..]) if reads_input == 1 => {
            (1, quantizer.plain_activation(&attributes(&steps[1]), "activation")?)
        }
        (None, _) => return Err(KerasError::InputFormat { layer: steps[0].layer.name.clone() }),
    };
    let network = NetworkBuilder::new(name, &steps[register].layer.name, &shape, format)?;
    let input = network.input();
    let mut builder = Builder {
        last: input,
        network,
        trained: Vec::new(),
        weights,
        notes,
        formats,
        is_end: false,
        is_classifier: false,
    };
    let mut outputs = vec![input; register + 1];
    for (index, (step, config)) in steps.iter().zip(&configs).enumerate().skip(register + 1) {
        let inputs: Vec<NodeId> = step.inputs.iter().map(|source| outputs[*source]).collect();
        builder.last = *inputs.first().expect("only the input layer reads none");
        builder.is_end = index + 1 == steps.len();
        builder.step(step, config, &inputs)?;
        outputs.push(builder.last);
    }
    let Builder { network, trained, is_classifier, .. } = builder;
    Ok(Built { network: network.finish()?, trained, is_classifier })
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
    /// The node that the layer at work goes on from.
    last: NodeId,
    /// What registers were rounded from, tensor by tensor as they are built.
    trained: Vec<f64>,
    weights: &'a Weights<'a>,
    notes: &'a mut Vec<String>,
    formats: Formats,
    /// Whether the layer at work is the last.
    is_end: bool,
    is_classifier: bool,
}

impl Builder<'_> {
    fn step(&mut self, step: &Step<'_>, config: &LayerConfig, inputs: &[NodeId]) -> Result<(), KerasError> {
        let name = step.layer.name.as_str();
        let shape = self.network.shape(self.last).to_vec();
        let at = At { layer: step.layer, shape: &shape };
        match config {
            LayerConfig::Identity => {}
            LayerConfig::Activation(function) => self.function(step, name, function)?,
            LayerConfig::Rectifier(rectifier) => self.rectifier(step, *rectifier)?,
            LayerConfig::Flatten => self.last = self.network.reshape(name, self.last, at.flat()?)?,
            LayerConfig::Reshape(target) => {
                self.last = self.network.reshape(name, self.last, at.reshaped(target)?)?;
            }
            LayerConfig::ZeroPad2d(padding) => {
                at.padded(*padding)?;
                self.push(name, Op::ZeroPad2d(*padding))?;
            }
            LayerConfig::Add => self.last = self.network.push(name, Op::Add, inputs)?,
            LayerConfig::Pool(pool) => self.pool(step, at, pool)?,
            LayerConfig::BatchNormalization(normalization) => self.scale_and_shift(step, &shape, *normalization)?,
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
            LayerConfig::DepthwiseConv2d(weighted, slide) => {
                let channels = at.map()?[2];
                let (window, _) = at.convolved(*slide, channels.saturating_mul(weighted.units))?;
                let shape = [slide.kernel[0], slide.kernel[1], channels, weighted.units];
                let (kernel, bias) = self.parameters(step, at, weighted, &shape)?;
                let kernel = by_output(&kernel).map_err(|why| self.unquantizable(why, step, weighted.kernel, &[]))?;
                self.push(name, Op::DepthwiseConv2d(DepthwiseConv2d { kernel, bias, window }))?;
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
            Function::Quantizer(quantizer) => self.activation(&at, name, quantizer),
            Function::Softmax if self.is_end => {
                self.is_classifier = true;
                let layer = &step.layer.name;
                self.notes.push(format!(
                    "layer `{layer}`: the output is the logits; softmax is computed off-chip and does not change the class"
                ));
                Ok(())
            }
            Function::Sigmoid | Function::Softmax => {
                let softmax = serde_json::Value::from("softmax");
                let value = at.config.get("activation").unwrap_or(&softmax);
                let supported = format!("{FUNCTIONS} (in the accelerator; softmax at its end alone)");
                Err(at.unsupported("activation", value, &supported))
            }
        }
    }

    fn activation(&mut self, at: &Attributes<'_>, name: &str, quantizer: &QuantizerConfig) -> Result<(), KerasError> {
        let activated = quantizer.activation(at, "activation")?;
        if let Some(bound) = quantizer.idle_bound {
            self.notes.push(format!(
                "layer `{}`: relu_upper_bound = {bound} has no effect: the file does not say is_quantized_clip = false, so \
                 QKeras clips at {}",
                at.layer,
                activated.quantizer.format.value(activated.quantizer.format.max_raw())
            ));
        }
        if let Some(shift) = activated.leak {
            self.push(&format!("{name}.leaky"), Op::LeakyRelu { shift })?;
        }
        self.push(name, Op::Quantize(activated.quantizer))?;
        if let Some((low, high)) = activated.clip {
            self.push(&format!("{name}.clip"), Op::Clip { low, high })?;
        }
        Ok(())
    }

    /// A layer that is a rectifier.
    fn rectifier(&mut self, step: &Step<'_>, rectifier: Rectifier) -> Result<(), KerasError> {
        let name = step.layer.name.as_str();
        match rectifier.shift {
            None => self.push(name, Op::Relu)?,
            // A slope of 1 changes nothing.
            Some(0) => {}
            Some(shift) => self.push(name, Op::LeakyRelu { shift })?,
        }
        let Some(max) = rectifier.max else {
            return Ok(());
        };
        let signal = self.network.signal(self.last);
        if max >= signal.value(signal.high) {
            return Ok(());
        }
        // Below the largest value, so its integer fits.
        let high = max * f64::from(signal.frac_bits).exp2();
        if high.fract() != 0.0 {
            let at = attributes(step);
            let supported = format!("a multiple of the step of its input, 2^{}", -signal.frac_bits);
            return Err(at.unsupported("max_value", &max.into(), &supported));
        }
        let high = cast::floor_i64(high);
        self.push(&format!("{name}.clip"), Op::Clip { low: signal.low.min(high), high })
    }

    fn pool(&mut self, step: &Step<'_>, at: At<'_>, pool: &Pool) -> Result<(), KerasError> {
        let name = step.layer.name.as_str();
        let (op, note) = pooling::operation(pool, at, &attributes(step))?;
        self.notes.extend(note);
        self.push(name, op)?;
        if pool.slide.is_none() && !pool.keep_dims {
            let channels = self.network.shape(self.last)[2];
            self.last = self.network.reshape(&format!("{name}.flat"), self.last, vec![channels])?;
        }
        self.function(step, &format!("{name}.activation"), &pool.activation)
    }

    /// A batch normalization that stands by itself: a depthwise convolution of 1x1, on vectors between two reshapes.
    fn scale_and_shift(
        &mut self,
        step: &Step<'_>,
        shape: &[usize],
        normalization: Normalization,
    ) -> Result<(), KerasError> {
        let name = step.layer.name.as_str();
        if !matches!(shape.len(), 1 | 3) {
            return Err(
                At { layer: step.layer, shape }.misfit("it takes [features] or [rows, columns, channels]".to_owned())
            );
        }
        let statistics = normalization.read(self.weights, step, shape)?;
        let ScaleAndShift { scale: kernel, shift: bias, trained, note } =
            statistics.scale_and_shift(name, self.formats.normalization)?;
        self.trained.extend(trained);
        self.notes.push(note);
        let channels = kernel.channels();
        if shape.len() == 1 {
            self.last = self.network.reshape(&format!("{name}.map"), self.last, vec![1, 1, channels])?;
        }
        let window = Window2d { kernel: [1, 1], stride: [1, 1], padding: Padding2d::default() };
        self.push(name, Op::DepthwiseConv2d(DepthwiseConv2d { kernel, bias: Some(bias), window }))?;
        if shape.len() == 1 {
            self.last = self.network.reshape(&format!("{name}.flat"), self.last, vec![channels])?;
        }
        Ok(())
    }

    fn parameters(
        &mut self,
        step: &Step<'_>,
        at: At<'_>,
        weighted: &Weighted,
        shape: &[usize],
    ) -> Result<(WeightTensor, Option<WeightTensor>), KerasError> {
        let shape = at.sized(shape.to_vec())?;
        let needed = |variable: Variable| {
            let expected = "quantized_bits or quantized_relu (weights in hardware are fixed-point)";
            attributes(step).missing(variable.quantizer(), expected)
        };
        let kernel = weighted.kernel_quantizer.as_ref().ok_or_else(|| needed(weighted.kernel))?;
        let bias = weighted.bias_quantizer.as_ref();
        if let Some(normalization) = weighted.normalization {
            let bias = bias.ok_or_else(|| needed(Variable::Bias))?;
            return self.folded(step, weighted, &shape, normalization, [kernel, bias]);
        }
        let values = self.weights.read(step, weighted.kernel, &shape)?;
        let kernel = self.registers(step, weighted.kernel, &shape, kernel, &values)?.tensor;
        if !weighted.use_bias {
            return Ok((kernel, None));
        }
        let bias = bias.ok_or_else(|| needed(Variable::Bias))?;
        let shape = [outputs(weighted, &shape)];
        let values = self.weights.read(step, Variable::Bias, &shape)?;
        let bias = self.registers(step, Variable::Bias, &shape, bias, &values)?.tensor;
        Ok((kernel, Some(bias)))
    }

    /// Kernel and bias with the layer's batch normalization folded in.
    fn folded(
        &mut self,
        step: &Step<'_>,
        weighted: &Weighted,
        shape: &[usize],
        normalization: Normalization,
        [kernel_quantizer, bias_quantizer]: [&QuantizerConfig; 2],
    ) -> Result<(WeightTensor, Option<WeightTensor>), KerasError> {
        let channels = outputs(weighted, shape);
        let map = if shape.len() == 4 { vec![1, 1, channels] } else { vec![channels] };
        let statistics = normalization.read(self.weights, step, &map)?;
        let kernel = self.weights.read(step, weighted.kernel, shape)?;
        // In C order the outputs of a kernel are its last axis, of a depthwise kernel its last two.
        let kernel = statistics.folded_kernel(&kernel, |index| index % channels);
        let bias = weighted.use_bias.then(|| self.weights.read(step, Variable::Bias, &[channels])).transpose()?;
        let bias = statistics.folded_bias(bias.as_deref());
        let kernel = self.folded_registers(step, weighted.kernel, shape, kernel_quantizer, &kernel)?;
        let bias = self.folded_registers(step, Variable::Bias, &[channels], bias_quantizer, &bias)?;
        Ok((kernel, Some(bias)))
    }

    fn folded_registers(
        &mut self,
        step: &Step<'_>,
        variable: Variable,
        shape: &[usize],
        quantizer: &QuantizerConfig,
        folded: &Folded,
    ) -> Result<WeightTensor, KerasError> {
        let registers = self.registers(step, variable, shape, quantizer, &folded.values)?;
        let ties = if quantizer.has_found_scale() {
            Vec::new()
        } else {
            let format = quantizer
                .format()
                .map_err(|why| self.unquantizable(Unquantizable::Format(why), step, variable, &folded.values))?;
            folded.near_ties(&registers, format)
        };
        if let Some(first) = ties.first() {
            self.notes.push(format!(
                "layer `{}`: folded {variable}: {} of {} values (the first is {first}) lie so near between two register \
                 values that TensorFlow's float32 square root, which depends on the processor, may choose the other",
                step.layer.name,
                ties.len(),
                folded.values.len()
            ));
        }
        Ok(registers.tensor)
    }

    /// The registers of one tensor. Kernels come before biases, layer by layer.
    fn registers(
        &mut self,
        step: &Step<'_>,
        variable: Variable,
        shape: &[usize],
        quantizer: &QuantizerConfig,
        values: &[f32],
    ) -> Result<Registers, KerasError> {
        let registers =
            quantizer.registers(shape, values).map_err(|why| self.unquantizable(why, step, variable, values))?;
        self.trained.extend(values.iter().map(|value| f64::from(*value)));
        let layer = &step.layer.name;
        self.notes.extend(registers.remarks.iter().map(|remark| format!("layer `{layer}`: {variable}: {remark}")));
        Ok(registers)
    }

    fn unquantizable(&self, why: Unquantizable, step: &Step<'_>, variable: Variable, values: &[f32]) -> KerasError {
        unquantizable(why, step, variable, self.weights, values)
    }
}

/// Number of a layer's output channels, by the shape of its kernel.
fn outputs(weighted: &Weighted, kernel: &[usize]) -> usize {
    match (weighted.kernel, kernel) {
        (Variable::DepthwiseKernel, [.., inputs, each]) => inputs * each,
        _ => weighted.units,
    }
}

/// A depthwise kernel `[row, column, in, outputs of each]` as `[row, column, out]`: the same values in the same order, and
/// a scale per output instead of one for all inputs.
fn by_output(kernel: &WeightTensor) -> Result<WeightTensor, Unquantizable> {
    let &[rows, columns, inputs, each] = kernel.shape() else { unreachable!("a depthwise kernel has four axes") };
    let shifts = kernel.channel_shift().repeat(inputs);
    WeightTensor::with_channel_shift(vec![rows, columns, inputs * each], kernel.raw().to_vec(), kernel.format(), shifts)
        .map_err(Unquantizable::Tensor)
}

/// The error of a tensor that cannot be quantized.
pub(super) fn unquantizable(
    why: Unquantizable,
    step: &Step<'_>,
    variable: Variable,
    weights: &Weights<'_>,
    values: &[f32],
) -> KerasError {
    let layer = step.layer.name.clone();
    match why {
        Unquantizable::Value(index) => weights.bad_value(step, variable, (index, values[index])),
        Unquantizable::Format(source) => KerasError::Format {
            layer,
            class: step.layer.class.clone(),
            attribute: variable.quantizer().to_owned(),
            source,
        },
        Unquantizable::Tensor(source) => NetError::Tensor { layer, tensor: variable.registers(), source }.into(),
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

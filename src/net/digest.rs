//! Fingerprints: what the registers and the arithmetic of a network are, whatever file it came from.

use std::fmt;

use sha2::{Digest, Sha256};

use super::{FloatNetwork, FloatOp, Network, Op, Padding2d, WeightTensor, Window2d};
use crate::num::cast::i64_from_len;

/// SHA-256 over everything that decides what the accelerator computes: names, operations, shapes, formats, weights.
///
/// Two designs have the same fingerprint exactly when their registers and arithmetic are the same, so a protection plan
/// or an oracle made for one is valid for the other. Text form: 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Fingerprint {
    /// The fingerprint of `bytes` alone, for whole files.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl Network {
    /// The network's fingerprint. The name of the network itself does not enter, so a renamed copy keeps its plans.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hash = FingerprintBuilder::new("trivote network 1");
        for node in self.nodes() {
            hash.text(&node.name);
            hash.numbers(node.inputs.iter().map(|id| i64::from(id.0)));
            hash.lengths(&node.shape);
            match &node.op {
                Op::Input(quantizer) => hash.text(&format!("input {quantizer}")),
                Op::Quantize(quantizer) => hash.text(&format!("quantize {quantizer}")),
                Op::Relu => hash.text("relu"),
                Op::Reshape => hash.text("reshape"),
                Op::ZeroPad2d(p) => {
                    hash.text(&format!("zero_pad2d {} {} {} {}", p.top, p.bottom, p.left, p.right));
                }
                Op::Dense(_) => hash.text("dense"),
                Op::Conv2d(conv) => hash.slide("conv2d", &conv.window),
                Op::DepthwiseConv2d(conv) => hash.slide("depthwise_conv2d", &conv.window),
                Op::MaxPool2d(window) => hash.slide("max_pool2d", window),
                Op::AveragePool2d(pool) => {
                    hash.slide(&format!("average_pool2d {}", pool.reciprocal_bits), &pool.window);
                }
                Op::Add => hash.text("add"),
                Op::LeakyRelu { shift } => hash.text(&format!("leaky_relu {shift}")),
                Op::Clip { low, high } => hash.text(&format!("clip {low} {high}")),
            }
            for (kind, tensor) in node.op.tensors() {
                hash.text(&kind.to_string());
                hash.tensor(tensor);
            }
        }
        hash.finish()
    }
}

impl FloatNetwork {
    /// Fingerprint of what the network computes; names do not enter.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hash = FingerprintBuilder::new("trivote float network 1");
        for node in self.nodes() {
            hash.lengths(&[node.input]);
            hash.lengths(&node.shape);
            match &node.op {
                FloatOp::Input => hash.text("input"),
                FloatOp::Reshape => hash.text("reshape"),
                FloatOp::Dense { kernel, bias } => {
                    hash.text("dense");
                    hash.parameters(kernel);
                    hash.parameters(bias);
                }
                FloatOp::Conv2d { kernel, bias, window } => {
                    hash.text("conv2d");
                    hash.window(window);
                    hash.parameters(kernel);
                    hash.parameters(bias);
                }
                FloatOp::Conv2dTranspose { kernel, bias, window } => {
                    hash.text("conv2d transposed");
                    hash.window(window);
                    hash.parameters(kernel);
                    hash.parameters(bias);
                }
                FloatOp::ZeroPad2d(padding) => {
                    hash.text("zero_pad2d");
                    hash.padding(*padding);
                }
                FloatOp::Activation(activation) => hash.text(&format!("activation {activation:?}")),
                FloatOp::Quantize(quantizer) => hash.text(&format!("quantize {quantizer}")),
            }
        }
        hash.finish()
    }
}

/// Collects the fields of a [`Fingerprint`], each with its length, so that no two different sequences give the same
/// bytes.
#[derive(Debug, Clone)]
pub struct FingerprintBuilder(Sha256);

impl FingerprintBuilder {
    /// Begins a fingerprint; `purpose` sets it apart from fingerprints of other things.
    pub fn new(purpose: &str) -> Self {
        let mut builder = Self(Sha256::new());
        builder.text(purpose);
        builder
    }

    /// Adds a text.
    pub fn text(&mut self, text: &str) {
        self.lengths(&[text.len()]);
        self.0.update(text.as_bytes());
    }

    /// Adds whole numbers.
    pub fn numbers(&mut self, numbers: impl ExactSizeIterator<Item = i64>) {
        self.length(numbers.len());
        for number in numbers {
            self.0.update(number.to_le_bytes());
        }
    }

    /// Adds numbers, bit for bit.
    pub fn floats(&mut self, numbers: impl ExactSizeIterator<Item = f64>) {
        self.length(numbers.len());
        for number in numbers {
            self.0.update(number.to_bits().to_le_bytes());
        }
    }

    /// Adds the fingerprint of a part.
    pub fn part(&mut self, part: Fingerprint) {
        self.0.update(part.0);
    }

    /// The fingerprint of all that was added.
    pub fn finish(self) -> Fingerprint {
        Fingerprint(self.0.finalize().into())
    }

    /// Adds an operation that slides a window.
    fn slide(&mut self, name: &str, window: &Window2d) {
        let p = &window.padding;
        self.text(&format!("{name} {:?} {:?}", window.kernel, window.stride));
        self.text(&format!("padding {} {} {} {}", p.top, p.bottom, p.left, p.right));
    }

    fn length(&mut self, length: usize) {
        self.0.update(i64_from_len(length).to_le_bytes());
    }

    fn lengths(&mut self, lengths: &[usize]) {
        self.numbers(lengths.iter().map(|length| i64_from_len(*length)));
    }

    fn tensor(&mut self, tensor: &WeightTensor) {
        self.text(&tensor.format().to_string());
        self.lengths(tensor.shape());
        self.numbers(tensor.channel_shift().iter().map(|shift| i64::from(*shift)));
        self.numbers(tensor.raw().iter().copied());
    }

    fn window(&mut self, window: &Window2d) {
        self.lengths(&window.kernel);
        self.lengths(&window.stride);
        self.padding(window.padding);
    }

    fn padding(&mut self, padding: Padding2d) {
        self.lengths(&[padding.top, padding.bottom, padding.left, padding.right]);
    }

    fn parameters(&mut self, values: &[f32]) {
        self.floats(values.iter().copied().map(f64::from));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Dense, NetworkBuilder, TensorKind};
    use super::*;
    use crate::num::{QFormat, qkeras};

    fn network(name: &str, layer: &str, weights: Vec<i64>) -> Network {
        let input = qkeras::quantized_relu(4, 1).unwrap();
        let mut builder = NetworkBuilder::new(name, "x", &[2], input).unwrap();
        let kernel = WeightTensor::new(vec![2, 1], weights, QFormat::signed(4, 2).unwrap()).unwrap();
        let source = builder.input();
        builder.push(layer, Op::Dense(Dense { kernel, bias: None }), &[source]).unwrap();
        builder.finish().unwrap()
    }

    #[test]
    fn it_sees_weights_and_layer_names_but_not_the_design_name() {
        let base = network("a", "dense", vec![1, 2]);
        assert_eq!(base.fingerprint(), network("b", "dense", vec![1, 2]).fingerprint());
        assert_ne!(base.fingerprint(), network("a", "other", vec![1, 2]).fingerprint());
        assert_ne!(base.fingerprint(), network("a", "dense", vec![2, 1]).fingerprint());
        let faulty = base.with_weight(super::super::NodeId(1), TensorKind::Kernel, 0, -1).unwrap();
        assert_ne!(base.fingerprint(), faulty.fingerprint());
        assert_eq!(base.fingerprint().to_string().len(), 64);
    }
}

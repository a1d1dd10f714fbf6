//! What stands in hardware and what runs off-chip: tables for people, JSON for machines.

use serde::Serialize;

use super::{Side, TextTable, grouped};
use crate::hw::Inventory;
use crate::net::{Activation, FloatNetwork, FloatOp, Network, Node, Op, TensorKind, Window2d};
use crate::num::Quantizer;

#[derive(Serialize)]
struct NetworkFile {
    accelerator: String,
    fingerprint: String,
    kernel_bits: usize,
    bias_bits: usize,
    stages: Vec<Stage>,
    off_chip: Option<OffChip>,
}

#[derive(Serialize)]
struct Stage {
    name: String,
    operation: String,
    inputs: Vec<String>,
    output_shape: Vec<usize>,
    output_bits: u32,
    output_frac_bits: i32,
    registers: Vec<Registers>,
}

#[derive(Serialize)]
struct Registers {
    tensor: TensorKind,
    shape: Vec<usize>,
    format: String,
    bits: usize,
    /// Exponents of the power-of-two scales per output channel, where any is not zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_shift: Option<Vec<i32>>,
    /// What the registers hold, in C order.
    raw: Vec<i64>,
}

#[derive(Serialize)]
struct OffChip {
    name: String,
    layers: Vec<OffChipLayer>,
}

#[derive(Serialize)]
struct OffChipLayer {
    name: String,
    operation: String,
    output_shape: Vec<usize>,
    parameters: usize,
}

/// Everything about a design that does not depend on how it is built: layers, formats, register contents.
pub fn network_json(network: &Network, off_chip: Option<&FloatNetwork>, inventory: &Inventory) -> String {
    let stages = network.nodes().iter().map(|node| Stage {
        name: node.name.clone(),
        operation: operation(node),
        inputs: node.inputs.iter().map(|id| network.node(*id).name.clone()).collect(),
        output_shape: node.shape.clone(),
        output_bits: node.signal.width_bits(),
        output_frac_bits: node.signal.frac_bits,
        registers: node
            .op
            .tensors()
            .map(|(tensor, registers)| Registers {
                tensor,
                shape: registers.shape().to_vec(),
                format: registers.format().to_string(),
                bits: registers.len() * usize::from(registers.format().width()),
                channel_shift: registers
                    .channel_shift()
                    .iter()
                    .any(|shift| *shift != 0)
                    .then(|| registers.channel_shift().to_vec()),
                raw: registers.raw().to_vec(),
            })
            .collect(),
    });
    let file = NetworkFile {
        accelerator: network.name().to_owned(),
        fingerprint: network.fingerprint().to_string(),
        kernel_bits: inventory.tensor_bits(TensorKind::Kernel),
        bias_bits: inventory.tensor_bits(TensorKind::Bias),
        stages: stages.collect(),
        off_chip: off_chip.map(|decoder| OffChip {
            name: decoder.name().to_owned(),
            layers: decoder
                .nodes()
                .iter()
                .map(|node| OffChipLayer {
                    name: node.name.clone(),
                    operation: float_operation(&node.op).to_owned(),
                    output_shape: node.shape.clone(),
                    parameters: parameters(&node.op),
                })
                .collect(),
        }),
    };
    let mut text = serde_json::to_string(&file).expect("strings and numbers have a JSON form");
    text.push('\n');
    text
}

/// The accelerator's stages for people.
pub fn stage_table(network: &Network) -> String {
    let mut table = TextTable::new(&[
        ("stage", Side::Left),
        ("operation", Side::Left),
        ("output", Side::Left),
        ("output bits", Side::Right),
        ("kernel registers", Side::Left),
        ("bias registers", Side::Left),
        ("bits", Side::Right),
    ]);
    for node in network.nodes() {
        let registers = |kind| {
            node.op.tensor(kind).map_or(String::new(), |tensor| {
                let scaled = if tensor.channel_shift().iter().any(|shift| *shift != 0) { ", scaled" } else { "" };
                format!("{} x {}{scaled}", grouped(tensor.len()), tensor.format())
            })
        };
        let bits: usize =
            node.op.tensors().map(|(_, tensor)| tensor.len() * usize::from(tensor.format().width())).sum();
        table.row([
            node.name.clone(),
            operation(node),
            shape(&node.shape),
            format!("{} (frac {})", node.signal.width_bits(), node.signal.frac_bits),
            registers(TensorKind::Kernel),
            registers(TensorKind::Bias),
            if bits == 0 { String::new() } else { grouped(bits) },
        ]);
    }
    table.to_string()
}

/// The off-chip layers for people.
pub fn off_chip_table(network: &FloatNetwork) -> String {
    let mut table = TextTable::new(&[
        ("layer", Side::Left),
        ("operation", Side::Left),
        ("output", Side::Left),
        ("parameters", Side::Right),
    ]);
    for node in network.nodes() {
        let count = parameters(&node.op);
        let count = if count == 0 { String::new() } else { grouped(count) };
        table.row([node.name.clone(), float_operation(&node.op).to_owned(), shape(&node.shape), count]);
    }
    table.to_string()
}

fn shape(shape: &[usize]) -> String {
    shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("x")
}

fn operation(node: &Node) -> String {
    match &node.op {
        Op::Input(quantizer) => format!("input, {}", short(*quantizer)),
        Op::Dense(dense) => format!("dense {}", shape(dense.kernel.shape())),
        Op::Conv2d(conv) => format!("conv2d {} {}", shape(conv.kernel.shape()), stride(&conv.window)),
        Op::DepthwiseConv2d(conv) if conv.is_pointwise() => "scale and shift".to_owned(),
        Op::DepthwiseConv2d(conv) => {
            format!("depthwise conv2d {} {}", shape(conv.kernel.shape()), stride(&conv.window))
        }
        Op::MaxPool2d(window) => format!("max pool {} {}", shape(&window.kernel), stride(window)),
        Op::AveragePool2d(pool) => format!("average pool {} {}", shape(&pool.window.kernel), stride(&pool.window)),
        Op::Add => "add".to_owned(),
        Op::LeakyRelu { shift } => format!("leaky relu, slope 2^-{shift}"),
        Op::Clip { low, high } => format!("clip to {} .. {}", node.signal.value(*low), node.signal.value(*high)),
        Op::Quantize(quantizer) => short(*quantizer),
        Op::Relu => "relu".to_owned(),
        Op::Reshape => "reshape".to_owned(),
        Op::ZeroPad2d(_) => "zero padding".to_owned(),
    }
}

fn stride(window: &Window2d) -> String {
    let [rows, columns] = window.stride;
    if rows == columns { format!("stride {rows}") } else { format!("stride {rows}x{columns}") }
}

/// A quantizer in words that a table can break between.
fn short(quantizer: Quantizer) -> String {
    let mode = |name: &str| name.trim_start_matches("AP_").to_owned();
    format!("{} {} {}", quantizer.format, mode(quantizer.rounding.ap_name()), mode(quantizer.overflow.ap_name()))
}

const fn float_operation(op: &FloatOp) -> &'static str {
    match op {
        FloatOp::Input => "input",
        FloatOp::Dense { .. } => "dense",
        FloatOp::Conv2d { .. } => "conv2d",
        FloatOp::Conv2dTranspose { .. } => "conv2d transposed",
        FloatOp::ZeroPad2d(_) => "zero padding",
        FloatOp::Reshape => "reshape",
        FloatOp::Activation(Activation::Linear) => "linear",
        FloatOp::Activation(Activation::Relu) => "relu",
        FloatOp::Activation(Activation::Sigmoid) => "sigmoid",
        FloatOp::Activation(Activation::Softmax) => "softmax",
        FloatOp::Quantize(_) => "quantize",
    }
}

const fn parameters(op: &FloatOp) -> usize {
    match op {
        FloatOp::Dense { kernel, bias }
        | FloatOp::Conv2d { kernel, bias, .. }
        | FloatOp::Conv2dTranspose { kernel, bias, .. } => kernel.len() + bias.len(),
        _ => 0,
    }
}

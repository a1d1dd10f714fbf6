//! Errors of single outputs; judges against plain evaluation; what is refused.

use super::*;
use crate::net::FloatNode;

/// Metrics of modules.
const METRICS: [ErrorMetric; 4] = [ErrorMetric::Emd, ErrorMetric::Telescope, ErrorMetric::Mse, ErrorMetric::Deviation];

/// Words of 16 bits, four of them fractional.
fn words(len: usize) -> OutputWords {
    OutputWords { len, signal: Signal { frac_bits: 4, low: -(1 << 15), high: (1 << 15) - 1 } }
}

/// A judge around an output that need not be one of words.
fn judge_of_values<'a>(
    evaluator: &'a Evaluator,
    event: &'a EventInput,
    golden: &'a [f32],
    scratch: &'a mut EvaluatorScratch,
) -> Judge<'a> {
    scratch.golden_values = golden.to_vec();
    let mut judge = evaluator.judge_near(event, scratch);
    judge.golden = judge.error_of_values(golden);
    judge
}

/// A decoder that shows its two inputs at the pixels 0 (cell 28) and 4 (cell 0).
fn decoder(pixels: usize) -> FloatNetwork {
    let mut kernel = vec![0.0; 2 * pixels];
    kernel[0] = 1.0;
    kernel[pixels + 4] = 1.0;
    let nodes = vec![
        FloatNode { name: "latent".to_owned(), op: FloatOp::Input, input: 0, shape: vec![2] },
        FloatNode {
            name: "dense".to_owned(),
            op: FloatOp::Dense { kernel, bias: vec![0.0; pixels] },
            input: 0,
            shape: vec![pixels],
        },
        FloatNode {
            name: "linear".to_owned(),
            op: FloatOp::Activation(Activation::Linear),
            input: 1,
            shape: vec![pixels],
        },
    ];
    FloatNetwork::new("decoder", nodes).unwrap()
}

fn module() -> EventInput {
    let mut charges = [0.0; CELLS];
    charges[0] = 12.0;
    EventInput::Module(Charges::new(charges).unwrap())
}

fn error(metric: ErrorMetric, output: [f32; 2]) -> f64 {
    let evaluator = Evaluator::new(Some(&decoder(PIXELS)), metric, EventKind::Module, words(2)).unwrap();
    evaluator.error_of_values(&module(), [&output, &[0.0, 1.0]], &mut EvaluatorScratch::default())
}

#[test]
fn errors_of_a_module() {
    let far = geometry::distances()[0][28];
    assert_eq!(error(ErrorMetric::Emd, [0.0, 0.7]), 0.0);
    assert!((error(ErrorMetric::Emd, [0.25, 0.75]) - far / 4.0).abs() < 1e-10);
    assert_eq!(error(ErrorMetric::Emd, [-1.0, 0.7]), 0.0, "negative charges count as none");
    assert_eq!(error(ErrorMetric::Emd, [0.0, 0.0]), EMPTY_OUTPUT);
    assert_eq!(error(ErrorMetric::Emd, [-1.0, 0.0]), EMPTY_OUTPUT);
    assert!(error(ErrorMetric::Emd, [f32::INFINITY, 0.0]).is_nan());
    // 12 / 2^3 = 1.5 in cell 0.
    assert_eq!(error(ErrorMetric::Mse, [0.5, 1.0]), 0.5 / 48.0);
    assert_eq!(error(ErrorMetric::Telescope, [0.0, 1.5]), 0.0);
    assert!(error(ErrorMetric::Telescope, [0.0, 1.0]) > 0.0);
    assert_eq!(error(ErrorMetric::Deviation, [1.0, 3.0]), 2.5);
}

#[test]
fn a_judge_says_what_the_evaluator_says() {
    for metric in METRICS {
        let evaluator = Evaluator::new(Some(&decoder(PIXELS)), metric, EventKind::Module, words(2)).unwrap();
        let (mut scratch, mut judges) = (EvaluatorScratch::default(), EvaluatorScratch::default());
        let golden = [0.25, 0.5];
        for occupied in 1..CELLS {
            let mut charges = [0.0; CELLS];
            charges[..occupied].fill(2.0);
            let event = EventInput::Module(Charges::new(charges).unwrap());
            let mut judge = judge_of_values(&evaluator, &event, &golden, &mut judges);
            assert_eq!(judge.golden(), evaluator.error_of_values(&event, [&golden; 2], &mut scratch));
            for output in [golden, [1.0, 0.1], [0.0, 0.0], [f32::NAN, 1.0], [-1.0, 3.0], [f32::INFINITY, 1.0]] {
                let expected = evaluator.error_of_values(&event, [&output, &golden], &mut scratch);
                let found = judge.error_of_values(&output);
                assert_eq!(found.to_bits(), expected.to_bits(), "{metric}: {found} instead of {expected}");
            }
        }
    }
}

#[test]
fn errors_of_a_tensor() {
    let kind = EventKind::Tensor { shape: vec![2, 1, 3] };
    let evaluator = Evaluator::new(Some(&decoder(6)), ErrorMetric::Mse, kind, words(2)).unwrap();
    let mut scratch = EvaluatorScratch::default();
    assert_eq!(evaluator.decoded(&[1.0, 2.0], &mut scratch), [1.0, 0.0, 0.0, 0.0, 2.0, 0.0]);
    let event = EventInput::Tensor(vec![1.0, 0.0, 3.0, 0.0, 2.0, 0.0]);
    assert_eq!(evaluator.error_of_values(&event, [&[1.0, 2.0], &[0.0; 2]], &mut scratch), 1.5);
    assert_eq!(event.network_input().len(), evaluator.kind().input_len());
    // An accelerator that reconstructs by itself needs no decoder.
    let kind = EventKind::Tensor { shape: vec![6] };
    let evaluator = Evaluator::new(None, ErrorMetric::Mse, kind, words(6)).unwrap();
    assert_eq!(evaluator.error_of_values(&event, [&[1.0, 0.0, 0.0, 0.0, 2.0, 0.0], &[0.0; 6]], &mut scratch), 1.5);
}

#[test]
fn a_judge_says_the_same_of_one_and_of_many() {
    let outputs = [
        [0.0, 0.7],
        [0.25, 0.75],
        [0.25, 0.7],
        [-1.0, 0.0],
        [0.1, 0.2],
        [0.2, 0.1],
        [0.3, 0.7],
        [f32::INFINITY, 0.0],
        [0.3, 0.3],
    ];
    for metric in METRICS {
        let evaluator = Evaluator::new(Some(&decoder(PIXELS)), metric, EventKind::Module, words(2)).unwrap();
        let event = module();
        let (mut plain, mut fast) = (EvaluatorScratch::default(), EvaluatorScratch::default());
        let mut judge = judge_of_values(&evaluator, &event, &outputs[0], &mut fast);
        assert_eq!(judge.golden(), evaluator.error_of_values(&event, [&outputs[0]; 2], &mut plain));
        let expected =
            outputs.map(|output| evaluator.error_of_values(&event, [&output, &outputs[0]], &mut plain).to_bits());
        assert_eq!(outputs.map(|output| judge.error_of_values(&output).to_bits()), expected, "{metric}");
        let mut found = Vec::new();
        judge.errors_of_values(outputs.as_flattened(), |index, error| {
            assert_eq!(index, found.len());
            found.push(error.to_bits());
        });
        assert_eq!(found, expected, "{metric}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let refusal = |decoder: Option<&FloatNetwork>, metric, kind, len| {
        Evaluator::new(decoder, metric, kind, words(len)).unwrap_err().to_string()
    };
    let tensor = || EventKind::Tensor { shape: vec![3] };
    let small = decoder(6);
    assert_eq!(
        refusal(Some(&small), ErrorMetric::Deviation, tensor(), 16),
        "decoder `decoder` takes 2 values, but the accelerator gives 16"
    );
    assert_eq!(
        refusal(Some(&small), ErrorMetric::Emd, tensor(), 2),
        "metric `emd` needs HGCal modules as events, but events are tensors; choose mse or deviation"
    );
    assert_eq!(
        refusal(Some(&small), ErrorMetric::Mse, tensor(), 2),
        "metric `mse` compares 3 values with each event, but decoder `decoder` gives 6; choose deviation"
    );
    assert_eq!(
        refusal(None, ErrorMetric::Telescope, EventKind::Module, 16),
        "metric `telescope` compares 64 values with each event, but the accelerator gives 16; add a decoder or \
         choose deviation"
    );
    assert_eq!(
        refusal(None, ErrorMetric::Misprediction, tensor(), 16),
        "metric `misprediction` needs the class of every event; give labels with --labels FILE, or events.labels in \
         design.toml, or choose deviation"
    );
    assert!(Evaluator::new(None, ErrorMetric::Deviation, tensor(), words(16)).is_ok());
}

/// Logits behind weights of 1 and -2, with a softmax or without.
fn classifier(with_softmax: bool) -> FloatNetwork {
    let node = |name: &str, op, input| FloatNode { name: name.to_owned(), op, input, shape: vec![2] };
    let dense = FloatOp::Dense { kernel: vec![1.0, 0.0, 0.0, -2.0], bias: vec![0.0; 2] };
    let mut nodes = vec![node("latent", FloatOp::Input, 0), node("dense", dense, 0)];
    if with_softmax {
        nodes.push(node("softmax", FloatOp::Activation(Activation::Softmax), 1));
    }
    FloatNetwork::new("classifier", nodes).unwrap()
}

fn labeled(label: u32) -> EventInput {
    EventInput::Labeled { values: vec![0.5, 1.0, 1.5], label }
}

fn labeled_kind() -> EventKind {
    EventKind::Labeled { shape: vec![3] }
}

#[test]
fn mispredictions_are_of_events_that_are_right_without_faults() {
    let evaluator = Evaluator::new(None, ErrorMetric::Misprediction, labeled_kind(), words(3)).unwrap();
    assert_eq!(evaluator.classes(), Some(3));
    let (mut scratch, mut judges) = (EvaluatorScratch::default(), EvaluatorScratch::default());
    let golden = [3, 3, 1];
    for (label, expected) in [(0, [0.0, 1.0, 0.0, 1.0]), (1, [1.0; 4]), (2, [1.0; 4])] {
        let event = labeled(label);
        let outputs = [golden, [3, 4, 1], [5, 5, 5], [-1, -1, 7]];
        let plain = outputs.map(|output| evaluator.error(&event, &output, &golden, &mut scratch));
        assert_eq!(plain, expected, "label {label}");
        let mut judge = evaluator.judge(&event, &golden, &mut judges);
        assert_eq!(judge.golden(), expected[0]);
        assert_eq!(outputs.map(|output| judge.error(&output)), expected);
        let mut many = Vec::new();
        judge.errors(outputs.as_flattened(), |index, error| many.push((index, error)));
        assert_eq!(many, expected.into_iter().enumerate().collect::<Vec<_>>());
        judge.errors(&[], |_, _| panic!("there is no output"));
    }
    assert_eq!(evaluator.class(&golden, &mut scratch), 0);
}

#[test]
fn wide_words_are_compared_as_integers() {
    let wide = OutputWords { len: 2, signal: Signal { frac_bits: 8, low: 0, high: 1 << 40 } };
    let evaluator = Evaluator::new(None, ErrorMetric::Misprediction, labeled_kind(), wide).unwrap();
    let mut scratch = EvaluatorScratch::default();
    let (lower, higher) = ([1 << 39, 1 << 39], [1 << 39, (1 << 39) + 1]);
    assert_eq!(evaluator.error(&labeled(0), &lower, &lower, &mut scratch), 0.0);
    assert_eq!(evaluator.error(&labeled(0), &higher, &lower, &mut scratch), 1.0);
    assert_eq!(evaluator.error(&labeled(1), &higher, &higher, &mut scratch), 0.0);
}

#[test]
fn a_softmax_behind_the_logits_changes_nothing() {
    let outputs = [[16, -8], [8, 8], [-3, -40], [4000, 4000]];
    for metric in [ErrorMetric::Misprediction, ErrorMetric::CrossEntropy] {
        for label in [0, 1] {
            let event = labeled(label);
            let errors = [false, true].map(|with_softmax| {
                let decoder = classifier(with_softmax);
                let evaluator = Evaluator::new(Some(&decoder), metric, labeled_kind(), words(2)).unwrap();
                let (mut plain, mut judges) = (EvaluatorScratch::default(), EvaluatorScratch::default());
                let mut judge = evaluator.judge(&event, &outputs[0], &mut judges);
                outputs.map(|output| {
                    let error = evaluator.error(&event, &output, &outputs[0], &mut plain);
                    assert_eq!(judge.error(&output).to_bits(), error.to_bits());
                    error
                })
            });
            assert_eq!(errors[0], errors[1], "{metric}");
        }
    }
    // Logits 1 and 1, then 0.5 and -1.
    let evaluator =
        Evaluator::new(Some(&classifier(false)), ErrorMetric::CrossEntropy, labeled_kind(), words(2)).unwrap();
    let error = |output: [i64; 2]| evaluator.error(&labeled(0), &output, &output, &mut EvaluatorScratch::default());
    assert!((error([16, -8]) - 2.0_f64.ln()).abs() < 1e-14);
    assert!((error([8, 8]) - (-1.5_f64).exp().ln_1p()).abs() < 1e-14);
}

//! Classification: the class that outputs decide for, and how sure they are of another one.
//!
//! Where outputs come from is `evaluator`'s concern; that a label is one of the classes is checked before it gets here.

use super::activation::exp_f64;

/// The class of an output: the largest of its values, of equal ones the first (as `numpy.argmax`).
///
/// Works on the integers of the accelerator's output words as on real values: all words have one binary point, so their
/// order is that of the values. Values that are not numbers are never the largest, unless the first is one.
///
/// # Panics
/// When there are no values.
pub fn class_of<T: PartialOrd>(values: &[T]) -> usize {
    let (mut class, mut largest) = (0, &values[0]);
    for (index, value) in values.iter().enumerate().skip(1) {
        if value > largest {
            (class, largest) = (index, value);
        }
    }
    class
}

/// Logarithm of the sum of the exponentials of `logits`, and each one's share of that sum.
///
/// The largest logit is subtracted first, so that nothing overflows; sums run in index order.
pub fn softmax(logits: &[f64]) -> (f64, Vec<f64>) {
    let largest = largest(logits.iter().copied());
    let mut shares: Vec<f64> = logits.iter().map(|logit| exp_f64(logit - largest)).collect();
    let sum: f64 = shares.iter().sum();
    for share in &mut shares {
        *share /= sum;
    }
    (largest + sum.ln(), shares)
}

/// Cross entropy between the softmax of `logits` and class `label`: `ln(sum_j exp(z_j)) - z_label`, in `f64`.
///
/// # Panics
/// When there is no such class.
pub fn cross_entropy(logits: impl ExactSizeIterator<Item = f64> + Clone, label: usize) -> f64 {
    let own = logits.clone().nth(label).expect("a label is one of the classes");
    let largest = largest(logits.clone());
    let sum: f64 = logits.map(|logit| exp_f64(logit - largest)).sum();
    (largest - own) + sum.ln()
}

fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(f64::NEG_INFINITY, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_values_the_first_is_the_class() {
        assert_eq!(class_of(&[3]), 0);
        assert_eq!(class_of(&[1, 7, 7, -2]), 1);
        assert_eq!(class_of(&[-0.5, -0.25, -0.25]), 1);
        // Neighbors that `f32` does not tell apart.
        let wide = [1_i64 << 40, (1 << 40) + 1];
        assert_eq!(class_of(&wide), 1);
        assert_eq!(class_of(&wide.map(|raw| crate::num::cast::nearest_f32(crate::num::cast::f64_from_i64(raw)))), 0);
    }

    #[test]
    fn cross_entropy_is_stable_and_agrees_with_softmax() {
        // Rounding of a few operations on numbers of order 1.
        const TOLERANCE: f64 = 1e-14;
        assert!((cross_entropy([0.0; 4].into_iter(), 2) - 4.0_f64.ln()).abs() < TOLERANCE);
        assert_eq!(cross_entropy([1e6, 0.0].into_iter(), 0), 0.0);
        assert_eq!(cross_entropy([1e6, 0.0].into_iter(), 1), 1e6);
        let logits = [0.5, -1.25, 2.0, 1.75];
        let (log_sum, shares) = softmax(&logits);
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < TOLERANCE);
        for (label, (logit, share)) in logits.iter().zip(&shares).enumerate() {
            let found = cross_entropy(logits.into_iter(), label);
            assert!((found - (log_sum - logit)).abs() < TOLERANCE && (found + share.ln()).abs() < TOLERANCE);
        }
    }
}

//! Mean and interval of a figure over missions, and of the share by which one mean is below another.

use super::super::Confidence;
use super::super::intervals::{Interval, student_t};
use super::super::quantiles::student_t_of_tails;
use crate::num::cast;

/// A mean of independent values with the variance of that mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Mean {
    pub(super) value: f64,
    pub(super) variance: f64,
    /// Degrees of freedom of the variance.
    freedom: f64,
}

impl Mean {
    /// Of at least one value.
    pub(super) fn of(values: &[f64]) -> Self {
        let count = cast::f64_from_count(values.len());
        let value = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|each| (each - value) * (each - value)).sum();
        // Rounding must not make a variance where nothing differs.
        let differ = values.iter().any(|each| *each != values[0]);
        let variance = if differ { squares / (count - 1.0) / count } else { 0.0 };
        Self { value, variance, freedom: count - 1.0 }
    }

    /// Student's t; none where the values do not differ.
    pub(super) fn interval(&self, confidence: Confidence) -> Option<Interval> {
        student_t(self.value, self.variance.sqrt(), self.freedom, confidence)
    }

    /// Interval of `1 - self / whole`, both estimated independently: Fieller (1954), with Satterthwaite's degrees of freedom.
    ///
    /// It holds the shares `1 - r` for which `self - r whole` is no further from 0 than t standard errors. None where the
    /// values of `self` do not differ, or `whole` is no further from 0 than that: then no share is ruled out.
    pub(super) fn share_removed_of(&self, whole: &Self, confidence: Confidence) -> Option<Interval> {
        let ratio = self.value / whole.value;
        let (mine, theirs) = (self.variance, ratio * ratio * whole.variance);
        let spread = mine + theirs;
        if self.variance <= 0.0 || whole.value == 0.0 || spread.is_nan() {
            return None;
        }
        let freedom = spread * spread / (mine * mine / self.freedom + theirs * theirs / whole.freedom);
        let t = student_t_of_tails(1.0 - confidence.get(), freedom);
        let (a, b, t2) = (self.value, whole.value, t * t);
        // r^2 (b^2 - t^2 vb) - 2 r a b + (a^2 - t^2 va) <= 0.
        let square = b * b - t2 * whole.variance;
        if square <= 0.0 {
            return None;
        }
        let root = (t2 * (self.variance * square + whole.variance * a * a)).sqrt();
        let (low, high) = ((a * b - root) / square, (a * b + root) / square);
        Some(Interval { low: 1.0 - high, high: 1.0 - low })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Draws;

    fn ninety_five() -> Confidence {
        Confidence::new(0.95).unwrap()
    }

    /// A value whose mean is `mean`: an exponential number, skewed as rises are.
    fn draw(draws: &mut Draws, mean: f64, count: usize) -> Vec<f64> {
        (0..count).map(|_| (0..20).map(|_| draws.exponential()).sum::<f64>() / 20.0 * mean).collect()
    }

    #[test]
    fn shares_lie_in_their_interval_as_often_as_said() {
        let mut draws = Draws::new(3, 5);
        for share in [0.1, 0.9, 0.99] {
            let covered = (0..1000).filter(|_| {
                let whole = Mean::of(&draw(&mut draws, 2.0, 20));
                let part = Mean::of(&draw(&mut draws, 2.0 * (1.0 - share), 20));
                part.share_removed_of(&whole, ninety_five()).unwrap().contains(share)
            });
            let covered = covered.count();
            // 950 expected, with a standard deviation of 6.9.
            assert!((929..=971).contains(&covered), "{covered} of 1000 at {share}");
        }
    }

    #[test]
    fn the_ends_are_where_the_difference_is_t_errors_from_zero() {
        let (part, whole) = (Mean::of(&[0.1, 0.4, 0.2, 0.35]), Mean::of(&[2.0, 2.5, 1.75, 2.25]));
        let interval = part.share_removed_of(&whole, ninety_five()).unwrap();
        let off = |share: f64| {
            let ratio = 1.0 - share;
            let error = (part.variance + ratio * ratio * whole.variance).sqrt();
            ((part.value - ratio * whole.value) / error).abs()
        };
        assert!((off(interval.low) / off(interval.high) - 1.0).abs() < 1e-12);
        // Student's t at 95 % with 6 and with 3 degrees of freedom; Satterthwaite's lie between.
        assert!((2.446..=3.183).contains(&off(interval.low)), "{}", off(interval.low));
        assert!(interval.contains(1.0 - part.value / whole.value));
    }

    #[test]
    fn what_says_nothing_has_no_interval() {
        let (alike, whole) = (Mean::of(&[0.1; 5]), Mean::of(&[1.0, 2.0, 3.0]));
        assert_eq!((alike.variance, alike.interval(ninety_five())), (0.0, None));
        assert_eq!(alike.share_removed_of(&whole, ninety_five()), None);
        let around_zero = Mean::of(&[-1.0, 1.0, 0.5]);
        assert_eq!(whole.share_removed_of(&around_zero, ninety_five()), None);
        assert_eq!(whole.share_removed_of(&Mean::of(&[0.0; 3]), ninety_five()), None);
        assert_eq!(Mean::of(&[4.0]).interval(ninety_five()), None);
    }
}

//! `Heat`: colors of error rises on a scale that is logarithmic in both directions from white, which is exactly zero.

use super::axis::plain;
use super::canvas::{NOTHING, PAPER, Rgb};
use crate::num::cast;

/// Colors of either sign.
const STEPS: u8 = 120;
/// Decades from the largest rise down to where colors are palest.
const DECADES: i32 = 5;
/// A scale of counts goes up to this at least.
const FEW: f64 = 2.0;

/// Place in the palette of what has no rise: no such bit, or not flipped.
pub(super) const NONE: u8 = 0;
const ZERO: u8 = 1;

/// From faint to strong: oranges and reds raise the error, blues lower it.
const UP: [Rgb; 5] =
    [[0xfe, 0xee, 0xd9], [0xfd, 0xc9, 0x8a], [0xf4, 0x84, 0x4c], [0xc4, 0x28, 0x20], [0x4f, 0x05, 0x12]];
const DOWN: [Rgb; 5] =
    [[0xe6, 0xf1, 0xfa], [0xb3, 0xd4, 0xec], [0x69, 0xa8, 0xd6], [0x22, 0x63, 0xae], [0x09, 0x27, 0x57]];

/// The scale of a figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Heat {
    /// Magnitudes where colors are palest and strongest.
    pub(super) faint: f64,
    pub(super) strong: f64,
    /// Smallest magnitude that is marked.
    least: f64,
}

impl Heat {
    /// The scale that ends at the largest magnitude of `rises`.
    pub(super) fn of(rises: &[f64]) -> Self {
        let largest = rises.iter().fold(0.0_f64, |largest, rise| largest.max(rise.abs()));
        let strong = if largest > 0.0 { largest } else { 1.0 };
        let top = i32::try_from(cast::floor_i64(strong.log10())).unwrap_or(0) + 1;
        let faint = 10_f64.powi(top - DECADES);
        Self { faint, strong, least: faint }
    }

    /// The same of counts: 1, the smallest, is well apart from white.
    pub(super) fn of_counts(counts: &[f64]) -> Self {
        let strong = Self::of(counts).strong.max(FEW);
        Self { faint: 0.2, strong, least: 1.0 }
    }

    /// Place of a rise in the palette.
    pub(super) fn place(&self, rise: f64) -> u8 {
        if rise == 0.0 {
            return ZERO;
        }
        let share = (rise.abs() / self.faint).log10() / (self.strong / self.faint).log10();
        let step = cast::floor_i64(share * f64::from(STEPS)).clamp(0, i64::from(STEPS) - 1);
        let step = u8::try_from(step).expect("a step lies below their number");
        if rise > 0.0 { ZERO + 1 + step } else { ZERO + 1 + STEPS + step }
    }

    /// Round magnitudes of the scale, faint to strong, with how far along they are: powers of ten, and where there are few of
    /// these twice and five times them too.
    pub(super) fn decades(&self) -> Vec<(f64, String)> {
        let along = |value: f64| (value / self.faint).log10() / (self.strong / self.faint).log10();
        let power = i32::try_from(cast::floor_i64(self.least.log10() + 0.5)).unwrap_or(0);
        let steps: &[f64] = if self.strong < 100.0 * self.least { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let powers = (0..=DECADES).map(|n| 10_f64.powi(power + n));
        let values = powers.flat_map(|decade| steps.iter().map(move |step| step * decade));
        values.map(|value| (along(value), plain(value))).filter(|(along, _)| *along <= 1.0 + 1e-9).collect()
    }
}

/// All colors, by place.
pub(super) fn palette() -> Vec<Rgb> {
    let ramp = |stops: &'static [Rgb; 5]| (0..STEPS).map(move |step| between(stops, step));
    [NOTHING, PAPER].into_iter().chain(ramp(&UP)).chain(ramp(&DOWN)).collect()
}

/// Places of one sign, faint to strong.
pub(super) fn ramp(rise: f64) -> Vec<u8> {
    let first = if rise > 0.0 { ZERO + 1 } else { ZERO + 1 + STEPS };
    (first..first + STEPS).collect()
}

/// The color of a step, between its neighboring stops; integers only.
fn between(stops: &[Rgb; 5], step: u8) -> Rgb {
    let (last, gaps) = (u32::from(STEPS) - 1, 4);
    let along = u32::from(step) * gaps;
    let gap = (along / last).min(gaps - 1);
    let rest = along - gap * last;
    let mix_in = |offset: u32, channel: usize| u32::from(stops[cast::index(gap + offset)][channel]);
    [0, 1, 2].map(|channel| {
        let mixed = (mix_in(0, channel) * (last - rest) + mix_in(1, channel) * rest + last / 2) / last;
        u8::try_from(mixed).expect("between two colors lies a color")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_follow_sign_and_magnitude() {
        let heat = Heat::of(&[0.4, -0.01, 0.0]);
        assert_eq!((heat.faint, heat.strong), (1e-5, 0.4));
        assert_eq!(heat.place(0.0), heat.place(-0.0));
        let colors = palette();
        assert_eq!(colors.len(), 2 + 2 * usize::from(STEPS));
        assert_eq!(colors[usize::from(heat.place(0.0))], [255; 3]);
        assert_eq!(colors[usize::from(heat.place(0.4))], UP[4]);
        assert_eq!(colors[usize::from(heat.place(1e-9))], UP[0]);
        assert_eq!(colors[usize::from(heat.place(-0.4))], DOWN[4]);
        assert_eq!(colors[usize::from(heat.place(-1e-9))], DOWN[0]);
        let rising = [1e-6, 1e-4, 1e-3, 1e-2, 0.1, 0.4].map(|rise| heat.place(rise));
        assert!(rising.is_sorted() && rising[0] < rising[5], "{rising:?}");
        assert_eq!(ramp(1.0).last(), Some(&heat.place(0.4)));
        assert_eq!(ramp(-1.0).last(), Some(&heat.place(-0.4)));
    }

    #[test]
    fn decades_are_marked() {
        let texts: Vec<String> = Heat::of(&[0.4]).decades().into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, ["1e-5", "1e-4", "0.001", "0.01", "0.1"]);
        assert_eq!(Heat::of(&[0.0]).strong, 1.0);
    }

    #[test]
    fn counts_begin_at_one() {
        let marks = |counts: &[f64]| -> Vec<String> {
            Heat::of_counts(counts).decades().into_iter().map(|(_, text)| text).collect()
        };
        assert_eq!(marks(&[0.0, 75.0, -3.0]), ["1", "2", "5", "10", "20", "50"]);
        assert_eq!(marks(&[4_000.0]), ["1", "10", "100", "1,000"]);
        assert_eq!(marks(&[0.0]), ["1", "2"]);
        let heat = Heat::of_counts(&[75.0]);
        assert!(heat.place(1.0) > ZERO + 1 + STEPS / 5, "one is no pale color: {}", heat.place(1.0));
    }
}

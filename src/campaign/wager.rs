//! `Wager`: an upper bound on a sum of which some terms are known, from bits drawn at random from the others.
//!
//! Draws nothing and flips nothing. The bound is a confidence sequence: it may be looked at after every draw, and the
//! confidence holds for all looks at once.

/// A stake never risks more than this part of the capital on one bit that is as bad as its cap.
const LARGEST_STAKE: f64 = 0.9;

/// Weight of what was learned from earlier draws, once another is made.
const MEMORY: f64 = 0.99;

/// Halvings of the interval in which a bound lies: to one part in a million million.
const HALVINGS: usize = 40;

/// A bit drawn from those not yet known, and what was known before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct DrawnBit {
    /// Sum over the bits known before.
    pub found: f64,
    /// Sum of the caps of the bits not known before, this one included; it was drawn with probability cap / this.
    pub cap_left: f64,
    /// Its cap: no bit is assumed to exceed its own.
    pub cap: f64,
    /// Its value, not negative.
    pub value: f64,
}

/// Bets that the sum over all bits is smaller than some total `T`.
///
/// Bits hold values `r >= 0`. Before a draw, `S` is the sum over the bits known and `B` the sum of the caps `b` of the
/// others; a bit is drawn from these with probability `b / B`. So its *taint* `Y = r / b` has the mean
/// `(T - S) / B` if `T` is the sum over all bits. A capital of 1 is multiplied by `1 + s ((T - S) / B - Y)` at every
/// draw. Taints are at most 1 and the stake `s`, chosen before the draw, is less than 1, so for the true `T` the capital
/// is a martingale that is never negative: with probability `1 - alpha` it never reaches `1 / alpha` (Ville 1939). A `T`
/// for which it does is refused. For a larger `T` the capital is larger, so what is left is an upper bound. It does not
/// matter how bits come to be known between draws, as long as that is decided without knowing those still to be drawn.
/// (Waudby-Smith and Ramdas 2023; caps as in the monetary-unit sampling of auditors.)
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wager {
    /// `1 / alpha`.
    goal: f64,
    bets: Vec<Bet>,
    /// Weight, sum and sum of squares of the taints, older ones counting less.
    weight: f64,
    taints: f64,
    squares: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Bet {
    found: f64,
    cap_left: f64,
    taint: f64,
    stake: f64,
}

impl Wager {
    /// No bet yet; `doubt` is the probability `alpha` with which the bound may be wrong.
    pub fn new(doubt: f64) -> Self {
        Self { goal: 1.0 / doubt, bets: Vec::new(), weight: 0.0, taints: 0.0, squares: 0.0 }
    }

    /// Mean taint of the last draws; `None` before the first.
    pub fn recent_taint(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.taints / self.weight)
    }

    /// About how many more draws refuse a total of `found` and `suspected`, if they are like the last ones: what the
    /// logarithm of the capital still has to grow by, over what it grows by at a draw (to second order).
    pub fn draws_to_refuse(&self, found: f64, suspected: f64, cap_left: f64) -> f64 {
        let total = found + suspected;
        let gain = |bet: &Bet| (1.0 + bet.stake * ((total - bet.found) / bet.cap_left - bet.taint)).max(0.0).ln();
        let lacking = self.goal.ln() - self.bets.iter().map(gain).sum::<f64>();
        let (edge, spread) = self.edge(suspected, cap_left);
        let growth = if edge > 0.0 { edge * edge / (2.0 * (spread + edge * edge)) } else { 0.0 };
        (lacking / growth).max(0.0)
    }

    /// How much the mean taint would exceed that of the last draws if `suspected` were left, and the variance of taints.
    fn edge(&self, suspected: f64, cap_left: f64) -> (f64, f64) {
        let mean = self.recent_taint().unwrap_or(0.0);
        let spread = if self.weight > 0.0 { (self.squares / self.weight - mean * mean).max(0.0) } else { 0.0 };
        (suspected / cap_left - mean, spread)
    }

    /// Bets on a draw, with the stake that lets the capital grow fastest if the sum over the bits not known before is
    /// `suspected` (growth to second order, from what the last draws were like).
    pub fn bet(&mut self, bit: &DrawnBit, suspected: f64) {
        let (edge, spread) = self.edge(suspected, bit.cap_left);
        let stake = if edge > 0.0 { (edge / (spread + edge * edge)).min(LARGEST_STAKE) } else { 0.0 };
        let taint = bit.value / bit.cap;
        self.bets.push(Bet { found: bit.found, cap_left: bit.cap_left, taint, stake });
        self.weight = self.weight * MEMORY + 1.0;
        self.taints = self.taints * MEMORY + taint;
        self.squares = self.squares * MEMORY + taint * taint;
    }

    /// Whether the sum over all bits is less than `total`, with the confidence asked for.
    pub fn refuses(&self, total: f64) -> bool {
        // A capital far from 1 is carried as a multiple of a power of this.
        const SCALE: f64 = 1e100;
        let (mut capital, mut power) = (1.0_f64, 0_i64);
        for bet in &self.bets {
            // A bit beyond its cap could make it negative, which would not be a capital.
            capital *= (1.0 + bet.stake * ((total - bet.found) / bet.cap_left - bet.taint)).max(0.0);
            if capital == 0.0 {
                return false;
            }
            if capital >= SCALE {
                (capital, power) = (capital / SCALE, power + 1);
            } else if capital < 1.0 / SCALE {
                (capital, power) = (capital * SCALE, power - 1);
            }
            // Ville's inequality holds for every moment: what was refused once stays refused.
            if power > 0 || (power == 0 && capital >= self.goal) {
                return true;
            }
        }
        false
    }

    /// The largest sum of the bits not known that is not refused, where `found` is known and all caps of the others
    /// together are `cap_left`.
    pub fn upper(&self, found: f64, cap_left: f64) -> f64 {
        if !self.refuses(found + cap_left) {
            return cap_left;
        }
        let (mut low, mut high) = (0.0, cap_left);
        for _ in 0..HALVINGS {
            let middle = low + (high - low) / 2.0;
            if self.refuses(found + middle) {
                high = middle;
            } else {
                low = middle;
            }
        }
        high
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Draws;
    use crate::num::cast;

    /// Bets on draws without replacement from `values`, all with the cap 1, and tells the bound after each.
    fn bounds(values: &[f64], draws: &mut Draws, doubt: f64) -> Vec<(f64, f64)> {
        let mut left = values.to_vec();
        draws.shuffle(&mut left);
        let mut wager = Wager::new(doubt);
        let mut found = 0.0;
        let mut bounds = Vec::new();
        while let Some(value) = left.pop() {
            let cap_left = cast::f64_from_count(left.len() + 1);
            wager.bet(&DrawnBit { found, cap_left, cap: 1.0, value }, 0.05 * cap_left);
            found += value;
            bounds.push((found, wager.upper(found, cap_left - 1.0)));
        }
        bounds
    }

    #[test]
    fn nothing_seen_bounds_as_the_rule_of_three_does() {
        let found = bounds(&[0.0; 1000], &mut Draws::new(1, 0), 0.05);
        // With a stake of 0.9 the capital grows by 1 + 0.9 T / left a draw, and refuses T where it reaches 20: where
        // 0.9 T (1/1000 + ... + 1/701) is the logarithm of 20, nearly.
        let (_, bound) = found[299];
        let expected = 20.0_f64.ln() / (0.9 * (1.0_f64 / 0.7).ln());
        assert!((bound - expected).abs() < 0.1, "{bound} {expected}");
        assert_eq!(found[999].1, 0.0);
        assert!(found[..100].iter().all(|(_, bound)| *bound > 20.0));
    }

    #[test]
    fn all_bounds_hold_at_once_as_often_as_promised() {
        // One in twenty is as bad as its cap allows; the stakes are made for that sum, so the bound is as tight as can be.
        let values: Vec<f64> = (0..400).map(|item| if item % 20 == 0 { 1.0 } else { 0.0 }).collect();
        let total = 20.0;
        let fails = |seed: &u64| {
            let bounds = bounds(&values, &mut Draws::new(*seed, 3), 0.2);
            bounds.iter().any(|(found, bound)| total - found > bound + 1e-9)
        };
        // At a doubt of 20 % sixty of 300 may fail; 83 or more would once in a thousand times.
        let failed = (0..300).filter(fails).count();
        assert!(failed <= 82, "{failed}");
        let middle: f64 = (0..20).map(|seed| bounds(&values, &mut Draws::new(seed, 3), 0.2)[199].1).sum::<f64>() / 20.0;
        assert!(middle < 40.0, "and are not idle: {middle}");
    }

    #[test]
    fn draws_to_refuse_are_about_as_many_as_it_takes() {
        // One in fifty is as bad as its cap; a total of twice as much is to be refused.
        assert_eq!(Wager::new(0.05).draws_to_refuse(0.0, 0.0, 1000.0), f64::INFINITY, "nothing refuses what may be");
        let mut ratios = Vec::new();
        for seed in 0..60 {
            let mut draws = Draws::new(seed, 0);
            let mut wager = Wager::new(0.05);
            let mut bet = |wager: &mut Wager| {
                let value = f64::from(u8::from(draws.unit() < 0.02));
                wager.bet(&DrawnBit { found: 0.0, cap_left: 1000.0, cap: 1.0, value }, 40.0);
            };
            (0..100).for_each(|_| bet(&mut wager));
            let told = wager.draws_to_refuse(0.0, 40.0, 1000.0);
            if wager.refuses(40.0) {
                continue;
            }
            let needed = (0..10_000).take_while(|_| {
                bet(&mut wager);
                !wager.refuses(40.0)
            });
            ratios.push(told / cast::f64_from_count(needed.count() + 1));
        }
        ratios.sort_by(f64::total_cmp);
        let middle = ratios[ratios.len() / 2];
        assert!(ratios.len() >= 30 && (1.0 / 3.0..3.0).contains(&middle), "{middle} of {ratios:?}");
    }

    #[test]
    fn larger_totals_are_refused_more_easily() {
        let mut wager = Wager::new(0.05);
        for value in [0.0, 0.5, 0.0, 0.1, 3.0, 0.0, 0.2] {
            wager.bet(&DrawnBit { found: 1.0, cap_left: 10.0, cap: 1.0, value }, 5.0);
        }
        let totals = (0..200).map(f64::from);
        let refused: Vec<bool> = totals.map(|total| wager.refuses(total)).collect();
        assert!(!refused[1] && refused[199]);
        assert!(refused.is_sorted());
    }
}

//! The sweep: what every ranking buys at every budget.

use bitvec::vec::BitVec;

use super::budget::{Budget, BudgetError, Prices};
use crate::analysis::BitRanking;
use crate::campaign::ExactSum;
use crate::hw::Protection;
use crate::num::cast;

/// What is known of each candidate bit, in the order of the sites.
#[derive(Debug, Clone, Copy)]
pub struct Candidates<'a> {
    /// Mean error with the bit flipped minus mean error without.
    pub error_rises: &'a [f64],
}

/// What a sweep is asked.
#[derive(Debug, Clone, Copy)]
pub struct SweepInput<'a> {
    /// The bits.
    pub candidates: Candidates<'a>,
    /// Orders to try.
    pub rankings: &'a [BitRanking],
    /// Budgets to try.
    pub budgets: &'a [Budget],
    /// What areas are measured against.
    pub prices: &'a Prices,
    /// How a chosen bit is protected.
    pub protection: Protection,
}

/// The candidates without any protection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unprotected {
    /// Candidate bits.
    pub bits: usize,
    /// Sum of the error rises of all candidates, each flipped alone.
    pub rise: f64,
    /// Candidates whose flip raises the mean error.
    pub sensitive: usize,
    /// Mean error rise of one upset that strikes one of them at random.
    pub mean_rise_per_upset: f64,
}

/// One ranking at one budget.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepPoint {
    /// Name of the ranking.
    pub ranking: String,
    /// The budget.
    pub budget: Budget,
    /// Bits protected.
    pub bits: usize,
    /// Area added, in the technology's unit.
    pub area: f64,
    /// Area added as a share of all registers without protection.
    pub share_of_registers: f64,
    /// Area added as a share of the whole accelerator without protection.
    pub share_of_accelerator: f64,
    /// Sum of the error rises of the bits left unprotected.
    pub rise_remaining: f64,
    /// Share of the summed error rise that is gone: 1 - remaining / all. Above 1 where the bits left would lower the
    /// error; not a number where no bit has any effect.
    pub share_removed: f64,
    /// Bits left unprotected whose flip raises the mean error.
    pub sensitive_remaining: usize,
    /// Mean error rise of one upset that strikes a cell of the candidates at random: every copy of a protected bit is a
    /// cell, and no single copy matters.
    pub mean_rise_per_upset: f64,
    /// Positions (among the sites) of the bits protected.
    pub chosen: BitVec,
}

/// All points, and where they start from.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    /// Without protection.
    pub unprotected: Unprotected,
    /// By ranking, then by budget, in the order asked for.
    pub points: Vec<SweepPoint>,
}

/// Protects, for every ranking and budget, the best-ranked bits that the budget pays.
///
/// Every bit costs the same, so the prefix of a ranking is the best it can do. A budget is filled to its last bit, also
/// with bits that gain nothing.
///
/// # Errors
/// When a budget does not fit the technology or the number of bits.
///
/// # Panics
/// When a ranking is not over these candidates.
pub fn sweep(input: &SweepInput<'_>) -> Result<Sweep, BudgetError> {
    let rises = input.candidates.error_rises;
    let total = sum(rises.iter());
    let unprotected = Unprotected {
        bits: rises.len(),
        rise: total,
        sensitive: rises.iter().filter(|rise| **rise > 0.0).count(),
        mean_rise_per_upset: total / cast::f64_from_count(rises.len()),
    };
    let mut points = Vec::with_capacity(input.rankings.len() * input.budgets.len());
    for ranking in input.rankings {
        assert_eq!(ranking.order().len(), rises.len(), "a ranking orders the candidates");
        for budget in input.budgets {
            let bits = budget.affordable_bits(input.prices, rises.len())?;
            let mut chosen = BitVec::repeat(false, rises.len());
            for position in &ranking.order()[..bits] {
                chosen.set(*position, true);
            }
            let rise_remaining = sum(chosen.iter_zeros().map(|position| &rises[position]));
            let copies = usize::from(input.protection.copies());
            let cells = rises.len() - bits + bits * copies;
            let area = input.prices.bit * cast::f64_from_count(bits);
            points.push(SweepPoint {
                ranking: ranking.name().to_owned(),
                budget: *budget,
                bits,
                area,
                share_of_registers: area / input.prices.registers,
                share_of_accelerator: area / input.prices.accelerator,
                rise_remaining,
                share_removed: (total - rise_remaining) / total,
                sensitive_remaining: chosen.iter_zeros().filter(|position| rises[*position] > 0.0).count(),
                mean_rise_per_upset: rise_remaining / cast::f64_from_count(cells),
                chosen,
            });
        }
    }
    Ok(Sweep { unprotected, points })
}

/// A sum that does not depend on the order of the bits.
fn sum<'a>(rises: impl Iterator<Item = &'a f64>) -> f64 {
    let exact: ExactSum = rises.map(|rise| ExactSum::of(*rise).expect("an oracle's rises can be added up")).sum();
    exact.value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hw::{AreaUnit, TmrStyle};

    fn prices() -> Prices {
        Prices {
            technology: "t".to_owned(),
            unit: AreaUnit::Ge,
            plain_bit: 6.0,
            bit: 10.0,
            registers: 100.0,
            accelerator: 1000.0,
        }
    }

    fn run(rankings: &[BitRanking], budgets: &[&str]) -> Sweep {
        let budgets: Vec<Budget> = budgets.iter().map(|text| text.parse().unwrap()).collect();
        sweep(&SweepInput {
            candidates: Candidates { error_rises: &RISES },
            rankings,
            budgets: &budgets,
            prices: &prices(),
            protection: TmrStyle::Feedback.into(),
        })
        .unwrap()
    }

    const RISES: [f64; 4] = [1.0, 0.0, 5.0, -2.0];

    #[test]
    fn points_add_up() {
        let oracle = BitRanking::by_score("oracle", &RISES);
        let result = run(&[oracle], &["0%", "25%", "50%", "100%"]);
        let expected = Unprotected { bits: 4, rise: 4.0, sensitive: 2, mean_rise_per_upset: 1.0 };
        assert_eq!(result.unprotected, expected);
        let of = |f: fn(&SweepPoint) -> f64| result.points.iter().map(f).collect::<Vec<_>>();
        assert_eq!(of(|p| p.rise_remaining), [4.0, -1.0, -2.0, 0.0]);
        assert_eq!(of(|p| p.share_removed), [0.0, 1.25, 1.5, 1.0]);
        assert_eq!(of(|p| p.area), [0.0, 10.0, 20.0, 40.0]);
        assert_eq!(of(|p| p.share_of_accelerator), [0.0, 0.01, 0.02, 0.04]);
        assert_eq!(of(|p| p.mean_rise_per_upset), [1.0, -1.0 / 6.0, -2.0 / 8.0, 0.0]);
        assert!(result.points[3].rise_remaining.is_sign_positive(), "no -0 in files");
        let sensitive: Vec<usize> = result.points.iter().map(|p| p.sensitive_remaining).collect();
        assert_eq!(sensitive, [2, 1, 0, 0]);
        assert_eq!(result.points[1].chosen.iter_ones().collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn the_oracle_is_never_beaten_at_equal_budget() {
        let oracle = BitRanking::by_score("oracle", &RISES);
        for seed in 0..50 {
            let result = run(&[oracle.clone(), BitRanking::random(4, seed)], &["25%", "50%", "75%"]);
            for budget in 0..3 {
                assert!(result.points[budget].rise_remaining <= result.points[3 + budget].rise_remaining);
            }
        }
    }
}

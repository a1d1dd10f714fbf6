//! The other way round: how much area it takes to remove a given share of the error rise.

use super::planner::{DEFAULT_EFFORT, Planner, PlannerError, in_millionths};
use super::sweep::{Line, SweepInput, exact};
use crate::campaign::ExactSum;
use crate::num::cast;

/// Halvings of the range in which a plan's area is looked for: it is then known to 2^-18 of full protection.
const HALVINGS: u32 = 18;

/// The least that a line needs to remove a share of the summed error rise.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Name of the line.
    pub ranking: String,
    /// The share, 0 to 1.
    pub share: f64,
    /// What it takes; none where no prefix of a ranking removes so much, or the plan for area enough does not, or all rises
    /// together are not above 0.
    pub needed: Option<Needed>,
}

/// What a target takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Needed {
    /// Bits protected.
    pub bits: usize,
    /// Area added, in the technology's unit.
    pub area: f64,
    /// The same as a share of all registers.
    pub share_of_registers: f64,
    /// The same as a share of the accelerator.
    pub share_of_accelerator: f64,
}

/// For every line and share, in this order, the least area that removes so much.
///
/// Of a ranking it is that of its shortest prefix that does. A planned line is asked for plans of more and less area, by
/// halving the range 18 times; where it does not plan by the true rises, or for another objective, less may do.
///
/// # Errors
/// When a planner cannot plan.
///
/// # Panics
/// When a line is not over the candidates.
pub fn targets(input: &SweepInput<'_>, shares: &[f64]) -> Result<Vec<Target>, PlannerError> {
    let rises = input.candidates.error_rises;
    let total = rises.iter().copied().map(exact).sum::<ExactSum>().value();
    let mut found = Vec::new();
    for line in input.lines {
        let needed = match line {
            _ if total <= 0.0 => vec![None; shares.len()],
            Line::Ranking(ranking) => of_ranking(ranking.order(), input, total, shares),
            Line::Planned { planner, .. } => of_planner(planner, input, total, shares)?,
        };
        found.extend(shares.iter().zip(needed).map(|(share, needed)| Target {
            ranking: line.name().to_owned(),
            share: *share,
            needed: needed.map(|(bits, area)| (bits, in_millionths(area))).map(|(bits, area)| Needed {
                bits,
                area,
                share_of_registers: area / input.prices.registers,
                share_of_accelerator: area / input.prices.accelerator,
            }),
        }));
    }
    Ok(found)
}

/// Bits and area.
type Size = (usize, f64);

fn of_ranking(order: &[usize], input: &SweepInput<'_>, total: f64, shares: &[f64]) -> Vec<Option<Size>> {
    let mut removed = ExactSum::default();
    let mut needed = vec![None; shares.len()];
    for bits in 0..=order.len() {
        let so_far = removed.value();
        for (share, needed) in shares.iter().zip(&mut needed) {
            if needed.is_none() && so_far >= share * total {
                *needed = Some((bits, input.prices.bit * cast::f64_from_count(bits)));
            }
        }
        if let Some(next) = order.get(bits) {
            removed += exact(input.candidates.error_rises[*next]);
        }
    }
    needed
}

fn of_planner(
    planner: &Planner<'_>,
    input: &SweepInput<'_>,
    total: f64,
    shares: &[f64],
) -> Result<Vec<Option<Size>>, PlannerError> {
    let offers = planner.input().offers;
    let plan = |area: f64| -> Result<(Size, f64), PlannerError> {
        let answer = planner.plan(area, DEFAULT_EFFORT)?;
        let removed = input.candidates.error_rises.iter().zip(&answer.offers).filter_map(|(rise, offer)| {
            let residual = offers[(*offer)?].residual;
            Some(exact(rise * (1.0 - residual)))
        });
        Ok(((answer.bits, answer.area), removed.sum::<ExactSum>().value()))
    };
    let (all, all_removed) = plan(planner.most_area())?;
    let mut needed = Vec::with_capacity(shares.len());
    for share in shares {
        if all_removed < share * total {
            needed.push(None);
            continue;
        }
        let (mut low, mut high, mut best) = (0.0, all.1, all);
        for _ in 0..HALVINGS {
            if high <= low {
                break;
            }
            let middle = f64::midpoint(low, high);
            let (size, removed) = plan(middle)?;
            if removed >= share * total {
                // A plan may spend less than it may.
                (high, best) = (size.1.min(middle), size);
            } else {
                low = middle;
            }
        }
        needed.push(Some(best));
    }
    Ok(needed)
}

#[cfg(test)]
mod tests {
    use super::super::planner::{CheckBits, Granularity, Objective, Offer, PlannerInput, WordCode};
    use super::super::{Budget, Candidates, Prices, sweep};
    use super::*;
    use crate::analysis::BitRanking;
    use crate::hw::test_networks::one_dense;
    use crate::hw::{AreaUnit, BitId, Inventory, Technology, TmrStyle};

    const RISES: [f64; 8] = [1.0, 0.0, 5.0, -2.0, 0.5, 0.25, 3.0, 0.25];

    fn inventory() -> Inventory {
        Inventory::new(&one_dense(1, 4)).unwrap()
    }

    #[test]
    fn least_areas_are_just_enough() {
        let (inventory, technology) = (inventory(), Technology::shipped("osu018").unwrap());
        let sites: Vec<BitId> = inventory.bit_ids().collect();
        let prices = Prices {
            technology: "t".to_owned(),
            unit: AreaUnit::Ge,
            plain_bit: 6.0,
            bit: 10.0,
            registers: 100.0,
            accelerator: 1000.0,
        };
        let tmr = [Offer { word_areas: vec![10.0], ..Offer::tmr(TmrStyle::Feedback.into(), &technology) }];
        let coded = [Offer {
            word_areas: vec![8.0, 12.0, 15.0, 18.0],
            ..Offer::code(WordCode::Sec, 4, CheckBits::Loaded, &technology)
        }];
        let parity = [Offer::code(WordCode::Parity, 4, CheckBits::Loaded, &technology).leaving(0.5)];
        let planned = |name: &str, offers, granularity| Line::Planned {
            name: name.to_owned(),
            planner: Planner::new(PlannerInput {
                inventory: &inventory,
                sites: &sites,
                error_rises: &RISES,
                upset_rates: None,
                objective: Objective::ErrorRise,
                granularity,
                offers,
            })
            .unwrap(),
        };
        let lines = [
            Line::Ranking(BitRanking::by_score("oracle", &RISES)),
            Line::Ranking(BitRanking::random(8, 3)),
            planned("planned", &tmr, Granularity::Bit),
            planned("coded", &coded, Granularity::Register),
            planned("parity", &parity, Granularity::Bit),
        ];
        let input = SweepInput {
            candidates: Candidates { inventory: &inventory, sites: &sites, error_rises: &RISES },
            lines: &lines,
            budgets: &[],
            prices: &prices,
            protection: TmrStyle::Feedback.into(),
        };
        let found = targets(&input, &[0.0, 0.5, 1.0, 1.3]).unwrap();
        let of = |name: &str| -> Vec<Option<(usize, f64)>> {
            let mine = found.iter().filter(|target| target.ranking == name);
            mine.map(|target| target.needed.map(|needed| (needed.bits, needed.area))).collect()
        };
        // All rises add up to 8, those above zero to 10.
        assert_eq!(of("oracle"), [Some((0, 0.0)), Some((1, 10.0)), Some((2, 20.0)), None]);
        assert_eq!(of("planned"), of("oracle"));
        assert_eq!(of("coded"), [Some((0, 0.0)), Some((4, 18.0)), Some((8, 36.0)), None]);
        assert_eq!(of("parity")[2..], [None, None]);
        let lowering = [-1.0; 8];
        let candidates = Candidates { error_rises: &lowering, ..input.candidates };
        let nothing = targets(&SweepInput { candidates, lines: &lines[..2], ..input }, &[0.5]).unwrap();
        assert!(nothing.iter().all(|target| target.needed.is_none()), "{nothing:?}");
        // What is a bit less does not do.
        for target in found.iter().filter(|target| target.ranking == "random") {
            let Some(needed) = target.needed else { continue };
            let budgets = [Budget::Bits(needed.bits), Budget::Bits(needed.bits.saturating_sub(1))];
            let points = sweep(&SweepInput { lines: &lines[1..2], budgets: &budgets, ..input }).unwrap().points;
            assert!(points[0].share_removed >= target.share, "{target:?}");
            assert!(needed.bits == 0 || points[1].share_removed < target.share, "{target:?}");
        }
    }
}

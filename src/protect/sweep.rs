//! The sweep: what every ranking, and every planned choice, buys at every budget.

use super::budget::{Budget, BudgetError, Prices};
use super::plan::ProtectionPlan;
use super::planner::{
    DEFAULT_EFFORT, Measure, Method, Planned, Planner, PlannerError, Verdict, in_millionths, spendable,
};
use crate::analysis::BitRanking;
use crate::campaign::{ExactSum, share_of};
use crate::hw::{BitId, Inventory, Protection};
use crate::num::cast;

/// What is known of each candidate bit, in the order of the sites.
#[derive(Debug, Clone, Copy)]
pub struct Candidates<'a> {
    /// The registers of the design.
    pub inventory: &'a Inventory,
    /// The bits.
    pub sites: &'a [BitId],
    /// Mean error with the bit flipped minus mean error without.
    pub error_rises: &'a [f64],
}

/// A way to choose bits.
#[derive(Debug, Clone)]
pub enum Line<'a> {
    /// The first bits of a ranking, each protected as the sweep says.
    Ranking(BitRanking),
    /// What a planner chooses, by the harms and among the offers that it was given.
    Planned {
        /// What it is called.
        name: String,
        /// The planner.
        planner: Planner<'a>,
    },
}

impl Line<'_> {
    /// What it is called.
    pub fn name(&self) -> &str {
        match self {
            Self::Ranking(ranking) => ranking.name(),
            Self::Planned { name, .. } => name,
        }
    }
}

/// What a sweep is asked.
#[derive(Debug, Clone, Copy)]
pub struct SweepInput<'a> {
    /// The bits.
    pub candidates: Candidates<'a>,
    /// Ways to choose among them.
    pub lines: &'a [Line<'a>],
    /// Budgets to try.
    pub budgets: &'a [Budget],
    /// What areas are measured against.
    pub prices: &'a Prices,
    /// How the bits of a ranking are protected.
    pub protection: Protection,
}

/// Why nothing can be swept.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SweepError {
    /// A budget that does not fit.
    #[error(transparent)]
    Budget(#[from] BudgetError),
    /// Nothing can be planned.
    #[error(transparent)]
    Planner(#[from] PlannerError),
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

/// How a planned point came about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Planning {
    /// How the plan was found.
    pub method: Method,
    /// How much more of the planner's objective another plan for this budget could take away at most, as a share of the
    /// harms above 0; 0 where this one is the best.
    pub gap: f64,
    /// What the budget was good for.
    pub verdict: Verdict,
}

/// One line at one budget.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepPoint {
    /// Name of the line.
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
    /// Sum of the error rises of the bits left unprotected, and of what is left of those protected.
    pub rise_remaining: f64,
    /// Share of the summed error rise that is gone: 1 - remaining / all. Above 1 where the bits left would lower the
    /// error; not a number where all rises together are not above 0.
    pub share_removed: f64,
    /// Share of the summed error rise that the best choice of bits in the sweep's style removes for this budget, minus
    /// that removed here: the price of choosing without an oracle. Below 0 where other measures do more for the area; not
    /// a number where all rises together are not above 0.
    pub price: f64,
    /// Bits left unprotected whose flip raises the mean error.
    pub sensitive_remaining: usize,
    /// Mean error rise of one upset that strikes a cell of the candidates at random: every copy of a protected bit and
    /// every check bit is a cell, and no single one of them matters.
    pub mean_rise_per_upset: f64,
    /// What protects them: each measure once, in the order of the offers.
    pub measures: Vec<Measure>,
    /// By position: 0 for what is left, otherwise the number of the offer that protects it, counted from 1; rankings have
    /// one.
    pub offers: Vec<u32>,
    /// The plan; none where bits are protected by codes, which no plan can say.
    pub plan: Option<ProtectionPlan>,
    /// How it came about, where it was planned.
    pub planning: Option<Planning>,
    /// Whether some of the bits protected are said to leave a share of their rise.
    pub leaves_some: bool,
}

impl SweepPoint {
    /// The plan, where the registers it describes do all that the point says: where no codes are at work, and measures leave
    /// nothing.
    pub fn simulated_plan(&self) -> Option<&ProtectionPlan> {
        self.plan.as_ref().filter(|_| !self.leaves_some)
    }
}

/// All points, and where they start from.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    /// Without protection.
    pub unprotected: Unprotected,
    /// By line, then by budget, in the order asked for.
    pub points: Vec<SweepPoint>,
}

/// Protects, for every line and budget, what the budget pays: the best-ranked bits of a ranking, or a plan.
///
/// Every bit of a ranking costs the same, so a prefix of it is the best it can do. A budget is filled to its last bit,
/// also with bits that gain nothing; a planner leaves these alone.
///
/// # Errors
/// When a budget does not fit the technology or the number of bits, or is too large to plan for.
///
/// # Panics
/// When a line is not over these candidates.
pub fn sweep(input: &SweepInput<'_>) -> Result<Sweep, SweepError> {
    let Candidates { sites, error_rises: rises, .. } = input.candidates;
    let all = Totals::new(rises);
    let unprotected = Unprotected {
        bits: rises.len(),
        rise: all.rise,
        sensitive: rises.iter().filter(|rise| **rise > 0.0).count(),
        mean_rise_per_upset: all.rise / cast::f64_from_count(rises.len()),
    };
    let mut points = Vec::with_capacity(input.lines.len() * input.budgets.len());
    for line in input.lines {
        for budget in input.budgets {
            let affordable = budget.affordable_bits(input.prices, rises.len())?;
            let choice = match line {
                Line::Ranking(ranking) => {
                    assert_eq!(ranking.order().len(), rises.len(), "a ranking orders the candidates");
                    let first = &ranking.order()[..affordable];
                    Choice::uniform(first, input)
                }
                Line::Planned { planner, .. } => {
                    assert_eq!(planner.input().sites, sites, "a planner chooses among the candidates");
                    let area = spendable(*budget, input.prices, rises.len())?;
                    Choice::planned(planner, &planner.plan(area, DEFAULT_EFFORT)?)?
                }
            };
            let Choice { measures, offers, residuals, area, cells_added, plan, planning } = choice;
            // As the planner counts, so that equal plans cost the same whoever chose them.
            let area = in_millionths(area);
            let left = rises.iter().zip(&residuals).filter(|(_, left)| **left != 0.0);
            let rise_remaining = sum(left.map(|(rise, left)| rise * left));
            let gone = rises.iter().zip(&residuals).filter(|(_, left)| **left != 1.0);
            // Exactly what the best choice removes where it is the same choice.
            let removed = sum(gone.map(|(rise, left)| rise * (1.0 - left)));
            points.push(SweepPoint {
                ranking: line.name().to_owned(),
                budget: *budget,
                bits: offers.iter().filter(|offer| **offer > 0).count(),
                area,
                share_of_registers: area / input.prices.registers,
                share_of_accelerator: area / input.prices.accelerator,
                rise_remaining,
                share_removed: share_of(all.rise - rise_remaining, all.rise),
                price: share_of(all.best[affordable] - removed, all.rise),
                sensitive_remaining: rises
                    .iter()
                    .zip(&offers)
                    .filter(|(rise, offer)| **offer == 0 && **rise > 0.0)
                    .count(),
                mean_rise_per_upset: rise_remaining / cast::f64_from_count(rises.len() + cells_added),
                plan,
                leaves_some: residuals.iter().any(|left| *left != 0.0 && *left != 1.0),
                measures,
                offers,
                planning,
            });
        }
    }
    Ok(Sweep { unprotected, points })
}

/// What is protected at a point.
struct Choice {
    measures: Vec<Measure>,
    offers: Vec<u32>,
    /// Share of each candidate's rise that is left.
    residuals: Vec<f64>,
    area: f64,
    cells_added: usize,
    plan: Option<ProtectionPlan>,
    planning: Option<Planning>,
}

impl Choice {
    /// Some of the candidates, protected alike.
    fn uniform(positions: &[usize], input: &SweepInput<'_>) -> Self {
        let Candidates { inventory, sites, .. } = input.candidates;
        let candidates = sites.len();
        let mut offers = vec![0; candidates];
        let mut residuals = vec![1.0; candidates];
        for position in positions {
            offers[*position] = 1;
            residuals[*position] = 0.0;
        }
        let measures = if positions.is_empty() { Vec::new() } else { vec![Measure::Tmr(input.protection)] };
        Self {
            measures,
            offers,
            residuals,
            area: input.prices.bit * cast::f64_from_count(positions.len()),
            cells_added: positions.len() * usize::from(input.protection.copies() - 1),
            plan: Some(ProtectionPlan::uniform(
                inventory,
                positions.iter().map(|position| sites[*position]),
                input.protection,
            )),
            planning: None,
        }
    }

    fn planned(planner: &Planner<'_>, answer: &Planned) -> Result<Self, PlannerError> {
        let offers = planner.input().offers;
        let plan = planner.fits_plans(answer).then(|| planner.protection_plan(answer)).transpose()?;
        // Where no harm is above 0 nothing is planned, and there is no gap.
        let gap = if answer.gap == 0.0 { 0.0 } else { answer.gap / answer.harms_above };
        let used = |offer: &usize| answer.offers.contains(&Some(*offer));
        Ok(Self {
            offers: answer.offers.iter().map(|offer| offer.map_or(0, |offer| cast::id(offer + 1))).collect(),
            measures: (0..offers.len()).filter(used).map(|offer| offers[offer].measure).collect(),
            residuals: answer.offers.iter().map(|offer| offer.map_or(1.0, |offer| offers[offer].residual)).collect(),
            area: answer.area,
            cells_added: answer.cells_added,
            plan,
            planning: Some(Planning { method: answer.method, gap, verdict: answer.verdict }),
        })
    }
}

/// Sums over the candidates.
struct Totals {
    /// Of all rises.
    rise: f64,
    /// By number of bits: most that protecting so many of them at most removes.
    best: Vec<f64>,
}

impl Totals {
    fn new(rises: &[f64]) -> Self {
        let mut sorted = rises.to_vec();
        sorted.sort_by(|a, b| b.total_cmp(a));
        let mut removed = ExactSum::default();
        let mut best = vec![0.0];
        for rise in sorted {
            if rise > 0.0 {
                removed += exact(rise);
            }
            best.push(removed.value());
        }
        Self { rise: sum(rises.iter().copied()), best }
    }
}

pub(super) fn exact(rise: f64) -> ExactSum {
    ExactSum::of(rise).expect("an oracle's rises can be added up")
}

/// A sum that does not depend on the order of the bits.
fn sum(rises: impl Iterator<Item = f64>) -> f64 {
    rises.map(exact).sum::<ExactSum>().value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hw::test_networks::one_dense;
    use crate::hw::{AreaUnit, Technology, TmrStyle};
    use crate::protect::planner::{CheckBits, Granularity, Objective, Offer, PlannerInput, WordCode};

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

    /// Two registers of two bits.
    fn inventory() -> Inventory {
        Inventory::new(&one_dense(1, 2)).unwrap()
    }

    const SITES: [BitId; 4] = [BitId(0), BitId(1), BitId(2), BitId(3)];
    const RISES: [f64; 4] = [1.0, 0.0, 5.0, -2.0];

    fn run(lines: &[Line<'_>], budgets: &[&str]) -> Sweep {
        run_with(&RISES, lines, budgets)
    }

    fn run_with(error_rises: &[f64], lines: &[Line<'_>], budgets: &[&str]) -> Sweep {
        let budgets: Vec<Budget> = budgets.iter().map(|text| text.parse().unwrap()).collect();
        let inventory = inventory();
        sweep(&SweepInput {
            candidates: Candidates { inventory: &inventory, sites: &SITES, error_rises },
            lines,
            budgets: &budgets,
            prices: &prices(),
            protection: TmrStyle::Feedback.into(),
        })
        .unwrap()
    }

    fn oracle() -> Line<'static> {
        Line::Ranking(BitRanking::by_score("oracle", &RISES))
    }

    #[test]
    fn points_add_up() {
        let result = run(&[oracle()], &["0%", "25%", "50%", "100%"]);
        let expected = Unprotected { bits: 4, rise: 4.0, sensitive: 2, mean_rise_per_upset: 1.0 };
        assert_eq!(result.unprotected, expected);
        let of = |f: fn(&SweepPoint) -> f64| result.points.iter().map(f).collect::<Vec<_>>();
        assert_eq!(of(|p| p.rise_remaining), [4.0, -1.0, -2.0, 0.0]);
        assert_eq!(of(|p| p.share_removed), [0.0, 1.25, 1.5, 1.0]);
        assert_eq!(of(|p| p.price), [0.0, 0.0, 0.0, 0.5], "the last two bits gain nothing");
        assert_eq!(of(|p| p.area), [0.0, 10.0, 20.0, 40.0]);
        assert_eq!(of(|p| p.share_of_accelerator), [0.0, 0.01, 0.02, 0.04]);
        assert_eq!(of(|p| p.mean_rise_per_upset), [1.0, -1.0 / 6.0, -2.0 / 8.0, 0.0]);
        assert!(result.points[3].rise_remaining.is_sign_positive(), "no -0 in files");
        let sensitive: Vec<usize> = result.points.iter().map(|p| p.sensitive_remaining).collect();
        assert_eq!(sensitive, [2, 1, 0, 0]);
        assert_eq!(result.points[1].offers, [0, 0, 1, 0]);
        let plan = result.points[1].plan.as_ref().unwrap();
        assert_eq!(SITES.map(|bit| plan.of(bit).copies()), [1, 1, 3, 1]);
    }

    #[test]
    fn the_oracle_is_never_beaten_at_equal_budget() {
        for seed in 0..50 {
            let result = run(&[oracle(), Line::Ranking(BitRanking::random(4, seed))], &["25%", "50%", "75%"]);
            for budget in 0..3 {
                assert!(result.points[budget].rise_remaining <= result.points[3 + budget].rise_remaining);
                assert!(result.points[3 + budget].price >= 0.0);
            }
        }
    }

    #[test]
    fn what_lowers_the_error_all_in_all_has_no_shares() {
        for rises in [[1.0, 0.0, 0.5, -2.0], [1.0, -1.0, 0.0, 0.0]] {
            let lines = [Line::Ranking(BitRanking::by_score("oracle", &rises))];
            for point in run_with(&rises, &lines, &["0%", "50%", "100%"]).points {
                assert!(point.share_removed.is_nan() && point.price.is_nan(), "{point:?}");
            }
        }
    }

    #[test]
    fn plans_are_points_too() {
        let (inventory, technology) = (inventory(), Technology::shipped("osu018").unwrap());
        let planned = |name: &str, offers: &[Offer], granularity, budgets: &[&str]| {
            let planner = Planner::new(PlannerInput {
                inventory: &inventory,
                sites: &SITES,
                error_rises: &RISES,
                upset_rates: None,
                objective: Objective::ErrorRise,
                granularity,
                offers,
            });
            run(&[Line::Planned { name: name.to_owned(), planner: planner.unwrap() }], budgets).points
        };
        // Of the bits that gain the oracle's 50 % are all.
        let tmr = [Offer { word_areas: vec![10.0], ..Offer::tmr(TmrStyle::Feedback.into(), &technology) }];
        let points = planned("planned", &tmr, Granularity::Bit, &["25%", "100%"]);
        assert_eq!(
            points.iter().map(|p| (p.bits, p.area, p.price)).collect::<Vec<_>>(),
            [(1, 10.0, 0.0), (2, 20.0, 0.0)]
        );
        assert_eq!(points[1].planning.unwrap().method, Method::Everything);
        assert_eq!(points[0].measures, [Measure::Tmr(TmrStyle::Feedback.into())]);
        // Register 1 gains 3 in all; a word of two bits has three check bits.
        let code =
            [Offer { word_areas: vec![7.0, 12.0], ..Offer::code(WordCode::Sec, 2, CheckBits::Loaded, &technology) }];
        let point = &planned("coded", &code, Granularity::Register, &["30%"])[0];
        assert_eq!((point.area, point.rise_remaining, point.sensitive_remaining), (12.0, 1.0, 1));
        assert_eq!((point.mean_rise_per_upset, &point.plan), (1.0 / 7.0, &None));
        let half = [tmr[0].clone().leaving(0.5)];
        assert_eq!(planned("half", &half, Granularity::Bit, &["25%"])[0].rise_remaining, 4.0 - 2.5);
    }
}

//! `Planned`: a plan with what it buys, how good it can be at most, and what other budgets would do.

use std::fmt;

use super::knapsack::Packing;
use super::{Measure, Method, Planner, PlannerError, units};
use crate::campaign::ExactSum;
use crate::protect::ProtectionPlan;

/// The planner's answer for one budget. Areas in the technology's unit; harms are summed over the candidates, each
/// struck once (or as often as its rate says).
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// The budget.
    pub budget: f64,
    /// Area added.
    pub area: f64,
    /// Per candidate, the place of the offer that protects it; `None`: unprotected.
    pub offers: Vec<Option<usize>>,
    /// Number of candidates protected.
    pub bits: usize,
    /// Register cells added: copies and check bits.
    pub cells_added: usize,
    /// Harm without protection.
    pub harm: f64,
    /// Sum of the harms above 0: no plan takes away more.
    pub harms_above: f64,
    /// Harm with this plan. Below 0 where the bits left would lower the error.
    pub harm_left: f64,
    /// Harm that the plan takes away.
    pub gain: f64,
    /// How much more another plan for this budget could take away at most; 0 where this one is the best.
    pub gap: f64,
    /// How the plan was found.
    pub method: Method,
    /// What the budget was good for.
    pub verdict: Verdict,
}

/// What a budget was good for, and what would fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// No offer takes any harm away from any group.
    NothingGains,
    /// The budget pays no offer that gains.
    NothingFits {
        /// Area of the cheapest that gains.
        cheapest: f64,
        /// What it is.
        measure: Measure,
        /// Area of the best offer for every group.
        all: f64,
    },
    /// The budget pays some of the best offers.
    SomeFits {
        /// Area of the best offer for every group.
        all: f64,
    },
    /// The budget pays the best offer for every group.
    AllFits {
        /// Area of the budget that is not needed.
        spare: f64,
    },
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingGains => f.write_str("nothing offered takes any harm away, so nothing is protected"),
            Self::NothingFits { cheapest, measure, all } => write!(
                f,
                "the budget pays nothing that gains: the cheapest is `{measure}` with an area of {cheapest}; the best \
                 everywhere needs {all}"
            ),
            Self::SomeFits { all } => write!(f, "the best everywhere needs an area of {all}"),
            Self::AllFits { spare } => write!(f, "everything that gains is protected; an area of {spare} is left over"),
        }
    }
}

impl Planner<'_> {
    pub(super) fn planned(&self, budget: f64, packing: &Packing, offers: Vec<Option<usize>>) -> Planned {
        let exact = |harm: f64| ExactSum::of(harm).expect("checked: rises and rates can be added up");
        let left = |(harm, offer): (&f64, &Option<usize>)| match offer {
            None => exact(*harm),
            Some(offer) => exact(*harm * self.input.offers[*offer].residual),
        };
        let area = self.area(packing.cost);
        Planned {
            budget,
            area,
            bits: offers.iter().flatten().count(),
            cells_added: self.groups.iter().map(|group| self.cells_added(&group.bits, &offers)).sum(),
            harm: self.harms.iter().map(|harm| exact(*harm)).sum::<ExactSum>().value(),
            harms_above: self
                .harms
                .iter()
                .filter(|harm| **harm > 0.0)
                .map(|harm| exact(*harm))
                .sum::<ExactSum>()
                .value(),
            harm_left: self.harms.iter().zip(&offers).map(left).sum::<ExactSum>().value(),
            gain: self.scale.gain(packing.gain),
            gap: self.scale.gain(packing.bound - packing.gain),
            method: packing.method,
            verdict: self.verdict(budget, packing),
            offers,
        }
    }

    /// Cells added to a group, all of whose bits have one offer.
    fn cells_added(&self, group: &[usize], offers: &[Option<usize>]) -> usize {
        group.first().and_then(|bit| offers[*bit]).map_or(0, |offer| self.input.offers[offer].cells_added(group.len()))
    }

    /// Whether every offer can be said in a plan file.
    pub fn fits_plans(&self, planned: &Planned) -> bool {
        let is_code = |offer: &usize| matches!(self.input.offers[*offer].measure, Measure::Code(_));
        !planned.offers.iter().flatten().any(is_code)
    }

    fn area(&self, cost: i128) -> f64 {
        units::area(cost * self.cost_unit)
    }

    fn verdict(&self, budget: f64, packing: &Packing) -> Verdict {
        let best = self.groups.iter().filter_map(|group| group.items.last());
        let all = best.clone().map(|item| item.cost).sum();
        if best.clone().all(|item| item.gain == 0) {
            return Verdict::NothingGains;
        }
        if packing.method == Method::Everything {
            return Verdict::AllFits { spare: (budget - self.area(all)).max(0.0) };
        }
        let gaining = self.groups.iter().flat_map(|group| &group.items).filter(|item| item.gain > 0);
        let cheapest = gaining.min_by_key(|item| item.cost).and_then(|item| Some((item.cost, item.offer?)));
        match cheapest {
            Some((cost, offer)) if packing.gain == 0 => Verdict::NothingFits {
                cheapest: self.area(cost),
                measure: self.input.offers[offer].measure,
                all: self.area(all),
            },
            _ => Verdict::SomeFits { all: self.area(all) },
        }
    }

    /// The plan bit by bit, for its file.
    ///
    /// # Errors
    /// When a bit is protected by a code.
    pub fn protection_plan(&self, planned: &Planned) -> Result<ProtectionPlan, PlannerError> {
        let inventory = self.input.inventory;
        let mut plan = ProtectionPlan::none(inventory);
        for (site, offer) in self.input.sites.iter().zip(&planned.offers) {
            match offer.map(|offer| self.input.offers[offer].measure) {
                None => {}
                Some(Measure::Tmr(protection)) => plan.set(*site, protection),
                Some(measure @ Measure::Code(_)) => {
                    return Err(PlannerError::NotInPlans { site: inventory.bit_address(*site).to_string(), measure });
                }
            }
        }
        Ok(plan)
    }
}

//! The planner: which protection each group of bits is given, so that a budget of area takes away the most harm.
//!
//! Unlike a sweep, which protects the first bits of a ranking until the budget is spent, the planner chooses among
//! several measures, protects nothing that gains nothing, and says how far from the best its choice can be. It injects
//! nothing: the harm of every bit is given.

mod codes;
mod groups;
mod knapsack;
mod objective;
mod offers;
mod planned;
mod units;

use bitvec::vec::BitVec;

use self::knapsack::{Item, pack, undominated};
use self::units::GainScale;
use super::budget::{Budget, BudgetError, Prices};
use crate::hw::{BitId, Inventory};
use crate::num::cast;

pub use codes::{CheckBits, CodeParts, WordCode};
pub use groups::{Granularity, GranularityError};
pub use knapsack::Method;
pub use objective::{Objective, ObjectiveError};
pub use offers::{Measure, Offer};
pub use planned::{Planned, Verdict};

/// States a search looks at unless said otherwise: some seconds and some hundred megabytes at worst.
pub const DEFAULT_EFFORT: usize = 100_000_000;

/// Error rises end here, as those of an oracle do.
const LARGEST_RISE: f64 = 7.5e22;

/// What the planner is asked. Lists per candidate are in the order of the sites.
#[derive(Debug, Clone, Copy)]
pub struct PlannerInput<'a> {
    /// The registers of the design.
    pub inventory: &'a Inventory,
    /// The candidate bits, none of them twice.
    pub sites: &'a [BitId],
    /// Error rise of each candidate.
    pub error_rises: &'a [f64],
    /// How often a cell of each candidate is struck, 0 to 1, relative to the cells struck most; `None`: all alike, 1.
    pub upset_rates: Option<&'a [f64]>,
    /// What is to be taken away.
    pub objective: Objective,
    /// Which bits are protected together.
    pub granularity: Granularity,
    /// What each group may be given besides nothing.
    pub offers: &'a [Offer],
}

/// Why nothing can be planned.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlannerError {
    /// Lists of different length.
    #[error("{what} are {found} for {sites} candidate bits; give one for each")]
    Count {
        /// What is listed.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there should be.
        sites: usize,
    },
    /// A bit that is listed twice.
    #[error("`{site}` is a candidate twice; leave one out")]
    Twice {
        /// The bit.
        site: String,
    },
    /// An error rise that cannot be added up.
    #[error("`{site}`: an error rise of {rise}; rises must be numbers below {LARGEST_RISE:e} in magnitude")]
    Rise {
        /// The bit.
        site: String,
        /// Its error rise.
        rise: f64,
    },
    /// A rate of upsets that is none.
    #[error("`{site}`: an upset rate of {rate}; rates must be from 0 to 1, relative to the cells struck most")]
    Rate {
        /// The bit.
        site: String,
        /// Its upset rate.
        rate: f64,
    },
    /// An offer without a price.
    #[error("offer {offer} (counted from 0), `{measure}`, has no price for any word; give its areas")]
    NoPrice {
        /// Place among the offers.
        offer: usize,
        /// What it does.
        measure: Measure,
    },
    /// A price that is no area.
    #[error(
        "offer {offer} (counted from 0), `{measure}`: a word of {bits} bits costs {area}; areas are from 0 to 1e12 units"
    )]
    Price {
        /// Place among the offers.
        offer: usize,
        /// What it does.
        measure: Measure,
        /// Bits of the word.
        bits: usize,
        /// Its price.
        area: f64,
    },
    /// A share that is none.
    #[error(
        "offer {offer} (counted from 0), `{measure}`, leaves a share of {residual} of the harm; shares are from 0 to 1"
    )]
    Residual {
        /// Place among the offers.
        offer: usize,
        /// What it does.
        measure: Measure,
        /// The share.
        residual: f64,
    },
    /// A budget that is none.
    #[error("a budget of {area} is no area; give a number from 0 to 1e12 units")]
    Budget {
        /// The budget.
        area: f64,
    },
    /// Areas whose sum is beyond comparison.
    #[error("protecting everything would cost {area:e} units, too many to compare plans; use a larger unit of area")]
    TooLarge {
        /// The area.
        area: f64,
    },
    /// A plan file that cannot say what was chosen.
    #[error("`{site}` is protected by `{measure}`, which a protection plan cannot say; plan with TMR styles alone")]
    NotInPlans {
        /// The bit.
        site: String,
        /// What protects it.
        measure: Measure,
    },
}

/// The area that a budget pays. Shares of full TMR, and numbers of bits, count with the price of `prices`; a budget pays
/// whatever a sweep buys with it.
///
/// # Errors
/// When the budget is in another technology's unit, or in bits that are not there.
pub fn spendable(budget: Budget, prices: &Prices, candidates: usize) -> Result<f64, BudgetError> {
    let bits = cast::f64_from_count(budget.affordable_bits(prices, candidates)?) * prices.bit;
    Ok(match budget {
        Budget::FullTmrShare(share) => bits.max(prices.bit * cast::f64_from_count(candidates) * share),
        Budget::AcceleratorShare(share) => bits.max(prices.accelerator * share),
        Budget::Cost(area, _) => bits.max(area),
        Budget::Bits(_) => bits,
    })
}

/// Checks that an area can be planned with.
///
/// # Errors
/// When it is none, or too large.
pub fn check_budget(area: f64) -> Result<(), PlannerError> {
    units::nearest_millionths(area).map(|_| ()).ok_or(PlannerError::Budget { area })
}

/// An area to the nearest millionth of a unit, as plans count it.
pub fn in_millionths(area: f64) -> f64 {
    units::nearest_millionths(area).map_or(area, units::area)
}

/// A group of candidates and what it may be given.
#[derive(Debug, Clone)]
struct Group {
    /// Positions of its bits among the candidates.
    bits: Vec<usize>,
    /// What it may be given, in units of cost and gain.
    items: Vec<Item>,
}

/// A problem made ready: plans for any number of budgets.
#[derive(Debug, Clone)]
pub struct Planner<'a> {
    input: PlannerInput<'a>,
    groups: Vec<Group>,
    /// Harm of each candidate, per upset.
    harms: Vec<f64>,
    /// Millionths of area per unit of cost.
    cost_unit: i128,
    scale: GainScale,
}

impl<'a> Planner<'a> {
    /// Forms the groups and prices every offer for each.
    ///
    /// # Errors
    /// Names the list, bit or offer that cannot be used.
    ///
    /// # Panics
    /// When a site is not of the inventory.
    pub fn new(input: PlannerInput<'a>) -> Result<Self, PlannerError> {
        let harms = harms(&input)?;
        let prices = prices(input.offers)?;
        let groups = input.granularity.groups(input.inventory, input.sites);
        let costs: Vec<Vec<i128>> =
            groups.iter().map(|bits| prices.iter().map(|words| group_price(words, bits.len())).collect()).collect();
        let cost_unit = costs.iter().flatten().fold(0, |a, b| units::common_divisor(a, *b)).max(1);
        let dearest = costs.iter().map(|costs| costs.iter().max().copied().unwrap_or(0)).sum::<i128>();
        if dearest >= 1 << 62 {
            return Err(PlannerError::TooLarge { area: units::area(dearest) });
        }
        let magnitude: f64 = harms.iter().map(|harm| harm.abs()).sum();
        let scale = GainScale::new(magnitude, dearest / cost_unit);
        let groups = groups.into_iter().zip(costs).map(|(bits, costs)| {
            let items = input.offers.iter().zip(costs).enumerate().map(|(place, (offer, cost))| {
                let gain = |bit: &usize| scale.integer(harms[*bit] * (1.0 - offer.residual));
                Item { cost: cost / cost_unit, gain: bits.iter().map(gain).sum(), offer: Some(place) }
            });
            Group { items: undominated(items.collect()), bits }
        });
        let groups = groups.collect();
        Ok(Self { input, groups, harms, cost_unit, scale })
    }

    /// The plan that takes away the most harm for at most this much area.
    ///
    /// Where the plan is not proven to be the best, because the search has looked at `effort` states, its gap is not 0.
    /// What gains nothing is never protected, so a plan may spend less than the budget.
    ///
    /// # Errors
    /// When the budget is no area.
    pub fn plan(&self, budget: f64, effort: usize) -> Result<Planned, PlannerError> {
        let millionths = units::nearest_millionths(budget).ok_or(PlannerError::Budget { area: budget })?;
        let items: Vec<Vec<Item>> = self.groups.iter().map(|group| group.items.clone()).collect();
        let packing = pack(&items, millionths / self.cost_unit, effort);
        let mut offers = vec![None; self.input.sites.len()];
        for (group, pick) in self.groups.iter().zip(&packing.picks) {
            for bit in &group.bits {
                offers[*bit] = group.items[*pick].offer;
            }
        }
        Ok(self.planned(budget, &packing, offers))
    }

    /// What it was asked.
    pub const fn input(&self) -> &PlannerInput<'a> {
        &self.input
    }

    /// Area of the best offer for every group: no plan is better with more.
    pub fn most_area(&self) -> f64 {
        units::area(
            self.groups.iter().filter_map(|group| group.items.last()).map(|item| item.cost).sum::<i128>()
                * self.cost_unit,
        )
    }

    /// Number of groups.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }
}

/// What an upset of each candidate counts, times how often it comes.
fn harms(input: &PlannerInput<'_>) -> Result<Vec<f64>, PlannerError> {
    let sites = input.sites.len();
    for (what, found) in
        [("error rises", input.error_rises.len()), ("upset rates", input.upset_rates.map_or(sites, <[f64]>::len))]
    {
        if found != sites {
            return Err(PlannerError::Count { what, found, sites });
        }
    }
    let mut seen = BitVec::<usize>::repeat(false, input.inventory.bits());
    let mut harms = Vec::with_capacity(sites);
    for (position, (site, rise)) in input.sites.iter().zip(input.error_rises).enumerate() {
        let name = || input.inventory.bit_address(*site).to_string();
        let rate = input.upset_rates.map_or(1.0, |rates| rates[position]);
        if seen.replace(site.index(), true) {
            return Err(PlannerError::Twice { site: name() });
        }
        if !rise.is_finite() || rise.abs() >= LARGEST_RISE {
            return Err(PlannerError::Rise { site: name(), rise: *rise });
        }
        if !(0.0..=1.0).contains(&rate) {
            return Err(PlannerError::Rate { site: name(), rate });
        }
        harms.push(input.objective.harm(*rise) * rate);
    }
    Ok(harms)
}

/// The price of a word of 1, 2, ... bits in each offer, in millionths.
fn prices(offers: &[Offer]) -> Result<Vec<Vec<i128>>, PlannerError> {
    let price = |(offer, made): (usize, &Offer)| {
        let measure = made.measure;
        if !(0.0..=1.0).contains(&made.residual) {
            return Err(PlannerError::Residual { offer, measure, residual: made.residual });
        }
        if made.word_areas.is_empty() {
            return Err(PlannerError::NoPrice { offer, measure });
        }
        let word = |(place, area): (usize, &f64)| {
            units::millionths(*area).ok_or(PlannerError::Price { offer, measure, bits: place + 1, area: *area })
        };
        made.word_areas.iter().enumerate().map(word).collect()
    };
    offers.iter().enumerate().map(price).collect()
}

/// Whole words, and one of the bits that remain.
fn group_price(words: &[i128], bits: usize) -> i128 {
    let whole = cast::i64_from_len(bits / words.len());
    let rest = bits % words.len();
    i128::from(whole) * words[words.len() - 1] + rest.checked_sub(1).map_or(0, |place| words[place])
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

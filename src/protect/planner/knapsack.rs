//! The multiple-choice knapsack in integers: one item of each group, the most gain within a capacity.
//!
//! Knows nothing of bits or areas. Three ways, the first that serves: all of the best when they fit; a sort when every
//! group has one item besides nothing and all cost alike; otherwise a dynamic program over lists of undominated states
//! that starts from the optimum of the linear relaxation and takes up groups in the order in which leaving that optimum
//! costs least (a *core*, after Pisinger, "A minimal algorithm for the multiple-choice knapsack problem", 1995).

use std::cmp::Ordering;

use crate::num::cast;

/// What a group may be given. Costs and gains are such that the sum of all gains times the sum of all costs fits 125
/// bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Item {
    /// What it takes of the capacity.
    pub cost: i128,
    /// What it brings.
    pub gain: i128,
    /// The offer it stands for; `None`: nothing.
    pub offer: Option<usize>,
}

impl Item {
    /// Nothing, which every group may be given.
    pub(super) const NOTHING: Self = Self { cost: 0, gain: 0, offer: None };
}

/// How a plan was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The budget pays the best offer for every group.
    Everything,
    /// One offer of one price: the groups of highest gain.
    Sorted,
    /// Dynamic programming over undominated states.
    Knapsack,
}

impl Method {
    /// The name in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Everything => "everything",
            Self::Sorted => "sorted",
            Self::Knapsack => "knapsack",
        }
    }
}

/// The choice, and how good a choice could be at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packing {
    /// Per group, the place of the item among those given.
    pub picks: Vec<usize>,
    /// Sum of the costs.
    pub cost: i128,
    /// Sum of the gains.
    pub gain: i128,
    /// No choice brings more than this; equal to `gain` where the choice is proven to be the best.
    pub bound: i128,
    /// How it was found.
    pub method: Method,
}

/// Leaves the items that are worth their cost: costs and gains both ascend strictly, and the first costs nothing.
pub(super) fn undominated(mut items: Vec<Item>) -> Vec<Item> {
    items.push(Item::NOTHING);
    // Of equal ones the first offer stays, and nothing before any.
    items.sort_by_key(|item| (item.cost, -item.gain, item.offer));
    let mut kept: Vec<Item> = Vec::new();
    for item in items {
        if kept.last().is_none_or(|last| item.gain > last.gain) {
            kept.push(item);
        }
    }
    kept
}

/// Picks an item of every group, with the most gain among all choices that cost at most `capacity`.
///
/// Every group is one of [`undominated`]; `capacity` is not negative. `effort` bounds the states that the dynamic program
/// looks at; where it does not suffice, the result is a good choice with a bound above its gain.
pub(super) fn pack(groups: &[Vec<Item>], capacity: i128, effort: usize) -> Packing {
    let last = |group: &Vec<Item>| group.len() - 1;
    let all: i128 = groups.iter().map(|group| group[last(group)].cost).sum();
    if all <= capacity {
        return packing(groups, groups.iter().map(last).collect(), Method::Everything);
    }
    // A group of one item may have a gain, at no cost.
    let mut dear = groups.iter().filter(|group| group.len() > 1).map(|group| (group.len(), group[1].cost));
    let alike = dear.next().filter(|(len, cost)| *len == 2 && dear.all(|other| other == (2, *cost)));
    if let Some((_, cost)) = alike {
        let gain = |group: &usize| groups[*group][1].gain - groups[*group][0].gain;
        let mut order: Vec<usize> = (0..groups.len()).filter(|group| groups[*group].len() > 1).collect();
        order.sort_by_key(|group| -gain(group));
        let affordable = usize::try_from(capacity / cost).unwrap_or(usize::MAX);
        let mut picks = vec![0; groups.len()];
        for group in order.into_iter().take(affordable) {
            picks[group] = 1;
        }
        return packing(groups, picks, Method::Sorted);
    }
    Core::new(groups, capacity).search(effort)
}

/// A choice that is the best.
fn packing(groups: &[Vec<Item>], picks: Vec<usize>, method: Method) -> Packing {
    let (cost, gain) = totals(groups, &picks);
    Packing { picks, cost, gain, bound: gain, method }
}

fn totals(groups: &[Vec<Item>], picks: &[usize]) -> (i128, i128) {
    let items = groups.iter().zip(picks).map(|(group, pick)| group[*pick]);
    items.fold((0, 0), |(cost, gain), item| (cost + item.cost, gain + item.gain))
}

/// A step from one item of a group to a better one, on the upper hull of its items.
#[derive(Debug, Clone, Copy)]
struct Step {
    group: usize,
    from: usize,
    to: usize,
    cost: i128,
    gain: i128,
}

impl Step {
    /// Highest gain per cost first.
    fn by_worth(&self, other: &Self) -> Ordering {
        (other.gain * self.cost).cmp(&(self.gain * other.cost))
    }
}

/// The steps along the upper hull of a group's items: gain per cost falls strictly.
fn hull(group: usize, items: &[Item]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for to in 1..items.len() {
        let mut from = to - 1;
        loop {
            let (cost, gain) = (items[to].cost - items[from].cost, items[to].gain - items[from].gain);
            let step = Step { group, from, to, cost, gain };
            match steps.last() {
                // Worth no less than the step before: the item between them is below the hull.
                Some(before) if step.by_worth(before) != Ordering::Greater => {
                    from = before.from;
                    steps.pop();
                }
                _ => {
                    steps.push(step);
                    break;
                }
            }
        }
    }
    steps
}

/// A choice for the groups taken up so far; all others are as in the relaxation.
#[derive(Debug, Clone, Copy)]
struct State {
    cost: i128,
    gain: i128,
    /// By how much it falls short of the relaxation, times `Core::per_cost`.
    loss: i128,
    /// Its last decision, in `Core::decisions`.
    decision: Option<u32>,
}

/// A group that is given another item than in the relaxation.
#[derive(Debug, Clone, Copy)]
struct Decision {
    before: Option<u32>,
    group: u32,
    item: u32,
}

/// The search around the optimum of the linear relaxation.
struct Core<'a> {
    groups: &'a [Vec<Item>],
    capacity: i128,
    /// Items of the relaxation, without the group that it splits.
    base: Vec<usize>,
    /// Gain per cost where the budget ends, as a fraction: `per_gain / per_cost`.
    per_gain: i128,
    per_cost: i128,
    /// `per_cost` times the most that any choice can bring, by the relaxation.
    relaxed: i128,
    decisions: Vec<Decision>,
    /// The best choice found: its gain, and what leads to it.
    best_gain: i128,
    best: Best,
    /// Least loss among states left out for want of effort.
    left_out: Option<i128>,
}

/// What leads to the best choice found.
enum Best {
    Picks(Vec<usize>),
    Decision(Option<u32>),
}

impl<'a> Core<'a> {
    /// Solves the linear relaxation, and fills what it leaves of the capacity.
    ///
    /// Not all of the best items fit.
    fn new(groups: &'a [Vec<Item>], capacity: i128) -> Self {
        let mut steps: Vec<Step> = groups.iter().enumerate().flat_map(|(group, items)| hull(group, items)).collect();
        steps.sort_by(Step::by_worth);
        let mut base = vec![0; groups.len()];
        let mut cost = 0;
        let mut ahead = steps.iter();
        let mut split = None;
        for step in ahead.by_ref() {
            if cost + step.cost > capacity {
                split = Some(*step);
                break;
            }
            base[step.group] = step.to;
            cost += step.cost;
        }
        let (_, base_gain) = totals(groups, &base);
        let split = split.expect("not all of the best items fit, so a step does not");
        let mut picks = base.clone();
        let mut left = capacity - cost;
        for step in ahead {
            if picks[step.group] == step.from && step.cost <= left {
                picks[step.group] = step.to;
                left -= step.cost;
            }
        }
        let (_, best_gain) = totals(groups, &picks);
        let (per_gain, per_cost) = (split.gain, split.cost);
        Self {
            groups,
            capacity,
            relaxed: per_cost * base_gain + per_gain * (capacity - cost),
            base,
            per_gain,
            per_cost,
            decisions: Vec::new(),
            best_gain,
            best: Best::Picks(picks),
            left_out: None,
        }
    }

    /// What an item falls short of the one in the relaxation; never negative.
    fn loss(&self, group: usize, item: usize) -> i128 {
        let (base, item) = (self.groups[group][self.base[group]], self.groups[group][item]);
        self.per_cost * (base.gain - item.gain) - self.per_gain * (base.cost - item.cost)
    }

    /// The largest loss with which a choice can still be better than the best found.
    fn slack(&self) -> i128 {
        self.relaxed - self.per_cost * (self.best_gain + 1)
    }

    fn search(mut self, effort: usize) -> Packing {
        let mut core: Vec<(i128, usize)> = (0..self.groups.len())
            .filter_map(|group| {
                let others = (0..self.groups[group].len()).filter(|item| *item != self.base[group]);
                others.map(|item| self.loss(group, item)).min().map(|loss| (loss, group))
            })
            .collect();
        core.sort_unstable();
        let (cost, gain) = totals(self.groups, &self.base);
        let mut states = vec![State { cost, gain, loss: 0, decision: None }];
        self.note(&states);
        // Lists this long leave effort for many groups.
        let longest = (effort / 64).max(1);
        let mut spent = 0;
        for (least, group) in core {
            states.retain(|state| state.loss <= self.slack());
            if states.is_empty() || least > self.slack() {
                break;
            }
            spent += states.len() * self.groups[group].len();
            // Decisions are kept to the end, so memory bounds them too.
            if spent > effort || self.decisions.len() > effort / 8 {
                self.leave_out(states.iter());
                break;
            }
            states = self.branch(&states, group);
            if states.len() > longest {
                states.sort_by_key(|state| (state.loss, state.cost));
                self.leave_out(states[longest..].iter());
                states.truncate(longest);
                states.sort_by_key(|state| state.cost);
            }
            self.note(&states);
        }
        self.finish()
    }

    /// The states with every item of one more group, undominated ones only.
    fn branch(&mut self, states: &[State], group: usize) -> Vec<State> {
        let slack = self.slack();
        let base = self.groups[group][self.base[group]];
        let mut next: Vec<(State, Option<usize>)> = states.iter().map(|state| (*state, None)).collect();
        for (place, item) in self.groups[group].iter().enumerate() {
            let loss = self.loss(group, place);
            if place != self.base[group] && loss <= slack {
                let (cost, gain) = (item.cost - base.cost, item.gain - base.gain);
                let moved = |s: &State| State { cost: s.cost + cost, gain: s.gain + gain, loss: s.loss + loss, ..*s };
                next.extend(states.iter().map(moved).filter(|s| s.loss <= slack).map(|s| (s, Some(place))));
            }
        }
        // Stable: of equal states the earlier one stays.
        next.sort_by_key(|(state, _)| (state.cost, -state.gain));
        let mut kept: Vec<State> = Vec::new();
        for (mut state, place) in next {
            if kept.last().is_some_and(|last| state.gain <= last.gain) {
                continue;
            }
            if let Some(place) = place {
                let decision = Decision { before: state.decision, group: cast::id(group), item: cast::id(place) };
                state.decision = Some(cast::id(self.decisions.len()));
                self.decisions.push(decision);
            }
            kept.push(state);
        }
        kept
    }

    /// Keeps the best state that fits, if it is better than the best so far.
    fn note(&mut self, states: &[State]) {
        // Costs and gains ascend together.
        let fits = states.partition_point(|state| state.cost <= self.capacity);
        if let Some(state) = states[..fits].last().filter(|state| state.gain > self.best_gain) {
            self.best_gain = state.gain;
            self.best = Best::Decision(state.decision);
        }
    }

    fn leave_out<'s>(&mut self, states: impl Iterator<Item = &'s State>) {
        self.left_out = states.map(|state| state.loss).chain(self.left_out).min();
    }

    fn finish(self) -> Packing {
        let picks = match self.best {
            Best::Picks(picks) => picks,
            Best::Decision(mut next) => {
                let mut picks = self.base;
                while let Some(number) = next {
                    let decision = self.decisions[cast::index(number)];
                    picks[cast::index(decision.group)] = cast::index(decision.item);
                    next = decision.before;
                }
                picks
            }
        };
        let (cost, gain) = totals(self.groups, &picks);
        debug_assert!(gain == self.best_gain && cost <= self.capacity, "the decisions lead to the best state");
        let left_out = self.left_out.map(|loss| (self.relaxed - loss).div_euclid(self.per_cost));
        Packing { picks, cost, gain, bound: left_out.unwrap_or(gain).max(gain), method: Method::Knapsack }
    }
}

#[cfg(test)]
#[path = "knapsack_tests.rs"]
mod tests;

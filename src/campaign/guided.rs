//! Guided campaigns: bits are flipped in a given order until what is missing is known to be little.
//!
//! The rule alone, over rises that it is told: which bits to flip next, and what can be said of the others. Flipping is
//! left to whoever calls. Bits in the order find the error; bits drawn at random from the rest prove how much is left.

use std::fmt;
use std::str::FromStr;

use super::size_draws::SizeDraws;
use super::wager::{DrawnBit, Wager};
use super::{Confidence, ExactSum};
use crate::fault::Draws;
use crate::num::{cast, parse_share};

/// Bits of each group that are flipped first, drawn at random, all alike: what caps begin with.
pub const PILOT_BITS: usize = 30;

/// A bit's cap is so many times what the largest rise per size seen in its group makes of its size.
pub const CAP_FACTOR: f64 = 2.0;

/// The largest cap of a group is at least this part of that of any other: a group that looked dull is not taken for dead.
pub const LEAST_CAP: f64 = 0.125;

/// Fewest bits of a batch.
const SMALLEST_BATCH: usize = 32;

/// A batch is this part of the bits at least.
const LEAST_BATCH: usize = 32;

/// A batch takes this part of the bits in the order at most, but for a first one of which rises are expected.
const ORDER_BATCH: usize = 16;

/// A batch draws this part of the bits at most.
const DRAWS_BATCH: usize = 16;

/// So many times the draws that should be enough are drawn at once: another batch costs more than a few draws.
const DRAWS_MARGIN: f64 = 1.25;

/// Fewest bits drawn at random on which a stop may rest: of what one bit in a hundred does, these would show some with a
/// probability of 95 %.
pub const LEAST_DRAWS: usize = 300;

/// Part of the doubt allowed that is spent before caps fail for the first time; of what is left then, the same part is
/// spent before the second time, and so on.
const SPENT_AT_ONCE: f64 = 0.75;

/// Of a batch one bit in so many is drawn at random while too much seems to be missing; all are, when it no longer does.
const DRAWN_EVERY: usize = 4;

/// Too much is more than this part of what may be missing: proving a smaller sum takes fewer draws.
const ENOUGH_FOUND: f64 = 0.75;

/// Streams of the seed; those of sampling campaigns are small numbers.
const PILOT_STREAM: u64 = u64::MAX - 1;
const DRAW_STREAM: u64 = u64::MAX - 2;

/// A share of the error that may be missing: between 0 and 1, exclusively. Written `1%` or `0.01`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct MissingShare(f64);

/// Not a share that may be missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no share of the error that may be missing; it must lie between 0 and 1, such as 1% or 0.01")]
pub struct MissingShareError {
    text: String,
}

impl MissingShare {
    /// A share; `None` outside 0 to 1, or so near the ends that nothing is left of one side.
    pub fn new(share: f64) -> Option<Self> {
        (1e-9..=1.0 - 1e-9).contains(&share).then_some(Self(share))
    }

    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl FromStr for MissingShare {
    type Err = MissingShareError;

    fn from_str(text: &str) -> Result<Self, MissingShareError> {
        parse_share(text).and_then(Self::new).ok_or_else(|| MissingShareError { text: text.to_owned() })
    }
}

impl fmt::Display for MissingShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// When a guided campaign may stop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GuidedPlan {
    /// Share of the summed rise of all bits that raise the error which may be missing at most.
    pub missing: MissingShare,
    /// Probability with which that is to hold.
    pub confidence: Confidence,
    /// Seed of all draws.
    pub seed: u64,
}

/// The bits of a guided campaign.
#[derive(Debug, Clone, Copy)]
pub struct GuidedBits<'a> {
    /// Positions of all bits, the most suspect first.
    pub order: &'a [usize],
    /// Group of each bit, from 0: bits whose flips do alike by size, such as those of an array.
    pub groups: &'a [usize],
    /// Size of each bit's flip, from 1, to be compared within its group.
    pub sizes: &'a [u32],
    /// Rise expected of each bit, in any unit; none of a bit whose number is not above 0 or not finite. Nothing is proven by it: it tells how
    /// far to go in the order before a first look.
    pub expected: Option<&'a [f64]>,
}

/// Why a bit was flipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Its turn in the order.
    Order,
    /// Drawn before anything was known.
    Pilot,
    /// Drawn to learn of those not flipped.
    Drawn,
}

impl Reason {
    /// As in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Pilot => "pilot",
            Self::Drawn => "drawn",
        }
    }
}

/// A bit flipped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GuidedFlip {
    /// Position of the bit.
    pub position: usize,
    /// Why it was flipped.
    pub reason: Reason,
    /// Its error rise, exact.
    pub rise: f64,
}

/// What was known after a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// Bits flipped.
    pub flips: usize,
    /// Sum of the rises found above 0.
    pub found: f64,
    /// Bound on the sum of the rises above 0 of the bits not flipped; `None` before there is one.
    pub missing_bound: Option<f64>,
}

impl Look {
    /// Bound on the share that is missing of the sum of all rises above 0.
    pub fn share_bound(&self) -> Option<f64> {
        self.missing_bound.map(|bound| if bound == 0.0 { 0.0 } else { bound / (self.found + bound) })
    }
}

/// A finished guided campaign.
#[derive(Debug, Clone, PartialEq)]
pub struct Guided {
    /// Number of bits.
    pub bits: usize,
    /// The bits flipped, in the order of flipping.
    pub flips: Vec<GuidedFlip>,
    /// What was known after each batch; the last is what is known now.
    pub looks: Vec<Look>,
    /// How often a bit rose above the cap that was assumed of it: what was proven before was given up then.
    pub restarts: usize,
    /// Bits drawn since the last time, on which the bound rests.
    pub draws_counted: usize,
}

impl Guided {
    /// Whether every bit was flipped: nothing is missing then, and nothing estimated.
    pub const fn is_complete(&self) -> bool {
        self.flips.len() == self.bits
    }

    /// What is known now.
    ///
    /// # Panics
    /// Never: a campaign looks at least once.
    pub fn last(&self) -> Look {
        *self.looks.last().expect("a campaign looks at least once")
    }

    /// Sum of the rises of the flipped bits, those below 0 included.
    pub fn found_signed(&self) -> f64 {
        let sum: ExactSum = self.flips.iter().map(|flip| exact(flip.rise)).sum();
        sum.value()
    }

    /// Flips of a random order until no more than this share is missing on average: any `k` of `N` bits hold `k / N` of
    /// the sum on average.
    pub fn random_order_flips(&self, missing: MissingShare) -> usize {
        let flips = -cast::floor_i64(-(1.0 - missing.get()) * cast::f64_from_count(self.bits));
        usize::try_from(flips).unwrap_or(0)
    }

    /// Flips made for a reason.
    pub fn flips_by(&self, reason: Reason) -> usize {
        self.flips.iter().filter(|flip| flip.reason == reason).count()
    }
}

/// Flips bits and says how much each raises the error, in their order.
pub type MeasureRises<'a, E> = dyn FnMut(&[usize]) -> Result<Vec<f64>, E> + 'a;

/// Flips bits as `plan` says until enough is known. `measure` flips those it is given.
///
/// # Errors
/// When `measure` fails.
///
/// # Panics
/// When `bits` are not consistent: an order that is no permutation, a size of 0.
pub fn guided<E>(bits: &GuidedBits<'_>, plan: &GuidedPlan, measure: &mut MeasureRises<'_, E>) -> Result<Guided, E> {
    let mut campaign = GuidedCampaign::new(bits, plan);
    loop {
        let batch = campaign.next_batch();
        let rises = measure(&batch)?;
        if campaign.observe(&rises) {
            return Ok(campaign.finish());
        }
    }
}

/// A guided campaign at work: asks for batches of bits and is told their rises.
#[derive(Debug, Clone)]
pub struct GuidedCampaign<'a> {
    bits: GuidedBits<'a>,
    plan: GuidedPlan,
    draws: Draws,
    groups: Vec<Group>,
    is_flipped: Vec<bool>,
    /// Bits not flipped, nor asked for.
    left: usize,
    /// Next place in the order.
    next: usize,
    batch: Vec<Asked>,
    found: ExactSum,
    wager: Wager,
    /// Smallest bound so far on the sum of all rises above 0.
    total_bound: Option<f64>,
    result: Guided,
}

/// What is known of the bits of a group.
#[derive(Debug, Clone)]
struct Group {
    /// Positions of its bits.
    members: Vec<usize>,
    left: SizeDraws,
    largest_size: f64,
    /// Largest rise per size seen.
    steepest: f64,
}

#[derive(Debug, Clone, Copy)]
struct Asked {
    position: usize,
    reason: Reason,
    /// Caps of all bits that were left, where it was drawn.
    cap_left: Option<f64>,
}

impl<'a> GuidedCampaign<'a> {
    /// Nothing flipped.
    ///
    /// # Panics
    /// When `bits` are not consistent: an order that is no permutation, a size of 0.
    pub fn new(bits: &GuidedBits<'a>, plan: &GuidedPlan) -> Self {
        let count = bits.order.len();
        assert!(bits.groups.len() == count && bits.sizes.len() == count, "a group and a size for every bit");
        assert!(bits.sizes.iter().all(|size| *size > 0), "every flip changes its register");
        let mut is_ordered = vec![false; count];
        for position in bits.order {
            assert!(!std::mem::replace(&mut is_ordered[*position], true), "an order names every bit once");
        }
        let mut members = vec![Vec::new(); bits.groups.iter().max().map_or(0, |last| last + 1)];
        for (position, group) in bits.groups.iter().enumerate() {
            members[*group].push(position);
        }
        let groups = members.into_iter().map(|members| {
            let sizes: Vec<u32> = members.iter().map(|position| bits.sizes[*position]).collect();
            let largest_size = f64::from(sizes.iter().copied().max().unwrap_or(0));
            Group { members, left: SizeDraws::new(&sizes), largest_size, steepest: 0.0 }
        });
        Self {
            bits: *bits,
            plan: *plan,
            draws: Draws::new(plan.seed, DRAW_STREAM),
            groups: groups.collect(),
            is_flipped: vec![false; count],
            left: count,
            next: 0,
            batch: Vec::new(),
            found: ExactSum::default(),
            wager: Wager::new(SPENT_AT_ONCE * (1.0 - plan.confidence.get())),
            total_bound: None,
            result: Guided { bits: count, flips: Vec::new(), looks: Vec::new(), restarts: 0, draws_counted: 0 },
        }
    }

    /// The bits to flip next, by position; none when all are flipped.
    ///
    /// What is asked for depends on the rises told so far only, which is what the bound rests on.
    pub fn next_batch(&mut self) -> Vec<usize> {
        self.batch.clear();
        if self.result.looks.is_empty() {
            self.ask_pilot();
            self.ask_in_order(self.first_in_order());
        } else if let Some(taint) = self.wager.recent_taint() {
            let ordered = self.next_in_order(taint);
            if ordered == 0 {
                self.ask_drawn(self.draws_to_prove());
            } else {
                self.ask_in_order(ordered);
                self.ask_drawn(ordered.div_ceil(DRAWN_EVERY));
            }
        } else {
            self.ask_drawn(LEAST_DRAWS);
        }
        // Without any rise there are no caps to draw by.
        if self.batch.is_empty() {
            self.ask_in_order(self.part(ORDER_BATCH));
        }
        self.batch.iter().map(|asked| asked.position).collect()
    }

    /// Takes the rises of the last batch, in its order; says whether the campaign may stop.
    ///
    /// # Panics
    /// When there are not as many rises as bits asked for.
    pub fn observe(&mut self, rises: &[f64]) -> bool {
        assert_eq!(rises.len(), self.batch.len(), "a rise for every bit asked for");
        let assumed: Vec<f64> = self.groups.iter().map(|group| self.cap_per_size(group)).collect();
        let mut failed = false;
        for (asked, rise) in std::mem::take(&mut self.batch).into_iter().zip(rises) {
            let value = rise.max(0.0);
            let cap = assumed[self.bits.groups[asked.position]] * f64::from(self.bits.sizes[asked.position]);
            // The first batch is what caps are made of.
            failed |= value > cap && !self.result.looks.is_empty();
            if let Some(cap_left) = asked.cap_left {
                let bit = DrawnBit { found: self.found.value(), cap_left, cap, value };
                self.wager.bet(&bit, self.allowed());
                self.result.draws_counted += 1;
            }
            self.found += exact(value);
            let group = &mut self.groups[self.bits.groups[asked.position]];
            group.steepest = group.steepest.max(value / f64::from(self.bits.sizes[asked.position]));
            self.result.flips.push(GuidedFlip { position: asked.position, reason: asked.reason, rise: *rise });
        }
        if failed {
            self.restart();
        }
        let look = self.look();
        self.result.looks.push(look);
        let is_enough = look.share_bound().is_some_and(|share| share <= self.plan.missing.get());
        self.left == 0 || (is_enough && self.result.draws_counted >= LEAST_DRAWS)
    }

    /// What came out.
    pub fn finish(self) -> Guided {
        self.result
    }

    /// Begins to prove anew, with the caps that are now known to be needed.
    fn restart(&mut self) {
        self.result.restarts += 1;
        self.result.draws_counted = 0;
        self.total_bound = None;
        let earlier = i32::try_from(self.result.restarts).unwrap_or(i32::MAX);
        let doubt = (1.0 - self.plan.confidence.get()) * SPENT_AT_ONCE * (1.0 - SPENT_AT_ONCE).powi(earlier);
        self.wager = Wager::new(doubt);
    }

    fn look(&mut self) -> Look {
        let (flips, found) = (self.result.flips.len(), self.found.value());
        if self.left == 0 {
            return Look { flips, found, missing_bound: Some(0.0) };
        }
        let cap_left: f64 = self.caps().iter().sum();
        // Without any rise there is no scale for a cap.
        if cap_left > 0.0 {
            let total = found + self.wager.upper(found, cap_left);
            self.total_bound = Some(self.total_bound.map_or(total, |bound| bound.min(total)));
        }
        Look { flips, found, missing_bound: self.total_bound.map(|total| (total - found).max(0.0)) }
    }

    /// The sum that may be missing beside what is found.
    fn allowed(&self) -> f64 {
        let share = self.plan.missing.get();
        self.found.value() * share / (1.0 - share)
    }

    /// Bits to take in the order at first: as many as find enough, should the rises be as expected.
    fn first_in_order(&self) -> usize {
        let Some(expected) = self.bits.expected else { return self.part(ORDER_BATCH) };
        let rise = |position: &usize| if expected[*position].is_finite() { expected[*position].max(0.0) } else { 0.0 };
        let enough = self.bits.order.iter().map(rise).sum::<f64>() * (1.0 - ENOUGH_FOUND * self.plan.missing.get());
        let mut found = 0.0;
        let ordered = self.bits.order.iter().take_while(|position| {
            let goes_on = found < enough;
            found += rise(position);
            goes_on
        });
        ordered.count().max(self.part(LEAST_BATCH))
    }

    /// Bits to take in the order next: none if the last draws, whose mean taint is given, look as if so little is missing
    /// that it can be proven; otherwise until it would be, were the taint the same for all bits.
    fn next_in_order(&self, taint: f64) -> usize {
        let mut left: f64 = self.caps().iter().sum();
        let enough = ENOUGH_FOUND * self.allowed();
        if taint * left <= enough {
            return 0;
        }
        let per_size: Vec<f64> = self.groups.iter().map(|group| self.cap_per_size(group)).collect();
        let still_there = self.bits.order[self.next..].iter().filter(|position| !self.is_flipped[**position]);
        let ordered = still_there.take_while(|position| {
            let goes_on = taint * left > enough;
            left -= per_size[self.bits.groups[**position]] * f64::from(self.bits.sizes[**position]);
            goes_on
        });
        ordered.count().clamp(self.part(LEAST_BATCH), self.part(ORDER_BATCH))
    }

    /// A part of the bits, and no fewer than make a batch.
    fn part(&self, part: usize) -> usize {
        (self.bits.order.len() / part).max(SMALLEST_BATCH)
    }

    /// Draws that should prove that no more is missing than may be.
    fn draws_to_prove(&self) -> usize {
        let cap_left: f64 = self.caps().iter().sum();
        let likely = DRAWS_MARGIN * self.wager.draws_to_refuse(self.found.value(), self.allowed(), cap_left);
        let least = self.part(LEAST_BATCH).max(LEAST_DRAWS.saturating_sub(self.result.draws_counted));
        let most = self.part(DRAWS_BATCH).max(least);
        let bounded = likely.clamp(cast::f64_from_count(least), cast::f64_from_count(most));
        usize::try_from(cast::floor_i64(bounded)).unwrap_or(most)
    }

    /// Sum of the caps of the bits left, by group.
    fn caps(&self) -> Vec<f64> {
        let cap = |group: &Group| self.cap_per_size(group) * cast::f64_from_u64(group.left.left());
        self.groups.iter().map(cap).collect()
    }

    fn cap_per_size(&self, group: &Group) -> f64 {
        // A group may be empty: an array of which no bit is a candidate.
        if group.members.is_empty() {
            return 0.0;
        }
        let tallest = self.groups.iter().map(|group| group.steepest * group.largest_size).fold(0.0, f64::max);
        CAP_FACTOR * group.steepest.max(LEAST_CAP * tallest / group.largest_size)
    }

    fn ask(&mut self, position: usize, reason: Reason, cap_left: Option<f64>) {
        self.is_flipped[position] = true;
        self.left -= 1;
        let group = &mut self.groups[self.bits.groups[position]];
        let member = group.members.binary_search(&position).expect("a bit is of its group");
        group.left.take(member);
        self.batch.push(Asked { position, reason, cap_left });
    }

    fn ask_pilot(&mut self) {
        let mut draws = Draws::new(self.plan.seed, PILOT_STREAM);
        for group in 0..self.groups.len() {
            let mut members = self.groups[group].members.clone();
            draws.shuffle(&mut members);
            for position in members.into_iter().take(PILOT_BITS) {
                self.ask(position, Reason::Pilot, None);
            }
        }
    }

    fn ask_in_order(&mut self, count: usize) {
        let mut asked = 0;
        while asked < count && self.next < self.bits.order.len() {
            let position = self.bits.order[self.next];
            self.next += 1;
            if !self.is_flipped[position] {
                self.ask(position, Reason::Order, None);
                asked += 1;
            }
        }
    }

    /// Draws bits in proportion to their caps.
    fn ask_drawn(&mut self, count: usize) {
        let per_size: Vec<f64> = self.groups.iter().map(|group| self.cap_per_size(group)).collect();
        for _ in 0..count {
            let caps: Vec<f64> = self
                .groups
                .iter()
                .zip(&per_size)
                .map(|(group, cap)| cap * cast::f64_from_u64(group.left.left()))
                .collect();
            let cap_left: f64 = caps.iter().sum();
            if cap_left <= 0.0 {
                return;
            }
            let mut place = self.draws.unit() * cap_left;
            let mut chosen = caps.iter().rposition(|cap| *cap > 0.0).expect("some cap is left");
            for (group, cap) in caps.iter().enumerate() {
                if place < *cap {
                    chosen = group;
                    break;
                }
                place -= cap;
            }
            let member = self.groups[chosen].left.draw(&mut self.draws);
            let position = self.groups[chosen].members[member];
            self.ask(position, Reason::Drawn, Some(cap_left));
        }
    }
}

fn exact(rise: f64) -> ExactSum {
    ExactSum::of(rise).expect("an oracle's rises can be added up")
}

#[cfg(test)]
#[path = "guided_tests.rs"]
mod tests;

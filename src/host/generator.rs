//! Synthetic events that look like those of HGCal modules: seeded, one independent random stream per event.
//!
//! It imitates the distributions that matter to an autoencoder of trigger-cell charges (how many cells, how much
//! charge, how concentrated); it is not a detector simulation: cells know no particle, layer or bunch crossing.
//! `docs/events.md` shows its statistics beside those of published simulations.
//!
//! An event is the sum of two kinds of deposits, then seen through the electronics:
//! - soft hits: a particle crosses one cell and leaves all its charge there;
//! - showers: a core at a random place, possibly outside the module, with charge falling exponentially with distance;
//! - every cell fluctuates by a log-normal factor, charges below a threshold are suppressed, noise is added, and the
//!   rest is rounded to an integer, at least [`LEAST_CHARGE`].
//!
//! The numbers of hits and showers are Poisson around an activity that itself varies log-normally from event to event.
//! Events without any charge are drawn again from the same stream.

use std::fmt;
use std::str::FromStr;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::geometry::{CELLS, Charges, centers};
use crate::num::cast;

/// The smallest charge that the electronics report.
pub const LEAST_CHARGE: f64 = 2.0;

/// Radius of the disc in which showers start, in half cell pitches: a little more than the module, whose farthest
/// cell centers are 7.0 from its middle.
const REACH: f64 = 9.5;

/// Area of one cell, in half pitches squared.
const CELL_AREA: f64 = 3.464_101_615_137_754_4;

/// The middle of the module, about which it has threefold symmetry: `(-7 sqrt(3) / 12, -25 / 4)`.
const MIDDLE: [f64; 2] = [-1.010_362_971_081_845, -6.25];

/// Standard deviation of the noise added to a charge that passed the threshold.
const NOISE: f64 = 0.7;

/// Which modules the events are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Population {
    /// Top-pair events without pile-up: half the modules hold one cell.
    TopPair,
    /// Busy modules under pile-up: half the modules hold more than 15 cells.
    Busy,
    /// Each event is, with equal probability, of one or the other kind: what shipped designs are trained and judged on.
    Mixture,
}

impl Population {
    /// All populations.
    pub const ALL: [Self; 3] = [Self::TopPair, Self::Busy, Self::Mixture];

    /// The name in commands and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TopPair => "top-pair",
            Self::Busy => "busy",
            Self::Mixture => "mixture",
        }
    }
}

impl Default for Population {
    /// The mixture.
    fn default() -> Self {
        Self::Mixture
    }
}

impl fmt::Display for Population {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// A name that is not a population's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no population of events is called `{name}`: use `top-pair`, `busy` or `mixture`")]
#[non_exhaustive]
pub struct UnknownPopulation {
    /// The name given.
    pub name: String,
}

impl FromStr for Population {
    type Err = UnknownPopulation;

    fn from_str(name: &str) -> Result<Self, UnknownPopulation> {
        let known = Self::ALL.into_iter().find(|population| population.name() == name);
        known.ok_or_else(|| UnknownPopulation { name: name.to_owned() })
    }
}

/// A normal distribution; of the logarithm to base 2 of a charge or factor, or of the natural one of a length.
#[derive(Debug, Clone, Copy)]
struct Spread {
    mean: f64,
    deviation: f64,
}

/// The parameters of one kind of event, found by matching the published quantiles (see `docs/events.md`).
#[derive(Debug, Clone, Copy)]
struct Recipe {
    /// Mean number of soft hits at activity 1.
    hits: f64,
    /// Mean number of showers at activity 1.
    showers: f64,
    /// Deviation of the natural logarithm of the activity.
    activity: f64,
    /// Binary logarithm of a soft hit's charge.
    hit_charge: Spread,
    /// Binary logarithm of a shower's charge.
    shower_charge: Spread,
    /// Deviation of the binary logarithm of a factor common to all deposits of the event.
    common_charge: f64,
    /// Natural logarithm of a shower's radius, in half cell pitches.
    shower_radius: Spread,
    /// Deviation of the binary logarithm of a cell's own fluctuation.
    fluctuation: f64,
    /// Charges below are suppressed.
    threshold: f64,
}

const TOP_PAIR: Recipe = Recipe {
    hits: 0.75,
    showers: 0.33,
    activity: 0.55,
    hit_charge: Spread { mean: 1.7, deviation: 1.75 },
    shower_charge: Spread { mean: 4.3, deviation: 2.1 },
    common_charge: 2.3,
    shower_radius: Spread { mean: -0.5, deviation: 0.35 },
    fluctuation: 0.15,
    threshold: 2.2,
};

const BUSY: Recipe = Recipe {
    hits: 9.5,
    showers: 1.05,
    activity: 0.85,
    hit_charge: Spread { mean: 4.6, deviation: 1.1 },
    shower_charge: Spread { mean: 9.2, deviation: 1.3 },
    common_charge: 0.0,
    shower_radius: Spread { mean: 0.0, deviation: 0.7 },
    fluctuation: 0.8,
    threshold: 3.5,
};

/// A reproducible, unlimited sequence of events.
///
/// Event `i` depends on the population, the seed and `i` alone: it comes from stream `i` of a `ChaCha8` generator.
/// The platform's `exp` and `ln` may differ in their last bit between machines; that could move a charge only where it
/// lies within 1e-12 of a half integer or of a threshold.
#[derive(Debug, Clone)]
pub struct Generator {
    population: Population,
    seed: u64,
    centers: [[f64; 2]; CELLS],
}

impl Generator {
    /// The sequence of `population` that belongs to `seed`.
    pub fn new(population: Population, seed: u64) -> Self {
        Self { population, seed, centers: centers() }
    }

    /// Event number `index` of the sequence. Charges are integers of at least [`LEAST_CHARGE`], or zero.
    pub fn event(&self, index: u64) -> Charges {
        let mut source = ChaCha8Rng::seed_from_u64(self.seed);
        source.set_stream(index);
        let mut random = Random { source };
        let recipe = match self.population {
            Population::TopPair => &TOP_PAIR,
            Population::Mixture if random.uniform() < 0.5 => &TOP_PAIR,
            Population::Busy | Population::Mixture => &BUSY,
        };
        loop {
            // Empty modules are not sent, so they are not events.
            if let Ok(charges) = Charges::new(recipe.draw(&mut random, &self.centers)) {
                return charges;
            }
        }
    }

    /// Events `first` to `first + count - 1` of the sequence.
    ///
    /// # Panics
    /// When the last index would exceed `u64::MAX`.
    pub fn events(&self, first: u64, count: usize) -> Vec<Charges> {
        let beyond = first.checked_add(count.try_into().expect("a count fits 64 bits"));
        (first..beyond.expect("event indices fit 64 bits")).map(|index| self.event(index)).collect()
    }
}

impl Recipe {
    fn draw(&self, random: &mut Random, centers: &[[f64; 2]; CELLS]) -> [f64; CELLS] {
        let mut deposits = [0.0; CELLS];
        let activity = (self.activity * random.normal()).exp();
        let common = self.common_charge * random.normal();
        for _ in 0..random.poisson(self.hits * activity) {
            deposits[random.cell()] += (random.spread(self.hit_charge) + common).exp2();
        }
        for _ in 0..random.poisson(self.showers * activity) {
            let place = random.place();
            let charge = (random.spread(self.shower_charge) + common).exp2();
            let radius = random.spread(self.shower_radius).exp();
            // A wide shower covers 2 pi radius^2 / CELL_AREA cells' worth of its peak, a narrow one a single cell.
            let peak = charge / (1.0 + std::f64::consts::TAU * radius * radius / CELL_AREA);
            for (deposit, center) in deposits.iter_mut().zip(centers) {
                let distance = (center[0] - place[0]).hypot(center[1] - place[1]);
                *deposit += peak * (-distance / radius).exp();
            }
        }
        deposits.map(|deposit| {
            let charge = deposit * (self.fluctuation * random.normal()).exp2();
            let noisy = (charge + NOISE * random.normal()).round().max(LEAST_CHARGE);
            if charge < self.threshold { 0.0 } else { noisy }
        })
    }
}

/// Draws from the standard distributions, spelled out so that no library's change of algorithm changes an event.
struct Random {
    source: ChaCha8Rng,
}

impl Random {
    /// Uniform on [0, 1), a multiple of 2^-53.
    fn uniform(&mut self) -> f64 {
        const STEP: f64 = 1.0 / 9_007_199_254_740_992.0;
        cast::f64_from_u64(self.source.next_u64() >> 11) * STEP
    }

    /// Standard normal (Marsaglia's polar method; the second value of each pair is not used).
    fn normal(&mut self) -> f64 {
        loop {
            let (x, y) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let square = x * x + y * y;
            if square < 1.0 && square > 0.0 {
                return x * (-2.0 * square.ln() / square).sqrt();
            }
        }
    }

    fn spread(&mut self, spread: Spread) -> f64 {
        spread.mean + spread.deviation * self.normal()
    }

    /// Poisson: the number of unit-rate arrivals within `mean`.
    fn poisson(&mut self, mean: f64) -> usize {
        let (mut arrivals, mut time) = (0, 0.0);
        loop {
            // 1 - uniform is never 0.
            time -= (1.0 - self.uniform()).ln();
            if time > mean {
                return arrivals;
            }
            arrivals += 1;
        }
    }

    /// Uniform over the cells; 2^64 is so much larger than 48 that the unevenness is below 3e-18.
    fn cell(&mut self) -> usize {
        let cells = u64::try_from(CELLS).expect("48 fits");
        usize::try_from(self.source.next_u64() % cells).expect("less than 48")
    }

    /// Uniform over the disc of radius [`REACH`] about the module's middle.
    fn place(&mut self) -> [f64; 2] {
        loop {
            let (x, y) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            if x * x + y * y <= 1.0 {
                return [MIDDLE[0] + REACH * x, MIDDLE[1] + REACH * y];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::event_statistics::{EventStatistics, Quantiles};

    const SEED: u64 = 20;

    fn statistics(population: Population, count: usize) -> EventStatistics {
        EventStatistics::of(&Generator::new(population, SEED).events(0, count)).unwrap()
    }

    /// Tolerances of the quantiles at 5, 25, 50, 75 and 95 %.
    fn near(name: &str, measured: Option<Quantiles>, published: Quantiles, tolerances: Quantiles) {
        for ((measured, published), tolerance) in measured.unwrap().into_iter().zip(published).zip(tolerances) {
            assert!((measured - published).abs() <= tolerance, "{name}: {measured} is not {published} +- {tolerance}");
        }
    }

    /// The median within 10 %, the others within 20 %.
    fn relative(published: Quantiles) -> Quantiles {
        let mut tolerances = published.map(|quantile| 0.2 * quantile);
        tolerances[2] /= 2.0;
        tolerances
    }

    const LOG2: Quantiles = [0.5, 0.5, 0.3, 0.5, 0.5];

    #[test]
    fn top_pair_events_match_the_published_quantiles() {
        let seen = statistics(Population::TopPair, 20_000);
        near("cells", Some(seen.occupied_cells), [1.0, 1.0, 1.0, 3.0, 7.0], [0.0, 0.0, 0.0, 1.0, 1.0]);
        near("log2 sum", Some(seen.log2_sum), [1.6, 2.6, 4.0, 5.9, 8.5], LOG2);
        let hottest = [0.36, 0.58, 1.0, 1.0, 1.0];
        near("hottest", Some(seen.hottest_share), hottest, relative(hottest));
        let radius = [0.8, 1.5, 2.5, 3.7, 5.2];
        near("radius", seen.rms_radius, radius, relative(radius));
        let around = [0.40, 0.57, 0.74, 0.93, 1.0];
        near("around", seen.share_around_hottest, around, relative(around));
    }

    #[test]
    fn busy_events_match_the_published_quantiles() {
        let seen = statistics(Population::Busy, 10_000);
        near("cells", Some(seen.occupied_cells), [2.0, 7.0, 15.0, 28.0, 46.0], [1.0, 1.4, 1.5, 5.6, 2.0]);
        near("log2 sum", Some(seen.log2_sum), [5.8, 8.0, 9.2, 10.3, 11.7], LOG2);
        let hottest = [0.10, 0.17, 0.28, 0.43, 0.78];
        near("hottest", Some(seen.hottest_share), hottest, relative(hottest));
        let radius = [2.3, 3.8, 4.5, 5.0, 5.5];
        near("radius", seen.rms_radius, radius, relative(radius));
        let around = [0.18, 0.28, 0.40, 0.56, 0.84];
        near("around", seen.share_around_hottest, around, relative(around));
        let values = [5.0, 11.0, 26.0, 62.0, 176.0];
        near("values", Some(seen.cell_charges), values, relative(values));
    }

    #[test]
    fn the_mixture_is_half_and_half() {
        // 54 % of the top-pair events hold one cell and 2 % at least 12; of the busy ones 3 % and 59 %.
        let events = Generator::new(Population::Mixture, SEED).events(0, 10_000);
        let occupied = |event: &Charges| event.charges().iter().filter(|&&charge| charge > 0.0).count();
        let singles = events.iter().filter(|event| occupied(event) == 1).count();
        let full = events.iter().filter(|event| occupied(event) >= 12).count();
        assert!((2_500..3_100).contains(&singles), "{singles}");
        assert!((2_700..3_400).contains(&full), "{full}");
    }

    #[test]
    fn charges_are_integers_from_two() {
        for population in Population::ALL {
            for event in Generator::new(population, 3).events(0, 2_000) {
                assert!(event.charges().iter().all(|&c| c == 0.0 || (c >= LEAST_CHARGE && c.fract() == 0.0)));
            }
        }
    }

    #[test]
    fn an_event_depends_on_seed_and_index_alone() {
        for population in Population::ALL {
            let generator = Generator::new(population, 9);
            let all = generator.events(0, 50);
            assert_eq!(generator.events(0, 20), all[..20]);
            assert_eq!(generator.events(30, 20), all[30..]);
            assert_eq!(generator.event(49), all[49]);
            assert_ne!(Generator::new(population, 10).events(0, 50), all);
        }
        assert_eq!(Generator::new(Population::Busy, 9).events(u64::MAX, 0), []);
    }

    #[test]
    fn the_first_events_stay_what_they_are() {
        let first = |population: Population| {
            let event = Generator::new(population, 1).event(0);
            event.charges().iter().copied().enumerate().filter(|cell| cell.1 > 0.0).collect::<Vec<_>>()
        };
        assert_eq!(first(Population::TopPair), [(3, 6.0)]);
        let busy = [(2, 6.0), (12, 23.0), (18, 12.0), (22, 10.0), (27, 62.0), (38, 30.0), (42, 124.0), (46, 20.0)];
        assert_eq!(first(Population::Busy), busy);
        assert_eq!(first(Population::Mixture), [(41, 65.0)]);
    }

    #[test]
    fn names_read_back() {
        for population in Population::ALL {
            assert_eq!(population.to_string().parse(), Ok(population));
        }
        assert!("quiet".parse::<Population>().unwrap_err().to_string().contains("`quiet`"));
    }
}

//! The rule of guided campaigns over rises that are known: what it promises must hold, whatever the order.

use std::convert::Infallible;

use super::super::FlipSizes;
use super::*;

/// Rises, groups and sizes of bits.
struct Truth {
    rises: Vec<f64>,
    groups: Vec<usize>,
    sizes: Vec<u32>,
}

/// Distributions of rises, each scaled by size as flips are.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// Log-normal, and one in ten lowers the error.
    LogNormal,
    /// Pareto with shape 1.2, whose variance is infinite.
    Pareto,
    /// One in a hundred rises a hundred times as much as its size tells; the others hardly.
    Spikes,
    /// Nothing in one of three groups, large rises in another.
    Uneven,
}

/// Orders, the best and the worst there is among them.
#[derive(Debug, Clone, Copy)]
enum By {
    Rise,
    Noisy,
    Size,
    Chance,
    Reversed,
}

const ORDERS: [By; 5] = [By::Rise, By::Noisy, By::Size, By::Chance, By::Reversed];

impl Truth {
    fn new(shape: Shape, seed: u64) -> Self {
        const BITS: usize = 1500;
        let mut draws = Draws::new(seed, 1);
        // No bit is of group 1, as biases are not where kernels alone are candidates.
        let groups: Vec<usize> = (0..BITS).map(|bit| [0, 2, 3][bit / 500]).collect();
        let places: Vec<u32> = (0..BITS).map(|bit| u32::try_from(5 - bit % 6).unwrap()).collect();
        let rise = |bit: usize, draws: &mut Draws| {
            let (normal, unit) = (normal(draws), draws.unit());
            let base = 4.0_f64.powi(i32::try_from(places[bit]).unwrap());
            match shape {
                Shape::LogNormal => base * normal.exp() * if unit < 0.1 { -0.3 } else { 1.0 },
                Shape::Pareto => base * (1.0 - unit).powf(-1.0 / 1.2),
                Shape::Spikes => base * if unit < 0.01 { 100.0 } else { 0.01 * normal },
                Shape::Uneven => base * normal.exp() * [0.0, 1.0, 30.0][bit / 500],
            }
        };
        let rises = (0..BITS).map(|bit| rise(bit, &mut draws)).collect();
        Self { rises, groups, sizes: places.into_iter().map(|place| 1 << place).collect() }
    }

    fn scores(&self, by: By, seed: u64) -> Vec<f64> {
        let mut draws = Draws::new(seed, 2);
        let score = |bit: usize| match by {
            By::Rise => self.rises[bit],
            By::Noisy => self.rises[bit].max(1e-9) * (1.5 * normal(&mut draws)).exp(),
            By::Size => f64::from(self.sizes[bit]),
            By::Chance => draws.unit(),
            By::Reversed => -self.rises[bit],
        };
        (0..self.rises.len()).map(score).collect()
    }

    fn order(&self, by: By, seed: u64) -> Vec<usize> {
        let scores = self.scores(by, seed);
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        order
    }

    fn run(&self, order: &[usize], plan: &GuidedPlan) -> Guided {
        self.flip(&GuidedBits { order, groups: &self.groups, sizes: &self.sizes, expected: None }, plan)
    }

    /// With scores that are taken for estimates of the rises.
    fn run_estimated(&self, by: By, plan: &GuidedPlan) -> Guided {
        let (scores, order) = (self.scores(by, plan.seed), self.order(by, plan.seed));
        let FlipSizes { groups, sizes } =
            FlipSizes { groups: self.groups.clone(), sizes: self.sizes.clone() }.by_estimates(&scores);
        self.flip(&GuidedBits { order: &order, groups: &groups, sizes: &sizes, expected: Some(&scores) }, plan)
    }

    fn flip(&self, bits: &GuidedBits<'_>, plan: &GuidedPlan) -> Guided {
        let measure = &mut |batch: &[usize]| Ok::<_, Infallible>(batch.iter().map(|bit| self.rises[*bit]).collect());
        guided(bits, plan, measure).unwrap()
    }

    fn total(&self) -> f64 {
        self.rises.iter().map(|rise| rise.max(0.0)).sum()
    }
}

/// A standard normal number, nearly: twelve uniform ones.
fn normal(draws: &mut Draws) -> f64 {
    (0..12).map(|_| draws.unit()).sum::<f64>() - 6.0
}

fn plan(missing: f64, confidence: f64, seed: u64) -> GuidedPlan {
    GuidedPlan { missing: MissingShare::new(missing).unwrap(), confidence: Confidence::new(confidence).unwrap(), seed }
}

#[test]
fn the_promise_holds_at_least_as_often_as_promised() {
    const SEEDS: u64 = 30;
    for shape in [Shape::LogNormal, Shape::Pareto, Shape::Spikes, Shape::Uneven] {
        for by in ORDERS {
            let mut broken = [0, 0];
            for seed in 0..SEEDS {
                let (truth, plan) = (Truth::new(shape, seed), plan(0.1, 0.8, seed));
                let results = [truth.run(&truth.order(by, seed), &plan), truth.run_estimated(by, &plan)];
                for (broken, result) in broken.iter_mut().zip(results) {
                    *broken += usize::from((truth.total() - result.last().found) / truth.total() > 0.1);
                }
            }
            // At 80 % six of thirty may fail; more than thirteen would by chance once in two thousand times.
            assert!(broken.iter().all(|broken| *broken <= 13), "{shape:?} {by:?}: {broken:?}");
        }
    }
}

#[test]
fn every_bound_on_the_way_holds_at_once() {
    const SEEDS: u64 = 60;
    // At 80 % twelve may fail; 23 or more would once in a thousand times.
    let fails = |seed: &u64| {
        let truth = Truth::new(Shape::LogNormal, *seed);
        let result = truth.run(&truth.order(By::Chance, *seed), &plan(0.001, 0.8, *seed));
        result.looks.iter().any(|look| {
            look.missing_bound.is_some_and(|bound| truth.total() - look.found > bound + 1e-9 * truth.total())
        })
    };
    let failed = (0..SEEDS).filter(fails).count();
    assert!(failed <= 22, "{failed}");
}

#[test]
fn a_good_order_saves_flips_and_a_bad_one_costs_them() {
    let flips = |by: By| -> usize {
        let of_seed = |seed| {
            let truth = Truth::new(Shape::LogNormal, seed);
            truth.run(&truth.order(by, seed), &plan(0.05, 0.95, seed)).flips.len()
        };
        (0..10).map(of_seed).sum::<usize>() / 10
    };
    let found = ORDERS.map(flips);
    let [best, noisy, size, chance, reversed] = found;
    assert!(best < 1100 && best <= noisy && noisy < size && size < chance.min(reversed), "{found:?}");
}

#[test]
fn estimates_of_rises_save_more_and_need_few_looks() {
    for (by, most) in [(By::Rise, 3), (By::Noisy, 12)] {
        let (mut by_change, mut by_estimate) = (0, 0);
        for seed in 0..10 {
            let (truth, plan) = (Truth::new(Shape::LogNormal, seed), plan(0.05, 0.95, seed));
            by_change += truth.run(&truth.order(by, seed), &plan).flips.len();
            let estimated = truth.run_estimated(by, &plan);
            by_estimate += estimated.flips.len();
            assert!(estimated.looks.len() <= most, "{by:?} {seed}: {:?}", estimated.looks);
        }
        assert!(by_estimate < by_change, "{by:?}: {by_estimate} {by_change}");
    }
}

#[test]
fn flips_are_flipped_once_and_the_end_is_exact() {
    let truth = Truth::new(Shape::Pareto, 4);
    let order = truth.order(By::Reversed, 4);
    let result = truth.run(&order, &plan(0.001, 0.95, 4));
    assert!(result.is_complete());
    let last = result.last();
    assert_eq!((last.flips, last.missing_bound, last.share_bound()), (1500, Some(0.0), Some(0.0)));
    let mut flipped: Vec<usize> = result.flips.iter().map(|flip| flip.position).collect();
    flipped.sort_unstable();
    assert_eq!(flipped, (0..1500).collect::<Vec<_>>());
    let exactly: ExactSum = truth.rises.iter().map(|rise| exact(*rise)).sum();
    assert_eq!((last.found, result.found_signed()), (exactly.value(), exactly.value()));
    assert_eq!(result, truth.run(&order, &plan(0.001, 0.95, 4)));
    assert_ne!(result.flips, truth.run(&order, &plan(0.001, 0.95, 5)).flips);
    assert_eq!(result.flips_by(Reason::Pilot), 3 * PILOT_BITS);
    let reasons = [Reason::Order, Reason::Pilot, Reason::Drawn].map(|reason| result.flips_by(reason));
    assert_eq!(reasons.iter().sum::<usize>(), 1500);
}

#[test]
fn without_any_rise_nothing_is_claimed_before_the_end() {
    let mut truth = Truth::new(Shape::LogNormal, 1);
    for worth in [0.0, -1.0] {
        truth.rises.fill(worth);
        let result = truth.run(&truth.order(By::Chance, 1), &plan(0.1, 0.9, 1));
        assert!(result.is_complete());
        assert_eq!((result.last().found, result.found_signed()), (0.0, 1500.0 * worth));
        assert!(result.looks[..result.looks.len() - 1].iter().all(|look| look.missing_bound.is_none()));
    }
    let nothing = Truth { rises: Vec::new(), groups: Vec::new(), sizes: Vec::new() };
    let result = nothing.run(&[], &plan(0.1, 0.9, 1));
    assert!(result.is_complete() && result.last().share_bound() == Some(0.0));
}

#[test]
fn what_breaks_an_assumption_makes_it_begin_anew() {
    // The order leads to a bit that rises a thousand times as much as any before, when the proof is under way.
    let mut truth = Truth::new(Shape::LogNormal, 2);
    for rise in &mut truth.rises {
        *rise = rise.abs().clamp(1.0, 100.0);
    }
    let mut order = truth.order(By::Reversed, 2);
    truth.rises[order[700]] = 1e5;
    order.truncate(1500);
    let result = truth.run(&order, &plan(0.2, 0.95, 7));
    assert!(result.restarts > 0, "{} flips", result.flips.len());
    assert!(result.draws_counted < result.flips_by(Reason::Drawn));
}

#[test]
fn shares_as_people_write_them() {
    for (text, share) in [("1%", 0.01), (" 2.5 % ", 0.025), ("0.1", 0.1)] {
        assert_eq!(text.parse::<MissingShare>().unwrap().get(), share);
    }
    for text in ["0", "1", "100%", "-1%", "NaN", "%", ""] {
        assert!(text.parse::<MissingShare>().unwrap_err().to_string().contains("between 0 and 1"), "{text}");
    }
}

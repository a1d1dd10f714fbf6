use proptest::prelude::*;

use super::*;
use crate::analysis::BitRanking;
use crate::hw::{AreaUnit, Protection, Technology, TmrStyle};
use crate::net::{Dense, NetworkBuilder, Op, TensorKind, WeightTensor};
use crate::num::{QFormat, qkeras};
use crate::protect::{Candidates, Line, SweepInput, sweep};

const EFFORT: usize = 1 << 20;

/// `a`: two kernel registers of 2 bits and a bias of 3; `b`: two kernel registers of 2 bits. 11 bits.
fn inventory() -> Inventory {
    wide_inventory(1, [2, 3, 2])
}

/// The same with more outputs of `b` and other widths.
fn wide_inventory(outputs: usize, [a, bias, b]: [u8; 3]) -> Inventory {
    let mut net = NetworkBuilder::new("n", "x", &[2], qkeras::quantized_relu(4, 1).unwrap()).unwrap();
    let tensor = |shape: Vec<usize>, width| {
        let count = shape.iter().product();
        WeightTensor::new(shape, vec![0; count], QFormat::signed(width, 1).unwrap()).unwrap()
    };
    let source = net.input();
    let op = Op::Dense(Dense { kernel: tensor(vec![2, 1], a), bias: Some(tensor(vec![1], bias)) });
    let sum = net.push("a", op, &[source]).unwrap();
    let values = net.push("act", Op::Quantize(qkeras::quantized_relu(4, 1).unwrap()), &[sum]).unwrap();
    let op = Op::Dense(Dense { kernel: tensor(vec![1, 2 * outputs], b), bias: None });
    net.push("b", op, &[values]).unwrap();
    Inventory::new(&net.finish().unwrap()).unwrap()
}

fn offer(style: TmrStyle, area: f64, residual: f64) -> Offer {
    Offer { measure: Measure::Tmr(style.into()), word_areas: vec![area], residual }
}

fn input<'a>(inventory: &'a Inventory, sites: &'a [BitId], rises: &'a [f64], offers: &'a [Offer]) -> PlannerInput<'a> {
    PlannerInput {
        inventory,
        sites,
        error_rises: rises,
        upset_rates: None,
        objective: Objective::ErrorRise,
        granularity: Granularity::Bit,
        offers,
    }
}

#[test]
fn groups_are_what_they_are_called() {
    let inventory = inventory();
    let all: Vec<BitId> = (0..11).map(BitId).collect();
    let groups = |granularity: Granularity| granularity.groups(&inventory, &all);
    assert_eq!(groups(Granularity::Bit).len(), 11);
    let registers: [&[usize]; 5] = [&[0, 1], &[2, 3], &[4, 5, 6], &[7, 8], &[9, 10]];
    assert_eq!(groups(Granularity::Register), registers);
    let columns: [&[usize]; 7] = [&[0, 2], &[1, 3], &[4], &[5], &[6], &[7, 9], &[8, 10]];
    assert_eq!(groups(Granularity::Column), columns);
    let layers: [&[usize]; 2] = [&[0, 1, 2, 3, 4, 5, 6], &[7, 8, 9, 10]];
    assert_eq!(groups(Granularity::Layer), layers);
    let some = [9, 1, 4, 0].map(BitId);
    let registers: [&[usize]; 3] = [&[1, 3], &[2], &[0]];
    assert_eq!(Granularity::Register.groups(&inventory, &some), registers);
    for granularity in Granularity::ALL {
        assert_eq!(granularity.to_string().parse(), Ok(granularity));
    }
    assert!("word".parse::<Granularity>().unwrap_err().to_string().contains("`word` is no granularity"));
    assert_eq!(inventory.tensor_bits(TensorKind::Bias), 3);
}

#[test]
fn bits_that_gain_nothing_are_left_alone() {
    let inventory = inventory();
    let sites = [0, 1, 2, 3].map(BitId);
    let offers = [offer(TmrStyle::Feedback, 10.0, 0.0)];
    let planner = Planner::new(input(&inventory, &sites, &[1.0, 0.0, 5.0, -2.0], &offers)).unwrap();
    let plan = |budget| planner.plan(budget, EFFORT).unwrap();
    let one = plan(19.9);
    assert_eq!((one.offers.as_slice(), one.area, one.bits), (&[None, None, Some(0), None][..], 10.0, 1));
    assert_eq!((one.harm, one.harm_left, one.gain, one.gap), (4.0, -1.0, 5.0, 0.0));
    assert_eq!((one.method, one.verdict), (Method::Sorted, Verdict::SomeFits { all: 20.0 }));
    let all = plan(40.0);
    assert_eq!((all.area, all.harm_left, all.verdict), (20.0, -2.0, Verdict::AllFits { spare: 20.0 }));
    let none = plan(9.0);
    assert_eq!((none.area, none.harm_left), (0.0, 4.0));
    let message = none.verdict.to_string();
    assert!(message.contains("cheapest is `feedback` with an area of 10") && message.contains("needs 20"), "{message}");
    let useless = Planner::new(input(&inventory, &sites, &[0.0, -1.0, 0.0, -2.0], &offers)).unwrap();
    assert_eq!(useless.plan(40.0, EFFORT).unwrap().verdict, Verdict::NothingGains);
    assert!(useless.plan(40.0, EFFORT).unwrap().offers.iter().all(Option::is_none));
}

#[test]
fn plans_are_written_bit_by_bit() {
    let inventory = inventory();
    let sites = [4, 0].map(BitId);
    // The weaker style leaves half, and is worth it where little is at stake.
    let offers = [offer(TmrStyle::Unvoted, 2.0, 0.5), offer(TmrStyle::Feedback3, 5.0, 0.0)];
    let planner = Planner::new(input(&inventory, &sites, &[1.0, 8.0], &offers)).unwrap();
    let answer = planner.plan(7.5, EFFORT).unwrap();
    assert_eq!((answer.offers.as_slice(), answer.area, answer.harm_left), (&[Some(0), Some(1)][..], 7.0, 0.5));
    let plan = planner.protection_plan(&answer).unwrap();
    let styles = [0, 1, 4].map(|bit| plan.of(BitId(bit)).style);
    assert_eq!(styles, [TmrStyle::Feedback3, TmrStyle::None, TmrStyle::Unvoted]);
    assert_eq!(plan.counts().values().sum::<usize>(), 2);
    let technology = Technology::shipped("osu018").unwrap();
    let offers = [Offer::code(WordCode::Sec, 4, CheckBits::Loaded, &technology)];
    let planner = Planner::new(input(&inventory, &sites, &[1.0, 8.0], &offers)).unwrap();
    let answer = planner.plan(1e6, EFFORT).unwrap();
    let error = planner.protection_plan(&answer).unwrap_err();
    assert!(error.to_string().contains("`a.bias[0].bit[0]` is protected by `sec`"), "{error}");
}

#[test]
fn words_are_priced_whole_and_with_their_rest() {
    assert_eq!([1, 2, 3, 4, 7, 9].map(|bits| group_price(&[5, 7, 8], bits)), [5, 7, 8, 13, 21, 24]);
    let technology = Technology::shipped("osu018").unwrap();
    let inventory = wide_inventory(32, [2, 2, 8]);
    let sites: Vec<BitId> = (6..inventory.bits()).map(|bit| BitId(cast::id(bit))).collect();
    let rises = vec![1.0; sites.len()];
    let offers = [
        Offer::tmr(TmrStyle::Feedback3.into(), &technology),
        Offer::code(WordCode::Sec, 64, CheckBits::Loaded, &technology),
        Offer::code(WordCode::Parity, 8, CheckBits::Loaded, &technology).leaving(0.25),
    ];
    let planner =
        Planner::new(PlannerInput { granularity: Granularity::Layer, ..input(&inventory, &sites, &rises, &offers) })
            .unwrap();
    let word = WordCode::Sec.area(64, CheckBits::Loaded, &technology).cost();
    let answer = planner.plan(1e6, EFFORT).unwrap();
    let eight_words = word * 8.0;
    let of_all = |style: TmrStyle| technology.protection_bit(style.into()).cost() * 512.0;
    assert!(of_all(TmrStyle::Feedback) < eight_words && eight_words < of_all(TmrStyle::Feedback3), "{eight_words}");
    assert_eq!(answer.offers[0], Some(1), "the cheaper of two that leave nothing");
    assert!((answer.area - eight_words).abs() < 1e-6);
    let parity = planner.plan(eight_words - 1.0, EFFORT).unwrap();
    assert_eq!((parity.offers[0], parity.harm_left), (Some(2), 128.0));
}

#[test]
fn what_cannot_be_used_is_named() {
    let inventory = inventory();
    let sites = [0, 6].map(BitId);
    let refuse = |input: PlannerInput<'_>| Planner::new(input).unwrap_err().to_string();
    let fine = [offer(TmrStyle::Feedback, 10.0, 0.0)];
    let of = |rises: &'static [f64], offers| input(&inventory, &sites, rises, offers);
    assert!(refuse(of(&[1.0], &fine)).contains("error rises are 1 for 2 candidate bits"));
    assert!(refuse(of(&[1.0, f64::NAN], &fine)).contains("`a.bias[0].bit[2]`: an error rise of NaN"));
    let rates = PlannerInput { upset_rates: Some(&[1.0, 1.5]), ..of(&[1.0, 1.0], &fine) };
    assert!(refuse(rates).contains("`a.bias[0].bit[2]`: an upset rate of 1.5"));
    let twice = [BitId(6), BitId(6)];
    assert!(refuse(input(&inventory, &twice, &[1.0, 1.0], &fine)).contains("`a.bias[0].bit[2]` is a candidate twice"));
    for (area, residual, part) in [
        (-1.0, 0.0, "`unvoted`: a word of 1 bits costs -1"),
        (f64::NAN, 0.0, "a word of 1 bits costs NaN"),
        (1.0, 1.5, "offer 0 (counted from 0), `unvoted`, leaves a share of 1.5"),
    ] {
        let message = refuse(input(&inventory, &sites, &[1.0, 1.0], &[offer(TmrStyle::Unvoted, area, residual)]));
        assert!(message.contains(part), "{message}");
    }
    let unpriced = [Offer { word_areas: Vec::new(), ..fine[0].clone() }];
    assert!(refuse(input(&inventory, &sites, &[1.0, 1.0], &unpriced)).contains("has no price"));
    let dear = [offer(TmrStyle::Unvoted, 1e12, 0.0)];
    let many: Vec<BitId> = (0..11).map(BitId).collect();
    let rises = [1.0; 11];
    assert!(refuse(input(&inventory, &many, &rises, &dear)).contains("too many to compare"));
    let planner = Planner::new(of(&[1.0, 1.0], &fine)).unwrap();
    for budget in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(planner.plan(budget, EFFORT).unwrap_err().to_string().contains("is no area"));
    }
}

/// A problem in numbers that add up exactly in binary.
#[derive(Debug, Clone)]
struct Problem {
    sites: Vec<BitId>,
    rises: Vec<f64>,
    rates: Vec<f64>,
    offers: Vec<Offer>,
    objective: Objective,
    granularity: Granularity,
}

fn problems() -> impl Strategy<Value = Problem> {
    let quarters = |numbers: std::ops::Range<i32>| numbers.prop_map(|quarters| f64::from(quarters) / 4.0);
    let sites = Just((0..11).map(BitId).collect::<Vec<_>>()).prop_shuffle();
    let offers = prop::collection::vec(
        (0..4_usize, prop::collection::vec(quarters(0..16), 1..4), prop::sample::select(vec![0.0, 0.25, 0.5, 1.0])),
        0..4,
    );
    let objective = prop::sample::select(vec![Objective::ErrorRise, Objective::Sensitive, Objective::Above(1.0)]);
    let granularity = prop::sample::select(Granularity::ALL.to_vec());
    (
        sites,
        prop::collection::vec((quarters(-6..12), prop::sample::select(vec![0.0, 0.5, 1.0])), 1..7),
        offers,
        objective,
        granularity,
    )
        .prop_map(|(mut sites, bits, offers, objective, granularity)| {
            sites.truncate(bits.len());
            let (rises, rates) = bits.into_iter().unzip();
            let offer = |(style, word_areas, residual): (usize, Vec<f64>, f64)| Offer {
                measure: Measure::Tmr(TmrStyle::ALL[style].into()),
                word_areas,
                residual,
            };
            let offers = offers.into_iter().map(offer).collect();
            Problem { sites, rises, rates, offers, objective, granularity }
        })
}

impl Problem {
    fn input<'a>(&'a self, inventory: &'a Inventory) -> PlannerInput<'a> {
        PlannerInput {
            inventory,
            sites: &self.sites,
            error_rises: &self.rises,
            upset_rates: Some(&self.rates),
            objective: self.objective,
            granularity: self.granularity,
            offers: &self.offers,
        }
    }

    /// Area and harm left of a choice, bit by bit and word by word.
    fn worth(&self, groups: &[Vec<usize>], choice: &[Option<usize>]) -> (f64, f64) {
        let (mut area, mut harm) = (0.0, 0.0);
        for (bits, offer) in groups.iter().zip(choice) {
            let offer = offer.map(|offer| &self.offers[offer]);
            for bit in bits {
                let whole = self.objective.harm(self.rises[*bit]) * self.rates[*bit];
                harm += offer.map_or(whole, |offer| whole * offer.residual);
            }
            if let Some(offer) = offer {
                area += bits.chunks(offer.word_areas.len()).map(|word| offer.word_areas[word.len() - 1]).sum::<f64>();
            }
        }
        (area, harm)
    }

    /// The least harm that any choice within the budget leaves.
    fn brute_force(&self, groups: &[Vec<usize>], budget: f64) -> f64 {
        let mut choice = vec![None; groups.len()];
        let mut least = f64::INFINITY;
        loop {
            let (area, harm) = self.worth(groups, &choice);
            if area <= budget {
                least = least.min(harm);
            }
            // The next choice, as one counts.
            let Some(place) = choice.iter().position(|offer| offer.map_or(0, |o: usize| o + 1) < self.offers.len())
            else {
                return least;
            };
            choice[place] = Some(choice[place].map_or(0, |offer| offer + 1));
            choice[..place].fill(None);
        }
    }
}

proptest! {
    #[test]
    fn the_planner_equals_brute_force(problem in problems(), quarters in 0..120_i32) {
        let inventory = inventory();
        let planner = Planner::new(problem.input(&inventory)).unwrap();
        let budget = f64::from(quarters) / 4.0;
        let answer = planner.plan(budget, EFFORT).unwrap();
        let groups = problem.granularity.groups(&inventory, &problem.sites);
        let choice: Vec<_> = groups.iter().map(|bits| answer.offers[bits[0]]).collect();
        for (bits, offer) in groups.iter().zip(&choice) {
            prop_assert!(bits.iter().all(|bit| answer.offers[*bit] == *offer), "a group is protected as one");
        }
        let (area, harm) = problem.worth(&groups, &choice);
        prop_assert_eq!((answer.area, answer.harm_left), (area, harm));
        prop_assert!(area <= budget);
        prop_assert_eq!(answer.harm - answer.gain, harm);
        prop_assert_eq!(answer.harm_left, problem.brute_force(&groups, budget));
        prop_assert_eq!(answer.gap, 0.0);
    }

    #[test]
    fn what_the_best_choice_needs_is_just_enough(problem in problems()) {
        let inventory = inventory();
        let planner = Planner::new(problem.input(&inventory)).unwrap();
        let all = planner.plan(1e6, EFFORT).unwrap();
        let enough = planner.plan(all.area, EFFORT).unwrap();
        prop_assert_eq!((enough.gain, enough.area), (all.gain, all.area));
        if all.area > 0.0 {
            let short = planner.plan(all.area - 0.25, EFFORT).unwrap();
            prop_assert!(short.gain < all.gain);
        }
    }

    #[test]
    fn more_area_never_takes_away_less(problem in problems(), budgets in prop::collection::vec(0.0..40.0_f64, 2..6)) {
        let inventory = inventory();
        let planner = Planner::new(problem.input(&inventory)).unwrap();
        let mut budgets = budgets;
        budgets.sort_by(f64::total_cmp);
        let gains: Vec<f64> = budgets.iter().map(|budget| planner.plan(*budget, EFFORT).unwrap().gain).collect();
        prop_assert!(gains.is_sorted(), "{:?}", gains);
    }

    #[test]
    fn no_ranking_is_better_at_the_same_budget(
        rises in prop::collection::vec(-1.0..4.0_f64, 256),
        scores in prop::collection::vec(0..20_u8, 256),
        seed in 0..1000_u64,
        style in prop::sample::select(vec![TmrStyle::Unvoted, TmrStyle::Feedback, TmrStyle::Feedback3]),
        percent in 0..=1000_u32,
    ) {
        let inventory = wide_inventory(16, [2, 2, 8]);
        let sites: Vec<BitId> = (6..262).map(BitId).collect();
        let technology = Technology::shipped("osu018").unwrap();
        let protection = Protection::from(style);
        let prices = Prices {
            technology: "osu018".to_owned(),
            unit: AreaUnit::Ge,
            plain_bit: technology.register_bit(Protection::NONE).cost(),
            bit: technology.protection_bit(protection).cost(),
            registers: 2000.0,
            accelerator: 30_000.0,
        };
        let scores: Vec<f64> = scores.into_iter().map(f64::from).collect();
        let rankings =
            [BitRanking::by_score("oracle", &rises), BitRanking::by_score("score", &scores), BitRanking::random(256, seed)];
        let share = f64::from(percent) / 1000.0;
        let budgets = [
            Budget::FullTmrShare(share),
            Budget::FullTmrShare(1.0 / 3.0),
            Budget::AcceleratorShare(share / 10.0),
            Budget::Cost(share * 3000.0, AreaUnit::Ge),
            Budget::Bits(usize::try_from(percent / 4).unwrap()),
        ];
        let candidates = Candidates { inventory: &inventory, sites: &sites, error_rises: &rises };
        let lines = rankings.map(Line::Ranking);
        let swept = sweep(&SweepInput { candidates, lines: &lines, budgets: &budgets, prices: &prices, protection });
        let all = TmrStyle::ALL[1..].iter().map(|style| Offer::tmr((*style).into(), &technology)).collect::<Vec<_>>();
        let alone = [Offer::tmr(protection, &technology)];
        for offers in [&alone[..], &all] {
            for objective in [Objective::ErrorRise, Objective::Sensitive] {
                let asked = PlannerInput { objective, ..input(&inventory, &sites, &rises, offers) };
                let planner = Planner::new(asked).unwrap();
                for point in &swept.as_ref().unwrap().points {
                    let area = spendable(point.budget, &prices, 256).unwrap();
                    let answer = planner.plan(area, EFFORT).unwrap();
                    let left = match objective {
                        Objective::ErrorRise => point.rise_remaining,
                        _ => cast::f64_from_count(point.sensitive_remaining),
                    };
                    prop_assert!(answer.harm_left <= left, "{} at {}: {:?}", point.ranking, point.budget, answer);
                    prop_assert!(answer.area <= area + 1e-6);
                }
            }
        }
    }
}

#[test]
fn many_bits_and_styles_are_planned_to_the_end() {
    // 8,192 bits whose rises halve from position to position, and a style that leaves a little.
    let inventory = wide_inventory(512, [2, 2, 8]);
    let sites: Vec<BitId> = (6..8198).map(BitId).collect();
    let rises: Vec<f64> = (0..8192_u32)
        .map(|bit| f64::from(bit.wrapping_mul(2_654_435_761) >> 12) * (-f64::from(bit % 8)).exp2() - 4000.0)
        .collect();
    let technology = Technology::shipped("osu018").unwrap();
    let offers = [
        Offer::tmr(TmrStyle::Feedback.into(), &technology).leaving(0.03),
        Offer::tmr(TmrStyle::Feedback3.into(), &technology),
    ];
    for granularity in Granularity::ALL {
        let asked = PlannerInput { granularity, ..input(&inventory, &sites, &rises, &offers) };
        let planner = Planner::new(asked).unwrap();
        for share in [0.05, 0.2, 0.5] {
            let budget = 8192.0 * 10.958 * share;
            let answer = planner.plan(budget, DEFAULT_EFFORT).unwrap();
            assert_eq!(answer.gap, 0.0, "{granularity} {share}");
            assert!(answer.area <= budget && answer.gain >= 0.0);
        }
    }
}

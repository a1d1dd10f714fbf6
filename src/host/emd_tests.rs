use proptest::prelude::*;

use super::*;
use crate::host::geometry;

/// Masses are rounded to 2^-45 and distances to 2^-45 of the largest.
const TOLERANCE: f64 = 1e-11;

fn module() -> Emd {
    Emd::new(geometry::distances().into_iter().flatten().collect(), geometry::CELLS).unwrap()
}

fn distance(emd: &Emd, supply: &[f64], demand: &[f64]) -> f64 {
    emd.distance(supply, demand, &mut EmdScratch::default()).unwrap()
}

/// An independent solver: augments along shortest paths (Bellman and Ford) in the residual graph, full problem.
fn shortest_paths(emd: &Emd, supply: &[f64], demand: &[f64]) -> f64 {
    /// What is left over when all paths are used up is rounding.
    const LEFT_OVER: f64 = 1e-15;
    let n = emd.points();
    let normalized = |masses: &[f64]| {
        let sum: f64 = masses.iter().sum();
        masses.iter().map(|mass| mass / sum).collect::<Vec<_>>()
    };
    let (mut left, mut wanted) = (normalized(supply), normalized(demand));
    let mut flow = vec![0.0; n * n];
    loop {
        // Points as sources are 0..n, as sinks n..2n.
        let mut far: Vec<f64> =
            left.iter().map(|mass| if *mass > LEFT_OVER { 0.0 } else { f64::INFINITY }).collect();
        far.resize(2 * n, f64::INFINITY);
        let mut from = vec![usize::MAX; 2 * n];
        let mut changed = true;
        while changed {
            changed = false;
            for source in 0..n {
                for sink in 0..n {
                    let cost = emd.distances[source * n + sink];
                    // Strict by more than rounding, so that no path of equal length goes round in circles.
                    if far[source] + cost < far[n + sink] - 1e-13 {
                        (far[n + sink], from[n + sink], changed) = (far[source] + cost, source, true);
                    }
                    if flow[source * n + sink] > 0.0 && far[n + sink] - cost < far[source] - 1e-13 {
                        (far[source], from[source], changed) = (far[n + sink] - cost, n + sink, true);
                    }
                }
            }
        }
        let open = (0..n).filter(|sink| wanted[*sink] > LEFT_OVER && far[n + sink].is_finite());
        let Some(end) = open.min_by(|a, b| far[n + a].total_cmp(&far[n + b])) else { break };
        let mut path = vec![n + end];
        while from[path[path.len() - 1]] != usize::MAX {
            path.push(from[path[path.len() - 1]]);
        }
        let start = path[path.len() - 1];
        let mut moved = left[start].min(wanted[end]);
        for step in path.windows(2).filter(|step| step[0] < n) {
            moved = moved.min(flow[step[0] * n + step[1] - n]);
        }
        for step in path.windows(2) {
            if step[0] >= n {
                flow[step[1] * n + step[0] - n] += moved;
            } else {
                flow[step[0] * n + step[1] - n] -= moved;
            }
        }
        left[start] -= moved;
        wanted[end] -= moved;
    }
    flow.iter().zip(&emd.distances).map(|(flow, distance)| flow * distance).sum()
}

/// On a line the distance is the area between the two cumulative distributions.
fn on_a_line(places: &[f64], supply: &[f64], demand: &[f64]) -> f64 {
    let (a, b) = (supply.iter().sum::<f64>(), demand.iter().sum::<f64>());
    let mut ahead = 0.0;
    let mut area = 0.0;
    for point in 0..places.len() - 1 {
        ahead += supply[point] / a - demand[point] / b;
        area += f64::abs(ahead) * (places[point + 1] - places[point]);
    }
    area
}

/// Histograms of all kinds: dense, sparse, few distinct values, tiny masses beside large ones.
fn histogram(points: usize) -> impl Strategy<Value = Vec<f64>> {
    let mass = prop_oneof![
        3 => Just(0.0),
        2 => 0.0..1.0_f64,
        2 => (1..4_u8).prop_map(f64::from),
        1 => (0.0..1.0_f64).prop_map(|mass| mass * 1e-12),
    ];
    let any = prop::collection::vec(mass, points);
    let dense = prop::collection::vec(0.0..1.0_f64, points);
    prop_oneof![any, dense].prop_filter("a histogram has mass", |masses| masses.iter().sum::<f64>() > 0.0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn equals_shortest_paths_on_the_module(supply in histogram(48), demand in histogram(48)) {
        let emd = module();
        let found = distance(&emd, &supply, &demand);
        let exact = shortest_paths(&emd, &supply, &demand);
        prop_assert!((found - exact).abs() < TOLERANCE * 20.0, "{} instead of {}", found, exact);
    }

    #[test]
    fn equals_shortest_paths_on_any_matrix(
        distances in prop::collection::vec(prop_oneof![0.0..1.0_f64, (0..4_u8).prop_map(f64::from)], 100),
        supply in histogram(10),
        demand in histogram(10),
    ) {
        let emd = Emd::new(distances, 10).unwrap();
        let found = distance(&emd, &supply, &demand);
        let exact = shortest_paths(&emd, &supply, &demand);
        prop_assert!((found - exact).abs() < TOLERANCE * 4.0, "{} instead of {}", found, exact);
    }

    #[test]
    fn equals_the_area_between_distributions_on_a_line(
        gaps in prop::collection::vec(prop_oneof![Just(0.0), Just(1.0), 0.0..1.0_f64], 63),
        supply in histogram(64),
        demand in histogram(64),
    ) {
        let mut places = vec![0.0];
        places.extend(gaps.iter().scan(0.0, |place, gap| {
            *place += gap;
            Some(*place)
        }));
        let distances = places.iter().flat_map(|a| places.iter().map(move |b: &f64| (a - b).abs())).collect();
        let emd = Emd::new(distances, 64).unwrap();
        prop_assert!(emd.is_metric());
        let found = distance(&emd, &supply, &demand);
        let exact = on_a_line(&places, &supply, &demand);
        prop_assert!((found - exact).abs() < TOLERANCE * 64.0, "{} instead of {}", found, exact);
        // The same without setting common mass aside.
        let full = Emd { metric: false, ..emd };
        prop_assert!((distance(&full, &supply, &demand) - exact).abs() < TOLERANCE * 64.0);
    }

    #[test]
    fn is_a_metric_and_knows_no_scale(a in histogram(48), b in histogram(48), c in histogram(48)) {
        let emd = module();
        let (ab, bc, ac) = (distance(&emd, &a, &b), distance(&emd, &b, &c), distance(&emd, &a, &c));
        prop_assert!((ab - distance(&emd, &b, &a)).abs() < TOLERANCE * 20.0);
        prop_assert!(ac <= ab + bc + TOLERANCE * 20.0);
        prop_assert_eq!(distance(&emd, &a, &a), 0.0);
        let scaled: Vec<f64> = a.iter().map(|mass| mass * 8.0).collect();
        prop_assert_eq!(distance(&emd, &scaled, &b), ab);
    }
}

#[test]
fn one_cell_and_uniform_histograms() {
    let emd = module();
    let single = |cell: usize| (0..48).map(|c| if c == cell { 3.0 } else { 0.0 }).collect::<Vec<_>>();
    assert_eq!(distance(&emd, &single(0), &single(3)), 6.0);
    assert_eq!(distance(&emd, &single(5), &single(5)), 0.0);
    let uniform = vec![1.0; 48];
    let mean = geometry::distances()[9].iter().sum::<f64>() / 48.0;
    assert!((distance(&emd, &single(9), &uniform) - mean).abs() < TOLERANCE * 20.0);
    assert!((distance(&emd, &uniform, &single(9)) - mean).abs() < TOLERANCE * 20.0);
    // Many equal masses: every basis would be degenerate without the perturbation.
    let half = |parity: usize| (0..48).map(|c| if c % 2 == parity { 1.0 } else { 0.0 }).collect::<Vec<_>>();
    let mut scratch = EmdScratch::default();
    let found = emd.distance(&half(0), &half(1), &mut scratch).unwrap();
    assert!((found - shortest_paths(&emd, &half(0), &half(1))).abs() < TOLERANCE * 20.0);
    // A mass far below the grid does not disturb the others.
    let mut almost = single(0);
    almost[47] = 1e-300;
    assert_eq!(distance(&emd, &almost, &single(0)), 0.0);
}

#[test]
fn scratch_has_no_memory() {
    let emd = module();
    let mut scratch = EmdScratch::default();
    let ramp: Vec<f64> = (0..48).map(f64::from).collect();
    let hill: Vec<f64> = (0..48).map(|c| f64::from((c * 7) % 48)).collect();
    let first = emd.distance(&ramp, &hill, &mut scratch).unwrap();
    assert!(scratch.pivots() > 0);
    emd.distance(&hill, &ramp, &mut scratch).unwrap();
    assert_eq!(emd.distance(&ramp, &hill, &mut scratch).unwrap(), first);
}

#[test]
fn bad_input_is_named() {
    assert_eq!(Emd::new(vec![], 0).unwrap_err(), EmdError::Points { points: 0 });
    assert_eq!(Emd::new(vec![0.0; 65 * 65], 65).unwrap_err(), EmdError::Points { points: 65 });
    assert_eq!(Emd::new(vec![0.0; 3], 2).unwrap_err(), EmdError::Matrix { points: 2, expected: 4, found: 3 });
    let error = Emd::new(vec![0.0, 1.0, -1.0, 0.0], 2).unwrap_err();
    assert_eq!(error, EmdError::Distance { from: 1, to: 0, value: -1.0 });
    let emd = Emd::new(vec![0.0, 1.0, 1.0, 0.0], 2).unwrap();
    let mut scratch = EmdScratch::default();
    let mut error = |supply: &[f64], demand: &[f64]| emd.distance(supply, demand, &mut scratch).unwrap_err();
    let (supply, demand) = (Histogram::Supply, Histogram::Demand);
    assert_eq!(error(&[1.0], &[1.0, 1.0]), EmdError::Length { histogram: supply, found: 1, points: 2 });
    let negative = EmdError::Mass { histogram: supply, index: 1, value: -1.0 };
    assert_eq!(error(&[2.0, -1.0], &[1.0, 1.0]), negative);
    let infinite = EmdError::Mass { histogram: demand, index: 0, value: f64::INFINITY };
    assert_eq!(error(&[1.0, 1.0], &[f64::INFINITY, 1.0]), infinite);
    assert!(matches!(error(&[f64::NAN, 1.0], &[1.0, 1.0]), EmdError::Mass { index: 0, .. }));
    assert_eq!(error(&[1.0, 1.0], &[0.0, 0.0]), EmdError::Sum { histogram: demand, sum: 0.0 });
    assert_eq!(error(&[f64::MAX; 2], &[1.0, 1.0]), EmdError::Sum { histogram: supply, sum: f64::INFINITY });
    assert!(!Emd::new(vec![0.0, 3.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0], 3).unwrap().is_metric());
    // No distance at all: nothing costs anything.
    let emd = Emd::new(vec![0.0; 16], 4).unwrap();
    assert_eq!(distance(&emd, &[1.0, 0.0, 2.0, 0.0], &[0.0, 1.0, 0.0, 1.0]), 0.0);
}

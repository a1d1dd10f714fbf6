//! Which of several ways to spend area are worth it: the Pareto front of area and risk.

/// What some protection costs and leaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tradeoff {
    /// Area added; no NaN.
    pub area: f64,
    /// Risk that remains; no NaN.
    pub risk: f64,
}

/// Of each offer, whether no other one is better: less risk for as much area or less, or as much risk for less area.
///
/// Offers alike in both are on the front together.
pub fn front(offers: &[Tradeoff]) -> Vec<bool> {
    let mut order: Vec<usize> = (0..offers.len()).collect();
    order.sort_by(|a, b| {
        let (a, b) = (offers[*a], offers[*b]);
        // -0 and 0 are alike.
        (a.area + 0.0).total_cmp(&(b.area + 0.0)).then((a.risk + 0.0).total_cmp(&(b.risk + 0.0)))
    });
    let mut is_on_front = vec![false; offers.len()];
    let mut best: Option<Tradeoff> = None;
    for position in order {
        let offer = offers[position];
        if best.is_none_or(|best| offer.risk < best.risk || offer == best) {
            is_on_front[position] = true;
            best = Some(offer);
        }
    }
    is_on_front
}

/// Of the offers that leave at most `risk`, the one of least area; of equal ones the first.
pub fn least_area(offers: &[Tradeoff], risk: f64) -> Option<usize> {
    let enough = (0..offers.len()).filter(|position| offers[*position].risk <= risk);
    enough.min_by(|a, b| (offers[*a].area + 0.0).total_cmp(&(offers[*b].area + 0.0)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn offers(pairs: &[(f64, f64)]) -> Vec<Tradeoff> {
        pairs.iter().map(|(area, risk)| Tradeoff { area: *area, risk: *risk }).collect()
    }

    #[test]
    fn what_is_dominated_is_not_on_the_front() {
        let found =
            front(&offers(&[(2.0, 1.0), (1.0, 3.0), (1.0, 3.0), (1.0, 4.0), (3.0, 1.0), (4.0, -1.0), (5.0, 0.0)]));
        assert_eq!(found, [true, true, true, false, false, true, false]);
        assert_eq!(front(&offers(&[(0.0, -0.0), (-0.0, 0.0)])), [true, true]);
        assert!(front(&[]).is_empty());
    }

    #[test]
    fn the_cheapest_that_is_enough() {
        let offers = offers(&[(3.0, 0.0), (1.0, 5.0), (2.0, 1.0), (2.0, 0.5)]);
        assert_eq!(least_area(&offers, 1.0), Some(2));
        assert_eq!(least_area(&offers, 0.9), Some(3));
        assert_eq!(least_area(&offers, -0.1), None);
    }

    proptest! {
        #[test]
        fn the_front_is_what_its_definition_says(pairs in proptest::collection::vec((0_u8..6, -2_i8..6), 0..12)) {
            let offers: Vec<Tradeoff> = pairs.iter().map(|(area, risk)| Tradeoff { area: (*area).into(), risk: (*risk).into() }).collect();
            let is_better = |other: &Tradeoff, this: &Tradeoff| {
                (other.risk < this.risk && other.area <= this.area) || (other.risk <= this.risk && other.area < this.area)
            };
            let expected: Vec<bool> =
                offers.iter().map(|this| !offers.iter().any(|other| is_better(other, this))).collect();
            prop_assert_eq!(front(&offers), expected);
        }
    }
}

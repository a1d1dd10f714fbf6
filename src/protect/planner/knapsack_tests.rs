use proptest::prelude::*;

use super::*;

const EFFORT: usize = 1 << 20;

fn item(cost: i128, gain: i128, offer: usize) -> Item {
    Item { cost, gain, offer: Some(offer) }
}

/// Every choice there is.
fn brute_force(groups: &[Vec<Item>], capacity: i128) -> i128 {
    let Some((first, rest)) = groups.split_first() else { return 0 };
    let affordable = first.iter().filter(|item| item.cost <= capacity);
    affordable.map(|item| item.gain + brute_force(rest, capacity - item.cost)).max().expect("nothing is an item")
}

/// The table of the textbook: most gain by capacity.
fn table(groups: &[Vec<Item>], capacity: i128) -> i128 {
    let capacity = usize::try_from(capacity).unwrap();
    let mut most = vec![0; capacity + 1];
    for group in groups {
        let before = most.clone();
        for (room, most) in most.iter_mut().enumerate() {
            let fitting = group.iter().filter_map(|item| {
                let room = room.checked_sub(usize::try_from(item.cost).unwrap())?;
                Some(before[room] + item.gain)
            });
            *most = fitting.max().unwrap();
        }
    }
    most[capacity]
}

fn check(groups: &[Vec<Item>], capacity: i128, packing: &Packing) {
    let (cost, gain) = totals(groups, &packing.picks);
    assert_eq!((cost, gain), (packing.cost, packing.gain));
    assert!(cost <= capacity && packing.bound >= gain);
}

#[test]
fn dominated_items_go() {
    let items = vec![item(5, 3, 0), item(4, 3, 1), item(4, 3, 2), item(9, 3, 3), item(9, 8, 4), item(1, -2, 5)];
    assert_eq!(undominated(items), [Item::NOTHING, item(4, 3, 1), item(9, 8, 4)]);
    assert_eq!(undominated(vec![item(0, 2, 0), item(0, 0, 1), item(3, 2, 2)]), [item(0, 2, 0)]);
    assert_eq!(undominated(vec![item(3, 0, 0)]), [Item::NOTHING]);
}

#[test]
fn the_hull_leaves_items_below_it() {
    let items = undominated(vec![item(2, 2, 0), item(4, 8, 1), item(5, 9, 2), item(9, 13, 3)]);
    let steps: Vec<_> = hull(0, &items).iter().map(|s| (s.from, s.to, s.cost, s.gain)).collect();
    // 4 to 5 and 5 to 9 are worth the same, so they are one step.
    assert_eq!(steps, [(0, 2, 4, 8), (2, 4, 5, 5)]);
}

#[test]
fn a_greedy_choice_is_not_enough() {
    // Worth 3, 2 and 2 per cost; the best fills the capacity without the first.
    let groups = [(2, 6), (4, 8), (4, 8)].map(|(cost, gain)| undominated(vec![item(cost, gain, 0)]));
    let packing = pack(&groups, 8, EFFORT);
    assert_eq!((packing.picks, packing.gain, packing.bound), (vec![0, 1, 1], 16, 16));
    assert_eq!(packing.method, Method::Knapsack);
}

#[test]
fn equal_costs_are_sorted_and_ties_keep_their_order() {
    let groups = [5, 7, 5, 0, -3].map(|gain| undominated(vec![item(10, gain, 0)]));
    let picks = |capacity| pack(&groups, capacity, EFFORT).picks;
    assert_eq!(picks(9), [0, 0, 0, 0, 0]);
    assert_eq!(picks(10), [0, 1, 0, 0, 0]);
    assert_eq!(picks(29), [1, 1, 0, 0, 0]);
    assert_eq!(pack(&groups, 29, EFFORT).method, Method::Sorted);
    assert_eq!(pack(&groups, 30, EFFORT).method, Method::Everything);
    assert_eq!(picks(1000), [1, 1, 1, 0, 0], "groups without gain get nothing");
    assert_eq!(pack(&[], 0, EFFORT).gain, 0);
}

fn instances() -> impl Strategy<Value = Vec<Vec<Item>>> {
    // Small numbers, so that ties, zeros and losses are frequent.
    let items = prop::collection::vec((0..9_i128, -4..12_i128), 0..4);
    prop::collection::vec(items, 0..8).prop_map(|groups| {
        let items = |group: Vec<(i128, i128)>| {
            undominated(group.into_iter().enumerate().map(|(offer, (cost, gain))| item(cost, gain, offer)).collect())
        };
        groups.into_iter().map(items).collect()
    })
}

fn large_instances() -> impl Strategy<Value = Vec<Vec<Item>>> {
    let items = prop::collection::vec((1..400_i128, 0..100_000_i128), 1..5);
    prop::collection::vec(items, 40..120).prop_map(|groups| {
        let items = |group: Vec<(i128, i128)>| {
            undominated(group.into_iter().enumerate().map(|(offer, (cost, gain))| item(cost, gain, offer)).collect())
        };
        groups.into_iter().map(items).collect()
    })
}

proptest! {
    #[test]
    fn packing_equals_brute_force(groups in instances(), capacity in 0..60_i128) {
        let packing = pack(&groups, capacity, EFFORT);
        check(&groups, capacity, &packing);
        prop_assert_eq!(packing.gain, brute_force(&groups, capacity));
        prop_assert_eq!(packing.bound, packing.gain);
    }

    #[test]
    fn little_effort_gives_a_true_bound(groups in instances(), capacity in 0..60_i128, effort in 0..200_usize) {
        let packing = pack(&groups, capacity, effort);
        check(&groups, capacity, &packing);
        let most = brute_force(&groups, capacity);
        prop_assert!(packing.gain <= most && most <= packing.bound);
    }

    #[test]
    fn many_groups_equal_the_table(groups in large_instances(), percent in 1..100_i128) {
        let all: i128 = groups.iter().map(|group| group[group.len() - 1].cost).sum();
        let capacity = all * percent / 100;
        let packing = pack(&groups, capacity, EFFORT);
        check(&groups, capacity, &packing);
        prop_assert_eq!(packing.gain, table(&groups, capacity));
        prop_assert_eq!(packing.bound, packing.gain);
    }
}

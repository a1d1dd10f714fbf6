//! The figures of a ranking where every bit known stands for several: sums over bits become weighted sums.
//!
//! With all weights 1 and all bits known the figures are those of [`Truth`](super::Truth).

use crate::num::cast;

/// Bits of which place and rise are known.
#[derive(Debug, Clone)]
pub(super) struct Weighted {
    /// Number of all bits, known or not.
    bits: f64,
    /// In the order of their places.
    units: Vec<Unit>,
    /// Positions among `units`, the largest rise first, in runs of equal rises.
    runs: Vec<Vec<usize>>,
    /// Position of each unit among the weights given.
    given: Vec<usize>,
}

#[derive(Debug, Clone, Copy)]
struct Unit {
    place: usize,
    rise: f64,
    /// Its run, from the largest rise.
    run: usize,
}

impl Weighted {
    /// Of bits with these places and rises, of `bits` in all.
    pub fn new(bits: usize, places: &[usize], rises: &[f64]) -> Self {
        let mut given: Vec<usize> = (0..places.len()).collect();
        given.sort_by_key(|unit| places[*unit]);
        let mut units: Vec<Unit> =
            given.iter().map(|unit| Unit { place: places[*unit], rise: rises[*unit] + 0.0, run: 0 }).collect();
        let mut by_rise: Vec<usize> = (0..units.len()).collect();
        by_rise.sort_by(|a, b| units[*b].rise.total_cmp(&units[*a].rise));
        let runs: Vec<Vec<usize>> =
            by_rise.chunk_by(|a, b| units[*a].rise == units[*b].rise).map(<[usize]>::to_vec).collect();
        for (number, run) in runs.iter().enumerate() {
            for unit in run {
                units[*unit].run = number;
            }
        }
        Self { bits: cast::f64_from_count(bits), units, runs, given }
    }

    /// Sum of rises, area, gain, Spearman, Kendall; then recall of the first so many bits; then the share that protecting
    /// so many removes. `weights` are in the order of the places given to [`Weighted::new`].
    pub fn figures(&self, weights: &[f64], recalls: &[usize], protected: &[usize]) -> Vec<Option<f64>> {
        let weights: Vec<f64> = self.given.iter().map(|unit| weights[*unit]).collect();
        let of_run: Vec<f64> = self.runs.iter().map(|run| run.iter().map(|unit| weights[*unit]).sum()).collect();
        let all: f64 = weights.iter().sum();
        let mut before = 0.0;
        let begins: Vec<f64> = of_run
            .iter()
            .map(|weight| {
                let begin = before;
                before += weight;
                begin
            })
            .collect();
        let total = self.sum(&weights, self.units.len());
        let area = self.sum_of(&weights, |unit| unit.rise * (self.bits - cast::f64_from_count(unit.place))) / self.bits;
        // A run of weight w that begins at place b: w (N - b) less 0 + 1 + ... + (w - 1).
        let of_oracle = self.runs.iter().zip(&of_run).zip(&begins).map(|((run, weight), begin)| {
            self.units[run[0]].rise * (weight * (all - begin) - weight * (weight - 1.0) / 2.0)
        });
        let oracle = of_oracle.sum::<f64>() / self.bits;
        let chance = total * (self.bits + 1.0) / (2.0 * self.bits);
        let is_mixed = of_run.iter().filter(|weight| **weight > 0.0).count() > 1;
        let mut figures = vec![
            Some(total),
            (oracle > 0.0).then(|| area / oracle),
            is_mixed.then(|| (area - chance) / (oracle - chance)),
            is_mixed.then(|| self.spearman(&weights, &of_run, &begins)),
            is_mixed.then(|| self.kendall(&weights, &of_run)),
        ];
        figures.extend(recalls.iter().map(|bits| self.recall(&weights, &of_run, &begins, *bits)));
        figures.extend(protected.iter().map(|bits| {
            let first = self.units.partition_point(|unit| unit.place < *bits);
            (total > 0.0).then(|| self.sum(&weights, first) / total)
        }));
        figures
    }

    /// Weighted sum of the rises of the first units.
    fn sum(&self, weights: &[f64], first: usize) -> f64 {
        self.units[..first].iter().zip(weights).map(|(unit, weight)| unit.rise * weight).sum()
    }

    fn sum_of(&self, weights: &[f64], term: impl Fn(&Unit) -> f64) -> f64 {
        self.units.iter().zip(weights).map(|(unit, weight)| term(unit) * weight).sum()
    }

    fn spearman(&self, weights: &[f64], of_run: &[f64], begins: &[f64]) -> f64 {
        let all: f64 = weights.iter().sum();
        // Ranks from the worst bit; their signs cancel.
        let of_place = |unit: &Unit| cast::f64_from_count(unit.place);
        let of_rise = |unit: &Unit| begins[unit.run] + of_run[unit.run] / 2.0;
        let (place, rise) = (self.sum_of(weights, of_place) / all, self.sum_of(weights, of_rise) / all);
        let product = self.sum_of(weights, |unit| (of_place(unit) - place) * (of_rise(unit) - rise));
        let square_of_places = self.sum_of(weights, |unit| (of_place(unit) - place).powi(2));
        let square_of_rises = self.sum_of(weights, |unit| (of_rise(unit) - rise).powi(2));
        product / (square_of_places * square_of_rises).sqrt()
    }

    fn kendall(&self, weights: &[f64], of_run: &[f64]) -> f64 {
        // Weights of the units already met, by run: sums in a binary indexed tree (Fenwick 1994).
        let mut tree = vec![0.0; of_run.len() + 1];
        let (mut met, mut all, mut discordant) = (0.0, 0.0, 0.0);
        for (unit, weight) in self.units.iter().zip(weights) {
            // Of those met before, the ones in this run and in those of larger rises.
            let mut not_smaller = 0.0;
            let mut node = unit.run + 1;
            while node > 0 {
                not_smaller += tree[node];
                node &= node - 1;
            }
            all += weight * met;
            discordant += weight * (met - not_smaller);
            met += weight;
            let mut node = unit.run + 1;
            while node < tree.len() {
                tree[node] += weight;
                node += node & node.wrapping_neg();
            }
        }
        let alike = self.runs.iter().map(|run| {
            let mut met = 0.0;
            run.iter().fold(0.0, |sum, unit| {
                let pairs = sum + weights[*unit] * met;
                met += weights[*unit];
                pairs
            })
        });
        let unlike = all - alike.sum::<f64>();
        (unlike - 2.0 * discordant) / (all * unlike).sqrt()
    }

    /// Share of the first bits that are among the oracle's first, of which there are as many; `None` where none of the
    /// first is known.
    fn recall(&self, weights: &[f64], of_run: &[f64], begins: &[f64], bits: usize) -> Option<f64> {
        let wanted = cast::f64_from_count(bits);
        // The last run that begins before the oracle's cut, and how much of it the oracle takes.
        let cut = begins.partition_point(|begin| *begin < wanted).saturating_sub(1);
        let taken = (wanted - begins.get(cut)?).min(of_run[cut]);
        let (mut first, mut above, mut at_cut) = (0.0, 0.0, 0.0);
        for (unit, weight) in self.units.iter().zip(weights).take_while(|(unit, _)| unit.place < bits) {
            first += weight;
            if unit.run < cut {
                above += weight;
            } else if unit.run == cut {
                at_cut += weight;
            }
        }
        // By chance the first bits that are known stand for more or fewer than there are.
        (first > 0.0).then(|| (above + at_cut.min(taken * first / wanted)) / first)
    }
}

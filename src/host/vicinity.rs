//! `Vicinity`: a decoder run on inputs that differ little from one that is known.
//!
//! Few `ReLU`s change their state on the way, so that the change of the output is a few known columns. What comes out lies
//! so close to the plain evaluation (`rounding` proves how close) that both nearly always round to the same `f32`; where
//! that is not certain, the plain evaluation decides. So it gives the bits of [`Decoder::run`], whatever ran before. It
//! knows no layer kinds (`affine`) and nothing of what the values mean.
//!
//! Hidden values are kept as margins: a unit's value times its sign at the center. A unit whose margin is negative has
//! changed its state, and `-margin` is by how much its `ReLU` gives more than its linearization.
#![allow(clippy::inline_always)]

use multiversion::multiversion;

use super::affine::{Term, list_terms, rectified};
use super::decoder::{Decoder, DecoderScratch, Layer, run_chain};
use super::rounding::{Bounds, CenterErrors, INFLATION, MAX_LAYERS, UNIT};
use crate::num::cast;

/// Bits of a word of flags.
const WORD: usize = 64;

/// A decoder around one input; made by [`Decoder::at`].
#[derive(Debug)]
pub struct Vicinity<'a> {
    decoder: &'a Decoder,
    scratch: &'a mut DecoderScratch,
    plain_runs: u64,
}

impl<'a> Vicinity<'a> {
    pub(super) fn new(decoder: &'a Decoder, center: &[f32], scratch: &'a mut DecoderScratch) -> Self {
        scratch.vicinity.is_ready = false;
        if let Some(bounds) = decoder.bounds()
            && center.iter().all(|value| value.is_finite())
        {
            prepare(decoder.prefix(), bounds, center, scratch);
        }
        Self { decoder, scratch, plain_runs: 0 }
    }

    /// What [`Decoder::run`] gives for `input`, bit for bit.
    ///
    /// # Panics
    /// As [`Decoder::run`].
    pub fn run(&mut self, input: &[f32]) -> &[f32] {
        assert_eq!(input.len(), self.decoder.input_len(), "the inputs of a decoder have one length");
        if let Some(bounds) = self.decoder.bounds()
            && self.scratch.vicinity.is_ready
            && input.iter().all(|value| value.is_finite())
            && run_near(self.decoder.prefix(), bounds, input, self.scratch)
        {
            return self.decoder.finish(self.scratch);
        }
        self.plain_runs += 1;
        self.decoder.run(input, self.scratch)
    }

    /// How many inputs the plain evaluation had to decide.
    pub const fn plain_runs(&self) -> u64 {
        self.plain_runs
    }
}

/// Working memory of a [`Vicinity`].
#[derive(Debug, Clone, Default)]
pub(super) struct VicinityMemory {
    is_ready: bool,
    /// What the first layer takes at the center.
    center: Vec<f64>,
    /// What the prefix gives at the center.
    golden: Vec<f32>,
    /// One per layer.
    levels: Vec<Level>,
    /// Which inputs have directions.
    known: Vec<bool>,
    errors: CenterErrors,
    ray: Ray,
    /// How the present input differs from the center.
    steps: Vec<Term>,
    /// Per layer, margins at the present input.
    moved: Vec<Vec<f64>>,
    /// Per layer, units that may have changed their state, and by how much; those of the ray are in the ray.
    flagged: Vec<Vec<Term>>,
    /// Bits of flagged units.
    flags: Vec<u64>,
    /// Bound of the error of each output.
    pub(super) tolerances: Vec<f64>,
    image: Vec<f64>,
}

/// What is known of the values of one layer.
#[derive(Debug, Clone, Default)]
struct Level {
    /// Sign of each value at the center; +1 when no `ReLU` follows.
    signs: Vec<f64>,
    /// Margins at the center.
    margins: Vec<f64>,
    /// `[input, unit]`: by how much margins move with an input, no unit changing its state.
    directions: Vec<f64>,
    /// Per unit, where its row of `ways` is.
    slots: Vec<Option<usize>>,
    /// `[slot, unit]`: what a unit's change does to the margins of the layers after the next, in order.
    ways: Vec<f64>,
}

/// Inputs that differ from the center in one value, ever farther: until the next unit of the first layer changes its
/// state, the margins of the later layers move on straight lines.
#[derive(Debug, Clone, Default)]
struct Ray {
    /// The last step; none before the first.
    step: Option<Term>,
    /// Per layer, margins are `at + step * slope`, before changes behind the first layer. Not used for the first.
    at: Vec<Vec<f64>>,
    slope: Vec<Vec<f64>>,
    /// Bits of the units of the first layer that have changed.
    changed: Vec<u64>,
    count: usize,
    /// Per layer, what these units pass on.
    passed: [Passed; MAX_LAYERS],
}

/// Sums over units that pass errors on.
#[derive(Debug, Clone, Copy, Default)]
struct Passed {
    /// Of [`Bounds::passed`].
    ways: f64,
    /// Of the same times what a unit was off by at the center, twice.
    errors: f64,
}

/// Where an input lies.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    layers: &'a [Layer],
    bounds: &'a Bounds,
    /// Whether it is on the ray.
    on_ray: bool,
}

impl VicinityMemory {
    /// Computes the directions of an input unless they are known.
    #[inline(always)]
    fn learn_direction(&mut self, layers: &[Layer], input: u32, terms: &mut Vec<Term>) {
        let Self { levels, known, image, .. } = self;
        let index = cast::index(input);
        if std::mem::replace(&mut known[index], true) {
            return;
        }
        terms.clear();
        terms.push(Term { unit: input, factor: 1.0 });
        for (layer, level) in layers.iter().zip(levels) {
            image.clear();
            image.resize(layer.affine.outputs(), 0.0);
            layer.affine.add_sums::<false>(terms, image);
            let from = index * image.len();
            store_signed(image, &level.signs, &mut level.directions[from..from + image.len()]);
            list_active(image, &level.signs, terms);
        }
    }

    /// Computes what a change of unit `unit` of `level` does to the layers after the next, unless that is known.
    #[inline(always)]
    fn learn_ways(&mut self, layers: &[Layer], level: usize, unit: u32, terms: &mut Vec<Term>) {
        let Self { levels, image, .. } = self;
        let index = cast::index(unit);
        if layers.len() <= level + 2 || levels[level].slots[index].is_some() {
            return;
        }
        let (this, later) = levels[level..].split_first_mut().expect("the level exists");
        this.slots[index] = Some(this.ways.len());
        terms.clear();
        for (range, weights) in layers[level + 1].affine.column(index) {
            for ((output, sign), weight) in (cast::id(range.start)..).zip(&later[0].signs[range.clone()]).zip(weights) {
                if *sign > 0.0 {
                    terms.push(Term { unit: output, factor: f64::from(*weight) });
                }
            }
        }
        for (pair, layer) in later.windows(2).zip(&layers[level + 2..]) {
            image.clear();
            image.resize(layer.affine.outputs(), 0.0);
            layer.affine.add_sums::<false>(terms, image);
            let from = this.ways.len();
            this.ways.resize(from + image.len(), 0.0);
            store_signed(image, &pair[1].signs, &mut this.ways[from..]);
            list_active(image, &pair[1].signs, terms);
        }
    }

    /// Starts the ray at the center, unless it goes on.
    #[inline(always)]
    fn follow_ray(&mut self, step: Term) {
        let Self { levels, ray, .. } = self;
        let goes_on = ray.step.is_some_and(|last| {
            last.unit == step.unit
                && last.factor.is_sign_negative() == step.factor.is_sign_negative()
                && last.factor.abs() <= step.factor.abs()
        });
        ray.step = Some(step);
        if goes_on {
            return;
        }
        ray.changed.fill(0);
        ray.count = 0;
        ray.passed.fill(Passed::default());
        for ((level, at), slope) in levels.iter().zip(&mut ray.at).zip(&mut ray.slope).skip(1) {
            at.clear();
            at.extend_from_slice(&level.margins);
            slope.clear();
            slope.extend_from_slice(level.direction(step.unit));
        }
    }

    /// Bends the ray where unit `unit` of the first layer changes.
    #[inline(always)]
    fn bend_ray(&mut self, layers: &[Layer], bounds: &Bounds, unit: u32, input: u32) {
        let Self { levels, ray, errors, .. } = self;
        let index = cast::index(unit);
        let factors = [-levels[0].margins[index], -levels[0].direction(input)[index]];
        for (lines, factor) in [&mut ray.at, &mut ray.slope].into_iter().zip(factors) {
            for (level, line) in lines.iter_mut().enumerate().skip(1) {
                pass_on(layers, levels, 0, level, Term { unit, factor }, line);
            }
        }
        ray.changed[index / WORD] |= 1 << (index % WORD);
        ray.count += 1;
        for (to, passed) in ray.passed[..layers.len()].iter_mut().enumerate().skip(1) {
            let way = bounds.passed(0, to, index);
            passed.ways += way;
            passed.errors += 2.0 * errors.units[0][index] * way;
        }
    }

    /// Margins of `level` at the present input, changes of the layers before it included.
    #[inline(always)]
    fn move_margins(&mut self, layers: &[Layer], level: usize, on_ray: bool) {
        let Self { levels, ray, steps, moved, flagged, .. } = self;
        let (this, moved) = (&levels[level], &mut moved[level]);
        fit(moved, this.margins.len());
        if let [step] = steps[..] {
            let (at, slope) = if on_ray && level > 0 {
                (&ray.at[level][..], &ray.slope[level][..])
            } else {
                (&this.margins[..], this.direction(step.unit))
            };
            for ((moved, at), slope) in moved.iter_mut().zip(at).zip(slope) {
                *moved = at + step.factor * slope;
            }
        } else {
            moved.copy_from_slice(&this.margins);
            add_rows(&this.directions, steps, moved);
        }
        for (from, flagged) in flagged[..level].iter().enumerate() {
            if from + 1 == level && level + 1 == layers.len() {
                // The last layer's signs are +1, so its columns can be added all at once.
                layers[level].affine.add_sums::<false>(flagged, moved);
            } else {
                for term in flagged {
                    pass_on(layers, levels, from, level, *term, moved);
                }
            }
        }
    }

    /// Lists the units of `level` that changed their state, on the ray those of the first layer in the ray. Adds what
    /// errors of all flagged units pass on to `passed`, and gives their number.
    #[inline(always)]
    fn find_changed(
        &mut self,
        place: Place<'_>,
        level: usize,
        threshold: f64,
        passed: &mut [f64],
        terms: &mut Vec<Term>,
    ) -> usize {
        let Place { layers, bounds, on_ray } = place;
        flag(&self.moved[level], threshold, &mut self.flags);
        let mut count = 0;
        let mut new = [0.0; MAX_LAYERS];
        // The threshold of a unit, without what it was off by at the center.
        let common = (threshold - 2.0 * self.errors.largest[level]).max(0.0) + threshold * UNIT;
        for word in 0..self.flags.len() {
            let mut bits = self.flags[word];
            if on_ray && level == 0 {
                bits &= !self.ray.changed[word];
            }
            while bits != 0 {
                let index = word * WORD + cast::index(bits.trailing_zeros());
                bits &= bits - 1;
                let unit = cast::id(index);
                let margin = self.moved[level][index];
                if margin < 0.0 {
                    self.learn_ways(layers, level, unit, terms);
                    if on_ray && level == 0 {
                        self.bend_ray(layers, bounds, unit, self.steps[0].unit);
                        continue;
                    }
                }
                self.flagged[level].push(Term { unit, factor: if margin < 0.0 { -margin } else { 0.0 } });
                count += 1;
                let error = common + 2.0 * self.errors.units[level][index];
                for (to, new) in new[..layers.len()].iter_mut().enumerate().skip(level + 1) {
                    *new += error * bounds.passed(level, to, index);
                }
            }
        }
        let on_ray = on_ray && level == 0;
        for ((passed, new), ray) in passed.iter_mut().zip(new).zip(&self.ray.passed) {
            *passed += INFLATION * (new + if on_ray { ray.errors + common * ray.ways } else { 0.0 });
        }
        count + if on_ray { self.ray.count } else { 0 }
    }
}

impl Level {
    #[inline(always)]
    fn direction(&self, input: u32) -> &[f64] {
        let len = self.margins.len();
        &self.directions[cast::index(input) * len..][..len]
    }
}

/// Takes the plain values at `center` as the center of all that follows.
#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma+bmi1+bmi2+popcnt+lzcnt",
    "x86_64+avx2+fma+bmi1+bmi2+popcnt+lzcnt"
))]
fn prepare(layers: &[Layer], bounds: &Bounds, center: &[f32], scratch: &mut DecoderScratch) {
    let DecoderScratch { chain, vicinity: memory, .. } = scratch;
    run_chain(layers, center, chain);
    bounds.at_center(layers, chain, &mut memory.errors);
    memory.center.clear();
    memory.center.extend(center.iter().map(|value| entering(layers, *value)));
    memory.golden.clear();
    memory.golden.extend(chain.levels[layers.len()].iter().map(|value| cast::nearest_f32(*value)));
    memory.known.clear();
    memory.known.resize(center.len(), false);
    for per_layer in [&mut memory.moved, &mut memory.ray.at, &mut memory.ray.slope] {
        per_layer.resize_with(layers.len(), Vec::new);
    }
    memory.flagged.resize_with(layers.len(), Vec::new);
    memory.levels.resize_with(layers.len(), Level::default);
    for (index, (level, values)) in memory.levels.iter_mut().zip(&chain.levels[1..]).enumerate() {
        let rectified = layers.get(index + 1).is_some_and(|next| next.rectifies);
        level.signs.clear();
        level.signs.extend(values.iter().map(|value| if rectified { 1.0_f64.copysign(*value) } else { 1.0 }));
        level.margins.resize(values.len(), 0.0);
        store_signed(values, &level.signs, &mut level.margins);
        level.directions.resize(center.len() * values.len(), 0.0);
        level.slots.clear();
        level.slots.resize(values.len(), None);
        level.ways.clear();
    }
    memory.ray.step = None;
    memory.ray.changed.clear();
    memory.ray.changed.resize(layers[0].affine.outputs().div_ceil(WORD), 0);
    memory.is_ready = true;
}

/// Stores what the prefix gives for `input` in `scratch.values`; false when rounding leaves it open.
#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma+bmi1+bmi2+popcnt+lzcnt",
    "x86_64+avx2+fma+bmi1+bmi2+popcnt+lzcnt"
))]
fn run_near(layers: &[Layer], bounds: &Bounds, input: &[f32], scratch: &mut DecoderScratch) -> bool {
    let DecoderScratch { values, chain, vicinity: memory } = scratch;
    memory.steps.clear();
    for (unit, (value, center)) in (0..).zip(input.iter().zip(&memory.center)) {
        let factor = entering(layers, *value) - center;
        if factor != 0.0 {
            memory.steps.push(Term { unit, factor });
        }
    }
    if memory.steps.is_empty() {
        values.clear();
        values.extend_from_slice(&memory.golden);
        return true;
    }
    for step in 0..memory.steps.len() {
        memory.learn_direction(layers, memory.steps[step].unit, &mut chain.terms);
    }
    let last = layers.len() - 1;
    let on_ray = memory.steps.len() == 1 && last > 0;
    if on_ray {
        memory.follow_ray(memory.steps[0]);
    }
    let place = Place { layers, bounds, on_ray };
    // Roundings of a sum: its terms so far, and what `rounding` adds.
    let mut depth = cast::f64_from_count(memory.steps.len() + 4);
    let mut passed = [0.0; MAX_LAYERS];
    let mut depths = [0.0; MAX_LAYERS];
    for level in 0..last {
        memory.flagged[level].clear();
        if !layers[level + 1].rectifies {
            continue;
        }
        let threshold = bounds.threshold(level, &memory.errors, depth, &memory.steps, passed[level]);
        memory.move_margins(layers, level, on_ray);
        depths[level] = depth;
        let count = memory.find_changed(place, level, threshold, &mut passed, &mut chain.terms);
        let is_last = level + 1 == last && !(on_ray && level == 0);
        let count = cast::f64_from_count(count);
        depth += if is_last { count.min(layers[last].affine.depth()) } else { count };
    }
    memory.move_margins(layers, last, on_ray);
    memory.bound_outputs(bounds, depth, passed[last]);
    if round_certain(&memory.moved[last], &memory.tolerances, values) {
        return true;
    }
    memory.bound_outputs(bounds, depth, 0.0);
    memory.refine_bounds(layers, bounds, &depths, &passed);
    round_certain(&memory.moved[last], &memory.tolerances, values)
}

impl VicinityMemory {
    /// Bounds of the distance between what the last layer gives here and in the plain evaluation.
    #[inline(always)]
    fn bound_outputs(&mut self, bounds: &Bounds, depth: f64, passed: f64) {
        let Self { levels, errors, steps, tolerances, .. } = self;
        let last = levels.len() - 1;
        tolerances.clear();
        tolerances.resize(levels[last].margins.len(), 0.0);
        for step in steps.iter() {
            let size = step.factor.abs();
            for (tolerance, reach) in tolerances.iter_mut().zip(bounds.reach(last, step.unit)) {
                *tolerance += size * reach;
            }
        }
        let growth = bounds.growth(last, depth);
        let center = errors.units[last].iter().zip(&levels[last].margins).zip(bounds.live());
        for (tolerance, ((error, value), live)) in tolerances.iter_mut().zip(center) {
            let sum = 2.0 * error + depth * UNIT * value.abs() + growth * *tolerance + live * passed;
            *tolerance = INFLATION * sum;
        }
    }

    /// Adds to the bounds, output by output, what errors of flagged units pass on.
    #[inline(always)]
    fn refine_bounds(
        &mut self,
        layers: &[Layer],
        bounds: &Bounds,
        depths: &[f64; MAX_LAYERS],
        passed: &[f64; MAX_LAYERS],
    ) {
        let Self { levels, errors, steps, tolerances, flagged, ray, .. } = self;
        for (level, flagged) in flagged[..levels.len() - 1].iter().enumerate() {
            let growth = bounds.growth(level, depths[level]);
            let margins = &levels[level].margins;
            let error = |unit: usize| {
                let reach = |step: &Term| step.factor.abs() * bounds.reach(level, step.unit)[unit];
                let moved = steps.iter().map(reach).sum::<f64>();
                let at_center = 2.0 * errors.units[level][unit] + depths[level] * UNIT * margins[unit].abs();
                INFLATION * (at_center + growth * moved + passed[level])
            };
            for term in flagged {
                let unit = cast::index(term.unit);
                bounds.refine(layers, level, unit, error(unit), tolerances);
            }
            if steps.len() == 1 && level == 0 {
                for (word, bits) in ray.changed.iter().enumerate() {
                    let mut bits = *bits;
                    while bits != 0 {
                        let unit = word * WORD + cast::index(bits.trailing_zeros());
                        bits &= bits - 1;
                        bounds.refine(layers, level, unit, error(unit), tolerances);
                    }
                }
            }
        }
    }
}

/// Rounds values; false when one could round to another number were it `tolerance` larger or smaller.
#[inline(always)]
fn round_certain(exact: &[f64], tolerances: &[f64], rounded: &mut Vec<f32>) -> bool {
    if rounded.len() != exact.len() {
        rounded.resize(exact.len(), 0.0);
    }
    let mut is_certain = true;
    for ((value, tolerance), rounded) in exact.iter().zip(tolerances).zip(rounded) {
        // The sum and the difference are rounded, too.
        let tolerance = tolerance + 2.0 * UNIT * value.abs();
        let (low, high) = (cast::nearest_f32(value - tolerance), cast::nearest_f32(value + tolerance));
        is_certain &= (low.to_bits() == high.to_bits()) & low.is_finite();
        *rounded = low;
    }
    is_certain
}

/// What the first layer takes when `value` comes in.
#[inline(always)]
fn entering(layers: &[Layer], value: f32) -> f64 {
    if layers[0].rectifies { rectified(f64::from(value)) } else { f64::from(value) }
}

/// Lists the values of positive sign.
#[inline(always)]
fn list_active(values: &[f64], signs: &[f64], terms: &mut Vec<Term>) {
    list_terms(values.iter().zip(signs).map(|(value, sign)| if *sign > 0.0 { *value } else { 0.0 }), terms);
}

/// Gives a vector whose values will be overwritten its length.
#[inline(always)]
fn fit(values: &mut Vec<f64>, len: usize) {
    if values.len() != len {
        values.resize(len, 0.0);
    }
}

#[inline(always)]
fn store_signed(values: &[f64], signs: &[f64], out: &mut [f64]) {
    for ((value, sign), out) in values.iter().zip(signs).zip(out) {
        *out = value * sign;
    }
}

/// Adds what a change of unit `term.unit` of layer `from` by `term.factor` does to the margins of layer `to`.
#[inline(always)]
fn pass_on(layers: &[Layer], levels: &[Level], from: usize, to: usize, term: Term, margins: &mut [f64]) {
    if term.factor == 0.0 {
        return;
    }
    if to == from + 1 {
        layers[to].affine.add_signed_column(term, &levels[to].signs, margins);
        return;
    }
    let level = &levels[from];
    let slot = level.slots[cast::index(term.unit)].expect("the ways of changed units are learned before use");
    let start = slot + levels[from + 2..to].iter().map(|level| level.margins.len()).sum::<usize>();
    for (margin, way) in margins.iter_mut().zip(&level.ways[start..]) {
        *margin += term.factor * way;
    }
}

/// `out += sum of step * row`, rows as long as `out`.
#[inline(always)]
fn add_rows(rows: &[f64], steps: &[Term], out: &mut [f64]) {
    const TILE: usize = 32;
    let len = out.len();
    let (tiles, rest) = out.as_chunks_mut::<TILE>();
    let mut from = 0;
    for tile in tiles {
        let mut sums = *tile;
        for step in steps {
            let row = rows[cast::index(step.unit) * len + from..].first_chunk::<TILE>().expect("rows are whole");
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += step.factor * value;
            }
        }
        *tile = sums;
        from += TILE;
    }
    for step in steps {
        let row = &rows[cast::index(step.unit) * len + from..];
        for (out, value) in rest.iter_mut().zip(row) {
            *out += step.factor * value;
        }
    }
}

/// Sets bit `i % 64` of word `i / 64` for every `margins[i] < threshold`.
#[inline(always)]
fn flag(margins: &[f64], threshold: f64, flags: &mut Vec<u64>) {
    let len = margins.len().div_ceil(WORD);
    if flags.len() != len {
        flags.resize(len, 0);
    }
    let (words, rest) = margins.as_chunks::<WORD>();
    for (flags, margins) in flags.iter_mut().zip(words) {
        *flags = word(margins, threshold);
    }
    if let Some(last) = flags.get_mut(words.len()) {
        *last = word(rest, threshold);
    }
}

#[inline(always)]
fn word(margins: &[f64], threshold: f64) -> u64 {
    let mut word = 0;
    for (bit, margin) in margins.iter().enumerate() {
        word |= if *margin < threshold { 1_u64 << bit } else { 0 };
    }
    word
}

#[cfg(test)]
#[path = "vicinity_tests.rs"]
mod tests;

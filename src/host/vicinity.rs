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
use super::margins::{WORD, add_rows, fit, flag, flag_line, store_signed};
use super::rounding::{Bounds, CenterErrors, INFLATION, MAX_LAYERS, UNIT};
use crate::num::cast;

/// Inputs that share the reading of directions.
const BLOCK: usize = 4;

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
            && are_finite(center)
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
        self.run_in_slot(input, None)
    }

    /// Calls `each` with the position of every one of `inputs` and what [`Decoder::run`] gives for it, bit for bit and in
    /// their order. They follow each other without gaps.
    ///
    /// Faster than [`Vicinity::run`] when neighbors differ from the center in several values.
    ///
    /// # Panics
    /// When `inputs` are not whole inputs of the decoder, or those have no values.
    pub fn run_many(&mut self, inputs: &[f32], mut each: impl FnMut(usize, &[f32])) {
        let len = self.decoder.input_len();
        assert!(len > 0 && inputs.len().is_multiple_of(len), "the inputs of a decoder have one length");
        for (index, block) in inputs.chunks(len * BLOCK).enumerate() {
            let is_shared = self.decoder.bounds().is_some()
                && self.scratch.vicinity.is_ready
                && start_block(self.decoder.prefix(), block, self.scratch);
            for (slot, input) in block.chunks_exact(len).enumerate() {
                each(index * BLOCK + slot, self.run_in_slot(input, is_shared.then_some(slot)));
            }
        }
    }

    /// As [`Vicinity::run`]; with a slot, where a block was started in which the input has this place.
    fn run_in_slot(&mut self, input: &[f32], slot: Option<usize>) -> &[f32] {
        if let Some(bounds) = self.decoder.bounds()
            && self.scratch.vicinity.is_ready
            && are_finite(input)
            && run_near(self.decoder.prefix(), bounds, input, slot, self.scratch)
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
    /// Per slot and layer, margins at the present input (slot 0) or the inputs of a block. Not of layers where the present
    /// input is on a straight line.
    moved: [Vec<Vec<f64>>; BLOCK],
    /// How the inputs of a block differ from the center: the inputs that do, and by how much in each slot.
    shared: Vec<(u32, [f64; BLOCK])>,
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
    /// Its place in a block that has been started.
    slot: Option<usize>,
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
        for (level, (at, slope)) in ray.at.iter_mut().zip(&mut ray.slope).enumerate().skip(1) {
            if level == 1 {
                layers[1].affine.add_signed_columns(index, factors, &levels[1].signs, [at, slope]);
                continue;
            }
            for (line, factor) in [at, slope].into_iter().zip(factors) {
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
    fn move_margins(&mut self, place: Place<'_>, level: usize) {
        let Place { layers, on_ray, slot, .. } = place;
        let Self { levels, ray, steps, moved, flagged, .. } = self;
        let (this, moved) = (&levels[level], &mut moved[slot.unwrap_or(0)][level]);
        fit(moved, this.margins.len());
        if slot.is_some() {
            // They are moved already.
        } else if let [step] = steps[..] {
            let (at, slope) =
                if on_ray { ray.line(levels, level) } else { (&this.margins[..], this.direction(step.unit)) };
            for ((moved, at), slope) in moved.iter_mut().zip(at).zip(slope) {
                *moved = at + step.factor * slope;
            }
        } else {
            moved.copy_from_slice(&this.margins);
            add_rows::<1, 32>(&this.directions, steps.iter().map(|step| (step.unit, [step.factor])), [moved]);
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

    /// Moves the margins of `level`, then lists its units that changed their state, on the ray those of the first layer in the ray. Adds what
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
        let Place { layers, bounds, on_ray, slot } = place;
        let slot = slot.unwrap_or(0);
        // On the ray, and what changed before it all belongs to the ray: no need to store margins.
        let line = if on_ray && self.flagged[..level].iter().flatten().all(|term| term.factor == 0.0) {
            let (at, slope) = self.ray.line(&self.levels, level);
            flag_line(at, slope, self.steps[0].factor, threshold, &mut self.flags);
            Some(self.steps[0])
        } else {
            self.move_margins(place, level);
            flag(&self.moved[slot][level], threshold, &mut self.flags);
            None
        };
        let ways = bounds.passed_on(level);
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
                let margin = if let Some(step) = line {
                    let (at, slope) = self.ray.line(&self.levels, level);
                    at[index] + step.factor * slope[index]
                } else {
                    self.moved[slot][level][index]
                };
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
                for (new, ways) in new[level + 1..].iter_mut().zip(ways) {
                    *new += error * ways[index];
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

impl Ray {
    /// Where margins of `level` are on the ray: the first ones plus the last step times the second ones.
    #[inline(always)]
    fn line<'a>(&'a self, levels: &'a [Level], level: usize) -> (&'a [f64], &'a [f64]) {
        if level == 0 {
            let step = self.step.expect("the ray has been started");
            (&levels[0].margins, levels[0].direction(step.unit))
        } else {
            (&self.at[level], &self.slope[level])
        }
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
    for per_layer in memory.moved.iter_mut().chain([&mut memory.ray.at, &mut memory.ray.slope]) {
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

/// Moves the margins of each of `inputs` (at most [`BLOCK`], without gaps) from the center in its slot, before changes;
/// false, and no use, when there is only one of them or one does not differ from the center in several values.
#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma+bmi1+bmi2+popcnt+lzcnt",
    "x86_64+avx2+fma+bmi1+bmi2+popcnt+lzcnt"
))]
fn start_block(layers: &[Layer], inputs: &[f32], scratch: &mut DecoderScratch) -> bool {
    let DecoderScratch { chain, vicinity: memory, .. } = scratch;
    let len = memory.center.len();
    if inputs.len() == len {
        return false;
    }
    memory.shared.clear();
    memory.shared.extend((0..cast::id(len)).map(|unit| (unit, [0.0; BLOCK])));
    for (slot, input) in inputs.chunks_exact(len).enumerate() {
        let mut count = 0;
        for (((_, factors), value), center) in memory.shared.iter_mut().zip(input).zip(&memory.center) {
            factors[slot] = entering(layers, *value) - center;
            count += usize::from(factors[slot] != 0.0);
        }
        if count < 2 || !are_finite(input) {
            return false;
        }
    }
    memory.shared.retain(|(_, factors)| *factors != [0.0; BLOCK]);
    for step in 0..memory.shared.len() {
        memory.learn_direction(layers, memory.shared[step].0, &mut chain.terms);
    }
    let VicinityMemory { levels, moved, shared, .. } = memory;
    for (index, level) in levels.iter().enumerate() {
        if layers.get(index + 1).is_none_or(|next| next.rectifies) {
            let outs = moved.each_mut().map(|moved| {
                moved[index].clear();
                moved[index].extend_from_slice(&level.margins);
                &mut moved[index][..]
            });
            add_rows::<BLOCK, 16>(&level.directions, shared.iter().copied(), outs);
        }
    }
    true
}

/// Stores what the prefix gives for `input` in `scratch.values`; false when rounding leaves it open. With a slot, as
/// [`start_block`] left it.
#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma+bmi1+bmi2+popcnt+lzcnt",
    "x86_64+avx2+fma+bmi1+bmi2+popcnt+lzcnt"
))]
fn run_near(
    layers: &[Layer],
    bounds: &Bounds,
    input: &[f32],
    slot: Option<usize>,
    scratch: &mut DecoderScratch,
) -> bool {
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
    let place = Place { layers, bounds, on_ray, slot };
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
        depths[level] = depth;
        let count = memory.find_changed(place, level, threshold, &mut passed, &mut chain.terms);
        let is_last = level + 1 == last && !(on_ray && level == 0);
        let count = cast::f64_from_count(count);
        depth += if is_last { count.min(layers[last].affine.depth()) } else { count };
    }
    memory.move_margins(place, last);
    memory.bound_outputs(bounds, depth, passed[last]);
    let slot = slot.unwrap_or(0);
    if round_certain(&memory.moved[slot][last], &memory.tolerances, values) {
        return true;
    }
    memory.bound_outputs(bounds, depth, 0.0);
    memory.refine_bounds(layers, bounds, &depths, &passed);
    round_certain(&memory.moved[slot][last], &memory.tolerances, values)
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

#[inline(always)]
fn are_finite(values: &[f32]) -> bool {
    // Without an early end, so that vector units can do it.
    values.iter().fold(true, |all, value| all & value.is_finite())
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

#[cfg(test)]
#[path = "vicinity_tests.rs"]
mod tests;

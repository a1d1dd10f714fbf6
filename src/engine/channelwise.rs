//! Few changes through layers that treat every channel by itself (pools, depthwise convolutions) or add maps up: the
//! outputs that see a changed value are computed anew, one by one.

use super::kernels::{Addend, At, Changed};
use super::scratch::Buffer;
use super::trace::Golden;
use crate::hw::datapath::layer::{Core, Layer};
use crate::hw::datapath::word::{LANES, Word};
use crate::num::cast;

/// Carries what differs in the layer's sources, and what is added to its sums (sorted), through it: appends what then differs
/// behind it, in order. `buffers` are those in front of the layer; `space` is memory, and the list appended to.
pub(super) fn carry<W: Word>(
    around: At<'_, W>,
    golden: &Golden<W>,
    buffers: &[Buffer<W>],
    own: &[Addend<W>],
    (affected, outgoing): (&mut Vec<u32>, &mut Vec<Changed<W>>),
) {
    let layer = around.layer;
    affected.clear();
    affected.extend(own.iter().map(|addend| cast::id(addend.flat)));
    for source in &layer.sources {
        for changed in buffers[*source].list() {
            reached(layer, cast::index(changed.index), |flat| affected.push(cast::id(flat)));
        }
    }
    affected.sort_unstable();
    affected.dedup();
    let value = |source: usize, index: usize| {
        let source = layer.sources[source];
        buffers[source].value(index, &golden.buffers[source])
    };
    for flat in affected.iter().copied().map(cast::index) {
        let mut sum = [compute(layer, flat / layer.lanes(), flat % layer.lanes(), value)];
        let first = own.partition_point(|addend| addend.flat < flat);
        for addend in own[first..].iter().take_while(|addend| addend.flat == flat) {
            sum[0] = sum[0].plus(addend.value);
        }
        layer.tail.apply(&mut sum);
        if sum[0] != around.wires.settled[flat / LANES][flat % LANES] {
            outgoing.push(Changed { index: layer.target[flat], value: sum[0] });
        }
    }
}

/// Calls `visit` with the place of every sum that input value `index` enters, counted in lanes.
fn reached<W: Word>(layer: &Layer<W>, index: usize, mut visit: impl FnMut(usize)) {
    let (pixel, channel) = (index / layer.in_channels, index % layer.in_channels);
    let multiplier = match layer.core {
        Core::Add { .. } => return visit(pixel * layer.lanes() + channel),
        Core::Channelwise { multiplier } => multiplier,
        _ => 1,
    };
    for reach in layer.reach.get(pixel) {
        for lane in channel * multiplier..(channel + 1) * multiplier {
            visit(cast::index(reach.position) * layer.lanes() + lane);
        }
    }
}

/// One sum; `value(source, index)` is a value of its source of that number.
fn compute<W: Word>(layer: &Layer<W>, position: usize, lane: usize, value: impl Fn(usize, usize) -> W) -> W {
    let seen = |channel: usize| {
        let sees = layer.sees.get(position).iter();
        sees.map(move |seen| (cast::index(seen.tap), cast::index(seen.pixel) * layer.in_channels + channel))
    };
    match &layer.core {
        Core::Sums => unreachable!("sums over all channels have loops of their own"),
        Core::Channelwise { multiplier } => {
            let bias = layer.bias[lane / LANES][lane % LANES];
            seen(lane / multiplier).fold(bias, |sum, (tap, index)| {
                let weight = layer.kernel[tap * layer.blocks + lane / LANES][lane % LANES];
                sum.plus(weight.times(value(0, index)))
            })
        }
        Core::Average { factors } => {
            let sum = seen(lane).fold(W::default(), |sum, (_, index)| sum.plus(value(0, index)));
            sum.times(factors[position])
        }
        Core::Max => seen(lane).map(|(_, index)| value(0, index)).max().expect("no window sees padding alone"),
        Core::Add { shifts } => {
            let index = position * layer.channels + lane;
            shifts.iter().enumerate().fold(W::default(), |sum, (source, by)| sum.plus(value(source, index).left(*by)))
        }
    }
}

//! Dot products of bytes by the vector neural network instructions of x86-64 (AVX-512 VNNI).
//!
//! The only place with `unsafe` code: vector loads, and the call of functions that are compiled for these instructions,
//! behind the check that the processor has them. Products of an unsigned and a signed byte are added four at a time to
//! 32-bit sums; nothing saturates, so sums are exact modulo 2^32.
#![expect(unsafe_code, reason = "vector loads, and calls behind a check of the processor")]

/// Sums held side by side.
pub(super) const LANES: usize = 16;

/// Output positions that are summed up together.
pub(super) const TILE: usize = 8;

/// Weights of four inputs for [`LANES`] outputs: lane by lane.
pub(super) type WeightBlock = [i8; 4 * LANES];

/// Four inputs.
pub(super) type Quad = [u8; 4];

/// What a dot product sees of a row of inputs: runs, equally far apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// Number of runs.
    pub(super) runs: usize,
    /// Length of each.
    pub(super) len: usize,
    /// From the beginning of one to that of the next.
    pub(super) apart: usize,
}

impl Window {
    /// From the first to the last, both included.
    const fn span(&self) -> usize {
        (self.runs - 1) * self.apart + self.len
    }

    fn check(&self, inputs: &[Quad], last_base: usize, weights: &[WeightBlock]) {
        assert!(self.runs > 0 && last_base + self.span() <= inputs.len(), "windows lie within their inputs");
        assert!(self.runs * self.len <= weights.len(), "a window has its weights");
    }
}

/// That the processor has the instructions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vnni(());

impl Vnni {
    /// `None` when the processor does not have them.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vnni");
        has.then_some(Self(()))
    }

    /// `None`: other processors do not have them.
    #[cfg(not(target_arch = "x86_64"))]
    pub(super) fn detect() -> Option<Self> {
        None
    }

    /// Adds to `sums[t][lane]` the dot product of the weights of `lane` with what the window sees that begins at `bases[t]`.
    ///
    /// # Panics
    /// When a window goes beyond the inputs, or there are not weights for all of it.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(super) fn tile(
        self,
        window: &Window,
        inputs: &[Quad],
        bases: &[usize; TILE],
        weights: &[WeightBlock],
        sums: &mut [[i32; LANES]; TILE],
    ) {
        window.check(inputs, bases.iter().copied().max().unwrap_or(0), weights);
        // SAFETY: a `Vnni` exists only where the instructions do; the window lies within inputs and weights.
        unsafe { x86::tile(window, inputs, bases, weights, sums) }
    }

    /// The same for one row of inputs.
    ///
    /// # Panics
    /// As [`Vnni::tile`].
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(super) fn row(self, inputs: &[Quad], weights: &[WeightBlock]) -> [i32; LANES] {
        // SAFETY: as above.
        unsafe { x86::row(inputs, weights) }
    }

    /// Never called.
    #[cfg(not(target_arch = "x86_64"))]
    pub(super) fn tile(
        self,
        _: &Window,
        _: &[Quad],
        _: &[usize; TILE],
        _: &[WeightBlock],
        _: &mut [[i32; LANES]; TILE],
    ) {
        unreachable!("no `Vnni` exists on this processor");
    }

    /// Never called.
    #[cfg(not(target_arch = "x86_64"))]
    pub(super) fn row(self, _: &[Quad], _: &[WeightBlock]) -> [i32; LANES] {
        unreachable!("no `Vnni` exists on this processor");
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m512i, _mm512_add_epi32, _mm512_dpbusd_epi32, _mm512_loadu_si512, _mm512_set1_epi32, _mm512_setzero_si512,
        _mm512_storeu_si512,
    };

    use super::{LANES, Quad, TILE, WeightBlock, Window};

    /// Rows of inputs in flight where there is only one: enough to hide the latency of an addition.
    const CHAINS: usize = 8;

    /// # Safety
    /// Every window must lie within the inputs, and have its weights.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(super) unsafe fn tile(
        window: &Window,
        inputs: &[Quad],
        bases: &[usize; TILE],
        weights: &[WeightBlock],
        sums: &mut [[i32; LANES]; TILE],
    ) {
        // Sums by name: an array of them would live in memory.
        let [o0, o1, o2, o3, o4, o5, o6, o7] = sums;
        let (mut s0, mut s1, mut s2, mut s3) = (load_sums(o0), load_sums(o1), load_sums(o2), load_sums(o3));
        let (mut s4, mut s5, mut s6, mut s7) = (load_sums(o4), load_sums(o5), load_sums(o6), load_sums(o7));
        let [b0, b1, b2, b3, b4, b5, b6, b7] = *bases;
        for run in 0..window.runs {
            let weights = &weights[run * window.len..][..window.len];
            let inputs = &inputs[run * window.apart..];
            for (at, block) in weights.iter().enumerate() {
                let block = load(block);
                macro_rules! add {
                    ($sum:ident, $base:ident) => {
                        // SAFETY: the caller promises that windows lie within the inputs. A check here would cost as much
                        // as the product.
                        let quad = unsafe { inputs.get_unchecked($base + at) };
                        $sum = _mm512_dpbusd_epi32($sum, _mm512_set1_epi32(i32::from_le_bytes(*quad)), block);
                    };
                }
                add!(s0, b0);
                add!(s1, b1);
                add!(s2, b2);
                add!(s3, b3);
                add!(s4, b4);
                add!(s5, b5);
                add!(s6, b6);
                add!(s7, b7);
            }
        }
        store(o0, s0);
        store(o1, s1);
        store(o2, s2);
        store(o3, s3);
        store(o4, s4);
        store(o5, s5);
        store(o6, s6);
        store(o7, s7);
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(super) fn row(inputs: &[Quad], weights: &[WeightBlock]) -> [i32; LANES] {
        let inputs = &inputs[..weights.len()];
        let mut held = [_mm512_setzero_si512(); CHAINS];
        let (groups, rest) = weights.as_chunks::<CHAINS>();
        let (inputs, rest_inputs) = inputs.split_at(groups.len() * CHAINS);
        let (inputs, _) = inputs.as_chunks::<CHAINS>();
        for (inputs, blocks) in inputs.iter().zip(groups) {
            for ((sum, quad), block) in held.iter_mut().zip(inputs).zip(blocks) {
                *sum = _mm512_dpbusd_epi32(*sum, _mm512_set1_epi32(i32::from_le_bytes(*quad)), load(block));
            }
        }
        for ((sum, quad), block) in held.iter_mut().zip(rest_inputs).zip(rest) {
            *sum = _mm512_dpbusd_epi32(*sum, _mm512_set1_epi32(i32::from_le_bytes(*quad)), load(block));
        }
        let mut sums = [0; LANES];
        store(&mut sums, held.into_iter().fold(_mm512_setzero_si512(), |sum, held| _mm512_add_epi32(sum, held)));
        sums
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn load(block: &WeightBlock) -> __m512i {
        // SAFETY: a block is 64 bytes long, and the load needs no alignment.
        unsafe { _mm512_loadu_si512(block.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn load_sums(sums: &[i32; LANES]) -> __m512i {
        // SAFETY: sixteen sums are 64 bytes, and the load needs no alignment.
        unsafe { _mm512_loadu_si512(sums.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn store(sums: &mut [i32; LANES], held: __m512i) {
        // SAFETY: sixteen sums are 64 bytes, and the store needs no alignment.
        unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast(), held) }
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn dot_products_of_extremes_and_random_bytes() {
        // Without the instructions there is nothing to test; the loops that replace them have their own tests.
        let Some(vnni) = Vnni::detect() else { return };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for quads in [1, 2, 7, 8, 9, 33] {
            for extreme in [true, false] {
                let weight = |rng: &mut ChaCha8Rng| {
                    let byte = rng.next_u32().to_le_bytes()[0].cast_signed();
                    if extreme { if byte < 0 { i8::MIN } else { i8::MAX } } else { byte }
                };
                let input = |rng: &mut ChaCha8Rng| if extreme { u8::MAX } else { rng.next_u32().to_le_bytes()[0] };
                let weights: Vec<WeightBlock> = (0..quads).map(|_| std::array::from_fn(|_| weight(&mut rng))).collect();
                let inputs: [Vec<Quad>; TILE] =
                    std::array::from_fn(|_| (0..quads).map(|_| std::array::from_fn(|_| input(&mut rng))).collect());
                let expected = |row: &[Quad], lane: usize| -> i32 {
                    let terms = row.iter().zip(&weights).flat_map(|(quad, block)| {
                        quad.iter().zip(&block[4 * lane..]).map(|(x, w)| i32::from(*x) * i32::from(*w))
                    });
                    terms.sum()
                };
                let mut sums = [[0; LANES]; TILE];
                sums[3] = [7; LANES];
                let flat: Vec<Quad> = inputs.concat();
                let bases = std::array::from_fn(|t| t * quads);
                let whole = Window { runs: 1, len: quads, apart: 0 };
                vnni.tile(&whole, &flat, &bases, &weights, &mut sums);
                sums[3].iter_mut().for_each(|sum| *sum -= 7);
                for (row, sums) in inputs.iter().zip(sums) {
                    assert_eq!(sums, std::array::from_fn(|lane| expected(row, lane)));
                    assert_eq!(vnni.row(row, &weights), sums);
                }
                // Runs of one quad each, from every second place.
                let apart = Window { runs: quads / 2, len: 1, apart: 2 };
                if apart.runs > 0 {
                    sums = [[0; LANES]; TILE];
                    vnni.tile(&apart, &flat, &bases, &weights, &mut sums);
                    for (row, sums) in inputs.iter().zip(sums) {
                        let seen: Vec<Quad> = row.iter().copied().step_by(2).take(apart.runs).collect();
                        assert_eq!(sums, std::array::from_fn(|lane| expected(&seen, lane)));
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "windows lie within their inputs")]
    fn a_window_beyond_its_inputs_is_refused() {
        let window = Window { runs: 2, len: 1, apart: 4 };
        window.check(&[[0; 4]; 5], 1, &[[0; 64]; 2]);
    }
}

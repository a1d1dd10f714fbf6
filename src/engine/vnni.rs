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

    /// `sums[t][lane] = sum_k inputs[t][k] * weights[k][lane]` for every row of inputs.
    ///
    /// # Panics
    /// When a row of inputs is shorter than the weights.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(super) fn tile(self, inputs: [&[Quad]; TILE], weights: &[WeightBlock], sums: &mut [[i32; LANES]; TILE]) {
        // SAFETY: a `Vnni` exists only where the instructions do.
        unsafe { x86::tile(inputs, weights, sums) }
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
    pub(super) fn tile(self, _: [&[Quad]; TILE], _: &[WeightBlock], _: &mut [[i32; LANES]; TILE]) {
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

    use super::{LANES, Quad, TILE, WeightBlock};

    /// Rows of inputs in flight where there is only one: enough to hide the latency of an addition.
    const CHAINS: usize = 8;

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(super) fn tile(inputs: [&[Quad]; TILE], weights: &[WeightBlock], sums: &mut [[i32; LANES]; TILE]) {
        let inputs = inputs.map(|row| &row[..weights.len()]);
        let mut held = [_mm512_setzero_si512(); TILE];
        for (at, block) in weights.iter().enumerate() {
            let block = load(block);
            for (sum, row) in held.iter_mut().zip(inputs) {
                *sum = _mm512_dpbusd_epi32(*sum, _mm512_set1_epi32(i32::from_le_bytes(row[at])), block);
            }
        }
        for (sums, held) in sums.iter_mut().zip(held) {
            store(sums, held);
        }
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
                vnni.tile(std::array::from_fn(|t| &inputs[t][..]), &weights, &mut sums);
                for (row, sums) in inputs.iter().zip(sums) {
                    assert_eq!(sums, std::array::from_fn(|lane| expected(row, lane)));
                    assert_eq!(vnni.row(row, &weights), sums);
                }
            }
        }
    }
}

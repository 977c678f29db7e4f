//! SHA-256 and HMAC-SHA256 of one text, in one go.
//!
//! HMAC (RFC 2104) hashes one block made of the key, then the text: behind that block both hashes take the same blocks. So
//! their message words are computed once, and the rounds of the one run while the other waits for its own.

use core::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_blend_epi16, _mm_set_epi32, _mm_set_epi64x,
    _mm_setzero_si128, _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8,
    _mm_shuffle_epi32,
};

use fearless_simd::prelude::*;
use fearless_simd::{Avx512, Level, u8x16, u32x4};
use sha2::block_api::compress256;
use zeroize::{Zeroize as _, Zeroizing};

use super::padded::pad;
use super::rounds::{BLOCK, INITIAL, ROUNDS, State, digest};
use crate::Digest;

/// What key and padding byte of HMAC begin with.
const INNER: u8 = 0x36;
const OUTER: u8 = 0x5c;

/// Both under way. The states that know the key are wiped on drop.
pub(crate) struct WithMac {
    level: Avx512,
    plain: State,
    inner: Zeroizing<State>,
    outer: Zeroizing<State>,
    /// What does not fill a block yet.
    rest: [u8; BLOCK],
    rest_bytes: usize,
    /// Bytes so far.
    len: u64,
}

impl WithMac {
    /// Begins, when this processor has the instructions.
    pub(crate) fn begin(key: &[u8; 32]) -> Option<Self> {
        let level = Level::new().as_avx512()?;
        let [inner, outer] = [INNER, OUTER].map(|padding| Zeroizing::new(keyed(key, padding)));
        Some(Self { level, plain: INITIAL, inner, outer, rest: [0; BLOCK], rest_bytes: 0, len: 0 })
    }

    /// Adds to the text.
    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len() as u64;
        if self.rest_bytes > 0 {
            let (more, others) = bytes.split_at(bytes.len().min(BLOCK - self.rest_bytes));
            self.keep(more);
            if self.rest_bytes < BLOCK {
                return;
            }
            compress(self.level, &mut self.plain, &mut self.inner, &[self.rest]);
            self.rest_bytes = 0;
            bytes = others;
        }
        let (blocks, end) = bytes.as_chunks::<BLOCK>();
        compress(self.level, &mut self.plain, &mut self.inner, blocks);
        self.keep(end);
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.rest[self.rest_bytes..][..bytes.len()].copy_from_slice(bytes);
        self.rest_bytes += bytes.len();
    }

    /// Checksum and MAC.
    pub(crate) fn finish(self) -> (Digest, Digest) {
        let end = &self.rest[..self.rest_bytes];
        let plain = finished(self.plain, end, self.len);
        let inner = finished(*self.inner, end, self.len + BLOCK as u64);
        (plain, finished(*self.outer, &inner.0, (BLOCK + inner.0.len()) as u64))
    }
}

/// The state after the block that is made of the key.
fn keyed(key: &[u8; 32], padding: u8) -> State {
    let mut block = [padding; BLOCK];
    block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
    let mut state = INITIAL;
    compress256(&mut state, &[block]);
    block.zeroize();
    state
}

/// The digest of `len` bytes, of which these are the last ones, less than a block.
fn finished(mut state: State, end: &[u8], len: u64) -> Digest {
    let mut blocks = [[0; BLOCK]; 2];
    let count = pad(&mut blocks, 0, end, len * 8);
    compress256(&mut state, &blocks[..count]);
    digest(&state)
}

fearless_simd::kernel!(
    #[inline(never)]
    fn compress(level: Avx512, plain: &mut State, inner: &mut State, blocks: &[[u8; BLOCK]]) {
        let ([mut abef, mut cdgh], [mut inner_abef, mut inner_cdgh]) =
            (load(level, plain), load(level, inner));
        for block in blocks {
            let before = [abef, cdgh, inner_abef, inner_cdgh];
            let mut words = words_of(level, block);
            // Written out, so that every place is known to the compiler and the words stay in registers.
            macro_rules! four_rounds {
                ($($row:literal)*) => {$(
                    let [now, next, after, last] = words;
                    let sum = _mm_add_epi32(now, constants(level, const { ROUNDS[$row] }));
                    let high = _mm_shuffle_epi32::<0x0e>(sum);
                    cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
                    inner_cdgh = _mm_sha256rnds2_epu32(inner_cdgh, inner_abef, sum);
                    abef = _mm_sha256rnds2_epu32(abef, cdgh, high);
                    inner_abef = _mm_sha256rnds2_epu32(inner_abef, inner_cdgh, high);
                    words = [next, after, last, next_words(level, words)];
                )*};
            }
            four_rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
            abef = _mm_add_epi32(abef, before[0]);
            cdgh = _mm_add_epi32(cdgh, before[1]);
            inner_abef = _mm_add_epi32(inner_abef, before[2]);
            inner_cdgh = _mm_add_epi32(inner_cdgh, before[3]);
        }
        store(level, abef, cdgh, plain);
        store(level, inner_abef, inner_cdgh, inner);
    }
);

// The processor's SHA instructions keep the eight words of a state as two vectors, from high to low a b e f and c d g h, and do
// two rounds at once.

fearless_simd::kernel!(
    #[inline]
    fn load(level: Avx512, state: &State) -> [__m128i; 2] {
        let abcd = _mm_shuffle_epi32::<0xb1>(u32x4::from_slice(level, &state[..4]).into());
        let efgh = _mm_shuffle_epi32::<0x1b>(u32x4::from_slice(level, &state[4..]).into());
        [_mm_alignr_epi8::<8>(abcd, efgh), _mm_blend_epi16::<0xf0>(efgh, abcd)]
    }
);

fearless_simd::kernel!(
    #[inline]
    fn store(level: Avx512, abef: __m128i, cdgh: __m128i, state: &mut State) {
        let feba = _mm_shuffle_epi32::<0x1b>(abef);
        let dchg = _mm_shuffle_epi32::<0xb1>(cdgh);
        let abcd: u32x4<_> = _mm_blend_epi16::<0xf0>(feba, dchg).simd_into(level);
        let efgh: u32x4<_> = _mm_alignr_epi8::<8>(dchg, feba).simd_into(level);
        abcd.store_slice(&mut state[..4]);
        efgh.store_slice(&mut state[4..]);
    }
);

fearless_simd::kernel!(
    /// The sixteen message words of a block, four a vector.
    #[inline]
    fn words_of(level: Avx512, block: &[u8; BLOCK]) -> [__m128i; 4] {
        let big_endian = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
        let mut words = [_mm_setzero_si128(); 4];
        for (word, bytes) in words.iter_mut().zip(block.as_chunks::<16>().0) {
            *word = _mm_shuffle_epi8(u8x16::from_slice(level, bytes).into(), big_endian);
        }
        words
    }
);

fearless_simd::kernel!(
    /// The four words that follow these sixteen. Behind the twelfth of sixteen rows nobody needs them, and they are not computed.
    #[inline]
    fn next_words(level: Avx512, words: [__m128i; 4]) -> __m128i {
        let [now, next, after, last] = words;
        let mixed = _mm_add_epi32(_mm_sha256msg1_epu32(now, next), _mm_alignr_epi8::<4>(last, after));
        _mm_sha256msg2_epu32(mixed, last)
    }
);

fearless_simd::kernel!(
    /// A row of round constants.
    #[inline]
    fn constants(level: Avx512, row: [i32; 4]) -> __m128i {
        let [k0, k1, k2, k3] = row;
        _mm_set_epi32(k3, k2, k1, k0)
    }
);

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn both_are_those_computed_apart_however_the_text_comes() {
        let key: [u8; 32] = std::array::from_fn(|n| n as u8);
        let text: Vec<u8> = (0..700_u32).map(|n| (n * 37 % 256) as u8).collect();
        for len in [0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 700] {
            for piece in [1, 7, 64, 100, 701] {
                let Some(mut both) = WithMac::begin(&key) else { return };
                text[..len].chunks(piece).for_each(|piece| both.update(piece));
                let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
                mac.update(&text[..len]);
                let mac = Digest(mac.finalize().into_bytes().into());
                let plain = Digest(Sha256::digest(&text[..len]).into());
                assert_eq!(both.finish(), (plain, mac), "{len} bytes in pieces of {piece}");
            }
        }
    }
}

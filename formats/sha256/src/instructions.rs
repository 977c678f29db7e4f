//! The processor's SHA instructions, over several states at once.
//!
//! One SHA-256 uses half of what they can do on AMD's processors: each round waits for the one before. Rounds of another state
//! fill the gap (measured: 1.4 times one message's speed with messages of 700 bytes, 1.7 times with long ones; three or four states
//! gain no more). A text and its MAC, whose message words are the same, take the time of one there.

use core::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_cvtsi128_si64, _mm_extract_epi64, _mm_set_epi32,
    _mm_set_epi64x, _mm_setzero_si128, _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32,
    _mm_shuffle_epi8, _mm_shuffle_epi32,
};

use zeroize::Zeroize;

use crate::rounds::{BLOCK, ROUNDS, State};

/// That the processor has them.
#[derive(Clone, Copy)]
pub(crate) struct ShaInstructions(());

impl ShaInstructions {
    /// Asks the processor.
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("sha") && is_x86_feature_detected!("avx")).then_some(Self(()))
    }

    /// Each state takes so many blocks of its own; `block` tells of which state which one.
    #[allow(unsafe_code)]
    #[inline]
    pub(crate) fn compress<'a, const N: usize>(
        self,
        states: &mut [Halves; N],
        count: usize,
        block: impl Fn(usize, usize) -> &'a [u8; BLOCK],
    ) {
        // SAFETY: whoever has a `self` has asked whether the processor has these instructions.
        unsafe { compress(states, count, block) }
    }

    /// All states take the same blocks.
    #[allow(unsafe_code)]
    pub(crate) fn compress_same<const N: usize>(self, states: &mut [Halves; N], blocks: &[[u8; BLOCK]]) {
        // SAFETY: as above.
        unsafe { compress_same(states, blocks) }
    }
}

/// The words of a state in the order of the instructions.
#[derive(Clone, Copy)]
pub(crate) struct Halves([[u32; 4]; 2]);

impl Halves {
    pub(crate) const fn of([a, b, c, d, e, f, g, h]: State) -> Self {
        Self([[f, e, b, a], [h, g, d, c]])
    }

    pub(crate) fn state(&self) -> State {
        let Self([[f, e, b, a], [h, g, d, c]]) = *self;
        [a, b, c, d, e, f, g, h]
    }
}

impl Zeroize for Halves {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

/// The same in registers.
type Pair = [__m128i; 2];

// The rounds are written out, so that every place is known to the compiler and the words stay in registers.
macro_rules! all_rounds {
    ($four_rounds:ident) => {
        $four_rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
    };
}

#[inline]
#[target_feature(enable = "sha,avx")]
fn compress<'a, const N: usize>(
    states: &mut [Halves; N],
    count: usize,
    block: impl Fn(usize, usize) -> &'a [u8; BLOCK],
) {
    let mut halves = loaded(states);
    let mut words = [[_mm_setzero_si128(); 4]; N];
    let mut sums = [_mm_setzero_si128(); N];
    for at in 0..count {
        let before = halves;
        for (lane, words) in words.iter_mut().enumerate() {
            *words = words_of(block(lane, at));
        }
        macro_rules! four_rounds {
            ($($row:literal)*) => {$(
                let row = constants(const { ROUNDS[$row] });
                for (sums, words) in sums.iter_mut().zip(&words) {
                    *sums = _mm_add_epi32(words[0], row);
                }
                for (half, sums) in halves.iter_mut().zip(sums) {
                    *half = two_rounds(*half, sums);
                }
                for (half, sums) in halves.iter_mut().zip(sums) {
                    *half = two_rounds(*half, _mm_shuffle_epi32::<0x0e>(sums));
                }
                for words in &mut words {
                    *words = moved_on(*words);
                }
            )*};
        }
        all_rounds!(four_rounds);
        add(&mut halves, &before);
    }
    store(&halves, states);
}

#[target_feature(enable = "sha,avx")]
fn compress_same<const N: usize>(states: &mut [Halves; N], blocks: &[[u8; BLOCK]]) {
    let mut halves = loaded(states);
    for block in blocks {
        let before = halves;
        let mut words = words_of(block);
        macro_rules! four_rounds {
            ($($row:literal)*) => {$(
                let sums = _mm_add_epi32(words[0], constants(const { ROUNDS[$row] }));
                let last_sums = _mm_shuffle_epi32::<0x0e>(sums);
                for half in &mut halves {
                    *half = two_rounds(*half, sums);
                }
                for half in &mut halves {
                    *half = two_rounds(*half, last_sums);
                }
                words = moved_on(words);
            )*};
        }
        all_rounds!(four_rounds);
        add(&mut halves, &before);
    }
    store(&halves, states);
}

/// Two rounds; afterwards what was a b e f is c d g h.
#[inline]
#[target_feature(enable = "sha,avx")]
fn two_rounds([abef, cdgh]: Pair, sums: __m128i) -> Pair {
    [_mm_sha256rnds2_epu32(cdgh, abef, sums), abef]
}

#[inline]
#[target_feature(enable = "sha,avx")]
fn add<const N: usize>(halves: &mut [Pair; N], before: &[Pair; N]) {
    for ([abef, cdgh], [old_abef, old_cdgh]) in halves.iter_mut().zip(before) {
        *abef = _mm_add_epi32(*abef, *old_abef);
        *cdgh = _mm_add_epi32(*cdgh, *old_cdgh);
    }
}

#[inline]
#[target_feature(enable = "sha,avx")]
fn loaded<const N: usize>(states: &[Halves; N]) -> [Pair; N] {
    let mut loaded = [[_mm_setzero_si128(); 2]; N];
    for (pair, Halves(halves)) in loaded.iter_mut().zip(states) {
        for (half, words) in pair.iter_mut().zip(halves) {
            let [w0, w1, w2, w3] = words.map(u32::cast_signed);
            *half = _mm_set_epi32(w3, w2, w1, w0);
        }
    }
    loaded
}

#[inline]
#[target_feature(enable = "sha,avx")]
fn store<const N: usize>(pairs: &[Pair; N], states: &mut [Halves; N]) {
    for (pair, Halves(halves)) in pairs.iter().zip(states) {
        for (half, words) in pair.iter().zip(halves) {
            let (low, high) = (_mm_cvtsi128_si64(*half), _mm_extract_epi64::<1>(*half));
            *words = [low as u32, (low >> 32) as u32, high as u32, (high >> 32) as u32];
        }
    }
}

/// The sixteen message words of a block, four a vector.
#[inline]
#[target_feature(enable = "sha,avx")]
fn words_of(block: &[u8; BLOCK]) -> [__m128i; 4] {
    let big_endian = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    let mut words = [_mm_setzero_si128(); 4];
    for (word, bytes) in words.iter_mut().zip(block.as_chunks::<16>().0) {
        let bytes = i128::from_le_bytes(*bytes);
        let bytes = _mm_set_epi64x((bytes >> 64) as i64, bytes as i64);
        *word = _mm_shuffle_epi8(bytes, big_endian);
    }
    words
}

/// The words after the first four of these sixteen, and the four that follow them. Behind the twelfth of sixteen rows nobody
/// needs those, and they are not computed.
#[inline]
#[target_feature(enable = "sha,avx")]
fn moved_on([now, next, after, last]: [__m128i; 4]) -> [__m128i; 4] {
    let mixed = _mm_add_epi32(_mm_sha256msg1_epu32(now, next), _mm_alignr_epi8::<4>(last, after));
    [next, after, last, _mm_sha256msg2_epu32(mixed, last)]
}

/// A row of round constants.
#[inline]
#[target_feature(enable = "sha,avx")]
fn constants([k0, k1, k2, k3]: [i32; 4]) -> __m128i {
    _mm_set_epi32(k3, k2, k1, k0)
}

//! Sixteen SHA-256 at a time on one core: each has a lane of every vector.
//!
//! They come before two by the SHA instructions: on Intel's processors those keep one port busy by one message alone, so that
//! a second gains little (measured: 1.15 times one message's speed; sixteen lanes: twice). Not measured on AMD's that have both.

use core::arch::x86_64::{
    __m512i, _mm_set_epi64x, _mm512_add_epi32, _mm512_broadcast_i32x4, _mm512_ror_epi32, _mm512_set1_epi32,
    _mm512_setzero_si512, _mm512_shuffle_epi8, _mm512_shuffle_i32x4, _mm512_srli_epi32,
    _mm512_ternarylogic_epi32, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32,
    _mm512_unpacklo_epi64,
};

use fearless_simd::prelude::*;
use fearless_simd::{Avx512, u8x64, u32x16};

use crate::lanes::{self, Lane};
use crate::rounds::{INITIAL, ROUNDS, State};

const LANES: usize = 16;

/// In row n, word n of every lane.
type Rows = [[u32; LANES]; 8];

/// The states of all lanes.
pub(crate) struct States {
    level: Avx512,
    rows: Rows,
}

impl States {
    /// The states before the first block.
    pub(crate) fn new(level: Avx512) -> Self {
        Self { level, rows: INITIAL.map(|word| [word; LANES]) }
    }
}

impl lanes::States<LANES> for States {
    const FEW: usize = 6;

    fn advance(&mut self, lanes: &[Lane<'_>; LANES]) -> usize {
        compress(self.level, lanes, &mut self.rows);
        1
    }

    fn of(&self, lane: usize) -> State {
        self.rows.each_ref().map(|row| row[lane])
    }

    fn set(&mut self, lane: usize, state: &State) {
        self.rows.iter_mut().zip(state).for_each(|(row, word)| row[lane] = *word);
    }
}

fearless_simd::kernel!(
    /// Takes the next block of each lane.
    #[inline(never)]
    fn compress(level: Avx512, lanes: &[Lane<'_>; LANES], states: &mut Rows) {
        let mut words = words_of(level, lanes);
        let mut state = [_mm512_setzero_si512(); 8];
        for (word, row) in state.iter_mut().zip(states.iter()) {
            *word = u32x16::from_slice(level, row).into();
        }
        // Written out, so that every place is known to the compiler and the words stay in registers.
        macro_rules! rounds {
            ($first_row:literal: $($at:literal)*) => {$(
                let constant = const { ROUNDS[$first_row + $at / 4][$at % 4] };
                state = round(level, state, _mm512_add_epi32(words[$at], _mm512_set1_epi32(constant)));
            )*};
        }
        macro_rules! next_words {
            ($($at:literal)*) => {$(
                let next = [words[($at + 1) % 16], words[($at + 9) % 16], words[($at + 14) % 16]];
                words[$at] = word_after(level, words[$at], next);
            )*};
        }
        rounds!(0: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        next_words!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        rounds!(4: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        next_words!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        rounds!(8: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        next_words!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        rounds!(12: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        for (row, after) in states.iter_mut().zip(state) {
            let before = u32x16::from_slice(level, row).into();
            let sum: u32x16<_> = _mm512_add_epi32(before, after).simd_into(level);
            sum.store_slice(row);
        }
    }
);

/// The bits of three words, combined by these tables: one for each value that the three bits may have.
const EXCLUSIVE_OR: i32 = 0x96;
const CHOICE: i32 = 0xca;
const MAJORITY: i32 = 0xe8;

fearless_simd::kernel!(
    /// FIPS 180-4, 6.2.2, step 3. `word` has its round's constant added.
    #[inline]
    fn round(_level: Avx512, state: [__m512i; 8], word: __m512i) -> [__m512i; 8] {
        let [a, b, c, d, e, f, g, h] = state;
        let [e6, e11, e25] = [_mm512_ror_epi32::<6>(e), _mm512_ror_epi32::<11>(e), _mm512_ror_epi32::<25>(e)];
        let sum1 = _mm512_ternarylogic_epi32::<EXCLUSIVE_OR>(e6, e11, e25);
        let choice = _mm512_ternarylogic_epi32::<CHOICE>(e, f, g);
        let first = _mm512_add_epi32(_mm512_add_epi32(h, word), _mm512_add_epi32(sum1, choice));
        let [a2, a13, a22] = [_mm512_ror_epi32::<2>(a), _mm512_ror_epi32::<13>(a), _mm512_ror_epi32::<22>(a)];
        let sum0 = _mm512_ternarylogic_epi32::<EXCLUSIVE_OR>(a2, a13, a22);
        let second = _mm512_add_epi32(sum0, _mm512_ternarylogic_epi32::<MAJORITY>(a, b, c));
        [_mm512_add_epi32(first, second), a, b, c, _mm512_add_epi32(d, first), e, f, g]
    }
);

fearless_simd::kernel!(
    /// The message word sixteen places after `word`, and those that stand 1, 9 and 14 places after it. FIPS 180-4, 6.2.2, step 1.
    #[inline]
    fn word_after(_level: Avx512, word: __m512i, further: [__m512i; 3]) -> __m512i {
        let [next, ninth, fourteenth] = further;
        let sigma0 = _mm512_ternarylogic_epi32::<EXCLUSIVE_OR>(
            _mm512_ror_epi32::<7>(next),
            _mm512_ror_epi32::<18>(next),
            _mm512_srli_epi32::<3>(next),
        );
        let sigma1 = _mm512_ternarylogic_epi32::<EXCLUSIVE_OR>(
            _mm512_ror_epi32::<17>(fourteenth),
            _mm512_ror_epi32::<19>(fourteenth),
            _mm512_srli_epi32::<10>(fourteenth),
        );
        _mm512_add_epi32(_mm512_add_epi32(word, ninth), _mm512_add_epi32(sigma0, sigma1))
    }
);

fearless_simd::kernel!(
    /// The words of every lane's block: in vector n, word n of each.
    #[inline]
    fn words_of(level: Avx512, lanes: &[Lane<'_>; LANES]) -> [__m512i; 16] {
        let big_endian = _mm512_broadcast_i32x4(_mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203));
        let mut rows = [_mm512_setzero_si512(); LANES];
        for (row, lane) in rows.iter_mut().zip(lanes) {
            *row = _mm512_shuffle_epi8(u8x64::from_slice(level, lane.next_block()).into(), big_endian);
        }
        transposed(level, rows)
    }
);

fearless_simd::kernel!(
    /// Rows to columns: within quarters of the vectors first, then the quarters.
    #[inline]
    fn transposed(_level: Avx512, rows: [__m512i; 16]) -> [__m512i; 16] {
        let mut pairs = rows;
        for at in (0..16).step_by(2) {
            pairs[at] = _mm512_unpacklo_epi32(rows[at], rows[at + 1]);
            pairs[at + 1] = _mm512_unpackhi_epi32(rows[at], rows[at + 1]);
        }
        // `fours[4 * n + k]` holds, in quarter q, word 4 * q + k of the rows from 4 * n on.
        let mut fours = rows;
        for at in (0..16).step_by(4) {
            fours[at] = _mm512_unpacklo_epi64(pairs[at], pairs[at + 2]);
            fours[at + 1] = _mm512_unpackhi_epi64(pairs[at], pairs[at + 2]);
            fours[at + 2] = _mm512_unpacklo_epi64(pairs[at + 1], pairs[at + 3]);
            fours[at + 3] = _mm512_unpackhi_epi64(pairs[at + 1], pairs[at + 3]);
        }
        // The same of eight rows: first of the even quarters, then of the odd ones.
        let mut eights = rows;
        for at in 0..4 {
            for half in [0, 8] {
                let (one, other) = (fours[half + at], fours[half + 4 + at]);
                eights[half + at] = _mm512_shuffle_i32x4::<EVEN>(one, other);
                eights[half + 4 + at] = _mm512_shuffle_i32x4::<ODD>(one, other);
            }
        }
        let mut columns = rows;
        for at in 0..8 {
            columns[at] = _mm512_shuffle_i32x4::<EVEN>(eights[at], eights[8 + at]);
            columns[8 + at] = _mm512_shuffle_i32x4::<ODD>(eights[at], eights[8 + at]);
        }
        columns
    }
);

/// Which quarters a shuffle takes of each of two vectors.
const EVEN: i32 = 0b10_00_10_00;
const ODD: i32 = 0b11_01_11_01;

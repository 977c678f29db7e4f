//! Four SHA-256 at a time on one core. FIPS 180-4, with the processor's SHA instructions.

use core::arch::x86_64::{
    _mm_add_epi32, _mm_alignr_epi8, _mm_blend_epi16, _mm_set_epi32, _mm_set_epi64x, _mm_setzero_si128,
    _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8, _mm_shuffle_epi32,
};

use fearless_simd::prelude::*;
use fearless_simd::{Avx512, u8x16, u32x4};

use super::padded::{BLOCK, Padded};
use crate::Digest;

const LANES: usize = 4;

type State = [u32; 8];

/// The initial state: the first 32 bits of the fractional parts of the square roots of the first 8 primes.
const INITIAL: State =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// The round constants: the same of the cube roots of the first 64 primes, four rounds a row.
#[rustfmt::skip]
const ROUNDS: [[i32; 4]; 16] = rounds([
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
]);

const fn rounds(constants: [u32; 64]) -> [[i32; 4]; 16] {
    let mut rows = [[0; 4]; 16];
    let mut at = 0;
    while at < 64 {
        rows[at / 4][at % 4] = constants[at].cast_signed();
        at += 1;
    }
    rows
}

/// A message under way.
struct Lane<'a> {
    padded: Padded<'a>,
    /// Blocks done.
    done: usize,
    /// Place of its digest.
    place: usize,
}

/// Puts `SHA-256(prefix ‖ message)` of each message to its place in `digests`, which is as long as there are messages.
pub(super) fn hash_each<'a>(
    level: Avx512,
    prefix: u8,
    messages: impl Iterator<Item = &'a [u8]>,
    digests: &mut [Digest],
) {
    let begin = |(place, message)| Lane { padded: Padded::new(prefix, message), done: 0, place };
    let mut waiting = messages.enumerate().map(begin);
    let mut states = [INITIAL; LANES];
    let mut lanes: [Option<Lane<'a>>; LANES] = std::array::from_fn(|_| waiting.next());
    while let [Some(a), Some(b), Some(c), Some(d)] = &mut lanes {
        let under_way = [a, b, c, d];
        let blocks = std::array::from_fn(|lane| under_way[lane].padded.block(under_way[lane].done));
        compress(level, &mut states, blocks);
        for (lane, state) in lanes.iter_mut().zip(&mut states) {
            advance(lane, state, &mut waiting, digests);
        }
    }
    // Fewer than four are left: one after the other.
    for (lane, state) in lanes.into_iter().zip(states) {
        if let Some(lane) = lane {
            digests[lane.place] = finish(&lane, state);
        }
    }
}

/// Counts a block, and goes on to the next message when it was the last.
fn advance<'a>(
    lane: &mut Option<Lane<'a>>,
    state: &mut State,
    waiting: &mut impl Iterator<Item = Lane<'a>>,
    digests: &mut [Digest],
) {
    if let Some(under_way) = lane {
        under_way.done += 1;
        if under_way.done == under_way.padded.count {
            digests[under_way.place] = digest(state);
            *state = INITIAL;
            *lane = waiting.next();
        }
    }
}

fn finish(lane: &Lane<'_>, mut state: State) -> Digest {
    for number in lane.done..lane.padded.count {
        sha2::block_api::compress256(&mut state, std::slice::from_ref(lane.padded.block(number)));
    }
    digest(&state)
}

fn digest(state: &State) -> Digest {
    let mut bytes = [0; 32];
    for (word, out) in state.iter().zip(bytes.as_chunks_mut::<4>().0) {
        *out = word.to_be_bytes();
    }
    Digest(bytes)
}

// The SHA instructions keep the eight words of a state as two vectors, from high to low a b e f and c d g h, and do two
// rounds at once. `words` holds the sixteen message words that the next rounds need, four a vector.
fearless_simd::kernel!(
    #[inline(never)]
    fn compress(level: Avx512, states: &mut [State; LANES], blocks: [&[u8; BLOCK]; LANES]) {
        let big_endian = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
        let zero = _mm_setzero_si128();
        let mut words = [[zero; 4]; LANES];
        let mut abef = [zero; LANES];
        let mut cdgh = [zero; LANES];
        for lane in 0..LANES {
            let abcd = _mm_shuffle_epi32::<0xb1>(u32x4::from_slice(level, &states[lane][..4]).into());
            let efgh = _mm_shuffle_epi32::<0x1b>(u32x4::from_slice(level, &states[lane][4..]).into());
            abef[lane] = _mm_alignr_epi8::<8>(abcd, efgh);
            cdgh[lane] = _mm_blend_epi16::<0xf0>(efgh, abcd);
            for (word, bytes) in words[lane].iter_mut().zip(blocks[lane].as_chunks::<16>().0) {
                *word = _mm_shuffle_epi8(u8x16::from_slice(level, bytes).into(), big_endian);
            }
        }
        let (abef_before, cdgh_before) = (abef, cdgh);
        for (row, [k0, k1, k2, k3]) in ROUNDS.into_iter().enumerate() {
            let constants = _mm_set_epi32(k3, k2, k1, k0);
            for lane in 0..LANES {
                let [now, next, after, last] = std::array::from_fn(|n| words[lane][(row + n) % 4]);
                let sum = _mm_add_epi32(now, constants);
                cdgh[lane] = _mm_sha256rnds2_epu32(cdgh[lane], abef[lane], sum);
                abef[lane] = _mm_sha256rnds2_epu32(abef[lane], cdgh[lane], _mm_shuffle_epi32::<0x0e>(sum));
                if row < 12 {
                    let mixed =
                        _mm_add_epi32(_mm_sha256msg1_epu32(now, next), _mm_alignr_epi8::<4>(last, after));
                    words[lane][row % 4] = _mm_sha256msg2_epu32(mixed, last);
                }
            }
        }
        for (lane, state) in states.iter_mut().enumerate() {
            let feba = _mm_shuffle_epi32::<0x1b>(_mm_add_epi32(abef[lane], abef_before[lane]));
            let dchg = _mm_shuffle_epi32::<0xb1>(_mm_add_epi32(cdgh[lane], cdgh_before[lane]));
            let abcd: u32x4<_> = _mm_blend_epi16::<0xf0>(feba, dchg).simd_into(level);
            let efgh: u32x4<_> = _mm_alignr_epi8::<8>(dchg, feba).simd_into(level);
            abcd.store_slice(&mut state[..4]);
            efgh.store_slice(&mut state[4..]);
        }
    }
);

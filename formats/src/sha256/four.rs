//! Four SHA-256 at a time on one core: each instruction of one lane runs while the others wait for theirs.

use core::arch::x86_64::{_mm_add_epi32, _mm_setzero_si128, _mm_sha256rnds2_epu32, _mm_shuffle_epi32};

use fearless_simd::Avx512;

use super::padded::Padded;
use super::rounds::{BLOCK, INITIAL, ROUNDS, State, constants, digest, load, next_words, store, words_of};
use crate::Digest;

const LANES: usize = 4;

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

// `words` holds the sixteen message words that a lane's next rounds need, four a vector.
fearless_simd::kernel!(
    #[inline(never)]
    fn compress(level: Avx512, states: &mut [State; LANES], blocks: [&[u8; BLOCK]; LANES]) {
        let mut words = blocks.map(|block| words_of(level, block));
        let mut abef = [_mm_setzero_si128(); LANES];
        let mut cdgh = [_mm_setzero_si128(); LANES];
        for (lane, state) in states.iter().enumerate() {
            [abef[lane], cdgh[lane]] = load(level, state);
        }
        let (abef_before, cdgh_before) = (abef, cdgh);
        // Written out, so that every place is known to the compiler and the words stay in registers.
        macro_rules! four_rounds {
            ($($row:literal)*) => {$(
                let row = constants(level, const { ROUNDS[$row] });
                for lane in 0..LANES {
                    let [now, next, after, last] = words[lane];
                    let sum = _mm_add_epi32(now, row);
                    cdgh[lane] = _mm_sha256rnds2_epu32(cdgh[lane], abef[lane], sum);
                    abef[lane] = _mm_sha256rnds2_epu32(abef[lane], cdgh[lane], _mm_shuffle_epi32::<0x0e>(sum));
                    words[lane] = [next, after, last, next_words(level, words[lane])];
                }
            )*};
        }
        four_rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        for (lane, state) in states.iter_mut().enumerate() {
            let abef = _mm_add_epi32(abef[lane], abef_before[lane]);
            store(level, abef, _mm_add_epi32(cdgh[lane], cdgh_before[lane]), state);
        }
    }
);

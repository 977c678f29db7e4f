//! Four SHA-256 at a time on one core: each instruction of one lane runs while the others wait for theirs.

use core::arch::x86_64::{_mm_add_epi32, _mm_setzero_si128, _mm_sha256rnds2_epu32, _mm_shuffle_epi32};

use fearless_simd::Avx512;

use super::padded::Padded;
use super::rounds::{INITIAL, ROUNDS, State, constants, digest, load, next_words, store, words_of};
use crate::Digest;

const LANES: usize = 4;

/// A message under way, and its successors in the same place: nothing that is large moves.
struct Lane<'a> {
    padded: Padded<'a>,
    /// Blocks done.
    done: usize,
    /// Place of its digest.
    place: usize,
    state: State,
}

/// Puts `SHA-256(prefix ‖ message)` of each message to its place in `digests`, which is as long as there are messages.
pub(super) fn hash_each<'a>(
    level: Avx512,
    prefix: u8,
    messages: impl Iterator<Item = &'a [u8]>,
    digests: &mut [Digest],
) {
    let mut waiting = messages.enumerate();
    let mut lanes: [Lane<'a>; LANES] = std::array::from_fn(|_| Lane::new());
    let mut all_are_busy = lanes.iter_mut().all(|lane| lane.begin(prefix, waiting.next()));
    while all_are_busy {
        compress(level, &mut lanes);
        for lane in &mut lanes {
            lane.done += 1;
            if lane.done == lane.padded.count {
                digests[lane.place] = digest(&lane.state);
                all_are_busy &= lane.begin(prefix, waiting.next());
            }
        }
    }
    // Fewer than four are left: one after the other.
    for lane in lanes.iter_mut().filter(|lane| lane.done < lane.padded.count) {
        digests[lane.place] = lane.finish();
    }
}

impl<'a> Lane<'a> {
    fn new() -> Self {
        Self { padded: Padded::nothing(), done: 0, place: 0, state: INITIAL }
    }

    /// Takes the next message; answers whether there was one.
    fn begin(&mut self, prefix: u8, next: Option<(usize, &'a [u8])>) -> bool {
        let Some((place, message)) = next else { return false };
        self.padded.set(prefix, message);
        (self.done, self.place, self.state) = (0, place, INITIAL);
        true
    }

    fn finish(&mut self) -> Digest {
        for number in self.done..self.padded.count {
            sha2::block_api::compress256(&mut self.state, std::slice::from_ref(self.padded.block(number)));
        }
        digest(&self.state)
    }
}

// `words` holds the sixteen message words that a lane's next rounds need, four a vector.
fearless_simd::kernel!(
    #[inline(never)]
    fn compress(level: Avx512, lanes: &mut [Lane<'_>; LANES]) {
        let mut words = lanes.each_ref().map(|lane| words_of(level, lane.padded.block(lane.done)));
        let mut abef = [_mm_setzero_si128(); LANES];
        let mut cdgh = [_mm_setzero_si128(); LANES];
        for (at, lane) in lanes.iter().enumerate() {
            [abef[at], cdgh[at]] = load(level, &lane.state);
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
        for (at, lane) in lanes.iter_mut().enumerate() {
            let abef = _mm_add_epi32(abef[at], abef_before[at]);
            store(level, abef, _mm_add_epi32(cdgh[at], cdgh_before[at]), &mut lane.state);
        }
    }
);

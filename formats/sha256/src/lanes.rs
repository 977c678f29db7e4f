//! Messages in lanes: each lane takes the next one when it has done with its own.

use sha2::block_api::compress256;

use crate::Digest;
use crate::padded::Padded;
use crate::rounds::{BLOCK, INITIAL, State, digest};

/// The states of `N` lanes, kept as the instructions like them.
pub(crate) trait States<const N: usize> {
    /// When so few lanes are busy, what is left is hashed one after the other.
    const FEW: usize;

    /// Takes the next blocks of each lane that is busy, more than [`States::FEW`] of them: as many of each, at least one.
    /// Answers how many.
    fn advance(&mut self, lanes: &[Lane<'_>; N]) -> usize;

    /// The state of a lane.
    fn of(&self, lane: usize) -> State;

    /// Puts a state in the place of a lane's.
    fn set(&mut self, lane: usize, state: &State);
}

/// A message under way, and its successors in the same place: nothing that is large moves.
pub(crate) struct Lane<'a> {
    padded: Padded<'a>,
    /// Blocks done.
    done: usize,
    /// The message's number.
    number: usize,
}

/// Hands over `SHA-256(prefix ‖ message)` of each message, with its number.
pub(crate) fn hash_each<'a, const N: usize, S: States<N>>(
    mut states: S,
    prefix: u8,
    mut messages: impl Iterator<Item = (usize, &'a [u8])>,
    mut out: impl FnMut(usize, Digest),
) {
    let mut lanes: [Lane<'a>; N] = std::array::from_fn(|_| Lane::new());
    let mut busy: usize = lanes.iter_mut().map(|lane| usize::from(lane.begin(prefix, messages.next()))).sum();
    while busy > S::FEW {
        let blocks = states.advance(&lanes);
        for (at, lane) in lanes.iter_mut().enumerate().filter(|(_, lane)| lane.is_busy()) {
            lane.advance(blocks);
            if !lane.is_busy() {
                out(lane.number, digest(&states.of(at)));
                states.set(at, &INITIAL);
                busy -= usize::from(!lane.begin(prefix, messages.next()));
            }
        }
    }
    for (at, lane) in lanes.iter().enumerate().filter(|(_, lane)| lane.is_busy()) {
        lane.finish(states.of(at), &mut out);
    }
}

impl<'a> Lane<'a> {
    pub(crate) fn new() -> Self {
        Self { padded: Padded::nothing(), done: 0, number: 0 }
    }

    /// Takes the next message; answers whether there was one.
    pub(crate) fn begin(&mut self, prefix: u8, next: Option<(usize, &'a [u8])>) -> bool {
        let Some((number, message)) = next else { return false };
        self.padded.set(prefix, message);
        (self.done, self.number) = (0, number);
        true
    }

    fn is_busy(&self) -> bool {
        self.done < self.padded.count
    }

    /// Blocks that are left.
    #[inline]
    pub(crate) fn left(&self) -> usize {
        self.padded.count - self.done
    }

    /// A block of those that are left.
    #[inline]
    pub(crate) fn block(&self, number: usize) -> &[u8; BLOCK] {
        self.padded.block(self.done + number)
    }

    /// The block that comes next; any, when there is none.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(crate) fn next_block(&self) -> &[u8; BLOCK] {
        self.padded.block(self.done.min(self.padded.count.saturating_sub(1)))
    }

    /// So many of its blocks were taken.
    #[inline]
    pub(crate) fn advance(&mut self, blocks: usize) {
        self.done += blocks;
    }

    /// Takes the blocks that are left, behind this state; hands over the digest.
    pub(crate) fn finish(&self, mut state: State, mut out: impl FnMut(usize, Digest)) {
        for number in self.done..self.padded.count {
            compress256(&mut state, std::slice::from_ref(self.padded.block(number)));
        }
        out(self.number, digest(&state));
    }
}

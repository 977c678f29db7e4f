//! SHA-256 of a long text, and of short messages beside it.
//!
//! The blocks of a text must be taken one after the other, which uses half of what SHA instructions can do on AMD's processors: the
//! blocks of the messages fill the other half. Where there is AVX-512, sixteen messages at a time cost less than those beside a text.

use sha2::block_api::compress256;

use crate::gather::Gather;
use crate::instructions::{Halves, ShaInstructions};
use crate::lanes::Lane;
use crate::rounds::{BLOCK, INITIAL, State};
use crate::{Digest, hash_numbered, takes_sixteen};

/// The SHA-256 of a text that comes in pieces.
pub struct Checksum {
    state: State,
    gather: Gather,
}

impl Default for Checksum {
    fn default() -> Self {
        Self { state: INITIAL, gather: Gather::new() }
    }
}

impl Checksum {
    /// Adds to the text.
    pub fn update(&mut self, piece: &[u8]) {
        let blocks = self.begin(piece);
        compress256(&mut self.state, blocks);
    }

    /// Whether messages cost less beside a text than apart from it.
    pub fn takes_along() -> bool {
        for_both().is_some()
    }

    /// Adds to the text, and does what [`crate::hash_each`] does: beside it, where that costs less.
    pub fn update_beside<'a>(
        &mut self,
        piece: &[u8],
        prefix: u8,
        messages: impl Iterator<Item = &'a [u8]>,
        digest: impl FnMut(usize, Digest),
    ) {
        self.update_with(for_both(), piece, prefix, messages, digest);
    }

    fn update_with<'a>(
        &mut self,
        for_both: Option<ShaInstructions>,
        piece: &[u8],
        prefix: u8,
        messages: impl Iterator<Item = &'a [u8]>,
        mut digest: impl FnMut(usize, Digest),
    ) {
        let mut messages = messages.enumerate();
        let mut blocks = self.begin(piece);
        if let Some(sha) = for_both {
            blocks = beside(sha, &mut self.state, blocks, prefix, &mut messages, &mut digest);
        }
        compress256(&mut self.state, blocks);
        hash_numbered(prefix, messages, digest);
    }

    /// Takes the block that the piece completes; answers the others.
    fn begin<'a>(&mut self, piece: &'a [u8]) -> &'a [[u8; BLOCK]] {
        let (completed, blocks) = self.gather.take(piece);
        compress256(&mut self.state, completed.as_slice());
        blocks
    }

    /// The digest.
    pub fn finish(self) -> Digest {
        self.gather.finish(&self.state, 0)
    }
}

/// What takes text and message at once, where nothing is better.
fn for_both() -> Option<ShaInstructions> {
    if takes_sixteen() { None } else { ShaInstructions::detect() }
}

/// Takes one message after the other, as long as there are blocks of the text to take meanwhile; answers those that are left.
fn beside<'a, 'b>(
    sha: ShaInstructions,
    state: &mut State,
    mut blocks: &'b [[u8; BLOCK]],
    prefix: u8,
    messages: &mut impl Iterator<Item = (usize, &'a [u8])>,
    digest: &mut impl FnMut(usize, Digest),
) -> &'b [[u8; BLOCK]] {
    let mut states = [*state, INITIAL].map(Halves::of);
    let mut message = Lane::new();
    while !blocks.is_empty() && message.begin(prefix, messages.next()) {
        let count = message.left().min(blocks.len());
        sha.compress(&mut states, count, |lane, at| if lane == 0 { &blocks[at] } else { message.block(at) });
        message.advance(count);
        message.finish(states[1].state(), &mut *digest);
        states[1] = Halves::of(INITIAL);
        blocks = &blocks[count..];
    }
    *state = states[0].state();
    blocks
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::hash_one;

    #[test]
    fn text_and_messages_have_their_digests_whatever_is_longer() {
        let bytes: Vec<u8> = (0..9000_u32).map(|n| (n * 37 % 256) as u8).collect();
        for len in [0, 1, 63, 64, 65, 700, 9000] {
            for (count, for_both) in [0, 1, 2, 7, 40]
                .into_iter()
                .flat_map(|count| [(count, None), (count, ShaInstructions::detect())])
            {
                let messages: Vec<&[u8]> = (0..count).map(|n| &bytes[n..n + n * 193 % 331]).collect();
                let mut digests = vec![None; count];
                let mut checksum = Checksum::default();
                checksum.update(&bytes[..len / 3]);
                let (middle, end) = bytes[len / 3..len].split_at(len / 2);
                checksum.update_with(for_both, middle, 7, messages.iter().copied(), |number, digest| {
                    assert_eq!(digests[number].replace(digest), None);
                });
                checksum.update(end);
                assert_eq!(checksum.finish(), <[u8; 32]>::from(Sha256::digest(&bytes[..len])));
                let expected: Vec<_> = messages.iter().map(|message| Some(hash_one(7, message))).collect();
                assert_eq!(digests, expected, "{count} messages beside {len} bytes");
            }
        }
    }
}

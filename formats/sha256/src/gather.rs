//! A text that comes in pieces, as the 64-byte blocks that SHA-256 takes.

use sha2::block_api::compress256;

use crate::Digest;
use crate::padded::pad;
use crate::rounds::{BLOCK, State, digest};

/// What does not fill a block yet.
pub(crate) struct Gather {
    rest: [u8; BLOCK],
    filled: usize,
    /// Bytes so far.
    len: u64,
}

impl Gather {
    /// Nothing has come.
    pub(crate) fn new() -> Self {
        Self { rest: [0; BLOCK], filled: 0, len: 0 }
    }

    /// Takes a piece: answers the block that it completes, if one had begun, and those that lie in it.
    pub(crate) fn take<'a>(&mut self, mut piece: &'a [u8]) -> (Option<[u8; BLOCK]>, &'a [[u8; BLOCK]]) {
        self.len += piece.len() as u64;
        let mut completed = None;
        if self.filled > 0 {
            let (more, others) = piece.split_at(piece.len().min(BLOCK - self.filled));
            self.keep(more);
            if self.filled < BLOCK {
                return (None, &[]);
            }
            completed = Some(self.rest);
            self.filled = 0;
            piece = others;
        }
        let (blocks, end) = piece.as_chunks();
        self.keep(end);
        (completed, blocks)
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.rest[self.filled..][..bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
    }

    /// The digest, when `state` is that after all blocks so far, `before` bytes of blocks in front of the text counted.
    pub(crate) fn finish(&self, state: &State, before: u64) -> Digest {
        finished(state, &self.rest[..self.filled], before + self.len)
    }
}

/// The digest of `len` bytes, of which these are the last ones, less than a block.
pub(crate) fn finished(state: &State, end: &[u8], len: u64) -> Digest {
    let mut state = *state;
    let mut blocks = [[0; BLOCK]; 2];
    let count = pad(&mut blocks, 0, end, len * 8);
    compress256(&mut state, &blocks[..count]);
    digest(&state)
}

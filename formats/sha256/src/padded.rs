//! A message as the 64-byte blocks that SHA-256 takes: prefix and padding copied, the rest where it lies.

use crate::rounds::{BLOCK, LENGTH};

/// The blocks of `prefix ‖ message`.
pub(crate) struct Padded<'a> {
    /// The first block, and what follows the body: in a message too short for a body, the padding begins in the first.
    ends: [[u8; BLOCK]; 3],
    body: &'a [[u8; BLOCK]],
    /// Blocks altogether.
    pub(crate) count: usize,
}

impl<'a> Padded<'a> {
    /// No message yet.
    pub(crate) fn nothing() -> Self {
        Self { ends: [[0; BLOCK]; 3], body: &[], count: 0 }
    }

    /// Takes another message, in the same place.
    pub(crate) fn set(&mut self, prefix: u8, message: &'a [u8]) {
        self.ends = [[0; BLOCK]; 3];
        self.ends[0][0] = prefix;
        let bits = (message.len() as u64 + 1) * 8;
        match message.split_first_chunk::<{ BLOCK - 1 }>() {
            Some((first, rest)) => {
                self.ends[0][1..].copy_from_slice(first);
                let (body, end) = rest.as_chunks::<BLOCK>();
                self.body = body;
                self.count = 1 + body.len() + pad(&mut self.ends[1..], 0, end, bits);
            }
            None => {
                self.body = &[];
                self.count = pad(&mut self.ends, 1, message, bits);
            }
        }
    }

    /// A block; `number` is below [`Padded::count`].
    #[inline]
    pub(crate) fn block(&self, number: usize) -> &[u8; BLOCK] {
        match self.body.get(number.wrapping_sub(1)) {
            Some(block) => block,
            None => &self.ends[number.saturating_sub(self.body.len())],
        }
    }
}

/// Puts the end of a message and the padding into blocks of zeros, from `at` on. Answers how many are used: 1 or 2.
pub(crate) fn pad(blocks: &mut [[u8; BLOCK]], at: usize, end: &[u8], bits: u64) -> usize {
    let used = at + end.len();
    blocks[0][at..used].copy_from_slice(end);
    blocks[0][used] = 0x80;
    let count = if used + 1 + LENGTH <= BLOCK { 1 } else { 2 };
    blocks[count - 1][BLOCK - LENGTH..].copy_from_slice(&bits.to_be_bytes());
    count
}

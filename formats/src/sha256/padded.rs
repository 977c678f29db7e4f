//! A message as the 64-byte blocks that SHA-256 takes: prefix and padding copied, the rest where it lies.

use super::rounds::{BLOCK, LENGTH};

/// The blocks of `prefix ‖ message`.
pub(super) struct Padded<'a> {
    /// The first block; when the message is too short to fill it, the padding begins here.
    head: [u8; BLOCK],
    body: &'a [[u8; BLOCK]],
    tail: [[u8; BLOCK]; 2],
    /// Blocks altogether.
    pub(super) count: usize,
}

impl<'a> Padded<'a> {
    pub(super) fn new(prefix: u8, message: &'a [u8]) -> Self {
        let mut padded = Self { head: [0; BLOCK], body: &[], tail: [[0; BLOCK]; 2], count: 0 };
        padded.head[0] = prefix;
        let bits = (message.len() as u64 + 1) * 8;
        match message.split_at_checked(BLOCK - 1) {
            Some((first, rest)) => {
                padded.head[1..].copy_from_slice(first);
                let (body, end) = rest.as_chunks::<BLOCK>();
                padded.body = body;
                padded.count = 1 + body.len() + pad(&mut padded.tail, 0, end, bits);
            }
            None => {
                let mut blocks = [padded.head, [0; BLOCK]];
                padded.count = pad(&mut blocks, 1, message, bits);
                [padded.head, padded.tail[0]] = blocks;
            }
        }
        padded
    }

    /// A block; `number` is below [`Padded::count`].
    pub(super) fn block(&self, number: usize) -> &[u8; BLOCK] {
        match number.checked_sub(1) {
            None => &self.head,
            Some(number) => self.body.get(number).unwrap_or_else(|| &self.tail[number - self.body.len()]),
        }
    }
}

/// Puts the end of a message and the padding into blocks of zeros, from `at` on. Answers how many are used: 1 or 2.
pub(super) fn pad(blocks: &mut [[u8; BLOCK]; 2], at: usize, end: &[u8], bits: u64) -> usize {
    let used = at + end.len();
    blocks[0][at..used].copy_from_slice(end);
    blocks[0][used] = 0x80;
    let count = if used + 1 + LENGTH <= BLOCK { 1 } else { 2 };
    blocks[count - 1][BLOCK - LENGTH..].copy_from_slice(&bits.to_be_bytes());
    count
}

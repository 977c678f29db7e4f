//! SHA-256 and HMAC-SHA256 of one text, in one go.
//!
//! HMAC (RFC 2104) hashes one block made of the key, then the text: behind that block both hashes take the same blocks. So
//! their message words are computed once, and the rounds of the one run while the other waits for its own.

use sha2::block_api::compress256;
use zeroize::{Zeroize as _, Zeroizing};

use crate::Digest;
use crate::instructions::{Halves, ShaInstructions};
use crate::padded::pad;
use crate::rounds::{BLOCK, INITIAL, State, digest};

/// What key and padding byte of HMAC begin with.
const INNER: u8 = 0x36;
const OUTER: u8 = 0x5c;

/// Both under way. The states that know the key are wiped on drop.
pub struct WithMac {
    sha: ShaInstructions,
    /// The state of the checksum, and that of the MAC's inner hash.
    states: Zeroizing<[Halves; 2]>,
    outer: Zeroizing<State>,
    /// What does not fill a block yet.
    rest: [u8; BLOCK],
    rest_bytes: usize,
    /// Bytes so far.
    len: u64,
}

impl WithMac {
    /// Begins, when this processor has the instructions.
    pub fn begin(key: &[u8; 32]) -> Option<Self> {
        let sha = ShaInstructions::detect()?;
        let states = Zeroizing::new([INITIAL, keyed(key, INNER)].map(Halves::of));
        let outer = Zeroizing::new(keyed(key, OUTER));
        Some(Self { sha, states, outer, rest: [0; BLOCK], rest_bytes: 0, len: 0 })
    }

    /// Adds to the text.
    pub fn update(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len() as u64;
        if self.rest_bytes > 0 {
            let (more, others) = bytes.split_at(bytes.len().min(BLOCK - self.rest_bytes));
            self.keep(more);
            if self.rest_bytes < BLOCK {
                return;
            }
            self.sha.compress_same(&mut self.states, &[self.rest]);
            self.rest_bytes = 0;
            bytes = others;
        }
        let (blocks, end) = bytes.as_chunks::<BLOCK>();
        self.sha.compress_same(&mut self.states, blocks);
        self.keep(end);
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.rest[self.rest_bytes..][..bytes.len()].copy_from_slice(bytes);
        self.rest_bytes += bytes.len();
    }

    /// Checksum and MAC.
    pub fn finish(self) -> (Digest, Digest) {
        let end = &self.rest[..self.rest_bytes];
        let states = Zeroizing::new(self.states.each_ref().map(Halves::state));
        let plain = finished(&states[0], end, self.len);
        let inner = finished(&states[1], end, self.len + BLOCK as u64);
        (plain, finished(&self.outer, &inner, (BLOCK + inner.len()) as u64))
    }
}

/// The state after the block that is made of the key.
fn keyed(key: &[u8; 32], padding: u8) -> State {
    let mut block = [padding; BLOCK];
    block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
    let mut state = INITIAL;
    compress256(&mut state, &[block]);
    block.zeroize();
    state
}

/// The digest of `len` bytes, of which these are the last ones, less than a block.
fn finished(state: &State, end: &[u8], len: u64) -> Digest {
    let mut state = *state;
    let mut blocks = [[0; BLOCK]; 2];
    let count = pad(&mut blocks, 0, end, len * 8);
    compress256(&mut state, &blocks[..count]);
    digest(&state)
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn both_are_those_computed_apart_however_the_text_comes() {
        let key: [u8; 32] = std::array::from_fn(|n| n as u8);
        let text: Vec<u8> = (0..700_u32).map(|n| (n * 37 % 256) as u8).collect();
        for len in [0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 700] {
            for piece in [1, 7, 64, 100, 701] {
                let Some(mut both) = WithMac::begin(&key) else { return };
                text[..len].chunks(piece).for_each(|piece| both.update(piece));
                let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
                mac.update(&text[..len]);
                let mac: Digest = mac.finalize().into_bytes().into();
                let plain: Digest = Sha256::digest(&text[..len]).into();
                assert_eq!(both.finish(), (plain, mac), "{len} bytes in pieces of {piece}");
            }
        }
    }
}

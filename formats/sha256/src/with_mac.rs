//! SHA-256 and HMAC-SHA256 of one text, in one go.
//!
//! HMAC (RFC 2104) hashes one block made of the key, then the text: behind that block both hashes take the same blocks. So
//! their message words are computed once, and the rounds of the one run while the other waits for its own.

use sha2::block_api::compress256;
use zeroize::{Zeroize as _, Zeroizing};

use crate::Digest;
use crate::gather::{Gather, finished};
use crate::instructions::{Halves, ShaInstructions};
use crate::rounds::{BLOCK, INITIAL, State};

/// What key and padding byte of HMAC begin with.
const INNER: u8 = 0x36;
const OUTER: u8 = 0x5c;

/// Both under way. The states that know the key are wiped on drop.
pub struct WithMac {
    sha: ShaInstructions,
    /// The state of the checksum, and that of the MAC's inner hash.
    states: Zeroizing<[Halves; 2]>,
    outer: Zeroizing<State>,
    gather: Gather,
}

impl WithMac {
    /// Begins, when this processor has the instructions.
    pub fn begin(key: &[u8; 32]) -> Option<Self> {
        let sha = ShaInstructions::detect()?;
        let states = Zeroizing::new([INITIAL, keyed(key, INNER)].map(Halves::of));
        let outer = Zeroizing::new(keyed(key, OUTER));
        Some(Self { sha, states, outer, gather: Gather::new() })
    }

    /// Adds to the text.
    pub fn update(&mut self, piece: &[u8]) {
        let (completed, blocks) = self.gather.take(piece);
        self.sha.compress_same(&mut self.states, completed.as_slice());
        self.sha.compress_same(&mut self.states, blocks);
    }

    /// Checksum and MAC.
    pub fn finish(self) -> (Digest, Digest) {
        let states = Zeroizing::new(self.states.each_ref().map(Halves::state));
        let plain = self.gather.finish(&states[0], 0);
        let inner = self.gather.finish(&states[1], BLOCK as u64);
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

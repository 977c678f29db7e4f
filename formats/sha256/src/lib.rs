//! SHA-256 several at a time: of many short messages behind the same one-byte prefix (leaves and nodes of Merkle trees), also
//! beside a long text, and of one text together with its HMAC.
//!
//! One SHA-256 waits for its own last round again and again; independent ones do not wait for each other. The processor is
//! asked at run time what it has: AVX-512 takes sixteen at a time, SHA instructions two, elsewhere one is computed after the
//! other. The digests are the same.
#![deny(missing_docs)]

mod checksum;
mod gather;
#[cfg_attr(not(target_arch = "x86_64"), path = "instructions_nowhere.rs")]
mod instructions;
mod lanes;
mod padded;
mod rounds;
#[cfg(target_arch = "x86_64")]
mod sixteen;
mod two;
mod with_mac;

use sha2::{Digest as _, Sha256};

pub use checksum::Checksum;
pub use with_mac::WithMac;

use instructions::ShaInstructions;

/// A SHA-256.
pub type Digest = [u8; 32];

/// Computes `SHA-256(prefix ‖ message)` of each message, and hands it over with the message's number, in any order.
pub fn hash_each<'a>(
    prefix: u8,
    messages: impl Iterator<Item = &'a [u8]>,
    digest: impl FnMut(usize, Digest),
) {
    hash_numbered(prefix, messages.enumerate(), digest);
}

/// The same of messages that have their numbers.
fn hash_numbered<'a>(
    prefix: u8,
    messages: impl Iterator<Item = (usize, &'a [u8])>,
    mut digest: impl FnMut(usize, Digest),
) {
    #[cfg(target_arch = "x86_64")]
    if let Some(level) = fearless_simd::Level::new().as_avx512() {
        return lanes::hash_each(sixteen::States::new(level), prefix, messages, digest);
    }
    if let Some(sha) = ShaInstructions::detect() {
        return lanes::hash_each(two::States::new(sha), prefix, messages, digest);
    }
    messages.for_each(|(number, message)| digest(number, hash_one(prefix, message)));
}

/// Whether [`hash_each`] takes sixteen at a time.
fn takes_sixteen() -> bool {
    #[cfg(target_arch = "x86_64")]
    return fearless_simd::Level::new().as_avx512().is_some();
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// `SHA-256(prefix ‖ message)`.
pub fn hash_one(prefix: u8, message: &[u8]) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update([prefix]);
    hasher.update(message);
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where digests are put: each message has one.
    struct Digests(Vec<Option<Digest>>);

    impl Digests {
        fn put(&mut self, number: usize, digest: Digest) {
            self.0.resize(self.0.len().max(number + 1), None);
            assert_eq!(self.0[number].replace(digest), None, "message {number}");
        }

        fn all(self) -> Vec<Digest> {
            self.0.into_iter().map(Option::unwrap).collect()
        }
    }

    #[test]
    fn messages_of_every_length_in_any_mixture_have_the_digests_of_one_at_a_time() {
        let bytes: Vec<u8> = (0..1000_u32).map(|n| (n * 31 % 251) as u8).collect();
        for count in (0..18).chain([333]) {
            // Neighbours differ in length, so that lanes are refilled at different times.
            let messages: Vec<&[u8]> = (0..count).map(|n| &bytes[n..n + n * 193 % 331]).collect();
            let expected: Vec<Digest> = messages.iter().map(|message| hash_one(0x17, message)).collect();
            let mut digests = Digests(Vec::new());
            hash_each(0x17, messages.iter().copied(), |number, digest| digests.put(number, digest));
            assert_eq!(digests.all(), expected, "{count} messages");
            // The way of processors without AVX-512.
            if let Some(sha) = ShaInstructions::detect() {
                let (states, mut digests) = (two::States::new(sha), Digests(Vec::new()));
                lanes::hash_each(states, 0x17, messages.iter().copied().enumerate(), |number, digest| {
                    digests.put(number, digest);
                });
                assert_eq!(digests.all(), expected, "{count} messages");
            }
        }
    }

    #[test]
    fn a_digest_is_that_of_prefix_and_message() {
        let whole: Digest = Sha256::digest(b"\x01abc").into();
        let mut digests = Digests(Vec::new());
        hash_each(1, [&b"abc"[..]; 6].into_iter(), |number, digest| digests.put(number, digest));
        assert_eq!(digests.all(), [whole; 6]);
    }
}

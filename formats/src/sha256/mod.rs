//! SHA-256 several at a time: of many short messages behind the same one-byte prefix (leaves and nodes of Merkle trees), and of
//! one text together with its HMAC.
//!
//! One SHA-256 waits for its own last round again and again; independent ones do not wait for each other. That needs processors
//! with SHA and AVX-512 instructions, which are asked for at run time; elsewhere one is computed after the other. The digests
//! are the same.

#[cfg(target_arch = "x86_64")]
mod padded;
#[cfg(target_arch = "x86_64")]
mod rounds;
#[cfg(target_arch = "x86_64")]
mod sixteen;
#[cfg_attr(not(target_arch = "x86_64"), path = "with_mac_nowhere.rs")]
mod with_mac;

use sha2::{Digest as _, Sha256};

pub(crate) use with_mac::WithMac;

use crate::Digest;

/// Puts `SHA-256(prefix ‖ message)` of each message into `digests`, in their order, in place of what it held.
pub(crate) fn hash_each<'a>(
    prefix: u8,
    messages: impl ExactSizeIterator<Item = &'a [u8]>,
    digests: &mut Vec<Digest>,
) {
    digests.clear();
    #[cfg(target_arch = "x86_64")]
    if let Some(level) = fearless_simd::Level::new().as_avx512() {
        digests.resize(messages.len(), Digest([0; 32]));
        return sixteen::hash_each(level, prefix, messages, digests);
    }
    digests.extend(messages.map(|message| hash_one(prefix, message)));
}

/// `SHA-256(prefix ‖ message)`.
pub(crate) fn hash_one(prefix: u8, message: &[u8]) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update([prefix]);
    hasher.update(message);
    Digest(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_every_length_in_any_mixture_have_the_digests_of_one_at_a_time() {
        let bytes: Vec<u8> = (0..1000_u32).map(|n| (n * 31 % 251) as u8).collect();
        let mut digests = vec![Digest([1; 32])];
        for count in (0..18).chain([333]) {
            // Neighbours differ in length, so that lanes are refilled at different times.
            let messages: Vec<&[u8]> = (0..count).map(|n| &bytes[n..n + n * 193 % 331]).collect();
            hash_each(0x17, messages.iter().copied(), &mut digests);
            let expected: Vec<Digest> = messages.iter().map(|message| hash_one(0x17, message)).collect();
            assert_eq!(digests, expected, "{count} messages");
        }
    }

    #[test]
    fn a_digest_is_that_of_prefix_and_message() {
        let whole = Digest(Sha256::digest(b"\x01abc").into());
        let mut digests = Vec::new();
        hash_each(1, [&b"abc"[..]; 6].into_iter(), &mut digests);
        assert_eq!(digests, [whole; 6]);
    }
}

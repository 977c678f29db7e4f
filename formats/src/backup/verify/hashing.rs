//! The digests over a stream, on threads of their own.
//!
//! Version 1 files may have been converted to CR LF: one CR before a newline does not belong to what was hashed when
//! they were written.

use std::sync::Arc;

use hmac::Mac as _;
use trstctl_sha256::{Checksum, WithMac};

use super::facts::leaves_beside;
use super::job::Job;
use crate::Digest;
use crate::backup::FormatVersion;
use crate::backup::blocks::Block;
use crate::backup::key::{HmacSha256, Mac, mac_to_compare};

/// Whether a CR before a newline is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineEnds {
    AsTheyAre,
    /// A CR was the last byte so far when `held`.
    WithoutCr {
        held: bool,
    },
}

impl LineEnds {
    fn of(version: FormatVersion) -> Self {
        match version {
            FormatVersion::V1 => LineEnds::WithoutCr { held: false },
            FormatVersion::V2 => LineEnds::AsTheyAre,
        }
    }

    fn feed(&mut self, bytes: &[u8], mut update: impl FnMut(&[u8])) {
        let LineEnds::WithoutCr { held } = self else { return update(bytes) };
        if bytes.is_empty() {
            return;
        }
        if std::mem::take(held) && bytes[0] != b'\n' {
            update(b"\r");
        }
        let mut rest = bytes;
        while let Some(at) = next_cr(rest) {
            let (before, cr) = rest.split_at(at);
            update(before);
            rest = &cr[1..];
            if rest.is_empty() {
                *held = true;
            }
        }
        update(rest);
    }
}

/// The next CR that is followed by a newline, or is the last byte.
fn next_cr(bytes: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\r', bytes).find(|at| matches!(bytes.get(at + 1), None | Some(b'\n')))
}

/// SHA-256 of all blocks.
pub(crate) fn sha256(version: FormatVersion, blocks: impl IntoIterator<Item = Arc<Block>>) -> Digest {
    let mut checksum = Checksum::default();
    let mut line_ends = LineEnds::of(version);
    for block in blocks {
        line_ends.feed(&block, |bytes| checksum.update(bytes));
    }
    Digest(checksum.finish())
}

/// The same of a stream of version 2, and the leaves of the lines of those blocks where nobody has seen to them.
pub(crate) fn with_leaves(
    jobs: impl IntoIterator<Item = Arc<Job>>,
    mut found: impl FnMut(u64, Vec<Digest>),
) -> Digest {
    let mut checksum = Checksum::default();
    for job in jobs {
        if job.take_leaves() {
            found(job.number, leaves_beside(&mut checksum, &job.block));
        } else {
            checksum.update(&job.block);
        }
    }
    Digest(checksum.finish())
}

/// SHA-256 and MAC of all blocks at once.
pub(crate) fn both(
    version: FormatVersion,
    mut both: WithMac,
    blocks: impl IntoIterator<Item = Arc<Block>>,
) -> (Digest, Mac) {
    let mut line_ends = LineEnds::of(version);
    for block in blocks {
        line_ends.feed(&block, |bytes| both.update(bytes));
    }
    let (digest, mac) = both.finish();
    (Digest(digest), mac_to_compare(Digest(mac)))
}

/// The MAC of all blocks.
pub(crate) fn mac(
    version: FormatVersion,
    mut mac: HmacSha256,
    blocks: impl IntoIterator<Item = Arc<Block>>,
) -> Mac {
    let mut line_ends = LineEnds::of(version);
    for block in blocks {
        line_ends.feed(&block, |bytes| mac.update(bytes));
    }
    mac.finalize()
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::backup::BackupKey;
    use crate::backup::blocks::{Buffer, Pool};

    #[test]
    fn one_cr_before_a_newline_is_left_out_wherever_the_blocks_end() {
        let text = b"a\r\nb\r\r\nc\rd\n\re\r";
        for split in 0..=text.len() {
            let mut out = Vec::new();
            let mut line_ends = LineEnds::of(FormatVersion::V1);
            for part in [&text[..split], &text[split..], b"\n"] {
                line_ends.feed(part, |bytes| out.extend_from_slice(bytes));
            }
            assert_eq!(out, b"a\nb\r\nc\rd\n\re\n", "split at {split}");
        }
        let mut out = Vec::new();
        LineEnds::of(FormatVersion::V2).feed(text, |bytes| out.extend_from_slice(bytes));
        assert_eq!(out, text);
    }

    #[test]
    fn checksum_and_mac_are_the_same_apart_and_together() {
        let (version, pool) = (FormatVersion::V1, Arc::new(Pool::default()));
        let key = BackupKey::from_key_file(b"key").unwrap();
        let blocks = || {
            let block = |part: &[u8]| {
                let mut buffer = Buffer::take(&pool, part.len(), 0);
                buffer.push(part);
                Arc::new(buffer.into_block(part.len(), 0))
            };
            [&b"a\r"[..], b"\nb\r", b"c\n"].map(block)
        };
        let hashed = b"a\nb\rc\n";
        let expected = Digest(Sha256::digest(hashed).into());
        let expected_mac = key.mac(version).chain_update(hashed).finalize();
        assert_eq!(sha256(version, blocks()), expected);
        assert!(mac(version, key.mac(version), blocks()) == expected_mac);
        // Not every processor has what this needs.
        if let Some(together) = WithMac::begin(key.v1()) {
            let (digest, mac) = both(version, together, blocks());
            assert!(digest == expected && mac == expected_mac);
        }
    }

    #[test]
    fn leaves_that_somebody_else_took_are_left_to_him() {
        let pool = Arc::new(Pool::default());
        let line = "x".repeat(99) + "\n";
        let job = |number| {
            let mut buffer = Buffer::take(&pool, line.len(), 0);
            buffer.push(line.as_bytes());
            Arc::new(Job::with_leaves(number, Arc::new(buffer.into_block(line.len(), 0))))
        };
        let jobs = [0, 1, 2].map(job);
        assert!(jobs[1].take_leaves());
        let mut found = Vec::new();
        let digest = with_leaves(jobs, |number, leaves| found.push((number, leaves)));
        assert_eq!(digest, Digest(Sha256::digest(line.repeat(3)).into()));
        let leaves = vec![crate::merkle::leaf_hash(&line.as_bytes()[..99])];
        assert_eq!(found, [(0, leaves.clone()), (2, leaves)]);
    }
}

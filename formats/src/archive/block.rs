//! One message block: records one after the other, as the server's file store keeps them on disk.
//!
//! A block begins with a message, and a run of gaps stays in the block of the message before it, whatever size that
//! gives: older servers otherwise forget gaps or lose messages. A run is remembered as a range and becomes records only
//! when the block is written, so that a gap of millions costs no memory.

use std::io::{self, Write};

use super::checksum::NamedHash;
use crate::StoredMessage;

/// Records up to this size, together, share a block.
pub(super) const BLOCK_BYTES: usize = 8 << 20;

/// Length, sequence, time, subject length, checksum: what a record has besides its message.
const FIXED_BYTES: usize = 4 + 8 + 8 + 2 + 8;
/// Top bit of a record's length: the record has a header block.
const HAS_HEADERS: u32 = 1 << 31;
/// Top bit of a record's sequence: the log does not hold this sequence.
const IS_GAP: u64 = 1 << 63;
/// A gap record: no subject, no header block, no payload.
const GAP_BYTES: usize = FIXED_BYTES;
/// Gap records are made and written in pieces of this many.
const GAPS_A_PIECE: u64 = 2048;

/// Length of the record that `message` makes.
pub(super) fn record_len(message: &StoredMessage) -> usize {
    let header_len = if message.headers.is_empty() { 0 } else { 4 };
    FIXED_BYTES + header_len + message.len_bytes()
}

/// A run of sequences that the log does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct GapRun {
    /// Where in the block's records the run stands.
    at: usize,
    first: u64,
    last: u64,
    /// Store time of the message before, in nanoseconds.
    time: i64,
}

/// The block being filled.
pub(super) struct Block {
    hash: NamedHash,
    records: Vec<u8>,
    runs: Vec<GapRun>,
    gaps: u64,
}

impl Block {
    /// An empty block; `name` keys its checksums (`<stream>-<number>`). `buffer` is reused.
    pub(super) fn new(name: &str, mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        buffer.shrink_to(BLOCK_BYTES);
        Self { hash: NamedHash::new(name), records: buffer, runs: Vec::new(), gaps: 0 }
    }

    /// Nothing was added.
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.gaps == 0
    }

    /// Bytes of the block when written.
    pub(super) fn len_bytes(&self) -> u64 {
        self.records.len() as u64 + self.gaps * GAP_BYTES as u64
    }

    /// Another record of this length belongs into the next block.
    pub(super) fn is_full_for(&self, record_len: usize) -> bool {
        !self.is_empty() && self.len_bytes() + record_len as u64 > BLOCK_BYTES as u64
    }

    /// Adds a message; its lengths were checked.
    pub(super) fn push(&mut self, message: &StoredMessage) {
        let with_headers = !message.headers.is_empty();
        let flag = if with_headers { HAS_HEADERS } else { 0 };
        let fixed = Fixed {
            length: record_len(message) as u32 | flag,
            sequence: message.sequence,
            time: message.stored_at.0,
            subject_len: message.subject.len() as u16,
        };
        let out = &mut self.records;
        out.reserve(record_len(message));
        fixed.write(out);
        out.extend_from_slice(&message.subject);
        if with_headers {
            out.extend_from_slice(&(message.headers.len() as u32).to_le_bytes());
            out.extend_from_slice(&message.headers);
        }
        out.extend_from_slice(&message.payload);
        let parts = [&fixed.hashed()[..], &message.subject, &message.headers, &message.payload];
        out.extend_from_slice(&self.hash.over(&parts));
    }

    /// Adds a run of gaps, after the message that they follow.
    pub(super) fn push_gaps(&mut self, first: u64, last: u64, time: i64) {
        self.runs.push(GapRun { at: self.records.len(), first, last, time });
        self.gaps += last - first + 1;
    }

    /// Writes [`Block::len_bytes`] bytes, and gives the buffer back.
    pub(super) fn write(self, out: &mut impl Write) -> io::Result<Vec<u8>> {
        let mut written = 0;
        for run in &self.runs {
            out.write_all(&self.records[written..run.at])?;
            written = run.at;
            write_gaps(&self.hash, *run, out)?;
        }
        out.write_all(&self.records[written..])?;
        Ok(self.records)
    }
}

fn write_gaps(hash: &NamedHash, run: GapRun, out: &mut impl Write) -> io::Result<()> {
    let mut piece = Vec::new();
    let mut next = run.first;
    while next <= run.last {
        let last = run.last.min(next + GAPS_A_PIECE - 1);
        piece.clear();
        for sequence in next..=last {
            push_gap(hash, sequence, run.time, &mut piece);
        }
        out.write_all(&piece)?;
        next = last + 1;
    }
    Ok(())
}

fn push_gap(hash: &NamedHash, sequence: u64, time: i64, out: &mut Vec<u8>) {
    let fixed = Fixed { length: GAP_BYTES as u32, sequence: sequence | IS_GAP, time, subject_len: 0 };
    fixed.write(out);
    out.extend_from_slice(&hash.over(&[&fixed.hashed()]));
}

/// The fields at the start of every record.
struct Fixed {
    length: u32,
    sequence: u64,
    time: i64,
    subject_len: u16,
}

impl Fixed {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(&self.hashed());
        out.extend_from_slice(&self.subject_len.to_le_bytes());
    }

    /// The part that enters the checksum: sequence and time.
    fn hashed(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[8..].copy_from_slice(&self.time.to_le_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::StoreTime;

    const TIME: i64 = 1_614_835_415_943_074_242;

    fn message(sequence: u64, time: i64, headers: &'static str, payload: &'static str) -> StoredMessage {
        StoredMessage {
            sequence,
            stored_at: StoreTime(time),
            subject: Bytes::from_static(b"events.x"),
            headers: Bytes::from_static(headers.as_bytes()),
            payload: Bytes::from_static(payload.as_bytes()),
        }
    }

    fn written(block: Block) -> Vec<u8> {
        let expected_len = block.len_bytes();
        let mut out = Vec::new();
        block.write(&mut out).unwrap();
        assert_eq!(out.len() as u64, expected_len);
        out
    }

    fn block() -> Block {
        Block::new("TRSTCTL_EVENTS-1", Vec::new())
    }

    #[test]
    fn record_with_headers_equals_the_vector() {
        let mut block = block();
        block.push(&message(5001, TIME, "NATS/1.0\r\nNats-Msg-Id: a\r\n\r\n", "hi"));
        assert_eq!(
            hex::encode(written(block)),
            "480000808913000000000000c2d1014a410c691608006576656e74732e781c0000004e4154532f312e300d0a4e6174732d4d73\
             672d49643a20610d0a0d0a68696f51e39a83958ae1"
        );
    }

    #[test]
    fn record_without_headers_and_payload_equals_the_vector() {
        let mut block = block();
        block.push(&message(5003, TIME + 1, "", ""));
        assert_eq!(
            hex::encode(written(block)),
            "260000008b13000000000000c3d1014a410c691608006576656e74732e780c912e8cad61f497"
        );
    }

    #[test]
    fn gap_record_equals_the_vector() {
        let mut block = block();
        block.push_gaps(5002, 5002, TIME);
        assert_eq!(
            hex::encode(written(block)),
            "1e0000008a13000000000080c2d1014a410c69160000a7697a014d24df89"
        );
    }

    #[test]
    fn gaps_stand_where_they_were_added() {
        let first = message(1, TIME, "", "a");
        let second = message(10_000, TIME, "", "b");
        let mut together = block();
        together.push(&first);
        together.push_gaps(2, 9_999, TIME);
        together.push(&second);

        let mut parts = Vec::new();
        for sequence in 1..=10_000 {
            let mut one = block();
            match sequence {
                1 => one.push(&first),
                10_000 => one.push(&second),
                gap => one.push_gaps(gap, gap, TIME),
            }
            parts.extend(written(one));
        }
        assert!(written(together) == parts);
    }
}

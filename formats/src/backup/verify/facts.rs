//! What one block of record lines says, found out by whichever thread has time.

use std::ops::Range;
use std::sync::Arc;

use trstctl_sha256::Checksum;

use crate::backup::blocks::Block;
use crate::backup::record_v1::RecordV1;
use crate::backup::record_v2::RecordV2;
use crate::backup::{FormatVersion, trailer};
use crate::json::Fault;
use crate::{Digest, StoreTime, merkle};

/// The facts of a block.
#[derive(Default)]
pub(crate) struct BlockFacts {
    /// Where the block lies in the stream, and its bytes; `None` for a line over the limit.
    pub(crate) block: Option<Arc<Block>>,
    pub(crate) lines: u64,
    pub(crate) records: Vec<RecordFacts>,
    /// Lines so far that have leaves.
    leaves: usize,
    /// The first line against the grammar.
    pub(crate) malformed: Option<LineFault>,
    /// The first line that is tagged as a trailer.
    pub(crate) trailer: Option<LineFault>,
}

/// What one record says.
pub(crate) struct RecordFacts {
    /// Number of its line in the block, from 0.
    pub(crate) line: u64,
    /// Its line in the block, without newline.
    pub(crate) span: Range<usize>,
    /// Version 2; else 0.
    pub(crate) sequence: u64,
    /// Store time; version 1: event time, the nearest one that fits, if there is one.
    pub(crate) time: Option<StoreTime>,
    /// Version 2: which of the block's [`leaves_of`] is that of its line.
    pub(crate) leaf_number: usize,
    /// Version 2: leaf of its line, once [`BlockFacts::set_leaves`] was called.
    pub(crate) leaf: Digest,
    /// Version 2: where in the block its tenant id stands.
    pub(crate) tenant: Range<usize>,
}

/// A fault of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LineFault {
    /// Number of the line: in its block from 0, later in the file from 1.
    pub(crate) line: u64,
    /// Byte in the stream.
    pub(crate) offset: u64,
    /// Sequence, where one could be read.
    pub(crate) sequence: Option<u64>,
    /// What was expected and found.
    pub(crate) what: String,
}

impl LineFault {
    /// The fault of a text that begins at `offset` of the stream. What was found is told as one byte: a message must
    /// not repeat payloads.
    pub(crate) fn of(fault: Fault, text: &[u8], line: u64, offset: u64) -> Self {
        let found = match text.get(fault.at) {
            Some(byte) => format!("`{}`", byte.escape_ascii()),
            None => String::from("the end of the line"),
        };
        let what = format!("expected {}, found {found}", fault.expected);
        Self { line, offset: offset + fault.at as u64, sequence: None, what }
    }
}

/// Reads all lines of a block.
pub(crate) fn of_block(version: FormatVersion, block: Arc<Block>) -> BlockFacts {
    let mut facts = BlockFacts::default();
    match version {
        FormatVersion::V1 => each_line(&block, |line, span| facts.add_v1(&block, line, span)),
        FormatVersion::V2 => match simdutf8::basic::from_utf8(&block) {
            Ok(text) => {
                each_line(&block, |line, span| facts.add_v2(&block, text.get(span.clone()), line, span))
            }
            Err(_) => each_line(&block, |line, span| {
                facts.add_v2(&block, simdutf8::basic::from_utf8(&block[span.clone()]).ok(), line, span);
            }),
        },
    }
    facts.block = Some(block);
    facts
}

/// The leaves of those lines of a block that are long enough to be records.
pub(crate) fn leaves_of(block: &Block) -> Vec<Digest> {
    let mut leaves = Vec::new();
    merkle::leaf_hashes(record_lines(block).into_iter(), &mut leaves);
    leaves
}

/// The same, while `checksum` takes the block.
pub(crate) fn leaves_beside(checksum: &mut Checksum, block: &Block) -> Vec<Digest> {
    let mut leaves = Vec::new();
    merkle::leaf_hashes_beside(checksum, block, record_lines(block).into_iter(), &mut leaves);
    leaves
}

/// No record of version 2 has a shorter line: a block of nothing but newlines must not cost a leaf for each.
const SHORTEST_RECORD_BYTES: usize = 64;

fn has_leaf(line: &Range<usize>) -> bool {
    line.len() >= SHORTEST_RECORD_BYTES
}

fn record_lines(block: &Block) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    each_line(block, |_, span| {
        if has_leaf(&span) {
            lines.push(&block[span]);
        }
    });
    lines
}

/// Calls with number and place of each line; the place is without newline.
fn each_line(block: &[u8], mut each: impl FnMut(u64, Range<usize>)) {
    let mut from = 0;
    for (line, newline) in (0..).zip(memchr::memchr_iter(b'\n', block)) {
        each(line, from..newline);
        from = newline + 1;
    }
}

impl BlockFacts {
    /// A line over the limit, at this place of the stream.
    pub(crate) fn overlong(offset: u64) -> Self {
        let what = String::from("the line is over the limit");
        let malformed = Some(LineFault { line: 0, offset, sequence: None, what });
        Self { lines: 1, malformed, ..Self::default() }
    }

    /// Puts the leaves of the block's lines to its records.
    pub(crate) fn set_leaves(&mut self, leaves: &[Digest]) {
        for record in &mut self.records {
            record.leaf = leaves[record.leaf_number];
        }
    }

    fn add_v1(&mut self, block: &Block, line: u64, span: Range<usize>) {
        self.lines = line + 1;
        let text = without_cr(&block[span.clone()]);
        match RecordV1::read(text) {
            Ok(record) if record.is_trailer() => self.add_trailer(block, line, &span),
            Ok(record) => {
                let (time, leaf, tenant) = (record.time_clamped(), Digest([0; 32]), 0..0);
                self.records.push(RecordFacts {
                    line,
                    span,
                    sequence: 0,
                    time,
                    leaf_number: 0,
                    leaf,
                    tenant,
                });
            }
            Err(fault) => self.add_fault(FormatVersion::V1, block, text, line, span, fault),
        }
    }

    fn add_v2(&mut self, block: &Block, text: Option<&str>, line: u64, span: Range<usize>) {
        self.lines = line + 1;
        let leaf_number = self.leaves;
        self.leaves += usize::from(has_leaf(&span));
        let bytes = &block[span.clone()];
        let Some(text) = text else {
            let valid = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
            return self.add_fault(FormatVersion::V2, block, bytes, line, span, Fault::new(valid, "UTF-8"));
        };
        match RecordV2::read(text) {
            Ok(record) => {
                let tenant = record.tenant_id();
                let from = tenant.as_ptr().addr().wrapping_sub(block.as_ptr().addr());
                let tenant = if tenant.is_empty() { 0..0 } else { from..from + tenant.len() };
                self.records.push(RecordFacts {
                    line,
                    sequence: record.sequence,
                    time: Some(record.stored_at),
                    leaf_number,
                    leaf: Digest([0; 32]),
                    tenant,
                    span,
                });
            }
            Err(fault) => self.add_fault(FormatVersion::V2, block, bytes, line, span, fault),
        }
    }

    fn add_fault(
        &mut self,
        version: FormatVersion,
        block: &Block,
        text: &[u8],
        line: u64,
        span: Range<usize>,
        fault: Fault,
    ) {
        if trailer::is_tagged(text, version) {
            self.add_trailer(block, line, &span);
        } else if self.malformed.is_none() {
            self.malformed = Some(LineFault::of(fault, text, line, block.offset + span.start as u64));
        }
    }

    fn add_trailer(&mut self, block: &Block, line: u64, span: &Range<usize>) {
        let what = String::from("it is a trailer, and not the last line");
        let offset = block.offset + span.start as u64;
        self.trailer.get_or_insert(LineFault { line, offset, sequence: None, what });
    }
}

/// A line of version 1 without the CR that a conversion may have added.
pub(crate) fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_record_has_a_leaf() {
        let shortest = r#"{"seq":0,"subject":"","stored_at":"2026-01-02T03:00:00Z","raw_b64":""}"#;
        assert!(RecordV2::read(shortest).is_ok() && has_leaf(&(0..shortest.len())));
        // What all others have too, without what may be left out or be empty.
        for part in
            [r#""seq":"#, r#""subject":"""#, r#""stored_at":"2026-01-02T03:00:00Z""#, r#""raw_b64":"""#]
        {
            assert!(RecordV2::read(&shortest.replace(part, "")).is_err(), "{part}");
        }
    }
}

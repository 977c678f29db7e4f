//! What a log or a part of it holds, in a form that two sides can compare: counts, gaps and a Merkle root.

use std::ops::RangeInclusive;

use super::limits::MAX_GAP_RANGES;
use super::record_v2::{self, Scratch};
use crate::merkle::{self, BlockTree, Blocks};
use crate::{Digest, StoredMessage};

/// What a backup, or a part of it, holds: equal summaries of two logs mean equal logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Messages.
    pub records: u64,
    /// First sequence; the last one + 1 when there are no messages.
    pub first_sequence: u64,
    /// Last sequence (the cut), whether that message exists or not.
    pub last_sequence: u64,
    /// Inclusive ranges between first and last that the log does not hold, rising and never touching. Left empty when
    /// there are more than [`super::MAX_GAP_RANGES`]: the sequences in the root fix them all the same.
    pub gaps: Vec<(u64, u64)>,
    /// RFC 6962 root over the version 2 lines of the messages.
    pub merkle_root: Digest,
}

/// The sequences of `range` as a pair, for [`Content::gaps`].
pub fn gap(range: &RangeInclusive<u64>) -> (u64, u64) {
    (*range.start(), *range.end())
}

/// Folds sequences and leaves, in log order, to a [`Content`].
#[derive(Clone, Debug)]
pub(crate) struct Fold {
    first: u64,
    /// The sequence that has no gap before it.
    next: u64,
    tree: BlockTree,
    gaps: Gaps,
}

impl Fold {
    /// Begins at the log's first sequence.
    pub(crate) fn new(first: u64) -> Self {
        Self { first, next: first, tree: BlockTree::default(), gaps: Gaps::default() }
    }

    /// Adds a record, whose sequence must not lie before [`Fold::next_sequence`].
    pub(crate) fn push(&mut self, sequence: u64, leaf: Digest) {
        self.gaps.skip(self.next, sequence);
        self.next = sequence.saturating_add(1);
        self.tree.push(sequence, leaf);
    }

    /// Root of the records so far; more may follow.
    pub(crate) fn root(&self) -> Digest {
        self.tree.blocks().root()
    }

    /// The lowest sequence that may follow.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.next
    }

    pub(crate) fn records(&self) -> u64 {
        self.tree.len()
    }

    /// The content when the log ends at `last`; more may still be pushed.
    pub(crate) fn content_through(&self, last: u64) -> Content {
        let records = self.records();
        let mut gaps = Gaps::default();
        if records > 0 {
            gaps = self.gaps.clone();
            gaps.skip(self.next, last.saturating_add(1));
        }
        Content {
            records,
            first_sequence: if records > 0 { self.first } else { last.saturating_add(1) },
            last_sequence: last,
            gaps: gaps.into_ranges(),
            merkle_root: self.root(),
        }
    }

    /// Roots over parts of the records so far.
    pub(crate) fn blocks(&self) -> Blocks {
        self.tree.blocks()
    }

    /// Number of gap ranges when the log ends at `last`.
    pub(crate) fn gap_ranges_through(&self, last: u64) -> u64 {
        if self.records() == 0 { 0 } else { self.gaps.count + u64::from(self.next <= last) }
    }
}

/// Gap ranges in rising order: counted without limit, kept up to one.
#[derive(Clone, Debug, Default)]
struct Gaps {
    ranges: Vec<(u64, u64)>,
    count: u64,
}

impl Gaps {
    /// Nothing is held from `from` to before `to`.
    fn skip(&mut self, from: u64, to: u64) {
        if from >= to {
            return;
        }
        self.count += 1;
        if self.ranges.len() < MAX_GAP_RANGES {
            self.ranges.push((from, to - 1));
        }
    }

    fn into_ranges(self) -> Vec<(u64, u64)> {
        if self.count > MAX_GAP_RANGES as u64 { Vec::new() } else { self.ranges }
    }
}

/// Which fields of a version 2 line enter the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// The whole line: the log is the same bit for bit.
    Exact,
    /// Without `stored_at`: restored by publishing.
    WithoutStoreTime,
    /// Without `stored_at`, `seq` and stored `Nats-Expected-*` header lines: published with new sequences.
    ContentOnly,
}

/// The leaves that messages have in the tree of a version 2 backup, for whoever writes none.
#[derive(Default)]
pub struct Leaves {
    line: Vec<u8>,
    scratch: Scratch,
}

impl Leaves {
    /// The leaf of a message.
    pub fn of(&mut self, message: &StoredMessage) -> Digest {
        self.line.clear();
        record_v2::write(message, Lines::Exact, &mut self.line, &mut self.scratch);
        merkle::leaf_hash(&self.line)
    }
}

/// Folds messages to the [`Content`] that a version 2 backup of them would state: the read-back of a live log.
pub struct ContentFold {
    fold: Fold,
    lines: Lines,
    /// Lines whose leaves are hashed together.
    waiting: Vec<u8>,
    /// Sequence and end of each of them.
    ends: Vec<(u64, usize)>,
    leaves: Vec<Digest>,
    scratch: Scratch,
}

/// Bytes of lines that are worth hashing together.
const ENOUGH_BYTES: usize = 64 << 10;

impl ContentFold {
    /// Begins at the log's first sequence.
    pub fn new(lines: Lines, first_sequence: u64) -> Self {
        Self {
            fold: Fold::new(first_sequence),
            lines,
            waiting: Vec::new(),
            ends: Vec::new(),
            leaves: Vec::new(),
            scratch: Scratch::default(),
        }
    }

    /// Adds a message; sequences must rise.
    pub fn append(&mut self, message: &StoredMessage) {
        record_v2::write(message, self.lines, &mut self.waiting, &mut self.scratch);
        self.ends.push((message.sequence, self.waiting.len()));
        if self.waiting.len() >= ENOUGH_BYTES {
            self.settle();
        }
    }

    fn settle(&mut self) {
        let begins = std::iter::once(0).chain(self.ends.iter().map(|(_, end)| *end));
        let spans: Vec<&[u8]> =
            begins.zip(&self.ends).map(|(begin, (_, end))| &self.waiting[begin..*end]).collect();
        merkle::leaf_hashes(spans.into_iter(), &mut self.leaves);
        for ((sequence, _), leaf) in self.ends.drain(..).zip(&self.leaves) {
            debug_assert!(sequence >= self.fold.next_sequence(), "sequences must rise");
            self.fold.push(sequence, *leaf);
        }
        self.waiting.clear();
        self.waiting.shrink_to(4 * ENOUGH_BYTES);
    }

    /// Messages so far.
    pub fn records(&self) -> u64 {
        self.fold.records() + self.ends.len() as u64
    }

    /// Root of the messages so far.
    pub fn root(&mut self) -> Digest {
        self.settle();
        self.fold.root()
    }

    /// Ends at the log's last sequence.
    pub fn finish(mut self, last_sequence: u64) -> Content {
        self.settle();
        self.fold.content_through(last_sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(first: u64, sequences: &[u64]) -> Fold {
        let mut fold = Fold::new(first);
        for sequence in sequences {
            fold.push(*sequence, Digest([0; 32]));
        }
        fold
    }

    #[test]
    fn gaps_lie_between_first_and_last_and_never_touch() {
        let content = fold(3, &[5, 6, 9]).content_through(12);
        assert_eq!(content.gaps, [3..=4, 7..=8, 10..=12].map(|range| gap(&range)));
        assert_eq!(content.gaps, [(3, 4), (7, 8), (10, 12)]);
        assert_eq!((content.first_sequence, content.last_sequence, content.records), (3, 12, 3));
        assert_eq!(fold(1, &[1, 2]).content_through(2).gaps, []);
        assert_eq!(fold(3, &[5, 6, 9]).gap_ranges_through(12), 3);
    }

    #[test]
    fn records_are_counted_whether_they_are_hashed_yet_or_not() {
        let mut fold = ContentFold::new(Lines::Exact, 1);
        let mut message = StoredMessage {
            sequence: 0,
            stored_at: crate::StoreTime(0),
            subject: bytes::Bytes::from_static(b"events.x"),
            headers: bytes::Bytes::new(),
            payload: bytes::Bytes::new(),
        };
        for sequence in 1..=5 {
            message.sequence = sequence;
            fold.append(&message);
            assert_eq!(fold.records(), sequence);
            if sequence == 3 {
                fold.root();
                assert_eq!(fold.records(), sequence);
            }
        }
        assert_eq!(fold.finish(5).records, 5);
    }

    #[test]
    fn without_records_the_first_sequence_is_the_last_plus_1_and_there_is_no_gap() {
        let content = fold(3, &[]).content_through(12);
        assert_eq!((content.first_sequence, content.last_sequence), (13, 12));
        assert_eq!(content.gaps, []);
    }
}

//! Does a log extend an earlier backup of it, or has its history changed since?
//!
//! The later log's leaves pass by once, in order, and are held against the earlier one: against its tree head, which can
//! name the part that differs, or against its records, which can name the sequence. Three things must hold: the earlier
//! records are the first of the later ones; no other record lies at or before the earlier cut; the later log reaches that cut.

use std::fmt;

use crate::Digest;
use crate::head::Head;
use crate::merkle::{Growth, Tree};

/// The first place where the later log is not what the earlier backup said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What is different.
    pub kind: DifferenceKind,
    /// First sequence that is concerned, as precisely as the earlier side allows.
    pub from: u64,
    /// Last sequence that is concerned.
    pub to: u64,
    /// Both are the same up to this sequence; 0 when from the beginning nothing is known to be.
    pub common_through: u64,
}

/// What is different.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DifferenceKind {
    /// The later log ends before the earlier cut, and lacks messages behind its end.
    Lost,
    /// The later log goes on, and lacks messages that the earlier one held.
    Missing,
    /// A message is another one.
    Changed,
    /// The later log holds a message where the earlier one had none.
    Added,
    /// All messages are there, and the later log's last sequence lies before the earlier cut: it would give sequences anew.
    EndsBefore,
}

impl DifferenceKind {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            DifferenceKind::Lost => "lost",
            DifferenceKind::Missing => "missing",
            DifferenceKind::Changed => "changed",
            DifferenceKind::Added => "added",
            DifferenceKind::EndsBefore => "ends_before",
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, from, to, common_through } = self;
        let one = from == to;
        let place = if one { format!("sequence {from}") } else { format!("sequences {from} to {to}") };
        match kind {
            DifferenceKind::Lost => write!(f, "messages of the old backup are lost at the end: {place}")?,
            DifferenceKind::Missing if one => {
                write!(f, "a message of the old backup is missing in the new one: {place}")?
            }
            DifferenceKind::Missing => {
                write!(f, "messages of the old backup are missing in the new one, within {place}")?
            }
            DifferenceKind::Changed if one => write!(f, "another message stands at {place}")?,
            DifferenceKind::Changed => write!(f, "other messages stand within {place}")?,
            DifferenceKind::Added => write!(f, "a message stands at {place}, where the old backup has none")?,
            DifferenceKind::EndsBefore => {
                write!(f, "the last sequence went back: {place} would be given a second time")?
            }
        }
        match common_through {
            0 => write!(f, "; nothing before it is known to be the same"),
            last => write!(f, "; up to sequence {last} both are the same"),
        }
    }
}

/// Holds a later log's leaves against the tree head of an earlier one.
#[derive(Clone, Debug)]
pub struct HeadCheck<'a> {
    head: &'a Head,
    /// Parts that were found the same.
    same: usize,
    /// The part that is being compared, without what waits in `growth`.
    part: [Tree; 1],
    /// Leaves of the part.
    leaves: u64,
    growth: Growth,
}

impl<'a> HeadCheck<'a> {
    /// Begins before the later log's first record.
    pub fn new(head: &'a Head) -> Self {
        Self { head, same: 0, part: [Tree::new()], leaves: 0, growth: Growth::default() }
    }

    /// The later log's next record.
    ///
    /// # Errors
    /// The first difference; nothing may be pushed after it.
    pub fn push(&mut self, sequence: u64, leaf: Digest) -> Result<(), Difference> {
        let Some(block) = self.head.blocks.list.get(self.same) else {
            return if sequence > self.head.event_cut_sequence {
                Ok(())
            } else {
                Err(self.at(DifferenceKind::Added, sequence, sequence))
            };
        };
        if sequence > block.last_sequence {
            return Err(self.in_part(DifferenceKind::Missing));
        }
        self.growth.push(0, leaf);
        self.leaves += 1;
        let is_whole = self.leaves == self.head.blocks.leaves_of(self.same, self.head.records);
        if is_whole || self.growth.is_due() {
            self.growth.settle(&mut self.part);
        }
        if !is_whole {
            return Ok(());
        }
        if sequence != block.last_sequence || self.part[0].root() != block.root {
            return Err(self.in_part(DifferenceKind::Changed));
        }
        self.same += 1;
        (self.part, self.leaves) = ([Tree::new()], 0);
        Ok(())
    }

    /// The later log ended at this sequence.
    ///
    /// # Errors
    /// The difference, when the earlier one goes further.
    pub fn finish(&self, last_sequence: u64) -> Result<(), Difference> {
        let cut = self.head.event_cut_sequence;
        if self.same < self.head.blocks.list.len() {
            return Err(if last_sequence < cut {
                self.at(DifferenceKind::Lost, last_sequence + 1, cut)
            } else {
                self.in_part(DifferenceKind::Missing)
            });
        }
        if last_sequence < cut {
            return Err(self.at(DifferenceKind::EndsBefore, last_sequence + 1, cut));
        }
        Ok(())
    }

    /// A difference somewhere in the part that is being compared.
    fn in_part(&self, kind: DifferenceKind) -> Difference {
        let block = &self.head.blocks.list[self.same];
        let only = self.head.blocks.leaves_of(self.same, self.head.records) == 1;
        let from = if only { block.last_sequence } else { self.common_through() + 1 };
        self.at(kind, from, block.last_sequence)
    }

    fn at(&self, kind: DifferenceKind, from: u64, to: u64) -> Difference {
        Difference { kind, from, to, common_through: self.common_through() }
    }

    fn common_through(&self) -> u64 {
        self.same.checked_sub(1).map_or(0, |last| self.head.blocks.list[last].last_sequence)
    }
}

/// Holds a later log's records against those of an earlier one, of which all are at hand.
#[derive(Clone, Copy, Debug)]
pub struct RecordCheck {
    cut: u64,
    common_through: u64,
}

impl RecordCheck {
    /// Begins before the first record of both; the earlier one ends at `cut`.
    pub fn new(cut: u64) -> Self {
        Self { cut, common_through: 0 }
    }

    /// The later log's next record, and the earlier one's: sequence and leaf.
    ///
    /// # Errors
    /// The difference.
    pub fn push(
        &mut self,
        (sequence, leaf): (u64, Digest),
        earlier: Option<(u64, Digest)>,
    ) -> Result<(), Difference> {
        match earlier {
            None if sequence > self.cut => return Ok(()),
            None => return Err(self.at(DifferenceKind::Added, sequence, sequence)),
            Some((old, _)) if old < sequence => return Err(self.at(DifferenceKind::Missing, old, old)),
            Some((old, _)) if old > sequence => {
                return Err(self.at(DifferenceKind::Added, sequence, sequence));
            }
            Some((_, old)) if old != leaf => {
                return Err(self.at(DifferenceKind::Changed, sequence, sequence));
            }
            Some(_) => self.common_through = sequence,
        }
        Ok(())
    }

    /// The later log ended at `last_sequence`; `earlier` is the earlier one's next record.
    ///
    /// # Errors
    /// The difference, when the earlier one goes further.
    pub fn finish(&self, last_sequence: u64, earlier: Option<u64>) -> Result<(), Difference> {
        match earlier {
            Some(old) if last_sequence < self.cut => Err(self.at(DifferenceKind::Lost, old, self.cut)),
            Some(old) => Err(self.at(DifferenceKind::Missing, old, old)),
            None if last_sequence < self.cut => {
                Err(self.at(DifferenceKind::EndsBefore, last_sequence + 1, self.cut))
            }
            None => Ok(()),
        }
    }

    fn at(&self, kind: DifferenceKind, from: u64, to: u64) -> Difference {
        Difference { kind, from, to, common_through: self.common_through }
    }
}

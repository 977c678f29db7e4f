//! The comparison itself: each message of the log goes by once, against a tree head or against the records of a file.

use std::fs::File;

use trstctl_formats::backup::Records;
use trstctl_formats::history::{Difference, DifferenceKind, HeadCheck, RecordCheck};
use trstctl_formats::{Digest, Failure};

use super::Earlier;

/// Why a comparison ended.
pub enum Stop {
    /// The histories differ.
    Differs(Difference),
    /// The earlier backup could not be read to its end.
    Failed(Failure),
}

impl From<Difference> for Stop {
    fn from(difference: Difference) -> Self {
        Stop::Differs(difference)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Stop::Failed(failure)
    }
}

/// A comparison under way.
pub enum Check<'a> {
    /// With a tree head.
    Head(HeadCheck<'a>),
    /// With the records of a backup.
    File(Box<FileCheck<'a>>),
}

/// A comparison with the records of a backup.
pub struct FileCheck<'a> {
    records: Records<'a, File>,
    check: RecordCheck,
}

impl<'a> Check<'a> {
    /// Begins before the log's first message.
    pub fn new(earlier: &'a mut Earlier) -> Result<Self, Failure> {
        match earlier {
            Earlier::Head(trusted) => Ok(Check::Head(HeadCheck::new(&trusted.head))),
            Earlier::File(file) => {
                let cut = file.head.event_cut_sequence;
                Ok(Check::of_records(file.verified.records()?, cut))
            }
        }
    }

    /// A comparison with these records of a backup that ends at `last`.
    pub fn of_records(records: Records<'a, File>, last: u64) -> Self {
        Check::File(Box::new(FileCheck { records, check: RecordCheck::new(last) }))
    }

    /// Reads the earlier backup to its end: only then is it sure that it is still the one that was verified.
    pub fn drain(&mut self) -> Result<(), Failure> {
        if let Check::File(file) = self {
            while file.records.next()?.is_some() {}
        }
        Ok(())
    }

    /// The log's next message.
    pub fn push(&mut self, sequence: u64, leaf: Digest) -> Result<(), Stop> {
        match self {
            Check::Head(check) => Ok(check.push(sequence, leaf)?),
            Check::File(file) => file.push(sequence, leaf),
        }
    }

    /// The log ends here.
    pub fn finish(&mut self, last_sequence: u64) -> Result<(), Stop> {
        match self {
            Check::Head(check) => Ok(check.finish(last_sequence)?),
            Check::File(file) => {
                let earlier = file.records.next()?.map(|record| record.sequence());
                Ok(file.check.finish(last_sequence, earlier)?)
            }
        }
    }
}

impl FileCheck<'_> {
    fn push(&mut self, sequence: u64, leaf: Digest) -> Result<(), Stop> {
        let earlier = self.records.next()?.map(|record| (record.sequence(), record.leaf()));
        match self.check.push((sequence, leaf), earlier) {
            // Version 1 counts records, so that a missing one moves all that follow.
            Err(difference) if difference.kind == DifferenceKind::Changed => {
                let moved = self.records.next()?.is_some_and(|record| record.leaf() == leaf);
                let kind = if moved { DifferenceKind::Missing } else { DifferenceKind::Changed };
                Err(Difference { kind, ..difference }.into())
            }
            result => Ok(result?),
        }
    }
}

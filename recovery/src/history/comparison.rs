//! A backup that is written is held against the earlier one: a difference drops it, unless the break was accepted.
//!
//! The verdict waits for the end: only when the reader has accounted for every sequence, what is missing is missing in the
//! log, and not merely in what the server delivered.

use trstctl_formats::backup::Leaves;
use trstctl_formats::head::{Head, NewHistory};
use trstctl_formats::history::Difference;
use trstctl_formats::{Digest, Failure, StoredMessage};

use super::{AcceptedBreak, Check, Compared, Earlier, Expected, Stop, differs};

/// What is compared, and what is accepted.
pub struct Comparison {
    earlier: Option<Side>,
    accepted: Option<AcceptedBreak>,
}

struct Side {
    path: std::path::PathBuf,
    head: Head,
    earlier: Earlier,
}

/// A comparison under way.
pub struct Against<'a> {
    check: Option<Check<'a>>,
    leaves: Leaves,
    difference: Option<Difference>,
    refuse: Option<(&'a std::path::Path, &'a Head)>,
}

impl Comparison {
    pub fn new(expected: Expected) -> Result<Self, Failure> {
        let earlier = expected.earlier.map(|(path, earlier)| {
            let head = earlier.head().clone();
            Side { path, head, earlier }
        });
        Ok(Self { earlier, accepted: expected.break_accepted })
    }

    /// Begins before the log's first message.
    pub fn begin(&mut self) -> Result<Against<'_>, Failure> {
        let accepted = self.accepted.is_some();
        let (mut check, mut refuse) = (None, None);
        if let Some(Side { path, head, earlier }) = &mut self.earlier {
            check = Some(Check::new(earlier)?);
            refuse = (!accepted).then_some((path.as_path(), &*head));
        }
        Ok(Against { check, leaves: Leaves::default(), difference: None, refuse })
    }

    /// What was shown, and the break if there was one to accept.
    pub fn conclude(self, difference: Option<Difference>) -> (Option<Compared>, Option<NewHistory>) {
        let compared = self.earlier.map(|Side { path, head, .. }| Compared { path, head, difference });
        let accepted =
            self.accepted.filter(|accepted| difference.is_some() || !accepted.set_aside.is_empty());
        let earlier = compared
            .as_ref()
            .filter(|_| difference.is_some())
            .and_then(|compared| compared.path.file_name().map(|name| name.to_string_lossy().into_owned()));
        let new_history =
            accepted.map(|AcceptedBreak { reason, set_aside }| NewHistory { reason, earlier, set_aside });
        (compared, new_history)
    }
}

impl Against<'_> {
    /// The log's next message, which is not written.
    pub fn push(&mut self, message: &StoredMessage) -> Result<(), Failure> {
        if self.check.is_none() {
            return Ok(());
        }
        let leaf = self.leaves.of(message);
        self.push_written(&[(message.sequence, leaf)])
    }

    /// The log's next messages, by sequence and leaf.
    pub fn push_written(&mut self, leaves: &[(u64, Digest)]) -> Result<(), Failure> {
        for &(sequence, leaf) in leaves {
            let Some(check) = &mut self.check else { return Ok(()) };
            let result = check.push(sequence, leaf);
            self.note(result)?;
        }
        Ok(())
    }

    /// The log ends here, and every sequence up to here is accounted for. Answers the difference that was accepted.
    pub fn finish(mut self, last_sequence: u64) -> Result<Option<Difference>, Failure> {
        if let Some(check) = &mut self.check {
            let result = check.finish(last_sequence);
            self.note(result)?;
        }
        match (self.difference, self.refuse) {
            (Some(difference), Some((path, head))) => Err(differs(path, head, &difference)),
            (difference, _) => Ok(difference),
        }
    }

    /// Keeps the first difference; nothing is compared after it.
    fn note(&mut self, result: Result<(), Stop>) -> Result<(), Failure> {
        match result {
            Ok(()) => {}
            Err(Stop::Failed(failure)) => return Err(failure),
            Err(Stop::Differs(difference)) => {
                self.difference = Some(difference);
                self.check = None;
            }
        }
        Ok(())
    }
}

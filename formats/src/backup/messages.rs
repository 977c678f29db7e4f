//! The messages of a verified backup, in log order.

use std::io::{Read, Seek};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::FormatVersion;
use super::record_v1::{Numbering, RecordV1};
use super::record_v2::RecordV2;
use super::second_pass::{Line, SecondPass};
use super::verify::{Verified, text, without_cr};
use crate::{Failure, StoredMessage};

/// The second pass: hands out messages, re-hashes every byte, and fails at the end when the digest is another one
/// than the first pass saw. Until [`Messages::next`] has answered `None`, nothing may be made final.
pub struct Messages<'a, S: Read> {
    pass: SecondPass<'a, S>,
    numbering: Numbering,
    /// Last sequence of the chosen part.
    last: u64,
}

impl<'a, S: Read + Seek + Send> Messages<'a, S> {
    pub(super) fn begin(verified: &'a mut Verified<S>) -> Result<Self, Failure> {
        let last = verified.pass.part_last;
        Ok(Self { pass: SecondPass::begin(verified)?, numbering: Numbering::new(), last })
    }

    /// Soon after `stopped` was set, the pass ends with `interrupted`, also while the rest of the file is hashed.
    #[must_use]
    pub fn stopped_by(mut self, stopped: Arc<AtomicBool>) -> Self {
        self.pass.stop_by(stopped);
        self
    }

    /// The next message; `None` after the whole file was read again and gave the same digest.
    ///
    /// # Errors
    /// `damaged` when the file is not the one that was verified; what a source that cannot be read gives; `interrupted`
    /// after a stop.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<StoredMessage>, Failure> {
        while let Some(line) = self.pass.next_line()? {
            match self.message(&line)? {
                Some(message) => return Ok(Some(message)),
                None => self.pass.skip_rest(),
            }
        }
        Ok(None)
    }

    /// The message of a line; `None` when it lies behind the chosen part.
    fn message(&mut self, line: &Line) -> Result<Option<StoredMessage>, Failure> {
        let message = match self.pass.version() {
            FormatVersion::V1 if self.numbering.next_sequence() > self.last => return Ok(None),
            FormatVersion::V1 => {
                RecordV1::read(without_cr(line.bytes())).ok().map(|record| self.numbering.message(&record))
            }
            FormatVersion::V2 => {
                let text = simdutf8::basic::from_utf8(line.bytes()).ok();
                let record = text.and_then(|text| RecordV2::read(text).ok());
                if record.as_ref().is_some_and(|record| record.sequence > self.last) {
                    return Ok(None);
                }
                record.map(|record| Ok(record.to_message()))
            }
        };
        match message {
            Some(Ok(message)) => Ok(Some(message)),
            Some(Err(expected)) => {
                let sequence = self.numbering.next_sequence();
                Err(text::no_message(sequence, expected).at(line.number, line.offset()))
            }
            None => Err(text::changed_between_passes(Some(line.number), line.offset())),
        }
    }
}

//! The records of a verified backup as they stand in it: for questions that need no message.

use std::borrow::Cow;
use std::io::{Read, Seek};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::FormatVersion;
use super::record_v1::RecordV1;
use super::record_v2::RecordV2;
use super::second_pass::{Line, SecondPass};
use super::verify::{Verified, text, without_cr};
use crate::event::Event;
use crate::{Digest, Failure, StoreTime, json, merkle};

/// The second pass over all records: re-hashes every byte, and fails at the end when the digest is another one than the
/// first pass saw. Until [`Records::next`] has answered `None`, nothing that it said may be believed.
pub struct Records<'a, S: Read> {
    pass: SecondPass<'a, S>,
    current: Option<Line>,
}

/// A record.
pub struct Record<'r> {
    /// Its number in the file, from 1.
    pub number: u64,
    /// Its line as it stands in the file, without newline (version 1: and without a CR before it).
    pub line: &'r [u8],
    body: Body<'r>,
}

enum Body<'r> {
    V1(RecordV1<'r>),
    V2(RecordV2<'r>),
}

impl<'a, S: Read + Seek + Send> Records<'a, S> {
    pub(super) fn begin(verified: &'a mut Verified<S>) -> Result<Self, Failure> {
        Ok(Self { pass: SecondPass::begin(verified)?, current: None })
    }

    /// Soon after `stopped` was set, the pass ends with `interrupted`.
    #[must_use]
    pub fn stopped_by(mut self, stopped: Arc<AtomicBool>) -> Self {
        self.pass.stop_by(stopped);
        self
    }

    /// The next record; `None` after the whole file was read again and gave the same digest.
    ///
    /// # Errors
    /// `damaged` when the file is not the one that was verified; what a source that cannot be read gives; `interrupted`
    /// after a stop.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, Failure> {
        // A block held on to would leave a long line's successors no room in the pool.
        self.current = None;
        self.current = self.pass.next_line()?;
        let Some(line) = &self.current else { return Ok(None) };
        let record = Record::read(self.pass.version(), line);
        record.map(Some).ok_or_else(|| text::changed_between_passes(Some(line.number), line.offset()))
    }
}

impl<'r> Record<'r> {
    fn read(version: FormatVersion, line: &'r Line) -> Option<Self> {
        let number = line.number - 1;
        match version {
            FormatVersion::V1 => {
                let line = without_cr(line.bytes());
                Some(Self { number, line, body: Body::V1(RecordV1::read(line).ok()?) })
            }
            FormatVersion::V2 => {
                let text = simdutf8::basic::from_utf8(line.bytes()).ok()?;
                Some(Self { number, line: line.bytes(), body: Body::V2(RecordV2::read(text).ok()?) })
            }
        }
    }

    /// Its sequence; version 1 knows none and counts records.
    pub fn sequence(&self) -> u64 {
        match &self.body {
            Body::V1(_) => self.number,
            Body::V2(record) => record.sequence,
        }
    }

    /// Its store time; version 1: the event's time, the nearest one that fits, if there is one.
    pub fn time(&self) -> Option<StoreTime> {
        match &self.body {
            Body::V1(record) => record.time_clamped(),
            Body::V2(record) => Some(record.stored_at),
        }
    }

    /// Its tenant id; `""` for a foreign message.
    pub fn tenant_id(&self) -> Cow<'r, str> {
        match &self.body {
            Body::V1(record) => record.tenant_id(),
            Body::V2(record) => json::decode_go(record.tenant_id()),
        }
    }

    /// The event's type; `None` for a message that the file keeps in raw form.
    pub fn kind(&self) -> Option<Cow<'r, str>> {
        match &self.body {
            Body::V1(record) => Some(record.kind()),
            Body::V2(record) => record.kind().map(json::decode_go),
        }
    }

    /// The event that a message in raw form holds all the same, in another spelling than the log's writers use.
    pub fn event_in_raw_form(&self) -> Option<Event> {
        match &self.body {
            Body::V2(record) if record.kind().is_none() => {
                Event::from_stored(&record.to_message().payload).ok()
            }
            _ => None,
        }
    }

    /// The hash of its line as a leaf of the Merkle tree.
    pub fn leaf(&self) -> Digest {
        merkle::leaf_hash(self.line)
    }
}

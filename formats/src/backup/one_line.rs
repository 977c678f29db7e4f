//! The readers of single lines, each beside its writer, for fuzz targets.
//!
//! A line alone proves nothing: what a program may believe comes out of [`super::verify`]. So this is no part of the
//! documented interface, and nothing but `fuzz` calls it.

use super::content::Lines;
use super::header::Header;
use super::limits::MAX_GAP_RANGES;
use super::record_v1::{self, Numbering, RecordV1};
use super::record_v2::{self, RecordV2, Scratch};
use super::trailer::{TrailerV1, TrailerV2};
use super::{Content, FormatVersion};
use crate::event::Event;
use crate::json::Fault;
use crate::{Class, StoredMessage};

/// Why a line was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The class of the verdict.
    pub class: Class,
    /// Byte in the line, from 0.
    pub at: usize,
    /// What would have been right there.
    pub expected: &'static str,
}

impl Refusal {
    fn damaged(fault: Fault) -> Self {
        Self { class: Class::Damaged, at: fault.at, expected: fault.expected }
    }
}

/// Reads the first line of a backup.
pub fn header(line: &[u8]) -> Result<Header, Refusal> {
    Header::read(line).map_err(|refused| Refusal { class: refused.class, ..Refusal::damaged(refused.fault) })
}

/// Writes the first line of a backup.
pub fn header_line(header: &Header) -> Vec<u8> {
    let mut out = Vec::new();
    header.write(&mut out);
    out
}

/// What a version 1 record line stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfVersion1 {
    /// The event.
    pub event: Event,
    /// The line says that it is a trailer.
    pub is_trailer: bool,
    /// The message that a restore makes of it as the first record; or why there is none.
    pub message: Result<StoredMessage, &'static str>,
}

impl OfVersion1 {
    fn of(record: &RecordV1<'_>) -> Self {
        let message = Numbering::new().message(record);
        Self { event: record.to_event(), is_trailer: record.is_trailer(), message }
    }
}

/// Reads a record line of version 1 as [`super::verify`] does: first in the spelling of the writers.
pub fn record_v1(line: &[u8]) -> Result<OfVersion1, Refusal> {
    RecordV1::read(line).map(|record| OfVersion1::of(&record)).map_err(Refusal::damaged)
}

/// Reads a record line of version 1 by the lenient rules alone: the same, in any spelling.
pub fn record_v1_leniently(line: &[u8]) -> Result<OfVersion1, Refusal> {
    RecordV1::read_leniently(line).map(|record| OfVersion1::of(&record)).map_err(Refusal::damaged)
}

/// Writes the record line of a payload in version 1; or says why there is none.
pub fn record_v1_line(payload: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    record_v1::write(payload, &mut out).map(|_| out)
}

/// Reads a record line of version 2.
pub fn record_v2(line: &str) -> Result<StoredMessage, Refusal> {
    RecordV2::read(line).map(|record| record.to_message()).map_err(Refusal::damaged)
}

/// Writes a record line of version 2.
pub fn record_v2_line(message: &StoredMessage, lines: Lines) -> Vec<u8> {
    let mut out = Vec::new();
    record_v2::write(message, lines, &mut out, &mut Scratch::default());
    out
}

/// Reads a trailer, and writes again what was read, its MAC as it was; `None` for one that no writer writes, since its
/// last sequence is not its cut.
pub fn trailer_again(version: FormatVersion, line: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
    match version {
        FormatVersion::V1 => TrailerV1::read(line).map(|trailer| Some(trailer_v1_line(&trailer))),
        FormatVersion::V2 => TrailerV2::read(line).map(|trailer| trailer_v2_line(&trailer)),
    }
    .map_err(Refusal::damaged)
}

fn trailer_v1_line(trailer: &TrailerV1) -> Vec<u8> {
    let mut out = Vec::new();
    trailer.write(&mut out);
    out
}

fn trailer_v2_line(trailer: &TrailerV2) -> Option<Vec<u8>> {
    if trailer.last_sequence != trailer.event_cut_sequence {
        return None;
    }
    let content = Content {
        records: trailer.records,
        first_sequence: trailer.first_sequence,
        last_sequence: trailer.last_sequence,
        gaps: trailer.gaps.clone().unwrap_or_default(),
        merkle_root: trailer.merkle_root,
    };
    let gap_ranges = trailer.gaps.as_ref().map_or(MAX_GAP_RANGES as u64 + 1, |gaps| gaps.len() as u64);
    let mut out = Vec::new();
    TrailerV2::write(trailer.sha256, &content, gap_ranges, trailer.tenants.as_deref(), None, &mut out);
    if let Some(authentication) = &trailer.authentication {
        out.pop();
        let (key_id, mac) = (&authentication.key_id, authentication.hmac_sha256);
        out.extend_from_slice(format!(",\"key_id\":\"{key_id}\",\"hmac_sha256\":\"{mac}\"}}").as_bytes());
    }
    Some(out)
}

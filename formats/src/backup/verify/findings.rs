//! Folds the facts of all blocks, in file order, to what the whole file says.

use std::sync::Arc;

use super::facts::{BlockFacts, LineFault, RecordFacts, without_cr};
use super::options::Cut;
use crate::backup::blocks::Block;
use crate::backup::content::{Content, Fold, Lines};
use crate::backup::record_v1::{Numbering, RecordV1};
use crate::backup::record_v2::{self, Scratch};
use crate::backup::tenants::Tenants;
use crate::backup::writer::widen;
use crate::backup::{FormatVersion, Header};
use crate::json::Fault;
use crate::{StoreTime, merkle};

/// What was found in the records of a file.
pub(crate) struct Findings {
    version: FormatVersion,
    first_sequence: u64,
    cut_sequence: u64,
    /// Lines so far, the header counted.
    pub(crate) lines: u64,
    /// Well-formed records.
    pub(crate) records: u64,
    /// Bytes of the longest record line.
    pub(crate) longest_record_bytes: usize,
    /// The first line against the grammar.
    pub(crate) malformed: Option<LineFault>,
    /// The first second trailer, or record out of order.
    pub(crate) inconsistent: Option<LineFault>,
    /// Version 2: all records.
    pub(crate) fold: Fold,
    /// Version 2.
    pub(crate) tenants: Tenants,
    pub(crate) time_range: Option<(StoreTime, StoreTime)>,
    pub(crate) part: Part,
}

/// The part that a restore would take.
pub(crate) struct Part {
    cut: Cut,
    /// Set once the part has ended before the file.
    ended: Option<(u64, Option<Content>)>,
    renumbered: Option<Renumbered>,
}

/// What a restore makes of version 1 records: computed only on request.
struct Renumbered {
    numbering: Numbering,
    fold: Fold,
    line: Vec<u8>,
    scratch: Scratch,
}

/// Whether the messages that a restore of version 1 would make are of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renumber {
    No,
    Yes,
}

impl Findings {
    pub(crate) fn new(header: &Header, cut: Cut, renumber: Renumber) -> Self {
        let renumbered =
            (header.version == FormatVersion::V1 && renumber == Renumber::Yes).then(Renumbered::new);
        Self {
            version: header.version,
            first_sequence: header.first_sequence,
            cut_sequence: header.event_cut_sequence,
            lines: 1,
            records: 0,
            longest_record_bytes: 0,
            malformed: None,
            inconsistent: None,
            fold: Fold::new(header.first_sequence),
            tenants: Tenants::default(),
            time_range: None,
            part: Part { cut, ended: None, renumbered },
        }
    }

    /// Adds the next block.
    pub(crate) fn add(&mut self, facts: BlockFacts) {
        let lines = self.lines;
        let in_file = |fault: LineFault| LineFault { line: lines + fault.line + 1, ..fault };
        keep_first(&mut self.malformed, facts.malformed.map(in_file));
        if let Some(block) = &facts.block {
            for record in &facts.records {
                self.add_record(block, record);
            }
        }
        keep_first(&mut self.inconsistent, facts.trailer.map(in_file));
        self.lines += facts.lines;
    }

    fn add_record(&mut self, block: &Arc<Block>, record: &RecordFacts) {
        self.records += 1;
        self.longest_record_bytes = self.longest_record_bytes.max(record.span.len());
        if let Some(time) = record.time.filter(|time| !matches!(time.0, i64::MIN | i64::MAX)) {
            widen(&mut self.time_range, time);
        }
        match self.version {
            FormatVersion::V1 => self.add_v1(block, record),
            FormatVersion::V2 => self.add_v2(block, record),
        }
    }

    fn add_v1(&mut self, block: &Block, record: &RecordFacts) {
        if self.part.ends_before(self.records, record.time) {
            self.part.end(self.records - 1);
        }
        if self.part.ended.is_some() {
            return;
        }
        if let Some(renumbered) = &mut self.part.renumbered
            && let Err(expected) = renumbered.add(without_cr(&block[record.span.clone()]))
        {
            let fault = Fault::new(0, expected);
            let fault = LineFault::of(
                fault,
                b"{",
                self.lines + record.line + 1,
                block.offset + record.span.start as u64,
            );
            let what = format!(
                "expected {expected} (a restore makes a subject of the type, a header of the id, and writes the time anew)"
            );
            keep_first(&mut self.malformed, Some(LineFault { what, ..fault }));
        }
    }

    fn add_v2(&mut self, block: &Block, record: &RecordFacts) {
        self.tenants.push(&block[record.tenant.clone()], record.leaf);
        if let Some(what) = self.disorder(record.sequence) {
            self.inconsistent.get_or_insert_with(|| LineFault {
                line: self.lines + record.line + 1,
                offset: block.offset + record.span.start as u64,
                sequence: Some(record.sequence),
                what,
            });
            return;
        }
        if self.part.ends_before(record.sequence, record.time) {
            let last = match self.part.cut {
                Cut::Through(last) => last,
                _ => record.sequence.saturating_sub(1),
            };
            self.part.ended = Some((last, Some(self.fold.content_through(last))));
        }
        self.fold.push(record.sequence, record.leaf);
    }

    fn disorder(&self, sequence: u64) -> Option<String> {
        let (first, cut) = (self.first_sequence, self.cut_sequence);
        if !(first..=cut).contains(&sequence) {
            return Some(format!("sequence {sequence} lies outside the header's {first} to {cut}"));
        }
        let next = self.fold.next_sequence();
        (sequence < next).then(|| format!("sequence {sequence} follows {}", next.saturating_sub(1)))
    }

    /// The content of the whole file, version 2.
    pub(crate) fn content(&self) -> Content {
        self.fold.content_through(self.cut_sequence)
    }

    /// Last sequence of the chosen part, and its content where it is known; or that the file ends before it.
    pub(crate) fn part(&self) -> Result<(u64, Option<Content>), EndsBefore> {
        if let Some(ended) = &self.part.ended {
            return Ok(ended.clone());
        }
        let end = match self.version {
            FormatVersion::V1 => self.records,
            FormatVersion::V2 => self.cut_sequence,
        };
        let last = match self.part.cut {
            Cut::Through(last) if last > end => return Err(EndsBefore { end }),
            Cut::Through(last) => last,
            Cut::All | Cut::Until(_) => end,
        };
        let content = match self.version {
            FormatVersion::V1 => self.part.renumbered.as_ref().map(|r| r.fold.content_through(last)),
            FormatVersion::V2 => Some(self.fold.content_through(last)),
        };
        Ok((last, content))
    }
}

/// Keeps the fault of the lower line.
fn keep_first(first: &mut Option<LineFault>, fault: Option<LineFault>) {
    *first = first.take().into_iter().chain(fault).min_by_key(|fault| fault.line);
}

/// The chosen part reaches beyond the end of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndsBefore {
    /// The last sequence, version 1: the number of records.
    pub(crate) end: u64,
}

impl Part {
    /// Whether the part ends before the record of this sequence and time.
    fn ends_before(&self, sequence: u64, time: Option<StoreTime>) -> bool {
        self.ended.is_none()
            && match self.cut {
                Cut::All => false,
                Cut::Through(last) => sequence > last,
                Cut::Until(instant) => time.is_some_and(|time| time > instant),
            }
    }

    /// Ends the part of a version 1 file after this many records.
    fn end(&mut self, last: u64) {
        let content = self.renumbered.as_ref().map(|r| r.fold.content_through(last));
        self.ended = Some((last, content));
    }
}

impl Renumbered {
    fn new() -> Self {
        Self {
            numbering: Numbering::new(),
            fold: Fold::new(1),
            line: Vec::new(),
            scratch: Scratch::default(),
        }
    }

    fn add(&mut self, line: &[u8]) -> Result<(), &'static str> {
        let record = RecordV1::read(line).map_err(|fault| fault.expected)?;
        let message = self.numbering.message(&record)?;
        self.line.clear();
        record_v2::write(&message, Lines::Exact, &mut self.line, &mut self.scratch);
        self.fold.push(message.sequence, merkle::leaf_hash(&self.line));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreTime;

    #[test]
    fn a_line_over_the_limit_is_one_line_and_no_record() {
        let header = Header {
            version: FormatVersion::V2,
            created_at: StoreTime(0),
            deployment_id: None,
            stream: String::new(),
            first_sequence: 1,
            event_cut_sequence: 1,
        };
        let mut findings = Findings::new(&header, Cut::All, Renumber::No);
        findings.add(BlockFacts::overlong(70));
        findings.add(BlockFacts::overlong(99));
        assert_eq!((findings.lines, findings.records), (3, 0));
        assert_eq!(findings.malformed.map(|fault| (fault.line, fault.offset)), Some((2, 70)));
    }
}

//! Verifies a whole backup: the only maker of a [`Verified`].
//!
//! The verdict is the first that applies: header, trailer, key and trailer's MAC (for a plain file from its two ends alone),
//! then checksum, then version 1's MAC, then grammar, then consistency.

mod ends;
mod facts;
mod findings;
mod hashing;
mod job;
mod options;
mod pass;
pub(super) mod text;
mod verdict;

use std::cell::Cell;
use std::io::{self, Read, Seek};

pub use options::{Allow, Cut, Purpose, VerifyOptions};

pub(super) use facts::without_cr;
pub(super) use hashing::sha256;

use super::lines::{LastLine, LineReader};
use super::tenants::TenantHead;
use super::{Content, FormatVersion, Header, Records, Summary, messages::Messages};
use crate::container::{self, Container, ContainerFault, Identity};
use crate::{Class, Failure};
use ends::{LastText, Origin};
use findings::{Findings, Renumber};
use verdict::Case;

/// A backup whose every byte was checked. Only [`verify`] makes one.
pub struct Verified<S> {
    pub(super) source: S,
    pub(super) pass: Checked,
}

/// What the pass over a file established.
pub(super) struct Checked {
    pub(super) container: Container,
    /// What opens the file again, when it is encrypted.
    pub(super) reopen: Vec<Identity>,
    pub(super) summary: Summary,
    /// Last sequence of the chosen part.
    pub(super) part_last: u64,
    part: Option<Content>,
    longest_record_bytes: usize,
}

/// Checks everything, from first to last byte, in bounded memory; the verdict is the first that applies in the
/// order of `docs/format/backup.md`, "Verdicts". `source` is left open for the second pass.
///
/// # Errors
/// Every class of that order; `usage` when the source cannot be read or the chosen part reaches beyond the end;
/// `interrupted`.
pub fn verify<S: Read + Seek + Send>(
    mut source: S,
    options: &VerifyOptions<'_>,
) -> Result<Verified<S>, Failure> {
    source.rewind().map_err(|error| unreadable(&error))?;
    if ends::can_look(container_of(&mut source)?) {
        ends::look(&mut source, options)?;
    }
    source.rewind().map_err(|error| unreadable(&error))?;
    let pass = read_through(&mut source, options)?;
    Ok(Verified { source, pass })
}

/// The same for a source that can be read once only; such a file cannot be restored.
///
/// # Errors
/// Those of [`verify`].
pub fn verify_stream<R: Read + Send>(source: R, options: &VerifyOptions<'_>) -> Result<Summary, Failure> {
    Ok(read_through(source, options)?.summary)
}

/// What the ends of a file say, without its middle: no proof that the file is whole.
#[derive(Clone, Debug)]
pub struct Glance {
    /// How it is wrapped. The trailer, and its key, were looked at in a plain file only.
    pub container: Container,
    /// Its header.
    pub header: Header,
}

/// Looks at the header, and in a plain file at trailer and key as well; takes a moment, whatever the file's size.
///
/// # Errors
/// The verdict that header, trailer and key alone give; `key_missing` for an encrypted file without identity.
pub fn glance<S: Read + Seek>(mut source: S, options: &VerifyOptions<'_>) -> Result<Glance, Failure> {
    source.rewind().map_err(|error| unreadable(&error))?;
    if ends::can_look(container_of(&mut source)?) {
        return Ok(Glance { container: Container::Plain, header: ends::look(&mut source, options)? });
    }
    source.rewind().map_err(|error| unreadable(&error))?;
    let (container, plain) =
        container::open(source, options.identities).map_err(|failure| failure.at(1, 0))?;
    let mut reader = LineReader::new(plain, FormatVersion::V2.max_line_bytes());
    let first = reader.first_line().map_err(|error| unreadable_at(&error, &reader, 0))?;
    Ok(Glance { container, header: ends::read_header(&first, reader.is_at_end())? })
}

/// The outermost container, told by the first byte; what it holds is found out by the pass.
fn container_of<S: Read>(source: &mut S) -> Result<Container, Failure> {
    let mut first = [0];
    match source.read(&mut first) {
        Ok(1) if first == *b"{" => Ok(Container::Plain),
        Ok(_) => Ok(Container::Zstd),
        Err(error) => Err(unreadable(&error)),
    }
}

impl<S: Read + Seek + Send> Verified<S> {
    /// What the file says.
    pub fn summary(&self) -> &Summary {
        &self.pass.summary
    }

    /// How the file is wrapped.
    pub fn container(&self) -> Container {
        self.pass.container
    }

    /// What a restore of the chosen part makes: for version 1, with the sequences, subjects, headers and store times
    /// that such a restore gives.
    ///
    /// # Panics
    /// For version 1 when [`VerifyOptions::part_of_version_1`] was not given.
    pub fn part(&self) -> &Content {
        self.pass.part.as_ref().expect("part_of_version_1 was given")
    }

    /// Bytes of the longest record line of the file, without its newline: a message is at most about six times as large,
    /// where `<` became `\u003c`.
    pub fn longest_record_bytes(&self) -> u64 {
        self.pass.longest_record_bytes as u64
    }

    /// The messages of the chosen part, in log order, read again from the same open file.
    ///
    /// # Errors
    /// When the file cannot be read again.
    pub fn messages(&mut self) -> Result<Messages<'_, S>, Failure> {
        Messages::begin(self)
    }

    /// All records of the file as they stand in it, read again from the same open file.
    ///
    /// # Errors
    /// When the file cannot be read again.
    pub fn records(&mut self) -> Result<Records<'_, S>, Failure> {
        Records::begin(self)
    }
}

/// The whole verdict on a source that stands at its first byte.
fn read_through<R: Read>(source: R, options: &VerifyOptions<'_>) -> Result<Checked, Failure> {
    let read_bytes = Cell::new(0);
    let watch = Watch { options, read_bytes: &read_bytes };
    let source = Counted { source, read_bytes: &read_bytes };
    // What a container refuses before its first plain byte, is refused at the beginning.
    let opened = container::open_to_reopen(source, options.identities).map_err(|failure| failure.at(1, 0));
    let (container, plain, reopen) = opened?;
    let mut reader = LineReader::new(plain, FormatVersion::V2.max_line_bytes());
    let first = reader.first_line().map_err(|error| unreadable_at(&error, &reader, 0))?;
    let header = ends::read_header(&first, reader.is_at_end())?;
    reader.set_max_line_bytes(header.version.max_line_bytes());
    let header_bytes = first.len() as u64;
    let renumber = match (options.purpose, options.part_of_version_1) {
        (Purpose::Inspect, Allow::No) => Renumber::No,
        _ => Renumber::Yes,
    };
    let findings = Findings::new(&header, options.cut, renumber);
    let mut outcome = pass::run(&mut reader, &header, first, options.key, findings, &watch)?;
    let tenants = outcome.findings.tenants.heads();
    let line = outcome.findings.lines + 1;
    let last = LastText::of(&outcome.last, line).ok_or_else(|| text::no_last_line(header_bytes))?;
    let summary = conclude(header, &last, &outcome, tenants, options)?;
    let (part_last, part) = outcome.findings.part().map_err(|ends| {
        let Cut::Through(asked) = options.cut else { unreachable!("only a number can lie beyond the end") };
        text::beyond_end(asked, ends.end, summary.header.version)
    })?;
    if let Some(progress) = options.progress {
        progress(read_bytes.get());
    }
    let longest_record_bytes = outcome.findings.longest_record_bytes;
    Ok(Checked { container, reopen, summary, part_last, part, longest_record_bytes })
}

/// Steps 2 to 6, and what the file says when all hold.
fn conclude(
    header: Header,
    last: &LastText<'_>,
    outcome: &pass::Outcome,
    tenants: Option<Vec<TenantHead>>,
    options: &VerifyOptions<'_>,
) -> Result<Summary, Failure> {
    let trailer = ends::read_trailer(header.version, last)?;
    let origin = ends::check_key(&trailer, last, options)?;
    let findings = &outcome.findings;
    let is_v2 = header.version == FormatVersion::V2;
    let content = is_v2.then(|| findings.content());
    let case = Case {
        header: &header,
        trailer: &trailer,
        last,
        origin,
        sha256: outcome.sha256,
        mac: outcome.mac.as_ref(),
        findings,
        content: content.as_ref(),
        tenants: tenants.as_deref(),
    };
    case.judge()?;
    Ok(Summary {
        sha256: outcome.sha256,
        records: findings.records,
        content,
        blocks: is_v2.then(|| findings.fold.blocks()),
        tenants: tenants.filter(|_| is_v2).map(|tenants| tenants.len() as u64),
        keyed: origin != Origin::Unkeyed,
        authenticated: origin == Origin::Keyed,
        time_range: findings.time_range,
        len_bytes: last.offset + last_bytes(&outcome.last),
        header,
    })
}

fn last_bytes(last: &LastLine) -> u64 {
    match last {
        LastLine::Whole(block) => block.len() as u64,
        LastLine::Nothing | LastLine::Overlong { .. } => 0,
    }
}

/// What the user wants to know, and to stop, while a file is read.
struct Watch<'a> {
    options: &'a VerifyOptions<'a>,
    read_bytes: &'a Cell<u64>,
}

impl Watch<'_> {
    fn look(&self) -> Result<(), Failure> {
        if self.options.interrupted.is_some_and(|interrupted| interrupted()) {
            let message = "Stopped while the backup was verified; nothing was changed.";
            return Err(Failure::new(Class::Interrupted, message, "Run the same command again."));
        }
        if let Some(progress) = self.options.progress {
            progress(self.read_bytes.get());
        }
        Ok(())
    }
}

/// A source that counts what was read from it.
struct Counted<'a, R> {
    source: R,
    read_bytes: &'a Cell<u64>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.source.read(buf)?;
        self.read_bytes.set(self.read_bytes.get() + len as u64);
        Ok(len)
    }
}

/// A source that cannot be read, or a container that is at fault.
pub(super) fn unreadable(error: &io::Error) -> Failure {
    if let Some(fault) = ContainerFault::of(error) {
        return fault.to_failure();
    }
    let message = format!("The file cannot be read: {error}.");
    Failure::new(Class::Usage, message, "Check its permissions and the disk that it lies on.")
}

/// The same, at the place that the reader has reached behind so many lines that it handed out.
pub(super) fn unreadable_at<R: Read>(error: &io::Error, reader: &LineReader<R>, lines: u64) -> Failure {
    let (offset, newlines) = reader.reached();
    unreadable(error).at(lines + newlines + 1, offset)
}

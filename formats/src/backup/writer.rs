//! Writes a backup stream.
//!
//! Lines gather in a buffer, and each full buffer is hashed and written at once. The header is written with the first
//! message: a log without any states another first sequence, and only the end tells.

use std::io::Write;
use std::ops::Range;

use hmac::Mac as _;
use trstctl_sha256::Checksum;

use super::content::{Fold, Lines};
use super::key::{BackupKey, HmacSha256, finish_mac};
use super::record_v2::Scratch;
use super::tenants::Tenants;
use super::trailer::{TrailerV1, TrailerV2};
use super::{FormatVersion, Header, Summary, record_v1, record_v2};
use crate::{Digest, StoreTime, StoredMessage, merkle};

/// Bytes that are hashed and written at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Writes a backup stream: header, one line a message in log order, trailer.
pub struct Writer<W> {
    out: W,
    header: Header,
    key: Option<BackupKey>,
    begun: bool,
    buffer: Vec<u8>,
    scratch: Scratch,
    checksum: Checksum,
    mac_v1: Option<HmacSha256>,
    fold: Fold,
    tenants: Tenants,
    records: u64,
    next_sequence: u64,
    time_range: Option<(StoreTime, StoreTime)>,
    len_bytes: u64,
    /// Lines in the buffer whose leaves are not hashed yet.
    lines: Vec<Line>,
    digests: Vec<Digest>,
    leaves: Vec<(u64, Digest)>,
}

/// A line of version 2 in the buffer.
struct Line {
    sequence: u64,
    /// Without its newline.
    span: Range<usize>,
    /// The tenant id, escaped as in the line.
    tenant: Range<usize>,
}

/// Why a writer stopped. The output is then no backup.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The output could not be written.
    #[error("cannot write the backup")]
    Output(#[from] std::io::Error),
    /// Version 1 cannot say this message; version 2 can.
    #[error("message {sequence} cannot be written in version 1: {reason}")]
    NotInVersion1 {
        /// Sequence of the message.
        sequence: u64,
        /// What about it.
        reason: String,
    },
    /// A message out of order or outside the header's range.
    #[error("message {sequence} is out of order or outside {first}..={cut}")]
    OutOfOrder {
        /// Sequence of the message.
        sequence: u64,
        /// First sequence of the header.
        first: u64,
        /// Cut of the header.
        cut: u64,
    },
    /// A message whose line no reader would take.
    #[error("message {sequence} makes a line of {line_bytes} bytes, more than {max_bytes}")]
    LineTooLong {
        /// Sequence of the message.
        sequence: u64,
        /// Length of its line in bytes, newline included.
        line_bytes: usize,
        /// The limit.
        max_bytes: usize,
    },
    /// A header that the format cannot say.
    #[error("cannot write such a header: {reason}")]
    Header {
        /// What about it.
        reason: String,
    },
}

impl<W: Write> Writer<W> {
    /// Begins a stream with this header. With a key, the trailer will be authenticated. Nothing is written before the
    /// first message or the end.
    pub fn create(out: W, header: &Header, key: Option<&BackupKey>) -> Result<Self, WriteError> {
        if let Some(reason) = header.unwritable() {
            return Err(WriteError::Header { reason });
        }
        // Servers report 0 for a log that never held anything; sequences count from 1.
        let header = Header { first_sequence: header.first_sequence.max(1), ..header.clone() };
        Ok(Self {
            out,
            key: key.cloned(),
            begun: false,
            buffer: Vec::with_capacity(BUFFER_BYTES + (64 << 10)),
            scratch: Scratch::default(),
            checksum: Checksum::default(),
            mac_v1: key.filter(|_| header.version == FormatVersion::V1).map(|key| key.mac(FormatVersion::V1)),
            fold: Fold::new(header.first_sequence),
            tenants: Tenants::default(),
            records: 0,
            next_sequence: header.first_sequence,
            time_range: None,
            len_bytes: 0,
            lines: Vec::new(),
            digests: Vec::new(),
            leaves: Vec::new(),
            header,
        })
    }

    /// Writes one message; sequences must rise and lie within the header's range.
    ///
    /// Leaves are hashed several at once: answers those that were hashed now, with their sequences, mostly none. Of version 1
    /// there are none.
    pub fn append(&mut self, message: &StoredMessage) -> Result<&[(u64, Digest)], WriteError> {
        let sequence = message.sequence;
        let (first, cut) = (self.header.first_sequence, self.header.event_cut_sequence);
        if sequence < self.next_sequence || sequence > cut {
            return Err(WriteError::OutOfOrder { sequence, first, cut });
        }
        self.begin();
        match self.header.version {
            FormatVersion::V1 => self.append_v1(message)?,
            FormatVersion::V2 => self.append_v2(message)?,
        }
        self.records += 1;
        self.next_sequence = sequence + 1;
        self.leaves.clear();
        if self.buffer.len() >= BUFFER_BYTES {
            self.write_buffer()?;
        }
        Ok(&self.leaves)
    }

    /// Writes what waits in the buffer, and answers the leaves that were hashed now.
    pub fn write_through(&mut self) -> Result<&[(u64, Digest)], WriteError> {
        self.leaves.clear();
        self.write_buffer()?;
        Ok(&self.leaves)
    }

    fn append_v1(&mut self, message: &StoredMessage) -> Result<(), WriteError> {
        let from = self.buffer.len();
        let time = match record_v1::write(&message.payload, &mut self.buffer) {
            Ok(time) => time,
            Err(reason) => {
                self.buffer.truncate(from);
                return Err(WriteError::NotInVersion1 { sequence: message.sequence, reason });
            }
        };
        self.end_line(from, message.sequence).map_err(|error| match error {
            WriteError::LineTooLong { sequence, line_bytes, max_bytes } => WriteError::NotInVersion1 {
                sequence,
                reason: format!("its line would have {line_bytes} bytes, more than {max_bytes}"),
            },
            other => other,
        })?;
        if let Some(time) = time.and_then(|time| time.exact()) {
            widen(&mut self.time_range, time);
        }
        Ok(())
    }

    fn append_v2(&mut self, message: &StoredMessage) -> Result<(), WriteError> {
        let from = self.buffer.len();
        let tenant = record_v2::write(message, Lines::Exact, &mut self.buffer, &mut self.scratch);
        self.end_line(from, message.sequence)?;
        let span = from..self.buffer.len() - 1;
        self.lines.push(Line { sequence: message.sequence, span, tenant: tenant.unwrap_or_default() });
        widen(&mut self.time_range, message.stored_at);
        Ok(())
    }

    /// Ends the line that began at `from`; one that is too long is taken back.
    fn end_line(&mut self, from: usize, sequence: u64) -> Result<(), WriteError> {
        self.buffer.push(b'\n');
        let line_bytes = self.buffer.len() - from;
        let max_bytes = self.header.version.max_line_bytes();
        if line_bytes > max_bytes {
            self.buffer.truncate(from);
            return Err(WriteError::LineTooLong { sequence, line_bytes, max_bytes });
        }
        Ok(())
    }

    /// Writes the trailer, flushes, and gives the output back.
    pub fn finish(mut self) -> Result<(W, Summary), WriteError> {
        if self.records == 0 && self.header.version == FormatVersion::V2 {
            self.header.first_sequence = self.header.event_cut_sequence + 1;
        }
        self.begin();
        self.write_buffer()?;
        let sha256 = Digest(std::mem::take(&mut self.checksum).finish());
        let mut summary = self.summary(sha256);
        match self.header.version {
            FormatVersion::V1 => self.push_trailer_v1(sha256),
            FormatVersion::V2 => self.push_trailer_v2(&mut summary),
        }
        self.buffer.push(b'\n');
        self.out.write_all(&self.buffer)?;
        self.out.flush()?;
        summary.len_bytes += self.buffer.len() as u64;
        Ok((self.out, summary))
    }

    fn summary(&self, sha256: Digest) -> Summary {
        Summary {
            header: self.header.clone(),
            sha256,
            records: self.records,
            content: None,
            blocks: None,
            tenants: None,
            keyed: self.key.is_some(),
            authenticated: self.key.is_some(),
            time_range: self.time_range,
            len_bytes: self.len_bytes,
        }
    }

    fn push_trailer_v1(&mut self, sha256: Digest) {
        let mac = self.mac_v1.take().map(|mac| finish_mac(mac).to_string());
        let trailer = TrailerV1 {
            sha256: sha256.to_string(),
            hmac_sha256: mac.unwrap_or_default(),
            records: self.records,
            event_cut_sequence: self.header.event_cut_sequence,
        };
        trailer.write(&mut self.buffer);
    }

    fn push_trailer_v2(&mut self, summary: &mut Summary) {
        let cut = self.header.event_cut_sequence;
        let content = self.fold.content_through(cut);
        let tenants = std::mem::take(&mut self.tenants).heads();
        let gap_ranges = self.fold.gap_ranges_through(cut);
        let (stated, key) = (tenants.as_deref(), self.key.as_ref());
        TrailerV2::write(summary.sha256, &content, gap_ranges, stated, key, &mut self.buffer);
        summary.content = Some(content);
        summary.blocks = Some(self.fold.blocks());
        summary.tenants = tenants.map(|tenants| tenants.len() as u64);
    }

    fn begin(&mut self) {
        if !self.begun {
            self.begun = true;
            self.header.write(&mut self.buffer);
            self.buffer.push(b'\n');
        }
    }

    fn write_buffer(&mut self) -> Result<(), WriteError> {
        self.hash_buffer();
        if let Some(mac) = &mut self.mac_v1 {
            mac.update(&self.buffer);
        }
        self.out.write_all(&self.buffer)?;
        self.len_bytes += self.buffer.len() as u64;
        self.buffer.clear();
        self.buffer.shrink_to(4 * BUFFER_BYTES);
        Ok(())
    }

    fn hash_buffer(&mut self) {
        let lines = self.lines.iter().map(|line| &self.buffer[line.span.clone()]);
        merkle::leaf_hashes_beside(&mut self.checksum, &self.buffer, lines, &mut self.digests);
        for (line, &leaf) in self.lines.drain(..).zip(&self.digests) {
            self.fold.push(line.sequence, leaf);
            self.tenants.push(&self.buffer[line.tenant], leaf);
            self.leaves.push((line.sequence, leaf));
        }
    }
}

/// Widens a range so that it holds `time`.
pub(crate) fn widen(range: &mut Option<(StoreTime, StoreTime)>, time: StoreTime) {
    *range = match *range {
        None => Some((time, time)),
        Some((earliest, latest)) => Some((earliest.min(time), latest.max(time))),
    };
}

//! The second pass: hands out the messages of a verified backup.
//!
//! Every byte is read again from the same open file and hashed again, by a thread of its own; only when the end has given
//! the digest of the first pass does [`Messages::next`] answer `None`.

use std::io::{Read, Seek};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::blocks::Block;
use super::lines::{LineReader, Piece};
use super::record_v1::{Numbering, RecordV1};
use super::record_v2::RecordV2;
use super::verify::{Verified, text, unreadable, unreadable_at, without_cr};
use super::{FormatVersion, verify};
use crate::container::{self, Plain};
use crate::{Digest, Failure, StoredMessage};

/// Blocks that may wait to be hashed.
const QUEUED_BLOCKS: usize = 16;

/// The second pass: hands out messages, re-hashes every byte, and fails at the end when the digest is another one
/// than the first pass saw. Until [`Messages::next`] has answered `None`, nothing may be made final.
pub struct Messages<'a, S: Read> {
    reader: LineReader<Plain<&'a mut S>>,
    version: FormatVersion,
    numbering: Numbering,
    /// Last sequence of the chosen part.
    last: u64,
    expected: Digest,
    hashing: Option<Hashing>,
    lines: Lines,
    stopped: Arc<AtomicBool>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Messages follow.
    Reading,
    /// The chosen part has ended; the rest of the file is hashed.
    Draining,
    /// The digest was compared.
    Finished,
}

/// The lines of a block that were not handed out yet.
#[derive(Default)]
struct Lines {
    block: Option<Arc<Block>>,
    at: usize,
    /// Lines of the file that were handed out, the header's counted.
    count: u64,
}

struct Hashing {
    blocks: SyncSender<Arc<Block>>,
    thread: JoinHandle<Digest>,
}

impl<'a, S: Read + Seek + Send> Messages<'a, S> {
    pub(super) fn begin(verified: &'a mut Verified<S>) -> Result<Self, Failure> {
        let Verified { source, pass } = verified;
        let summary = &pass.summary;
        let version = summary.header.version;
        source.rewind().map_err(|error| unreadable(&error))?;
        let (_, plain) = container::open(source, &pass.reopen).map_err(|failure| failure.at(1, 0))?;
        let mut reader = LineReader::new(plain, version.max_line_bytes());
        let hashing = Hashing::start(version);
        hashing.add(&Arc::new(reader.first_line().map_err(|error| unreadable_at(&error, &reader, 0))?));
        Ok(Self {
            reader,
            version,
            numbering: Numbering::new(),
            last: pass.part_last,
            expected: summary.sha256,
            hashing: Some(hashing),
            lines: Lines { count: 1, ..Lines::default() },
            stopped: Arc::default(),
            state: State::Reading,
        })
    }

    /// Soon after `stopped` was set, the pass ends with `interrupted`, also while the rest of the file is hashed.
    #[must_use]
    pub fn stopped_by(self, stopped: Arc<AtomicBool>) -> Self {
        Self { stopped, ..self }
    }

    /// The next message; `None` after the whole file was read again and gave the same digest.
    ///
    /// # Errors
    /// `damaged` when the file is not the one that was verified; what a source that cannot be read gives; `interrupted`
    /// after a stop.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<StoredMessage>, Failure> {
        while self.state != State::Finished {
            if self.state == State::Reading
                && let Some((block, span)) = self.lines.next()
            {
                match self.message(&block, span)? {
                    Some(message) => return Ok(Some(message)),
                    None => {
                        self.state = State::Draining;
                        // A block held on to would leave a long line's successors no room in the pool.
                        self.lines.block = None;
                    }
                }
            } else {
                self.read_on()?;
            }
        }
        Ok(None)
    }

    /// The message of a line; `None` when it lies behind the chosen part.
    fn message(&mut self, block: &Block, span: Range<usize>) -> Result<Option<StoredMessage>, Failure> {
        let offset = block.offset + span.start as u64;
        let line = &block[span];
        let message = match self.version {
            FormatVersion::V1 if self.numbering.next_sequence() > self.last => return Ok(None),
            FormatVersion::V1 => {
                RecordV1::read(without_cr(line)).ok().map(|record| self.numbering.message(&record))
            }
            FormatVersion::V2 => {
                let text = simdutf8::basic::from_utf8(line).ok();
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
                Err(text::no_message(self.numbering.next_sequence(), expected).at(self.lines.count, offset))
            }
            None => Err(text::changed_between_passes(Some(self.lines.count), offset)),
        }
    }

    /// Reads the next block, or finds the end and compares the digest.
    fn read_on(&mut self) -> Result<(), Failure> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(text::stopped_in_second_pass());
        }
        let hashing = self.hashing.as_ref().expect("the digest is taken at the end only");
        let piece = self.reader.next_piece();
        let reached = self.reader.reached().0;
        match piece.map_err(|error| unreadable(&error).at_offset(reached))? {
            Piece::Lines(block) => {
                let block = Arc::new(block);
                hashing.add(&block);
                if self.state == State::Reading {
                    self.lines = Lines { block: Some(block), at: 0, count: self.lines.count };
                }
            }
            Piece::Fragment(_) | Piece::EndOfOverlong(..) => {
                return Err(text::changed_between_passes(None, reached));
            }
            Piece::Last(_) => {
                let digest = self.hashing.take().map(Hashing::finish);
                if digest != Some(self.expected) {
                    return Err(text::changed_between_passes(None, reached));
                }
                self.state = State::Finished;
            }
        }
        Ok(())
    }
}

impl Lines {
    /// The next line, without its newline.
    fn next(&mut self) -> Option<(Arc<Block>, Range<usize>)> {
        let block = self.block.as_ref()?;
        match memchr::memchr(b'\n', &block[self.at..]) {
            Some(len) => {
                let span = self.at..self.at + len;
                self.at = span.end + 1;
                self.count += 1;
                Some((Arc::clone(block), span))
            }
            None => {
                self.block = None;
                None
            }
        }
    }
}

impl Hashing {
    fn start(version: FormatVersion) -> Self {
        let (blocks, received) = sync_channel(QUEUED_BLOCKS);
        Self { blocks, thread: std::thread::spawn(move || verify::sha256(version, received)) }
    }

    /// A send fails only when the thread panicked, which the end tells.
    fn add(&self, block: &Arc<Block>) {
        let _ = self.blocks.send(Arc::clone(block));
    }

    fn finish(self) -> Digest {
        drop(self.blocks);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

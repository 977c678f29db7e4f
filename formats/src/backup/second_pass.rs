//! The lines of a verified backup, read again from the same open file and hashed again, by a thread of its own.
//!
//! Only when the end has given the digest of the first pass does [`SecondPass::next_line`] answer `None`.

use std::io::{Read, Seek};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::blocks::Block;
use super::lines::{LineReader, Piece};
use super::verify::{Verified, text, unreadable, unreadable_at};
use super::{FormatVersion, verify};
use crate::container::{self, Plain};
use crate::{Digest, Failure};

/// Blocks that may wait to be hashed.
const QUEUED_BLOCKS: usize = 16;

/// A pass over the record lines of a verified file.
pub(super) struct SecondPass<'a, S: Read> {
    reader: LineReader<Plain<&'a mut S>>,
    version: FormatVersion,
    expected: Digest,
    hashing: Option<Hashing>,
    lines: Lines,
    stopped: Arc<AtomicBool>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Lines are handed out.
    Reading,
    /// No more lines are wanted; the rest of the file is hashed.
    Draining,
    /// The digest was compared.
    Finished,
}

/// A record line.
pub(super) struct Line {
    block: Arc<Block>,
    span: Range<usize>,
    /// Its number in the file, from 1; the header is the first.
    pub(super) number: u64,
}

impl Line {
    /// Its bytes, without newline.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.block[self.span.clone()]
    }

    /// Where it begins in the plain stream.
    pub(super) fn offset(&self) -> u64 {
        self.block.offset + self.span.start as u64
    }
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

impl<'a, S: Read + Seek + Send> SecondPass<'a, S> {
    pub(super) fn begin(verified: &'a mut Verified<S>) -> Result<Self, Failure> {
        let Verified { source, pass } = verified;
        let version = pass.summary.header.version;
        source.rewind().map_err(|error| unreadable(&error))?;
        let (_, plain) = container::open(source, &pass.reopen).map_err(|failure| failure.at(1, 0))?;
        let mut reader = LineReader::new(plain, version.max_line_bytes());
        let hashing = Hashing::start(version);
        hashing.add(&Arc::new(reader.first_line().map_err(|error| unreadable_at(&error, &reader, 0))?));
        Ok(Self {
            reader,
            version,
            expected: pass.summary.sha256,
            hashing: Some(hashing),
            lines: Lines { count: 1, ..Lines::default() },
            stopped: Arc::default(),
            state: State::Reading,
        })
    }

    pub(super) fn version(&self) -> FormatVersion {
        self.version
    }

    /// Soon after `stopped` was set, the pass ends with `interrupted`, also while the rest of the file is hashed.
    pub(super) fn stop_by(&mut self, stopped: Arc<AtomicBool>) {
        self.stopped = stopped;
    }

    /// No further line is wanted: what follows is hashed only.
    pub(super) fn skip_rest(&mut self) {
        self.state = State::Draining;
        // A block held on to would leave a long line's successors no room in the pool.
        self.lines.block = None;
    }

    /// The next line; `None` after the whole file was read again and gave the same digest.
    ///
    /// # Errors
    /// `damaged` when the file is not the one that was verified; what a source that cannot be read gives; `interrupted`
    /// after a stop.
    pub(super) fn next_line(&mut self) -> Result<Option<Line>, Failure> {
        while self.state != State::Finished {
            if self.state == State::Reading
                && let Some(line) = self.lines.next()
            {
                return Ok(Some(line));
            }
            self.read_on()?;
        }
        Ok(None)
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
    fn next(&mut self) -> Option<Line> {
        let block = self.block.as_ref()?;
        match memchr::memchr(b'\n', &block[self.at..]) {
            Some(len) => {
                let span = self.at..self.at + len;
                self.at = span.end + 1;
                self.count += 1;
                Some(Line { block: Arc::clone(block), span, number: self.count })
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

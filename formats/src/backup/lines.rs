//! Cuts a plain stream into blocks of whole lines, and keeps the last line apart: it is the trailer.
//!
//! That a line was the last is known only at the end, so the reader always holds back the last line it has begun. A
//! line over the limit is handed out in pieces: it still belongs to the checksum.

use std::io::{self, Read};
use std::sync::Arc;

use super::blocks::{Block, Buffer, Pool};

/// First bytes of a line over the limit that are kept, to see what it is.
const PREFIX_BYTES: usize = 64;

/// Reads blocks of lines.
pub(crate) struct LineReader<R> {
    source: R,
    pool: Arc<Pool>,
    buffer: Option<Buffer>,
    /// Where the buffer's first byte lies in the stream.
    offset: u64,
    max_line_bytes: usize,
    at_end: bool,
    /// Begin of the line over the limit of which the buffer holds the rest.
    overlong: Option<Overlong>,
}

/// A line over the limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Overlong {
    /// Where it begins.
    pub(crate) offset: u64,
    /// Its first bytes.
    pub(crate) prefix: Vec<u8>,
}

/// What comes next in a stream.
pub(crate) enum Piece {
    /// Whole lines, each with its newline; not the last line of the stream.
    Lines(Block),
    /// A part of a line over the limit, which goes on.
    Fragment(Block),
    /// The end of a line over the limit; another line follows.
    EndOfOverlong(Block, Overlong),
    /// The last line; the stream ended after it.
    Last(LastLine),
}

/// The last line of a stream.
pub(crate) enum LastLine {
    /// There is no line but those handed out.
    Nothing,
    /// It, with its newline if it has one.
    Whole(Block),
    /// It is over the limit.
    Overlong {
        /// How it begins.
        line: Overlong,
        /// Whether it ends with a newline.
        terminated: bool,
    },
}

impl<R: Read> LineReader<R> {
    /// Begins at the first byte, with a limit on the length of a line, newline included.
    pub(crate) fn new(source: R, max_line_bytes: usize) -> Self {
        let pool = Arc::new(Pool::default());
        Self { source, pool, buffer: None, offset: 0, max_line_bytes, at_end: false, overlong: None }
    }

    /// Whether nothing follows what was handed out.
    pub(crate) fn is_at_end(&self) -> bool {
        self.at_end && self.buffer.as_ref().is_none_or(|buffer| buffer.is_empty())
    }

    /// How far the stream was read, and how many newlines are among the bytes that were not handed out.
    pub(crate) fn reached(&self) -> (u64, u64) {
        let waiting = self.buffer.as_deref().unwrap_or_default();
        (self.offset + waiting.len() as u64, memchr::memchr_iter(b'\n', waiting).count() as u64)
    }

    /// Sets another limit for the lines that follow.
    pub(crate) fn set_max_line_bytes(&mut self, max_line_bytes: usize) {
        self.max_line_bytes = max_line_bytes;
    }

    /// Reads the first line: with its newline, or without when the stream ends in it, or as much of it as the limit
    /// and one byte.
    pub(crate) fn first_line(&mut self) -> io::Result<Block> {
        let mut searched = 0;
        loop {
            self.fill()?;
            let buffer = self.buffer.as_ref().expect("fill made a buffer");
            let newline = memchr::memchr(b'\n', &buffer[searched..]).map(|at| searched + at + 1);
            searched = buffer.len();
            if newline.is_some() || self.at_end || searched > self.max_line_bytes {
                let end = newline.unwrap_or(searched);
                return Ok(self.split(end));
            }
            self.grow();
        }
    }

    /// The next piece. Not to be called again after [`Piece::Last`].
    pub(crate) fn next_piece(&mut self) -> io::Result<Piece> {
        loop {
            self.fill()?;
            if self.overlong.is_some() {
                return Ok(self.continue_overlong());
            }
            let buffer = self.buffer.as_ref().expect("fill made a buffer");
            let len = buffer.len();
            let last_begins = memchr::memrchr(b'\n', &buffer[..len.saturating_sub(1)]).map_or(0, |at| at + 1);
            if last_begins > 0 {
                return Ok(Piece::Lines(self.split(last_begins)));
            }
            if len > self.max_line_bytes {
                self.begin_overlong();
            } else if self.at_end {
                return Ok(Piece::Last(self.last_line()));
            } else {
                self.grow();
            }
        }
    }

    fn last_line(&mut self) -> LastLine {
        let len = self.buffer.as_ref().map_or(0, |buffer| buffer.len());
        if len == 0 { LastLine::Nothing } else { LastLine::Whole(self.split(len)) }
    }

    fn begin_overlong(&mut self) {
        let buffer = self.buffer.as_ref().expect("there is a buffer with a long line");
        let prefix = buffer[..PREFIX_BYTES.min(buffer.len())].to_vec();
        self.overlong = Some(Overlong { offset: self.offset, prefix });
    }

    /// Hands out what the buffer holds of the line over the limit.
    fn continue_overlong(&mut self) -> Piece {
        let buffer = self.buffer.as_ref().expect("fill made a buffer");
        let len = buffer.len();
        match memchr::memchr(b'\n', buffer) {
            Some(at) if at + 1 < len => {
                let block = self.split(at + 1);
                Piece::EndOfOverlong(block, self.take_overlong())
            }
            newline if self.at_end => {
                let terminated = newline.is_some();
                Piece::Last(LastLine::Overlong { line: self.take_overlong(), terminated })
            }
            // Whether a line follows is not known yet: the newline waits for the next bytes.
            Some(at) => Piece::Fragment(self.split(at)),
            None => Piece::Fragment(self.split(len)),
        }
    }

    fn take_overlong(&mut self) -> Overlong {
        self.overlong.take().expect("this is called inside such a line")
    }

    /// Takes the first `end` bytes out; the rest moves to a new buffer.
    fn split(&mut self, end: usize) -> Block {
        let full = self.buffer.take().expect("there is a buffer to split");
        let rest = &full[end..];
        let mut next = Buffer::take(&self.pool, rest.len() + 1, full.capacity());
        next.push(rest);
        self.buffer = Some(next);
        let offset = self.offset;
        self.offset += end as u64;
        full.into_block(end, offset)
    }

    fn grow(&mut self) {
        let limit = self.max_line_bytes.saturating_add(1);
        self.buffer.as_mut().expect("there is a buffer to grow").grow(limit);
    }

    /// Fills the buffer, or finds the end of the stream.
    fn fill(&mut self) -> io::Result<()> {
        let buffer = self.buffer.get_or_insert_with(|| Buffer::take(&self.pool, 1, 0));
        while !self.at_end && !buffer.room().is_empty() {
            match self.source.read(buffer.room()) {
                Ok(0) => self.at_end = true,
                Ok(len) => buffer.advance(len),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads everything; each piece as text with a letter for its kind.
    fn pieces(text: &str, max_line_bytes: usize) -> Vec<String> {
        let mut reader = LineReader::new(text.as_bytes(), max_line_bytes);
        let first = reader.first_line().unwrap();
        let mut pieces = vec![format!("H{}", String::from_utf8_lossy(&first))];
        loop {
            let (kind, bytes) = match reader.next_piece().unwrap() {
                Piece::Lines(block) => ('L', block.to_vec()),
                Piece::Fragment(block) => ('F', block.to_vec()),
                Piece::EndOfOverlong(block, _) => ('E', block.to_vec()),
                Piece::Last(LastLine::Whole(block)) => ('T', block.to_vec()),
                Piece::Last(LastLine::Nothing) => ('N', vec![]),
                Piece::Last(LastLine::Overlong { line, .. }) => ('O', line.prefix),
            };
            pieces.push(format!("{kind}{}", String::from_utf8_lossy(&bytes)));
            if matches!(kind, 'T' | 'N' | 'O') {
                return pieces;
            }
        }
    }

    #[test]
    fn first_and_last_line_are_kept_apart() {
        assert_eq!(pieces("", 9), ["H", "N"]);
        assert_eq!(pieces("h", 9), ["Hh", "N"]);
        assert_eq!(pieces("h\n", 9), ["Hh\n", "N"]);
        assert_eq!(pieces("h\nt", 9), ["Hh\n", "Tt"]);
        assert_eq!(pieces("h\nt\n", 9), ["Hh\n", "Tt\n"]);
        assert_eq!(pieces("h\na\nb\nt\n", 9), ["Hh\n", "La\nb\n", "Tt\n"]);
        assert_eq!(pieces("h\na\n\n", 9), ["Hh\n", "La\n", "T\n"]);
    }

    #[test]
    fn lines_longer_than_a_buffer_stay_whole_and_lines_over_the_limit_are_cut() {
        let long = "x".repeat(3 * super::super::blocks::BLOCK_BYTES);
        assert_eq!(
            pieces(&format!("h\n{long}\nt\n"), long.len() + 1),
            ["Hh\n", &format!("L{long}\n"), "Tt\n"]
        );
        assert_eq!(pieces(&format!("h\nt{long}\n"), long.len() + 2), ["Hh\n", &format!("Tt{long}\n")]);
        assert_eq!(pieces(&format!("h\nt{long}\n"), long.len())[1].as_bytes()[0], b'F');
        let cut = pieces(&format!("h\n{long}\nt\n"), long.len());
        let (last, fragments) = cut[1..].split_last().unwrap();
        let kinds: String = fragments.iter().map(|piece| &piece[..1]).collect();
        assert!(kinds.trim_start_matches('F') == "E", "{kinds}");
        assert_eq!(fragments.iter().map(|piece| &piece[1..]).collect::<String>(), format!("{long}\n"));
        assert_eq!(last, "Tt\n");
        let cut = pieces(&format!("h\n{long}"), long.len() - 1);
        assert_eq!(cut.last().unwrap(), &format!("O{}", &long[..PREFIX_BYTES]));
    }

    #[test]
    fn offsets_are_those_of_the_stream() {
        let text = format!("h\n{}t\n", "abc\n".repeat(200_000));
        let mut reader = LineReader::new(text.as_bytes(), 100);
        let mut offset = reader.first_line().unwrap().len() as u64;
        loop {
            let (block, last) = match reader.next_piece().unwrap() {
                Piece::Lines(block) => (block, false),
                Piece::Last(LastLine::Whole(block)) => (block, true),
                _ => panic!("there is no long line"),
            };
            assert_eq!(block.offset, offset);
            offset += block.len() as u64;
            if last {
                break;
            }
        }
        assert_eq!(offset, text.len() as u64);
    }
}

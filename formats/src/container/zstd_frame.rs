//! One zstd frame: window of at most 8 MiB, content checksum, no dictionary, nothing before it and nothing after it.
//!
//! These rules are read from the frame's header (RFC 8878, 3.1.1.1) before a decoder sees it. The decoder then needs no
//! more memory than the window, however much a small file expands to.

use std::io::{self, Read, Write};

use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, get_error_name};

use super::{ContainerFault, FaultKind, not_a_backup};
use crate::Failure;

/// How a frame begins.
pub const MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Largest window that a reader has to hold.
const MAX_WINDOW_BYTES: u64 = 1 << MAX_WINDOW_LOG;
const MAX_WINDOW_LOG: u32 = 23;

/// Level and window of what we write: a good half of what higher levels gain, at the speed of a disk, in 2 MiB.
const LEVEL: i32 = 3;
const WINDOW_LOG: u32 = 21;

/// Bytes read from the source at a time.
const INPUT_BYTES: usize = 128 << 10;

/// Whether the bytes begin a skippable frame, which holds no data and which readers jump over.
pub fn is_skippable(first: &[u8]) -> bool {
    matches!(first, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// Checks the rules above that a frame's header decides; `first` holds the whole header, or the whole file.
///
/// # Errors
/// `not_a_backup` for a frame that no backup has, `truncated` when the header is cut off.
pub fn check_header(first: &[u8]) -> Result<(), Failure> {
    let header = Header::parse(first)
        .ok_or_else(|| ContainerFault::new(FaultKind::Truncated, "The zstd frame ends inside its header"))?;
    if header.has_reserved_bit {
        return Err(ContainerFault::new(FaultKind::Damaged, "The header of the zstd frame is damaged").into());
    }
    if header.window_bytes > MAX_WINDOW_BYTES {
        let what = format!(
            "a zstd frame that needs a window of {} bytes, more than {MAX_WINDOW_BYTES}",
            header.window_bytes
        );
        return Err(not_a_backup(&what));
    }
    if header.has_dictionary {
        return Err(not_a_backup("a zstd frame that needs a dictionary"));
    }
    if !header.has_checksum {
        return Err(not_a_backup("a zstd frame without a content checksum"));
    }
    Ok(())
}

/// The header of a frame, as far as the rules need it.
struct Header {
    window_bytes: u64,
    has_checksum: bool,
    has_dictionary: bool,
    has_reserved_bit: bool,
}

impl Header {
    /// `None` when the bytes end inside the header.
    fn parse(first: &[u8]) -> Option<Self> {
        let (&descriptor, mut rest) = first.get(MAGIC.len()..)?.split_first()?;
        let is_single_segment = descriptor & 0x20 != 0;
        let window = if is_single_segment { None } else { Some(take(&mut rest, 1)?) };
        let dictionary = take(&mut rest, [0, 1, 2, 4][usize::from(descriptor & 0x03)])?;
        let content_len = match descriptor >> 6 {
            0 => usize::from(is_single_segment),
            flag => 1 << flag,
        };
        let content = take(&mut rest, content_len)?;
        Some(Self {
            // A single segment is its own window. Its two-byte length counts from 256; as an upper bound 65,791 is as good.
            window_bytes: window.map_or(content, window_bytes),
            has_checksum: descriptor & 0x04 != 0,
            has_dictionary: dictionary != 0,
            has_reserved_bit: descriptor & 0x08 != 0,
        })
    }
}

/// The next `len` bytes as a little-endian number.
fn take(rest: &mut &[u8], len: usize) -> Option<u64> {
    let (bytes, tail) = rest.split_at_checked(len)?;
    *rest = tail;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// Size of a window from its descriptor: five bits of exponent, three of mantissa.
fn window_bytes(descriptor: u64) -> u64 {
    let base = 1u64 << (10 + (descriptor >> 3));
    base + base / 8 * (descriptor & 7)
}

/// Reads the content of one frame, and fails unless the source ends with it.
pub struct FrameReader<R> {
    source: R,
    decoder: DCtx<'static>,
    input: Box<[u8]>,
    /// What of `input` was read and not yet decoded.
    unread: std::ops::Range<usize>,
    state: State,
}

enum State {
    Inside,
    /// The frame is complete; what follows was not looked at.
    Complete,
    Ended,
    Failed(ContainerFault),
}

impl<R: Read> FrameReader<R> {
    /// A reader of a source whose header passed [`check_header`].
    pub fn new(source: R) -> Self {
        let mut decoder = DCtx::create();
        decoder
            .set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG))
            .expect("23 lies within the limits of every zstd");
        let input = vec![0; INPUT_BYTES].into_boxed_slice();
        Self { source, decoder, input, unread: 0..0, state: State::Inside }
    }

    /// Memory that the reader holds.
    #[cfg(test)]
    pub fn memory_bytes(&self) -> usize {
        self.decoder.sizeof() + self.input.len()
    }

    fn fill(&mut self) -> io::Result<usize> {
        let len = loop {
            match self.source.read(&mut self.input) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.unread = 0..len;
        Ok(len)
    }

    /// Decodes what was read so far; the number of bytes put into `buf`.
    fn decode(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut output = OutBuffer::around(buf);
        let mut input = InBuffer::around(&self.input[self.unread.clone()]);
        let result = self.decoder.decompress_stream(&mut output, &mut input);
        self.unread.start += input.pos();
        match result {
            Ok(0) => self.state = State::Complete,
            Ok(_) => {}
            Err(code) => {
                let reason = format!("The zstd frame is damaged ({})", get_error_name(code).to_lowercase());
                return Err(self.fail(FaultKind::Damaged, reason));
            }
        }
        Ok(output.pos())
    }

    fn inside(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let len = self.decode(buf)?;
            if len > 0 {
                return Ok(len);
            }
            if let State::Complete = self.state {
                return self.end();
            }
            if self.unread.is_empty() && self.fill()? == 0 {
                return Err(self.fail(FaultKind::Truncated, "The file ends inside its zstd frame"));
            }
        }
    }

    /// The end of the content, if the source ends here too. Only so is an encrypted source authenticated to its end.
    fn end(&mut self) -> io::Result<usize> {
        if !self.unread.is_empty() || self.fill()? > 0 {
            let reason = if is_skippable(&self.input[self.unread.clone()]) {
                "A skippable frame follows the zstd frame"
            } else {
                "Something follows the zstd frame"
            };
            return Err(self.fail(FaultKind::Trailing, reason));
        }
        self.state = State::Ended;
        Ok(0)
    }

    fn fail(&mut self, kind: FaultKind, reason: impl Into<String>) -> io::Error {
        let fault = ContainerFault::new(kind, reason);
        self.state = State::Failed(fault.clone());
        fault.into()
    }
}

impl<R: Read> Read for FrameReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        match &self.state {
            State::Inside => self.inside(buf),
            State::Complete => self.end(),
            State::Ended => Ok(0),
            State::Failed(fault) => Err(fault.clone().into()),
        }
    }
}

/// Writes one frame that [`FrameReader`] accepts.
pub struct FrameWriter<W: Write>(zstd::Encoder<'static, W>);

impl<W: Write> FrameWriter<W> {
    pub fn new(out: W) -> io::Result<Self> {
        let mut encoder = zstd::Encoder::new(out, LEVEL)?;
        encoder.include_checksum(true)?;
        encoder.window_log(WINDOW_LOG)?;
        Ok(Self(encoder))
    }

    pub fn finish(self) -> io::Result<W> {
        self.0.finish()
    }
}

impl<W: Write> Write for FrameWriter<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

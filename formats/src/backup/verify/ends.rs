//! The two ends of a file: what the header and the trailer alone decide (steps 1 to 4 of the verdict).

use std::io::{self, Read, Seek, SeekFrom};

use super::facts::{LineFault, without_cr};
use super::options::{Allow, Purpose, VerifyOptions};
use super::text;
use hmac::Mac as _;

use crate::Failure;
use crate::backup::header::HEADER_TAG;
use crate::backup::key::mac_is;
use crate::backup::lines::{LastLine, LineReader, Overlong};
use crate::backup::trailer::{self, TRAILER_TAG, TrailerV1, TrailerV2};
use crate::backup::{FormatVersion, Header};
use crate::container::Container;

/// A trailer that was read.
#[derive(Debug)]
pub(crate) enum Trailer {
    V1(TrailerV1),
    V2(TrailerV2),
}

/// What is known about who wrote a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// There is no MAC.
    Unkeyed,
    /// There is a MAC, which nobody here can check.
    NotChecked,
    /// There is a MAC, and this host's key to check it.
    Keyed,
}

impl Trailer {
    fn is_keyed(&self) -> bool {
        match self {
            Trailer::V1(trailer) => !trailer.hmac_sha256.is_empty(),
            Trailer::V2(trailer) => trailer.authentication.is_some(),
        }
    }
}

/// Step 1: the first line, with its newline if it has one.
pub(crate) fn read_header(first: &[u8], ends_here: bool) -> Result<Header, Failure> {
    if !first.starts_with(HEADER_TAG) {
        return Err(text::no_header(first));
    }
    let line = match first.strip_suffix(b"\n") {
        Some(line) => line,
        None if ends_here => return Err(text::ends_in_header(first.len() as u64)),
        None => first,
    };
    Header::read(line).map_err(|fault| text::header(fault.class, &LineFault::of(fault.fault, line, 1, 0)))
}

/// The last line, as far as it is known.
pub(crate) struct LastText<'a> {
    /// Its bytes without newline; of a line over the limit the first ones.
    pub(crate) bytes: &'a [u8],
    /// Whether a newline ends it.
    pub(crate) terminated: bool,
    /// Whether it is over the limit.
    pub(crate) overlong: bool,
    /// Where it begins in the stream.
    pub(crate) offset: u64,
    /// Its number, when the lines before it were counted.
    pub(crate) line: Option<u64>,
}

impl<'a> LastText<'a> {
    /// The last line of a stream that was read through; `header` is the first line, if it is the last one too.
    pub(crate) fn of(last: &'a LastLine, line: u64) -> Option<Self> {
        match last {
            LastLine::Nothing => None,
            LastLine::Whole(block) => Some(Self::whole(block, block.offset, Some(line))),
            LastLine::Overlong { line: Overlong { offset, prefix }, terminated } => Some(Self {
                bytes: prefix,
                terminated: *terminated,
                overlong: true,
                offset: *offset,
                line: Some(line),
            }),
        }
    }

    fn whole(text: &'a [u8], offset: u64, line: Option<u64>) -> Self {
        let bytes = text.strip_suffix(b"\n").unwrap_or(text);
        Self { bytes, terminated: bytes.len() < text.len(), overlong: false, offset, line }
    }
}

/// Step 2: the last line.
pub(crate) fn read_trailer(version: FormatVersion, last: &LastText<'_>) -> Result<Trailer, Failure> {
    let bytes = match version {
        FormatVersion::V1 => without_cr(last.bytes),
        FormatVersion::V2 => last.bytes,
    };
    let is_whole =
        last.terminated || (version == FormatVersion::V1 && !last.overlong && trailer::is_object(bytes));
    if !is_whole {
        return Err(text::ends_in_line(last));
    }
    if last.overlong && bytes.starts_with(TRAILER_TAG) {
        return Err(text::trailer_over_limit(last, version));
    }
    if last.overlong || !trailer::is_tagged(bytes, version) {
        return Err(text::no_trailer(last));
    }
    let trailer = match version {
        FormatVersion::V1 => TrailerV1::read(bytes).map(Trailer::V1),
        FormatVersion::V2 => TrailerV2::read(bytes).map(Trailer::V2),
    };
    trailer.map_err(|fault| text::trailer(last, &LineFault::of(fault, bytes, 0, last.offset)))
}

/// Steps 3 and 4: whether this host may accept the file, and in version 2 whether the trailer's MAC holds.
pub(crate) fn check_key(
    trailer: &Trailer,
    last: &LastText<'_>,
    options: &VerifyOptions<'_>,
) -> Result<Origin, Failure> {
    match (trailer.is_keyed(), options.key) {
        (true, Some(key)) => {
            if let Trailer::V2(TrailerV2 { authentication: Some(found), .. }) = trailer {
                if found.key_id != key.key_id() {
                    return Err(text::wrong_key(last, &found.key_id, &key.key_id()));
                }
                let mac = trailer::mac_of(key, &last.bytes[..found.covered_bytes]);
                if !mac_is(&mac.finalize(), &found.hmac_sha256) {
                    return Err(text::tampered_trailer(last));
                }
            }
            Ok(Origin::Keyed)
        }
        (true, None) if options.unverified_mac == Allow::Yes => Ok(Origin::NotChecked),
        (true, None) => Err(text::key_missing(last, trailer)),
        (false, _) if options.unkeyed == Allow::Yes => Ok(Origin::Unkeyed),
        (false, None) if options.purpose == Purpose::Inspect => Ok(Origin::Unkeyed),
        (false, key) => Err(text::unkeyed(last, key.is_some())),
    }
}

/// Steps 1 to 4 on a plain file, without reading its middle. What else the file is, is left to the pass.
pub(crate) fn look<S: Read + Seek>(source: &mut S, options: &VerifyOptions<'_>) -> Result<Header, Failure> {
    let read = |source: &mut S| -> io::Result<_> {
        let len = source.seek(SeekFrom::End(0))?;
        source.rewind()?;
        let max = FormatVersion::V2.max_line_bytes();
        let first = LineReader::new(&mut *source, max).first_line()?.to_vec();
        Ok((len, first))
    };
    let (len, first) = read(source).map_err(|error| super::unreadable(&error))?;
    let header = read_header(&first, first.len() as u64 == len)?;
    drop(first);
    let max = header.version.max_line_bytes();
    let (last_text, offset, line_bytes) =
        last_line(source, len, max).map_err(|error| super::unreadable(&error))?;
    if offset == 0 {
        return Err(text::no_last_line(len));
    }
    let mut last = LastText::whole(&last_text, offset, None);
    if line_bytes > max as u64 {
        last.overlong = true;
        last.terminated = ends_with_newline(source, len).map_err(|error| super::unreadable(&error))?;
    }
    let trailer = read_trailer(header.version, &last)?;
    check_key(&trailer, &last, options)?;
    Ok(header)
}

/// Whether a container is none, so that both ends can be looked at.
pub(crate) fn can_look(container: Container) -> bool {
    container == Container::Plain
}

fn ends_with_newline<S: Read + Seek>(source: &mut S, len: u64) -> io::Result<bool> {
    Ok(read_at(source, len - 1, 1)? == b"\n")
}

/// The last line of a file of that length with its newline (or the beginning of it, when it is over the limit), where it
/// begins, and its length.
fn last_line<S: Read + Seek>(source: &mut S, len: u64, max: usize) -> io::Result<(Vec<u8>, u64, u64)> {
    const STEP: u64 = 64 << 10;
    let mut end = len - 1; // Whatever the last byte is, it belongs to the last line.
    let mut begin = 0;
    while end > 0 {
        let from = end.saturating_sub(STEP);
        let block = read_at(source, from, end - from)?;
        if let Some(at) = memchr::memrchr(b'\n', &block) {
            begin = from + at as u64 + 1;
            break;
        }
        end = from;
    }
    let line_bytes = len - begin;
    let wanted = if line_bytes > max as u64 { STEP } else { line_bytes };
    Ok((read_at(source, begin, wanted)?, begin, line_bytes))
}

fn read_at<S: Read + Seek>(source: &mut S, offset: u64, len: u64) -> io::Result<Vec<u8>> {
    source.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    source.take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Class;

    #[test]
    fn a_first_line_without_newline_is_truncated_at_the_end_and_else_over_the_limit() {
        let first = [HEADER_TAG, b",\"version\":2,\"created_at\":\"  "].concat();
        let class = |ends_here| read_header(&first, ends_here).unwrap_err().class;
        assert_eq!((class(true), class(false)), (Class::Truncated, Class::Damaged));
    }
}

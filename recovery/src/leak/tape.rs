//! A tar archive as it comes by: a member's name and length, block after block, in bounded memory.
//!
//! Names that are longer than a header holds are taken from the member before (GNU `L`, POSIX `x`), cut where they are longer than any
//! path may be. Every length is what a header says; a POSIX record of another length is not followed, since what it speaks of
//! is searched all the same, as part of the archive.

use std::io::{self, Read};

/// A header, and what members are padded to, in bytes.
pub(super) const BLOCK_BYTES: usize = 512;

/// More of a name is not read, in bytes.
const MAX_NAME_BYTES: u64 = 64 << 10;

/// Where a header states its checksum.
const CHECKSUM: std::ops::Range<usize> = 148..156;

/// Whether this block is the header of a member: its checksum holds.
pub(super) fn is_header(block: &[u8]) -> bool {
    let Some(block) = block.get(..BLOCK_BYTES) else { return false };
    let sum: u64 = block
        .iter()
        .enumerate()
        .map(|(at, byte)| if CHECKSUM.contains(&at) { u64::from(b' ') } else { u64::from(*byte) })
        .sum();
    octal(&block[CHECKSUM]) == Some(sum)
}

/// The archive.
pub(super) struct Tape<R> {
    source: R,
    /// Of the member that is read: what is left of it, and then of its padding.
    left: u64,
    padding: u64,
}

impl<R: Read> Tape<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, left: 0, padding: 0 }
    }

    /// Goes to the next member that has content of its own, and answers its name; `None` at the end.
    ///
    /// # Errors
    /// The source ends inside a member, or where a header should be there is none.
    pub(super) fn next(&mut self) -> io::Result<Option<String>> {
        let mut long_name = None;
        loop {
            self.pass_over()?;
            let mut header = [0; BLOCK_BYTES];
            if !self.fill(&mut header)? {
                return Ok(None);
            }
            // Two of them end an archive, and fill it up; another one may follow.
            if header == [0; BLOCK_BYTES] {
                continue;
            }
            let len = octal_or_binary(&header[124..136]).filter(|_| is_header(&header));
            self.left = len.ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a header of the archive is damaged, or something else follows it",
                )
            })?;
            self.padding = self.left.next_multiple_of(BLOCK_BYTES as u64) - self.left;
            match header[156] {
                b'L' => long_name = Some(printed(until_zero(&self.beginning()?))),
                b'x' => long_name = posix_name(&self.beginning()?).or(long_name),
                // Of all archives, or of a link: neither has content.
                b'g' | b'K' => {}
                _ => return Ok(Some(long_name.unwrap_or_else(|| name(&header)))),
            }
        }
    }

    /// The first bytes of the member.
    fn beginning(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.by_ref().take(MAX_NAME_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn pass_over(&mut self) -> io::Result<()> {
        for part in [self.left, self.padding] {
            let passed = io::copy(&mut self.source.by_ref().take(part), &mut io::sink())?;
            if passed < part {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    /// A whole block, or none at the end.
    fn fill(&mut self, block: &mut [u8]) -> io::Result<bool> {
        let mut bytes = Vec::with_capacity(BLOCK_BYTES);
        self.source.by_ref().take(block.len() as u64).read_to_end(&mut bytes)?;
        if bytes.is_empty() {
            return Ok(false);
        }
        if bytes.len() < block.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        block.copy_from_slice(&bytes);
        Ok(true)
    }
}

/// The content of the member.
impl<R: Read> Read for Tape<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.source.by_ref().take(self.left).read(bytes)?;
        self.left -= read as u64;
        Ok(read)
    }
}

fn name(header: &[u8]) -> String {
    let (name, prefix) = (until_zero(&header[..100]), until_zero(&header[345..500]));
    let has_prefix = header[257..].starts_with(b"ustar\0") && !prefix.is_empty();
    if has_prefix { format!("{}/{}", printed(prefix), printed(name)) } else { printed(name) }
}

/// `path` among records of `LENGTH KEY=VALUE\n`.
fn posix_name(records: &[u8]) -> Option<String> {
    let mut rest = records;
    while let Some(space) = rest.iter().position(|byte| *byte == b' ') {
        let len: usize = std::str::from_utf8(&rest[..space]).ok()?.parse().ok()?;
        let record = rest.get(space + 1..len)?;
        if let Some(path) = record.strip_prefix(b"path=") {
            return Some(printed(path.strip_suffix(b"\n").unwrap_or(path)));
        }
        rest = &rest[len..];
    }
    None
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn printed(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn octal(field: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(field).ok()?.trim_matches(|c| c == ' ' || c == '\0');
    u64::from_str_radix(digits, 8).ok()
}

/// GNU writes a length that is too long for octal digits in binary.
fn octal_or_binary(field: &[u8]) -> Option<u64> {
    match field {
        [0x80, rest @ ..] => {
            let (high, low) = rest.split_at(rest.len() - 8);
            let is_small = high.iter().all(|byte| *byte == 0) && low[0] < 0x80;
            is_small.then(|| low.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
        }
        _ => octal(field),
    }
}

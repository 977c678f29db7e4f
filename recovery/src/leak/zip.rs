//! A zip archive as it comes by: a member's name, method and length, one after the other, in bounded memory (PKWARE APPNOTE 6.3).
//!
//! It is read by its local headers, not by its directory, which stands at the end and is passed over: another archive may follow. A member
//! that was written before its length was known says it behind its content; such a one ends where its deflate stream ends.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::DeflateDecoder;

const MEMBER: [u8; 4] = *b"PK\x03\x04";
const DESCRIPTOR: [u8; 4] = *b"PK\x07\x08";
/// An entry of the directory.
const ENTRY: [u8; 4] = *b"PK\x01\x02";
const SIGNATURE: [u8; 4] = *b"PK\x05\x05";
/// The end of the directory of a large archive, and where that stands.
const LARGE_END: [u8; 4] = *b"PK\x06\x06";
const LARGE_END_AT: [u8; 4] = *b"PK\x06\x07";
const END: [u8; 4] = *b"PK\x05\x06";
/// What stands behind a member that is not another one.
const BEHIND: [[u8; 4]; 3] = [ENTRY, LARGE_END, END];

/// A header behind its signature, without name and extra fields, in bytes.
const HEADER_BYTES: usize = 26;

/// A length that an extra field holds.
const IN_EXTRA_FIELD: u32 = u32::MAX;

/// How the content of a member is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// As it is, or in a form that its own first bytes tell.
    AsItIs,
    Deflated,
    Encrypted,
    /// In a way that is not known here.
    Unknown,
    /// As it is, until nobody knows where.
    Endless,
}

/// The archive.
pub(super) struct Zip<R> {
    source: BufReader<R>,
    /// Bytes of the member that are left; `None` until a deflate stream of unknown length has ended.
    left: Option<u64>,
    /// The member's length stands behind it.
    has_descriptor: bool,
    /// The next signature, when it was read already.
    ahead: Option<[u8; 4]>,
}

impl<R: Read> Zip<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source: BufReader::new(source), left: Some(0), has_descriptor: false, ahead: None }
    }

    /// Goes to the next member, and answers its name and how it is kept; `None` behind the last.
    ///
    /// # Errors
    /// The source ends inside a member, where it ends cannot be told, or where a header should be there is none.
    pub(super) fn next(&mut self) -> io::Result<Option<(String, Kept)>> {
        self.pass_over()?;
        while let Some(signature) = self.signature()? {
            match signature {
                MEMBER => return self.member().map(Some),
                ENTRY => self.pass_record(42, &[24, 26, 28])?,
                END => self.pass_record(18, &[16])?,
                SIGNATURE => self.pass_record(2, &[0])?,
                LARGE_END_AT => self.pass(16)?,
                LARGE_END => {
                    let len = u64::from_le_bytes(self.array()?);
                    self.pass(len)?;
                }
                _ => return Err(damaged("a header of the archive is damaged, or something else follows it")),
            }
        }
        Ok(None)
    }

    fn member(&mut self) -> io::Result<(String, Kept)> {
        let header: [u8; HEADER_BYTES] = self.array()?;
        let two = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let (flags, method) = (two(2), two(4));
        let len = u32::from_le_bytes([header[14], header[15], header[16], header[17]]);
        let name = self.bytes(usize::from(two(22)))?;
        let extra = self.bytes(usize::from(two(24)))?;
        let len = if len == IN_EXTRA_FIELD { long_len(&extra)? } else { u64::from(len) };
        self.has_descriptor = flags & 1 << 3 != 0;
        let is_unknown = self.has_descriptor && len == 0;
        self.left = (!is_unknown).then_some(len);
        let kept = match method {
            _ if flags & 1 != 0 => Kept::Encrypted,
            8 => Kept::Deflated,
            _ if is_unknown => Kept::Endless,
            // Of the others, the content begins with what tells them: bzip2, zstd, xz.
            0 | 12 | 93 | 95 => Kept::AsItIs,
            _ => Kept::Unknown,
        };
        Ok((String::from_utf8_lossy(&name).into_owned(), kept))
    }

    /// What comes out of the member, which is deflated.
    pub(super) fn inflated(&mut self) -> Inflated<'_, R> {
        Inflated(DeflateDecoder::new(self))
    }

    fn pass_over(&mut self) -> io::Result<()> {
        let Some(left) = self.left else {
            return Err(damaged("where a member of the archive ends cannot be told"));
        };
        if io::copy(&mut self.by_ref().take(left), &mut io::sink())? < left {
            return Err(damaged("the archive ends inside a member"));
        }
        self.left = Some(0);
        if std::mem::take(&mut self.has_descriptor) {
            self.pass_descriptor()?;
        }
        Ok(())
    }

    /// Checksum and two lengths, of four bytes each or, in large archives, eight; a signature before them may be missing.
    fn pass_descriptor(&mut self) -> io::Result<()> {
        let first: [u8; 4] = self.array()?;
        if first == DESCRIPTOR {
            self.array::<4>()?;
        }
        self.array::<8>()?;
        let next: [u8; 4] = self.array()?;
        if next == MEMBER || BEHIND.contains(&next) {
            self.ahead = Some(next);
        } else {
            self.array::<4>()?;
        }
        Ok(())
    }

    /// What comes next; nothing at the end.
    fn signature(&mut self) -> io::Result<Option<[u8; 4]>> {
        match self.ahead.take() {
            None if self.source.fill_buf()?.is_empty() => Ok(None),
            None => self.array().map(Some),
            signature => Ok(signature),
        }
    }

    /// Passes over a record of the directory: so many bytes, and what follows them, of which two bytes at each of these places say how
    /// long it is.
    fn pass_record(&mut self, len: usize, lengths: &[usize]) -> io::Result<()> {
        let record = self.bytes(len)?;
        let more: u64 =
            lengths.iter().map(|at| u64::from(u16::from_le_bytes([record[*at], record[at + 1]]))).sum();
        self.pass(more)
    }

    fn pass(&mut self, len: u64) -> io::Result<()> {
        let passed = io::copy(&mut self.source.by_ref().take(len), &mut io::sink())?;
        if passed < len { Err(damaged("the archive ends inside its directory")) } else { Ok(()) }
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn bytes(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.source.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => damaged("the archive ends inside a header"),
            _ => error,
        })
    }
}

/// The member as it lies there.
impl<R: Read> Read for Zip<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(bytes)?;
        self.consume(read);
        Ok(read)
    }
}

impl<R: Read> BufRead for Zip<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let left = self.left.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX));
        if left == 0 {
            return Ok(&[]);
        }
        let bytes = self.source.fill_buf()?;
        Ok(&bytes[..bytes.len().min(left)])
    }

    fn consume(&mut self, len: usize) {
        self.source.consume(len);
        self.left = self.left.map(|left| left - len as u64);
    }
}

/// A deflated member; behind its end, the next one is found.
pub(super) struct Inflated<'z, R: Read>(DeflateDecoder<&'z mut Zip<R>>);

impl<R: Read> Read for Inflated<'_, R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(bytes)?;
        if read == 0 && !bytes.is_empty() {
            self.0.get_mut().left.get_or_insert(0);
        }
        Ok(read)
    }
}

/// The compressed length in the extra field of large archives, behind the length of what it expands to.
fn long_len(extra: &[u8]) -> io::Result<u64> {
    let mut rest = extra;
    while let [id_low, id_high, len_low, len_high, fields @ ..] = rest {
        let (field, after) =
            fields.split_at(usize::from(u16::from_le_bytes([*len_low, *len_high])).min(fields.len()));
        if [*id_low, *id_high] == [1, 0]
            && let Some(len) = field.get(8..).and_then(|field| field.first_chunk())
        {
            return Ok(u64::from_le_bytes(*len));
        }
        rest = after;
    }
    Err(damaged("a member of the archive does not say its length"))
}

fn damaged(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

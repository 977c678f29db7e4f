//! What a backup is wrapped in: nothing, zstd, age, or age around one zstd frame, found out from the first bytes.
//!
//! Reading never trusts: memory is bounded whatever a file claims (window of 8 MiB, age header of 64 KiB), and nothing
//! that a reader would have to skip is accepted. The end of the plain stream is reported only after the outermost
//! layer was read to its end and its own check held; a layer that fails says so by a [`ContainerFault`] inside the
//! [`io::Error`]. Digests of a backup cover the plain stream, never the container.

mod age_file;
mod fault;
mod file_key;
mod keys;
mod zstd_frame;

use std::io::{self, Chain, Cursor, Read, Write};

pub use fault::{ContainerFault, FaultKind};
pub use keys::{Identity, KeyError, Recipient, parse_identities, parse_recipients};

use crate::{Class, Failure};
use age_file::{AgeReader, AgeWriter};
use file_key::Heard;
use zstd_frame::{FrameReader, FrameWriter};

/// How the plain JSONL is wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// Not at all.
    Plain,
    /// One zstd frame.
    Zstd,
    /// age, plain inside.
    Age,
    /// age around one zstd frame.
    AgeZstd,
}

/// Whether a backup is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not compressed.
    #[default]
    None,
    /// zstd, level 3, with a content checksum.
    Zstd,
}

impl Container {
    /// The container that [`seal`] makes of these.
    pub fn of(compression: Compression, recipients: &[Recipient]) -> Self {
        match (compression, recipients.is_empty()) {
            (Compression::None, true) => Container::Plain,
            (Compression::Zstd, true) => Container::Zstd,
            (Compression::None, false) => Container::Age,
            (Compression::Zstd, false) => Container::AgeZstd,
        }
    }

    /// Ending of a file name: `.jsonl`, `.jsonl.zst`, `.jsonl.age`, `.jsonl.zst.age`.
    pub fn extension(self) -> &'static str {
        match self {
            Container::Plain => ".jsonl",
            Container::Zstd => ".jsonl.zst",
            Container::Age => ".jsonl.age",
            Container::AgeZstd => ".jsonl.zst.age",
        }
    }
}

/// Opens a backup file, whatever its container, and hands out the plain stream.
///
/// `source` stands at the file's first byte; pass `&mut file` to keep the file, seek to its start and open it again.
/// More bytes than were asked for may have been read from `source`.
///
/// # Errors
/// - `not_a_backup`: neither `{`, nor zstd, nor age; or a form of them that backups never have.
/// - `key_missing`: encrypted, and `identities` is empty. `wrong_key`: none of them fits.
/// - `truncated`, `damaged`: the container ends, or breaks, before the first plain byte.
/// - `usage`: `source` cannot be read.
pub fn open<R: Read>(source: R, identities: &[Identity]) -> Result<(Container, Plain<R>), Failure> {
    let identities: Vec<&dyn age::Identity> = identities.iter().map(|identity| &**identity as _).collect();
    open_with(source, &identities)
}

/// The same, and what opens this file again without its identities: no identity for a file that is not encrypted.
///
/// # Errors
/// Those of [`open`].
pub fn open_to_reopen<R: Read>(
    source: R,
    identities: &[Identity],
) -> Result<(Container, Plain<R>, Vec<Identity>), Failure> {
    let heard = Heard::default();
    let listening: Vec<_> = identities.iter().map(|identity| heard.listen(&**identity)).collect();
    let identities: Vec<&dyn age::Identity> = listening.iter().map(|identity| identity as _).collect();
    let (container, plain) = open_with(source, &identities)?;
    drop(listening);
    Ok((container, plain, heard.into_identity().into_iter().collect()))
}

fn open_with<R: Read>(
    source: R,
    identities: &[&dyn age::Identity],
) -> Result<(Container, Plain<R>), Failure> {
    let outer = Peeked::new(source)?;
    match outer.guess() {
        Guess::Json => Ok((Container::Plain, Plain(Layers::Plain(outer.whole())))),
        Guess::Zstd => {
            zstd_frame::check_header(&outer.first)?;
            Ok((Container::Zstd, Plain(Layers::Zstd(FrameReader::new(outer.whole())))))
        }
        Guess::Age => open_age(outer.whole(), identities),
        Guess::Other(what) => Err(not_a_backup(what)),
    }
}

fn open_age<R: Read>(
    source: Prefixed<R>,
    identities: &[&dyn age::Identity],
) -> Result<(Container, Plain<R>), Failure> {
    let inner = Peeked::new(AgeReader::open(source, identities)?)?;
    match inner.guess() {
        Guess::Json => Ok((Container::Age, Plain(Layers::Age(inner.whole())))),
        Guess::Zstd => {
            zstd_frame::check_header(&inner.first)?;
            Ok((Container::AgeZstd, Plain(Layers::AgeZstd(FrameReader::new(inner.whole())))))
        }
        Guess::Age => Err(not_a_backup("an encrypted file inside an encrypted file")),
        Guess::Other(what) => Err(not_a_backup(what)),
    }
}

/// The plain stream of an opened backup. Its errors carry a [`ContainerFault`] where the container is at fault.
pub struct Plain<R: Read>(Layers<R>);

enum Layers<R: Read> {
    Plain(Prefixed<R>),
    Zstd(FrameReader<Prefixed<R>>),
    Age(Prefixed<AgeReader<Prefixed<R>>>),
    AgeZstd(FrameReader<Prefixed<AgeReader<Prefixed<R>>>>),
}

impl<R: Read> Read for Plain<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Layers::Plain(source) => source.read(buf),
            Layers::Zstd(source) => source.read(buf),
            Layers::Age(source) => source.read(buf),
            Layers::AgeZstd(source) => source.read(buf),
        }
    }
}

/// Wraps a writer, so that what is written to the result ends up in `out` compressed and encrypted as asked.
///
/// Nothing is complete before [`Sealed::finish`].
pub fn seal<W: Write>(out: W, compression: Compression, recipients: &[Recipient]) -> io::Result<Sealed<W>> {
    Ok(Sealed(match Container::of(compression, recipients) {
        Container::Plain => Seals::Plain(out),
        Container::Zstd => Seals::Zstd(FrameWriter::new(out)?),
        Container::Age => Seals::Age(AgeWriter::new(out, recipients)?),
        Container::AgeZstd => Seals::AgeZstd(FrameWriter::new(AgeWriter::new(out, recipients)?)?),
    }))
}

/// A backup file that is being written; see [`seal`].
pub struct Sealed<W: Write>(Seals<W>);

enum Seals<W: Write> {
    Plain(W),
    Zstd(FrameWriter<W>),
    Age(AgeWriter<W>),
    AgeZstd(FrameWriter<AgeWriter<W>>),
}

impl<W: Write> Sealed<W> {
    /// Writes the ends of the layers, flushes, and gives the output back.
    pub fn finish(self) -> io::Result<W> {
        let mut out = match self.0 {
            Seals::Plain(out) => out,
            Seals::Zstd(frame) => frame.finish()?,
            Seals::Age(file) => file.finish()?,
            Seals::AgeZstd(frame) => frame.finish()?.finish()?,
        };
        out.flush()?;
        Ok(out)
    }

    fn layer(&mut self) -> &mut dyn Write {
        match &mut self.0 {
            Seals::Plain(out) => out,
            Seals::Zstd(frame) => frame,
            Seals::Age(file) => file,
            Seals::AgeZstd(frame) => frame,
        }
    }
}

impl<W: Write> Write for Sealed<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.layer().write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.layer().flush()
    }
}

/// A source with bytes put back in front.
type Prefixed<R> = Chain<Cursor<Vec<u8>>, R>;

/// A source whose first bytes were looked at.
struct Peeked<R> {
    first: Vec<u8>,
    rest: R,
}

/// What the first bytes say.
enum Guess {
    Json,
    Zstd,
    Age,
    Other(&'static str),
}

impl<R: Read> Peeked<R> {
    /// As many bytes as the longest magic, and as the longest header of a zstd frame, take.
    const LEN: usize = age_file::MAGIC.len();

    fn new(mut source: R) -> Result<Self, Failure> {
        let mut first = Vec::with_capacity(Self::LEN);
        (&mut source).take(Self::LEN as u64).read_to_end(&mut first).map_err(|error| unreadable(&error))?;
        Ok(Self { first, rest: source })
    }

    fn guess(&self) -> Guess {
        let first = self.first.as_slice();
        match first {
            [] => Guess::Other("empty"),
            [b'{', ..] => Guess::Json,
            _ if first.starts_with(age_file::MAGIC) => Guess::Age,
            _ if first.starts_with(zstd_frame::MAGIC) => Guess::Zstd,
            _ if zstd_frame::is_skippable(first) => {
                Guess::Other("a zstd file that begins with a skippable frame")
            }
            _ if first.starts_with(b"age-encryption.org/") => {
                Guess::Other("an age file of a version other than 1")
            }
            _ if first.starts_with(b"-----BEGIN AGE ENC") => Guess::Other("an age file in text armor"),
            _ => Guess::Other("neither JSON, nor zstd, nor age"),
        }
    }

    fn whole(self) -> Prefixed<R> {
        Cursor::new(self.first).chain(self.rest)
    }
}

/// A failure to read the source, or a fault of the layer that was read.
fn unreadable(error: &io::Error) -> Failure {
    match ContainerFault::of(error) {
        Some(fault) => fault.to_failure(),
        None => Failure::new(
            Class::Usage,
            format!("The file cannot be read: {error}."),
            "Check its permissions and the disk that it lies on.",
        ),
    }
}

fn not_a_backup(what: &str) -> Failure {
    Failure::new(
        Class::NotABackup,
        format!("This is no backup: the content is {what}."),
        "A backup is JSON lines, plain, in one zstd frame, or encrypted with age. Check the file's name; what other \
         tools wrapped differently, unwrap with them first.",
    )
}

#[cfg(test)]
mod tests;

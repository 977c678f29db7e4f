//! An age file (age-encryption.org/v1) for X25519 and SSH recipients, never for a passphrase.
//!
//! A passphrase is refused because its work factor would be the choice of whoever wrote the file. The header is read here,
//! line by line and up to a limit, before the age library parses it: it would take a header of any length.

use std::io::{self, BufRead, BufReader, Chain, Cursor, Read, Write};

use age::stream::{StreamReader, StreamWriter};
use age::{DecryptError, Decryptor, EncryptError, Encryptor};

use super::{ContainerFault, FaultKind, Recipient, not_a_backup, unreadable};
use crate::{Class, Failure};

/// How an age file begins.
pub const MAGIC: &[u8] = b"age-encryption.org/v1\n";

/// Longest header: room for 600 X25519 or 80 RSA recipients.
const MAX_HEADER_BYTES: usize = 64 << 10;

/// Bytes read from the source at a time: one encrypted chunk.
const INPUT_BYTES: usize = 64 << 10;

/// A source whose header was read and is put back in front.
type Source<R> = Chain<Cursor<Vec<u8>>, BufReader<R>>;

/// Reads the content of an age file. Each byte handed out was authenticated, and the end only after the last chunk was.
pub struct AgeReader<R: Read>(StreamReader<Source<R>>);

impl<R: Read> AgeReader<R> {
    /// Opens the file with the first identity that fits.
    pub fn open(source: R, identities: &[&dyn age::Identity]) -> Result<Self, Failure> {
        let mut source = BufReader::with_capacity(INPUT_BYTES, source);
        let header = read_header(&mut source)?;
        let file = Decryptor::new_buffered(Cursor::new(header).chain(source)).map_err(failure)?;
        if file.is_scrypt() {
            return Err(not_a_backup("an age file encrypted with a passphrase, which backups never are"));
        }
        if identities.is_empty() {
            return Err(key_missing());
        }
        file.decrypt(identities.iter().copied()).map(Self).map_err(|error| match error {
            DecryptError::NoMatchingKeys => wrong_key(identities.len()),
            other => failure(other),
        })
    }
}

impl<R: Read> Read for AgeReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ContainerFault::new(
                FaultKind::Truncated,
                "The encrypted file ends before its last chunk",
            )
            .into(),
            io::ErrorKind::InvalidData => ContainerFault::new(
                FaultKind::Damaged,
                "The encrypted file is damaged, or cut off inside a chunk: its authentication tag does not hold",
            )
            .into(),
            _ => error,
        })
    }
}

/// Everything up to and including the line with the header's MAC.
fn read_header(source: &mut impl BufRead) -> Result<Vec<u8>, Failure> {
    let mut header = Vec::new();
    loop {
        let start = header.len();
        let left = (MAX_HEADER_BYTES - start) as u64;
        source.take(left).read_until(b'\n', &mut header).map_err(|error| unreadable(&error))?;
        let line = &header[start..];
        if !line.ends_with(b"\n") {
            return Err(if header.len() == MAX_HEADER_BYTES { header_too_long() } else { header_cut_off() });
        }
        if line.starts_with(b"---") {
            return Ok(header);
        }
    }
}

fn failure(error: DecryptError) -> Failure {
    match error {
        DecryptError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => header_cut_off(),
        DecryptError::Io(error) => unreadable(&error),
        other => {
            let what = match other {
                DecryptError::InvalidMac => "its MAC does not hold",
                DecryptError::DecryptionFailed => "the file key in it does not decrypt",
                _ => "it breaks the format",
            };
            let reason = format!("The header of the encrypted file is damaged: {what}");
            ContainerFault::new(FaultKind::Damaged, reason).into()
        }
    }
}

fn header_cut_off() -> Failure {
    ContainerFault::new(FaultKind::Truncated, "The encrypted file ends inside its header").into()
}

fn header_too_long() -> Failure {
    not_a_backup(&format!("an age file whose header is longer than {MAX_HEADER_BYTES} bytes"))
}

fn key_missing() -> Failure {
    Failure::new(
        Class::KeyMissing,
        "The backup is encrypted, and no identity was given to open it.",
        "Give the private key with --identity FILE or TRSTCTL_BACKUP_IDENTITY_FILE.",
    )
}

fn wrong_key(tried: usize) -> Failure {
    let tried = if tried == 1 {
        "The identity does not".into()
    } else {
        format!("None of the {tried} identities does")
    };
    Failure::new(
        Class::WrongKey,
        format!("The backup is encrypted to other recipients. {tried} open it."),
        "Give the private key of one of its recipients with --identity FILE. If this is that key, the file's header is \
         damaged: fetch the file again.",
    )
}

/// Writes an age file.
pub struct AgeWriter<W: Write>(StreamWriter<W>);

impl<W: Write> AgeWriter<W> {
    /// Writes the header, for at least one recipient.
    pub fn new(out: W, recipients: &[Recipient]) -> io::Result<Self> {
        let keys = recipients.iter().map(Recipient::key);
        let encryptor = Encryptor::with_recipients(keys).map_err(|error| match error {
            EncryptError::Io(error) => error,
            other => io::Error::new(io::ErrorKind::InvalidInput, other.to_string()),
        })?;
        encryptor.wrap_output(out).map(Self)
    }

    pub fn finish(self) -> io::Result<W> {
        self.0.finish()
    }
}

impl<W: Write> Write for AgeWriter<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

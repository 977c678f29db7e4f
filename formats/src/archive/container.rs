//! The container of an archive: a tar of small files in the framed snappy format, streamed.

use std::io::{self, Write};

use snap::write::FrameEncoder;

/// Everything in a tar is padded to this.
const TAR_BYTES: u64 = 512;

/// Writes a tar, compressed: just what the server reads.
pub(super) struct TarWriter<W: Write> {
    out: Counted<W>,
}

impl<W: Write> TarWriter<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out: Counted { encoder: FrameEncoder::new(out), len_bytes: 0, flip_bit_at: None } }
    }

    pub(super) fn entry(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        self.entry_with(path, content.len() as u64, |out| out.write_all(content))
    }

    /// An entry whose content `write` gives: exactly `len_bytes` bytes.
    pub(super) fn entry_with<T>(
        &mut self,
        path: &str,
        len_bytes: u64,
        write: impl FnOnce(&mut Counted<W>) -> io::Result<T>,
    ) -> io::Result<T> {
        self.out.write_all(header(path, len_bytes)?.as_bytes())?;
        let written = write(&mut self.out)?;
        self.zeros((TAR_BYTES - len_bytes % TAR_BYTES) % TAR_BYTES)?;
        Ok(written)
    }

    /// Ends the tar.
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.zeros(2 * TAR_BYTES)
    }

    /// Gives the output back, flushed.
    pub(super) fn into_output(self) -> io::Result<W> {
        let ended = self.out.encoder.into_inner();
        ended.map_err(|error| io::Error::new(error.error().kind(), error.error().to_string()))
    }

    /// Bytes written so far, before compression.
    pub(super) fn len_bytes(&self) -> u64 {
        self.out.len_bytes
    }

    pub(super) fn flip_bit_at(&mut self, offset_bytes: u64) {
        self.out.flip_bit_at = Some(offset_bytes);
    }

    /// What was written to the output so far.
    #[cfg(test)]
    pub(super) fn output(&self) -> &W {
        self.out.encoder.get_ref()
    }

    fn zeros(&mut self, count: u64) -> io::Result<()> {
        self.out.write_all(&[0; 2 * TAR_BYTES as usize][..count as usize])
    }
}

fn header(path: &str, len_bytes: u64) -> io::Result<tar::Header> {
    let mut header = tar::Header::new_gnu();
    header.set_path(path)?;
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(len_bytes);
    header.set_cksum();
    Ok(header)
}

/// The tar's bytes on their way into the compressor.
pub(super) struct Counted<W: Write> {
    encoder: FrameEncoder<W>,
    len_bytes: u64,
    flip_bit_at: Option<u64>,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let begin = self.len_bytes;
        self.len_bytes += bytes.len() as u64;
        match self.flip_bit_at {
            Some(at) if (begin..self.len_bytes).contains(&at) => {
                let mut damaged = bytes.to_vec();
                damaged[(at - begin) as usize] ^= 1;
                self.encoder.write_all(&damaged)?;
            }
            _ => self.encoder.write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.encoder.flush()
    }
}

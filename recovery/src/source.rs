//! A backup file to read, and what this host may believe of it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use trstctl_formats::backup::{self, Allow, BackupKey, Cut, Purpose, Summary, Verified, VerifyOptions};
use trstctl_formats::{Class, Failure};

use crate::progress::Progress;

/// Keys of this host and what the operator allowed (spec "Who may accept what").
#[derive(Default)]
pub struct Trust {
    /// The audit signing key, if one is configured.
    pub key: Option<BackupKey>,
    /// `--allow-unverified-mac`
    pub unverified_mac: Allow,
    /// `--allow-unkeyed`
    pub unkeyed: Allow,
    /// age identities.
    pub identities: Vec<Box<dyn age::Identity + Send + Sync>>,
}

impl Trust {
    fn options<'a>(
        &'a self,
        progress: &'a (dyn Fn(u64) + Sync),
        stop: &'a (dyn Fn() -> bool + Sync),
    ) -> VerifyOptions<'a> {
        VerifyOptions {
            key: self.key.as_ref(),
            unverified_mac: self.unverified_mac,
            unkeyed: self.unkeyed,
            identities: &self.identities,
            progress: Some(progress),
            interrupted: Some(stop),
            ..VerifyOptions::default()
        }
    }
}

/// Opens a backup: a regular file, kept open for both passes so that what is restored is what was verified.
pub fn open(path: &Path) -> Result<File, Failure> {
    let name = path.display().to_string();
    let refuse = |reason: String| {
        Failure::new(
            Class::Usage,
            format!("cannot read {name}: {reason}"),
            "Name a backup file that this user may read.",
        )
        .in_file(&name)
    };
    // Not blocking: opening a named pipe would wait for its writer.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open(path)
        .map_err(|error| refuse(error.to_string()))?;
    let is_file = file.metadata().map_err(|error| refuse(error.to_string()))?.is_file();
    if is_file {
        Ok(file)
    } else {
        Err(refuse("it is not a regular file; pipe it to `trstctl-dr verify -`".into()))
    }
}

/// Verifies a file to look at.
pub fn inspect(path: &Path, trust: &Trust, progress: &dyn Progress) -> Result<Summary, Failure> {
    Ok(to_look_into(path, trust, progress)?.summary().clone())
}

/// Verifies a file to look at its records too.
pub fn to_look_into(path: &Path, trust: &Trust, progress: &dyn Progress) -> Result<Verified<File>, Failure> {
    let file = open(path)?;
    let (done, stop) = (|bytes| progress.done(bytes), || progress.interrupted());
    backup::verify(file, &trust.options(&done, &stop)).map_err(|failure| named(failure, path))
}

/// Looks at what the ends of a file say, for a moment; see [`backup::glance`].
pub fn glance(path: &Path, trust: &Trust) -> Result<backup::Glance, Failure> {
    let (done, stop) = (|_| {}, || false);
    backup::glance(open(path)?, &trust.options(&done, &stop)).map_err(|failure| named(failure, path))
}

/// Verifies standard input, or another source that can be read once only. Also stops when the source says nothing.
pub fn inspect_stream(
    source: impl Read + Send + 'static,
    trust: &Trust,
    progress: &dyn Progress,
) -> Result<Summary, Failure> {
    let (done, stop) = (|bytes| progress.done(bytes), || progress.interrupted());
    let source = Stoppable::new(source, &stop);
    let verdict = backup::verify_stream(source, &trust.options(&done, &stop));
    verdict.map_err(|failure| if stop() { stopped() } else { failure }.in_file("-"))
}

fn stopped() -> Failure {
    Failure::new(
        Class::Interrupted,
        "stopped while the backup was verified",
        "Nothing was changed. Run the same command again.",
    )
}

/// How often a source that says nothing is asked about stopping.
const STOP_POLL: Duration = Duration::from_millis(100);
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks read ahead.
const CHUNKS_AHEAD: usize = 4;

/// A source whose reader can stop while a read blocks: another thread reads, and is left behind then.
struct Stoppable<'a> {
    chunks: Receiver<io::Result<Vec<u8>>>,
    current: io::Cursor<Vec<u8>>,
    stop: &'a (dyn Fn() -> bool + Sync),
}

impl<'a> Stoppable<'a> {
    fn new(mut source: impl Read + Send + 'static, stop: &'a (dyn Fn() -> bool + Sync)) -> Self {
        let (sender, chunks) = sync_channel(CHUNKS_AHEAD);
        std::thread::spawn(move || {
            loop {
                let mut chunk = vec![0; CHUNK_BYTES];
                let read = read_some(&mut source, &mut chunk).map(|len_bytes| {
                    chunk.truncate(len_bytes);
                    chunk
                });
                let is_last = !matches!(&read, Ok(chunk) if !chunk.is_empty());
                if sender.send(read).is_err() || is_last {
                    return;
                }
            }
        });
        Self { chunks, current: io::Cursor::default(), stop }
    }

    /// The next chunk; empty at the end.
    fn next(&self) -> io::Result<Vec<u8>> {
        loop {
            match self.chunks.recv_timeout(STOP_POLL) {
                Ok(chunk) => return chunk,
                Err(RecvTimeoutError::Disconnected) => return Ok(Vec::new()),
                Err(RecvTimeoutError::Timeout) if (self.stop)() => return Err(io::Error::other("stopped")),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

impl Read for Stoppable<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.current.read(bytes)?;
        if read > 0 || bytes.is_empty() {
            return Ok(read);
        }
        self.current = io::Cursor::new(self.next()?);
        self.current.read(bytes)
    }
}

/// One read that no signal cuts short.
fn read_some(source: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    loop {
        match source.read(bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// Verifies a file to restore the part of it up to `cut`.
pub fn for_restore(
    path: &Path,
    trust: &Trust,
    cut: Cut,
    progress: &dyn Progress,
) -> Result<Verified<File>, Failure> {
    let file = open(path)?;
    let (done, stop) = (|bytes| progress.done(bytes), || progress.interrupted());
    let options = VerifyOptions {
        purpose: Purpose::Restore,
        cut,
        part_of_version_1: Allow::Yes,
        ..trust.options(&done, &stop)
    };
    backup::verify(file, &options).map_err(|failure| named(failure, path))
}

pub(crate) fn named(failure: Failure, path: &Path) -> Failure {
    failure.in_file(path.display().to_string())
}

//! Flushes to disk what is written while more is being written, so that little is left to wait for at the end.
//!
//! The system tells an error of the disk once, to whoever flushes first: one that is met here is kept for the end.

use std::fs::File;
use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

/// Bytes between two flushes.
const EVERY_BYTES: usize = 32 << 20;

/// A thread that flushes, started with the first flush.
#[derive(Default)]
pub(super) struct EarlyFlush {
    unflushed_bytes: usize,
    flusher: Option<Flusher>,
}

struct Flusher {
    ask: SyncSender<()>,
    thread: JoinHandle<io::Result<()>>,
}

impl EarlyFlush {
    /// So many bytes more were written.
    pub(super) fn wrote(&mut self, file: &File, len_bytes: usize) -> io::Result<()> {
        self.unflushed_bytes += len_bytes;
        if self.unflushed_bytes < EVERY_BYTES {
            return Ok(());
        }
        self.unflushed_bytes = 0;
        let flusher = match &mut self.flusher {
            Some(flusher) => flusher,
            none => none.insert(Flusher::start(file.try_clone()?)),
        };
        // When it is busy, the next flush takes these bytes along; when it has failed, the end tells.
        let _ = flusher.ask.try_send(());
        Ok(())
    }

    /// Waits for what was begun.
    ///
    /// # Errors
    /// What any of the flushes met.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let Some(Flusher { ask, thread }) = self.flusher.take() else { return Ok(()) };
        drop(ask);
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that flushes has stopped")))
    }
}

impl Flusher {
    fn start(file: File) -> Self {
        let (ask, asked) = sync_channel(1);
        let thread = thread::spawn(move || asked.iter().try_for_each(|()| file.sync_data()));
        Self { ask, thread }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_of_an_early_flush_is_told_at_the_end() {
        // A pipe cannot be flushed to a disk.
        let (_reader, writer) = io::pipe().unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(writer));
        let mut flush = EarlyFlush::default();
        flush.wrote(&file, EVERY_BYTES).unwrap();
        assert!(flush.finish().is_err());
        flush.wrote(&file, EVERY_BYTES - 1).unwrap();
        assert!(flush.finish().is_ok(), "nothing was flushed yet");
    }
}

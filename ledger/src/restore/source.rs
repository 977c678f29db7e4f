//! The verified backup as a restore reads it: several passes over one open file, each in a thread of its own.
//!
//! Only a [`Verified`] backup makes a source, and a pass is complete only when the whole file gave the same digest
//! again: whoever makes something final waits for that.

use std::io::{Read, Seek};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use trstctl_formats::backup::{Content, Messages, Verified};
use trstctl_formats::{Class, Failure, StoredMessage};

/// Messages of one batch, in bytes; a larger message is a batch of its own.
const BATCH_BYTES: usize = 1 << 20;
/// Messages of one batch.
const BATCH_MESSAGES: usize = 2_000;
/// Batches read ahead.
const BATCHES_AHEAD: usize = 4;

/// A verified backup that a restore reads as often as it needs.
pub struct Source<S> {
    verified: Arc<Mutex<Verified<S>>>,
    content: Arc<Content>,
    longest_record_bytes: u64,
}

impl<S> Clone for Source<S> {
    fn clone(&self) -> Self {
        Self {
            verified: Arc::clone(&self.verified),
            content: Arc::clone(&self.content),
            longest_record_bytes: self.longest_record_bytes,
        }
    }
}

impl<S: Read + Seek + Send + 'static> Source<S> {
    /// Takes a verified backup.
    ///
    /// # Panics
    /// For version 1 when it was verified without
    /// [`part_of_version_1`](trstctl_formats::backup::VerifyOptions::part_of_version_1).
    pub fn new(verified: Verified<S>) -> Self {
        let content = Arc::new(verified.part().clone());
        let longest_record_bytes = verified.longest_record_bytes();
        Self { verified: Arc::new(Mutex::new(verified)), content, longest_record_bytes }
    }

    /// What a restore of the chosen part makes.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Bytes of the longest record line of the backup.
    pub fn longest_record_bytes(&self) -> u64 {
        self.longest_record_bytes
    }

    /// The backup again, when no pass is under way and no other copy of this source is left.
    pub fn into_verified(self) -> Option<Verified<S>> {
        let mutex = Arc::try_unwrap(self.verified).ok()?;
        Some(mutex.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// One pass, in a thread where reading may block.
    pub(super) fn pass<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Messages<'_, S>) -> Result<T, Failure> + Send + 'static,
    ) -> Pass<T> {
        let verified = Arc::clone(&self.verified);
        let unwanted = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&unwanted);
        let thread = tokio::task::spawn_blocking(move || {
            let mut verified = verified.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut verified.messages()?.stopped_by(stopped))
        });
        Pass { thread, unwanted }
    }

    /// One pass that hands the messages over in batches.
    pub(super) fn batches(&self) -> Batches {
        let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
        let pass = self.pass(move |messages| send_batches(messages, &sender));
        Batches { receiver, pass: Some(pass) }
    }
}

/// A pass under way. When it is dropped, its thread ends soon, wherever it is.
pub(super) struct Pass<T> {
    thread: JoinHandle<Result<T, Failure>>,
    unwanted: Arc<AtomicBool>,
}

impl<T> Drop for Pass<T> {
    fn drop(&mut self) {
        self.unwanted.store(true, Ordering::Relaxed);
    }
}

impl<T> Pass<T> {
    /// Waits for its end.
    pub(super) async fn end(mut self) -> Result<T, Failure> {
        (&mut self.thread).await.unwrap_or_else(|error| {
            Err(Failure::new(
                Class::Internal,
                format!("the thread that reads the backup ended unexpectedly: {error}"),
                "Report this with the command that was run.",
            ))
        })
    }
}

fn send_batches<S: Read + Seek + Send>(
    messages: &mut Messages<'_, S>,
    sender: &mpsc::Sender<Vec<StoredMessage>>,
) -> Result<(), Failure> {
    let (mut batch, mut len_bytes) = (Vec::new(), 0);
    while let Some(message) = messages.next()? {
        len_bytes += message.len_bytes();
        batch.push(message);
        if len_bytes >= BATCH_BYTES || batch.len() >= BATCH_MESSAGES {
            if sender.blocking_send(std::mem::take(&mut batch)).is_err() {
                return Ok(()); // Nobody reads on.
            }
            len_bytes = 0;
        }
    }
    if !batch.is_empty() {
        let _unless_nobody_reads_on = sender.blocking_send(batch);
    }
    Ok(())
}

/// The messages of a pass, in order.
pub(super) struct Batches {
    receiver: mpsc::Receiver<Vec<StoredMessage>>,
    pass: Option<Pass<()>>,
}

impl Batches {
    /// The next messages; `None` only after the whole file gave the same digest again.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<StoredMessage>>, Failure> {
        if let Some(batch) = self.receiver.recv().await {
            return Ok(Some(batch));
        }
        match self.pass.take() {
            Some(pass) => pass.end().await.map(|()| None),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Cursor, SeekFrom};
    use std::sync::atomic::AtomicU64;
    use std::sync::mpsc as threads;

    use trstctl_formats::backup::{Allow, Cut, VerifyOptions, verify};

    use super::super::samples::{backup, message};
    use super::*;

    /// A backup that, once gated, halts at its middle until it is let go on.
    struct Gated {
        file: Cursor<Vec<u8>>,
        is_gated: Arc<AtomicBool>,
        read_through: Arc<AtomicU64>,
        arrived: mpsc::UnboundedSender<()>,
        go_on: threads::Receiver<()>,
    }

    impl Read for Gated {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.file.read(buffer)?;
            let (at, middle) = (self.file.position(), self.file.get_ref().len() as u64 / 2);
            let before = self.read_through.swap(at, Ordering::SeqCst);
            if self.is_gated.load(Ordering::SeqCst) && before < middle && at >= middle {
                self.arrived.send(()).unwrap();
                self.go_on.recv().unwrap();
            }
            Ok(count)
        }
    }

    impl Seek for Gated {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.file.seek(to)
        }
    }

    fn large(sequence: u64) -> StoredMessage {
        StoredMessage { payload: vec![b'x'; 100_000].into(), ..message(sequence) }
    }

    #[tokio::test]
    async fn a_pass_that_nobody_wants_ends_before_the_rest_of_the_file_is_read() {
        let file = backup(&(1..=200).map(large).collect::<Vec<_>>());
        let len_bytes = file.len() as u64;
        let (arrived, mut at_middle) = mpsc::unbounded_channel();
        let (let_go_on, go_on) = threads::channel();
        let (is_gated, read_through) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let gated = Gated {
            file: Cursor::new(file),
            is_gated: Arc::clone(&is_gated),
            read_through: Arc::clone(&read_through),
            arrived,
            go_on,
        };
        let options = VerifyOptions { unkeyed: Allow::Yes, cut: Cut::Through(1), ..VerifyOptions::default() };
        let source = Source::new(verify(gated, &options).unwrap());

        is_gated.store(true, Ordering::SeqCst);
        let batches = source.batches();
        at_middle.recv().await.unwrap();
        drop(batches);
        let_go_on.send(()).unwrap();
        // Waits until the pass has ended.
        tokio::task::spawn_blocking(move || drop(source.verified.lock())).await.unwrap();
        assert!(read_through.load(Ordering::SeqCst) < len_bytes);
    }
}

//! The verified backup as a restore reads it: several passes over one open file, each in a thread of its own.
//!
//! Only a [`Verified`] backup makes a source, and a pass is complete only when the whole file gave the same digest
//! again: whoever makes something final waits for that.

use std::io::{Read, Seek};
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
    plain_bytes: u64,
    longest_record_bytes: u64,
}

impl<S> Clone for Source<S> {
    fn clone(&self) -> Self {
        Self {
            verified: Arc::clone(&self.verified),
            content: Arc::clone(&self.content),
            plain_bytes: self.plain_bytes,
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
        let plain_bytes = verified.summary().len_bytes;
        let longest_record_bytes = verified.longest_record_bytes();
        Self { verified: Arc::new(Mutex::new(verified)), content, plain_bytes, longest_record_bytes }
    }

    /// What a restore of the chosen part makes.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Length of the backup as plain text, in bytes.
    pub fn plain_bytes(&self) -> u64 {
        self.plain_bytes
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
        Pass(tokio::task::spawn_blocking(move || {
            let mut verified = verified.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut verified.messages()?)
        }))
    }

    /// One pass that hands the messages over in batches.
    pub(super) fn batches(&self) -> Batches {
        let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
        let pass = self.pass(move |messages| send_batches(messages, &sender));
        Batches { receiver, pass: Some(pass) }
    }
}

/// A pass under way.
pub(super) struct Pass<T>(JoinHandle<Result<T, Failure>>);

impl<T> Pass<T> {
    /// Waits for its end.
    pub(super) async fn end(self) -> Result<T, Failure> {
        self.0.await.unwrap_or_else(|error| {
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

//! What is written to the server: many small operations are gathered and leave in one write.
//!
//! Publishers append to a buffer and wait only while it is full; one task swaps it for an empty one and writes it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

/// Publishers wait while so many bytes are unwritten.
const FULL_BYTES: usize = 4 << 20;
/// A buffer that grew beyond this (one large message) is given back.
const KEEP_BYTES: usize = 8 << 20;
/// How long a closed connection may still write what it had taken.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The bytes that wait to be written.
#[derive(Default)]
pub(super) struct Outgoing {
    waiting: Mutex<Waiting>,
    /// Something waits, or the connection has ended.
    filled: Notify,
    /// Something was written, or the connection has ended.
    drained: Notify,
    closed: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    buffer: Vec<u8>,
    /// Bytes ever appended and written.
    appended: u64,
    written: u64,
}

/// The connection has ended; the reason is kept elsewhere.
pub(super) struct Closed;

impl Outgoing {
    /// Appends whatever `write` writes, at once and whether there is room or not: for the protocol's own small words.
    pub(super) fn append(&self, write: impl FnOnce(&mut Vec<u8>)) {
        Self::add(&mut self.lock(), write);
        self.filled.notify_one();
    }

    /// Appends whatever `write` writes, when there is room.
    pub(super) async fn append_with_room(&self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Closed> {
        self.until(|waiting| waiting.buffer.len() < FULL_BYTES).await?;
        self.append(write);
        Ok(())
    }

    /// Waits until everything appended before is written to the socket.
    pub(super) async fn flush(&self) -> Result<(), Closed> {
        let target = self.lock().appended;
        self.until(|waiting| waiting.written >= target).await
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.filled.notify_one();
        self.drained.notify_waiters();
    }

    async fn until(&self, mut holds: impl FnMut(&Waiting) -> bool) -> Result<(), Closed> {
        loop {
            let drained = self.drained.notified();
            if self.closed.load(Ordering::Acquire) {
                return Err(Closed);
            }
            if holds(&self.lock()) {
                return Ok(());
            }
            drained.await;
        }
    }

    fn add(waiting: &mut Waiting, write: impl FnOnce(&mut Vec<u8>)) {
        let before = waiting.buffer.len();
        write(&mut waiting.buffer);
        waiting.appended += (waiting.buffer.len() - before) as u64;
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes until the connection ends; then what is left, for a second at most, also when the server takes nothing.
    pub(super) async fn run(&self, socket: impl AsyncWrite + Unpin) -> std::io::Result<()> {
        tokio::select! {
            outcome = self.write_all(socket) => outcome,
            () = self.overdue() => Ok(()),
        }
    }

    async fn write_all(&self, mut socket: impl AsyncWrite + Unpin) -> std::io::Result<()> {
        let mut spare = Vec::new();
        while !self.closed.load(Ordering::Acquire) {
            self.write_waiting(&mut socket, &mut spare).await?;
            self.filled.notified().await;
        }
        self.write_waiting(&mut socket, &mut spare).await?;
        socket.shutdown().await
    }

    async fn overdue(&self) {
        loop {
            let drained = self.drained.notified();
            if self.closed.load(Ordering::Acquire) {
                break;
            }
            drained.await;
        }
        tokio::time::sleep(LAST_WORDS).await;
    }

    async fn write_waiting(
        &self,
        socket: &mut (impl AsyncWrite + Unpin),
        spare: &mut Vec<u8>,
    ) -> std::io::Result<()> {
        loop {
            std::mem::swap(&mut self.lock().buffer, spare);
            if spare.is_empty() {
                return Ok(());
            }
            socket.write_all(spare).await?;
            socket.flush().await?;
            self.lock().written += spare.len() as u64;
            self.drained.notify_waiters();
            spare.clear();
            spare.shrink_to(KEEP_BYTES);
        }
    }
}

//! The messages of one subject, in batches as they came from the socket.
//!
//! The queue is bounded in bytes. A subscriber that stays behind loses its subscription with an error that says so: it
//! never holds up the connection that others share, and never misses a message unnoticed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::{Connection, Message};
use crate::log::LogError;

/// Most bytes that wait for a subscriber. Readers of the log ask for a few batches of 8 MB at a time.
const QUEUE_LIMIT_BYTES: usize = 128 << 20;

/// What the connection files messages into.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Default)]
struct Waiting {
    batches: VecDeque<Vec<Message>>,
    len_bytes: usize,
    ended: Option<LogError>,
}

impl Queue {
    pub(super) fn push(&self, batch: Vec<Message>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.ended.is_some() {
            return;
        }
        if waiting.len_bytes > QUEUE_LIMIT_BYTES {
            waiting.ended = Some(LogError::Overrun { limit_bytes: QUEUE_LIMIT_BYTES });
        } else {
            waiting.len_bytes += batch.iter().map(Message::len_bytes).sum::<usize>();
            waiting.batches.push_back(batch);
        }
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Nothing comes any more; what waits is still handed out.
    pub(super) fn end(&self, reason: LogError) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.ended.get_or_insert(reason);
        drop(waiting);
        self.arrived.notify_one();
    }

    fn pop(&self) -> Option<Result<Vec<Message>, LogError>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match waiting.batches.pop_front() {
            Some(batch) => {
                waiting.len_bytes -= batch.iter().map(Message::len_bytes).sum::<usize>();
                Some(Ok(batch))
            }
            None => waiting.ended.clone().map(Err),
        }
    }
}

/// Interest in a subject; dropping it ends the interest.
pub struct Subscription {
    connection: Connection,
    sid: u64,
    queue: Arc<Queue>,
    /// The rest of a batch of which [`Subscription::next`] has handed out the first messages, reversed.
    opened: Vec<Message>,
}

impl Subscription {
    pub(super) fn new(connection: Connection, sid: u64, queue: Arc<Queue>) -> Self {
        Self { connection, sid, queue, opened: Vec::new() }
    }

    /// Says that what is published to such subjects is answered here. When the server refuses such a publish, which then has no
    /// answer, the subscription ends with that refusal. To be called before the first one.
    pub fn answers_to(&self, is_such: impl Fn(&str) -> bool + Send + 'static) {
        self.connection.set_answers_to(self.sid, Box::new(is_such));
    }

    /// The next messages in the order of arrival, at least one. May be dropped while it waits without losing any.
    ///
    /// # Errors
    /// When the connection is lost, the server refuses the subscription or what it [answers to](Self::answers_to), or its queue
    /// has overrun.
    pub async fn next_batch(&mut self) -> Result<Vec<Message>, LogError> {
        if !self.opened.is_empty() {
            return Ok(self.opened.drain(..).rev().collect());
        }
        loop {
            // A permit stored by `notify_one` makes this return at once, so nothing is missed in between.
            let arrived = self.queue.arrived.notified();
            if let Some(outcome) = self.queue.pop() {
                return outcome;
            }
            arrived.await;
        }
    }

    /// The next message.
    ///
    /// # Errors
    /// As [`Subscription::next_batch`].
    pub async fn next(&mut self) -> Result<Message, LogError> {
        loop {
            if let Some(message) = self.opened.pop() {
                return Ok(message);
            }
            self.opened = self.next_batch().await?;
            self.opened.reverse();
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.connection.unsubscribe(self.sid);
    }
}

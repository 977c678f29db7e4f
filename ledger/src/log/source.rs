//! Where a reading gets its messages from: an ephemeral consumer, its pulls, and the subscription that they answer to.
//!
//! The consumer has no filter, acknowledges nothing and lives in memory with one replica. It may sit on a replica that
//! lags: what it does not deliver is therefore never taken for deleted here.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use trstctl_formats::StoredMessage;

use super::LogError;
use super::ack::Acks;
use super::link::Trouble;
use super::pulls::{Pulls, Status};
use super::stream::DEADLINE;
use crate::wire::{Connection, Message, Subscription};

/// The server removes a consumer that nobody has asked for so long.
const INACTIVE_THRESHOLD: Duration = Duration::from_secs(120);

/// A consumer at work.
pub(super) struct Source {
    connection: Connection,
    subscription: Subscription,
    inbox: String,
    stream: String,
    consumer: String,
    pulls: Pulls,
    acks: Acks,
    deliveries: u64,
    received_bytes: u64,
}

/// What came of waiting.
pub(super) enum Received {
    Messages(Vec<Delivered>),
    /// Pulls have ended, or part of a large message has come.
    News,
    Silence,
}

/// A message and what its acknowledgement subject says.
pub(super) struct Delivered {
    pub(super) message: StoredMessage,
    /// What the consumer believes is still to come.
    pub(super) pending: u64,
}

#[derive(Deserialize)]
struct ConsumerInfo {
    name: String,
    #[serde(default)]
    num_pending: u64,
}

impl Source {
    /// Begins with the first message at or after `from`; also returns what the consumer believes is to come.
    pub(super) async fn open(
        connection: Connection,
        stream: &str,
        from: u64,
    ) -> Result<(Self, u64), Trouble> {
        let inbox = connection.new_inbox();
        let subscription = connection.subscribe(&format!("{inbox}.*"))?;
        let request = json!({"stream_name": stream, "config": {
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": from,
            "ack_policy": "none",
            "replay_policy": "instant",
            "inactive_threshold": INACTIVE_THRESHOLD.as_nanos() as u64,
            "mem_storage": true,
            "num_replicas": 1,
        }});
        let consumer = connection.api(&format!("CONSUMER.CREATE.{stream}"), &request, DEADLINE).await;
        let consumer: ConsumerInfo = consumer.map_err(|error| Trouble::about_served_stream(stream, error))?;
        let source = Self {
            connection,
            subscription,
            inbox,
            stream: stream.to_owned(),
            consumer: consumer.name,
            pulls: Pulls::default(),
            acks: Acks::default(),
            deliveries: 0,
            received_bytes: 0,
        };
        let pulls = source.pull_subject();
        source.subscription.answers_to(move |subject| subject == pulls);
        Ok((source, consumer.num_pending))
    }

    /// What arrives within `patience`.
    pub(super) async fn receive(&mut self, patience: Duration) -> Result<Received, Trouble> {
        self.pull().await?;
        let batch = match tokio::time::timeout(patience, self.subscription.next_batch()).await {
            Ok(batch) => batch?,
            Err(_) => return Ok(self.silence()),
        };
        let mut delivered = Vec::with_capacity(batch.len());
        for message in batch {
            delivered.extend(self.take(&message)?);
        }
        // Before the caller works on these: the server fills the next pull meanwhile.
        self.pull().await?;
        Ok(if delivered.is_empty() { Received::News } else { Received::Messages(delivered) })
    }

    fn silence(&mut self) -> Received {
        let before = std::mem::replace(&mut self.received_bytes, self.connection.received_bytes());
        if before == self.received_bytes { Received::Silence } else { Received::News }
    }

    fn pull_subject(&self) -> String {
        self.connection.api_subject(&format!("CONSUMER.MSG.NEXT.{}.{}", self.stream, self.consumer))
    }

    async fn pull(&mut self) -> Result<(), Trouble> {
        let subject = self.pull_subject();
        while let Some(pull) = self.pulls.next() {
            let reply = format!("{}.{}", self.inbox, pull.reply_token());
            let body = serde_json::to_vec(&pull).expect("numbers are JSON");
            self.connection.publish(&subject, &reply, b"", &body).await?;
        }
        Ok(())
    }

    fn take(&mut self, message: &Message) -> Result<Option<Delivered>, Trouble> {
        let Some(ack) = self.acks.parse(message.reply()) else {
            return match self.pulls.status(message) {
                Status::GoOn => Ok(None),
                Status::Lost(reason) => Err(self.lost(reason)),
            };
        };
        self.deliveries += 1;
        if ack.delivery != self.deliveries {
            return Err(Trouble::Passing(LogError::Disordered {
                url: self.connection.url().to_owned(),
                expected: self.deliveries,
                found: ack.delivery,
            }));
        }
        self.pulls.delivered();
        let message = StoredMessage {
            sequence: ack.sequence,
            stored_at: ack.stored_at,
            subject: message.subject_bytes(),
            headers: message.headers_bytes(),
            payload: message.payload_bytes(),
        };
        Ok(Some(Delivered { message, pending: ack.pending }))
    }

    fn lost(&self, reason: String) -> Trouble {
        Trouble::Passing(LogError::Unreachable { url: self.connection.url().to_owned(), reason })
    }

    /// Tells the server that the consumer is not needed any more; if that does not arrive, its threshold removes it.
    pub(super) async fn close(self) {
        let subject =
            self.connection.api_subject(&format!("CONSUMER.DELETE.{}.{}", self.stream, self.consumer));
        let _ = self.connection.publish(&subject, "", b"", b"").await;
    }
}

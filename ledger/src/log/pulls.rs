//! How much of the log is asked for: large pulls, the next requested before the last is used up.
//!
//! The server serves several pulls in turn (2.9 one after the other), so only the sum of what is still asked for is known:
//! each message lowers it by one, and a pull that ends early says by how much.

use std::time::Duration;

use serde::Serialize;

use crate::wire::Message;

/// Most messages of one pull.
const BATCH: u64 = 10_000;
/// A further pull is sent when fewer messages than this are still to come.
const LOW: u64 = 10_000;
/// Most bytes of one pull: a slow reader must stay far below the 64 MiB at which servers end connections.
const MAX_BYTES: u64 = 8 << 20;
/// How long the server keeps a pull that it cannot serve.
const EXPIRES: Duration = Duration::from_secs(30);

/// A pull, as the server takes it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Pull {
    batch: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_bytes: Option<u64>,
    /// Nanoseconds.
    expires: u64,
}

impl Pull {
    fn new(batch: u64, max_bytes: Option<u64>) -> Self {
        Self { batch, max_bytes, expires: EXPIRES.as_nanos() as u64 }
    }

    /// Last token of the subject that the server answers to, by which the ends of the two kinds are told apart.
    pub(super) fn reply_token(&self) -> &'static str {
        if self.max_bytes.is_some() { "many" } else { "one" }
    }
}

/// What is asked for.
#[derive(Debug, Default)]
pub(super) struct Pulls {
    /// Messages still to come of all pulls with a byte limit.
    outstanding: u64,
    next_message: NextMessage,
}

/// Whether the next message is larger than any pull with a byte limit lets through. The server then ends every such pull,
/// for ever: that message must be asked for alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum NextMessage {
    #[default]
    Fits,
    TooLarge,
    AskedForAlone,
}

/// What a status message means for the reading.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// A pull has ended, or nothing: go on.
    GoOn,
    /// The consumer cannot serve any more.
    Lost(String),
}

impl Pulls {
    /// The next pull to send, if it is time.
    pub(super) fn next(&mut self) -> Option<Pull> {
        match self.next_message {
            NextMessage::Fits if self.outstanding < LOW => {
                self.outstanding += BATCH;
                Some(Pull::new(BATCH, Some(MAX_BYTES)))
            }
            NextMessage::TooLarge => {
                self.next_message = NextMessage::AskedForAlone;
                Some(Pull::new(1, None))
            }
            NextMessage::Fits | NextMessage::AskedForAlone => None,
        }
    }

    /// A message was delivered.
    pub(super) fn delivered(&mut self) {
        match self.next_message {
            NextMessage::Fits => self.outstanding = self.outstanding.saturating_sub(1),
            NextMessage::TooLarge | NextMessage::AskedForAlone => self.next_message = NextMessage::Fits,
        }
    }

    /// The server said something about a pull.
    pub(super) fn status(&mut self, message: &Message) -> Status {
        let text = message.status_text();
        match message.status() {
            Some(100) => Status::GoOn,
            Some(404 | 408) if message.subject().ends_with(b".one") => {
                self.next_message = NextMessage::Fits;
                Status::GoOn
            }
            Some(404 | 408) => self.ended(message),
            Some(409) if text.starts_with("Message Size Exceeds MaxBytes") => {
                if number(message, "Nats-Pending-Bytes") == Some(MAX_BYTES) {
                    self.too_large();
                    return Status::GoOn;
                }
                self.ended(message)
            }
            // Newer servers say so of every pull with a byte limit; its messages were counted as they came.
            Some(409) if text.starts_with("Batch Completed") => Status::GoOn,
            Some(status) => Status::Lost(format!("the consumer ended: {status} {text}")),
            None => Status::Lost("the server sent a message of no known form".to_owned()),
        }
    }

    /// A pull of which nothing was used has ended for its size, and so have all the others.
    fn too_large(&mut self) {
        self.outstanding = 0;
        if self.next_message == NextMessage::Fits {
            self.next_message = NextMessage::TooLarge;
        }
    }

    /// A server that does not say how much was left over gets a new pull at once.
    fn ended(&mut self, message: &Message) -> Status {
        let left_over = number(message, "Nats-Pending-Messages").unwrap_or(u64::MAX);
        self.outstanding = self.outstanding.saturating_sub(left_over);
        Status::GoOn
    }
}

fn number(message: &Message, name: &str) -> Option<u64> {
    std::str::from_utf8(message.header(name)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(subject: &str, text: &str, messages: u64, bytes: u64) -> Message {
        Message::status_for_tests(
            subject,
            &format!(
                "NATS/1.0 {text}\r\nNats-Pending-Messages: {messages}\r\nNats-Pending-Bytes: {bytes}\r\n\r\n"
            ),
        )
    }

    #[test]
    fn the_next_pull_is_sent_before_the_last_is_used_up() {
        let mut pulls = Pulls::default();
        assert!(pulls.next().is_some());
        assert!(pulls.next().is_none());
        pulls.delivered();
        assert!(pulls.next().is_some());
    }

    #[test]
    fn a_pull_that_ends_early_is_replaced() {
        let mut pulls = Pulls::default();
        pulls.next();
        let end = status("i.many", "409 Message Size Exceeds MaxBytes", BATCH - 10, 5);
        assert_eq!(pulls.status(&end), Status::GoOn);
        assert_eq!(pulls.next(), Some(Pull::new(BATCH, Some(MAX_BYTES))));
    }

    #[test]
    fn a_message_too_large_for_any_pull_is_asked_for_alone_and_once() {
        let mut pulls = Pulls::default();
        pulls.next();
        let end = status("i.many", "409 Message Size Exceeds MaxBytes", BATCH, MAX_BYTES);
        pulls.status(&end);
        assert_eq!(pulls.next(), Some(Pull::new(1, None)));
        pulls.status(&end);
        assert_eq!(pulls.next(), None);
        pulls.delivered();
        assert_eq!(pulls.next(), Some(Pull::new(BATCH, Some(MAX_BYTES))));
    }

    #[test]
    fn a_pull_that_is_used_up_is_no_loss() {
        let mut pulls = Pulls::default();
        pulls.next();
        assert_eq!(pulls.status(&status("i.many", "409 Batch Completed", 0, 0)), Status::GoOn);
        assert_eq!(pulls.next(), None);
    }

    #[test]
    fn a_lost_consumer_is_noticed() {
        for text in ["409 Consumer Deleted", "409 Leadership Change", "503 No Responders", "400 Bad Request"]
        {
            assert!(
                matches!(Pulls::default().status(&status("i.many", text, 0, 0)), Status::Lost(_)),
                "{text}"
            );
        }
    }
}

//! The log message by message: only on request, for it cannot keep store times, and sequences only without gaps.
//!
//! The stored header block goes out unchanged, except that with new sequences the expectations in it are left out: the
//! server would check them against the new sequences, and refuse.

use std::io::{Read, Seek};

use bytes::Bytes;
use tokio::sync::mpsc;
use trstctl_formats::backup::{Allow, Content, ContentFold, Lines};
use trstctl_formats::{Class, Failure, StoredMessage};

use super::Progress;
use super::compare::without_expectations;
use super::source::{Pass, Source};
use crate::log::Publisher;
use crate::wire::{Connection, ServerVersion};

/// Batches and messages read ahead.
const BATCHES_AHEAD: usize = 4;
const BATCH_BYTES: usize = 1 << 20;
const BATCH_MESSAGES: usize = 2_000;

/// Which sequences the published messages get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbering {
    /// Those that they had; the log begins at this one.
    Kept {
        /// First sequence.
        first: u64,
    },
    /// New ones, from 1.
    New,
}

impl Numbering {
    /// Decides, or says why it cannot be done.
    ///
    /// # Errors
    /// `refused` when sequences cannot be kept here and nobody has accepted new ones.
    pub fn decide(content: &Content, version: ServerVersion, new_sequences: Allow) -> Result<Self, Failure> {
        let first = first_message(content);
        // By number, for a content of very many gaps does not list them.
        let missing = (content.last_sequence + 1 - first).saturating_sub(content.records);
        let why = match (missing, first) {
            (0, 1) => return Ok(Self::Kept { first }),
            (0, _) if version.is_at_least(2, 10) => return Ok(Self::Kept { first }),
            (0, _) => {
                format!("it begins at {first}, and this server ({version}, before 2.10) begins at 1")
            }
            _ => format!("{missing} of its sequences are missing"),
        };
        match new_sequences {
            Allow::Yes => Ok(Self::New),
            Allow::No => Err(Failure::new(
                Class::Refused,
                format!("publishing cannot keep the sequences of this log: {why}"),
                "Restore it as an archive (without --method publish), which keeps them; or accept other sequences with \
                 --accept-new-sequences.",
            )),
        }
    }

    /// What can be compared afterwards.
    pub fn lines(self) -> Lines {
        match self {
            Self::Kept { .. } => Lines::WithoutStoreTime,
            Self::New => Lines::ContentOnly,
        }
    }

    fn first(self) -> u64 {
        match self {
            Self::Kept { first } => first,
            Self::New => 1,
        }
    }
}

/// The sequence of the first message; a gap at the very start lies before it.
fn first_message(content: &Content) -> u64 {
    match content.gaps.first() {
        Some(&(first, last)) if first == content.first_sequence => last + 1,
        _ => content.first_sequence,
    }
}

/// What was published.
#[derive(Clone, Debug)]
pub(super) struct Published {
    /// What the log must hold now, under the lines of its numbering.
    pub(super) content: Content,
    /// Stored `Nats-Expected-*` lines left out.
    pub(super) expectations_left_out: u64,
}

/// Publishes all messages but the first `skip`, which are there already.
pub(super) async fn publish<S: Read + Seek + Send + 'static>(
    connection: &Connection,
    source: &Source<S>,
    numbering: Numbering,
    skip: u64,
    progress: &Progress,
) -> Result<Published, Failure> {
    let (mut batches, pass) = prepared(source, numbering);
    let mut publisher = Publisher::begin(connection, numbering.first() + skip)?;
    let (mut done, mut to_skip) = (skip, skip);
    while let Some(batch) = batches.recv().await {
        for message in &batch {
            if to_skip > 0 {
                to_skip -= 1;
                continue;
            }
            publisher.send(message).await?;
            done += 1;
        }
        progress.report(done);
    }
    publisher.drain().await?;
    pass.end().await
}

/// What publishing the whole of it makes; nothing is published.
pub(super) async fn folded<S: Read + Seek + Send + 'static>(
    source: &Source<S>,
    numbering: Numbering,
) -> Result<Published, Failure> {
    pass(source, numbering, None).end().await
}

/// The messages as they are to be published, and what they fold to.
fn prepared<S: Read + Seek + Send + 'static>(
    source: &Source<S>,
    numbering: Numbering,
) -> (mpsc::Receiver<Vec<StoredMessage>>, Pass<Published>) {
    let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
    let batches = Batches { sender, batch: Vec::new(), len_bytes: 0 };
    (receiver, pass(source, numbering, Some(batches)))
}

fn pass<S: Read + Seek + Send + 'static>(
    source: &Source<S>,
    numbering: Numbering,
    mut batches: Option<Batches>,
) -> Pass<Published> {
    let content = source.content();
    let last = match numbering {
        Numbering::Kept { .. } => content.last_sequence,
        Numbering::New => content.records,
    };
    source.pass(move |messages| {
        let mut fold = ContentFold::new(numbering.lines(), numbering.first());
        let (mut new_sequence, mut expectations_left_out) = (0, 0);
        while let Some(mut message) = messages.next()? {
            if numbering == Numbering::New {
                expectations_left_out += strip(&mut message);
                new_sequence += 1;
                // Failures name what goes out by its sequence in the backup.
                fold.append(&StoredMessage { sequence: new_sequence, ..message.clone() });
            } else {
                fold.append(&message);
            }
            if let Some(batches) = &mut batches {
                batches.add(message)?;
            }
        }
        if let Some(batches) = &mut batches {
            batches.send()?;
        }
        Ok(Published { content: fold.finish(last), expectations_left_out })
    })
}

/// Messages on their way to the publisher.
struct Batches {
    sender: mpsc::Sender<Vec<StoredMessage>>,
    batch: Vec<StoredMessage>,
    len_bytes: usize,
}

impl Batches {
    fn add(&mut self, message: StoredMessage) -> Result<(), Failure> {
        self.len_bytes += message.len_bytes();
        self.batch.push(message);
        if self.len_bytes >= BATCH_BYTES || self.batch.len() >= BATCH_MESSAGES {
            return self.send();
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), Failure> {
        self.len_bytes = 0;
        let stopped =
            |_| Failure::new(Class::Interrupted, "publishing has stopped", "Run the same command again.");
        self.sender.blocking_send(std::mem::take(&mut self.batch)).map_err(stopped)
    }
}

fn strip(message: &mut StoredMessage) -> u64 {
    let stripped = without_expectations(&message.headers);
    if stripped.lines > 0 {
        message.headers = Bytes::from(stripped.headers);
    }
    stripped.lines
}

#[cfg(test)]
mod tests {
    use trstctl_formats::Digest;

    use super::*;

    fn decide(first: u64, gaps: &[(u64, u64)], version: &str, allow: Allow) -> Result<Numbering, Class> {
        let missing: u64 = gaps.iter().map(|(first, last)| last - first + 1).sum();
        let content = Content {
            records: 10 - missing,
            first_sequence: first,
            last_sequence: first + 9,
            gaps: gaps.to_vec(),
            merkle_root: Digest([0; 32]),
        };
        Numbering::decide(&content, ServerVersion::parse(version), allow).map_err(|failure| failure.class)
    }

    #[test]
    fn a_log_without_gaps_from_1_keeps_its_sequences_everywhere() {
        assert_eq!(decide(1, &[], "2.9.10", Allow::No), Ok(Numbering::Kept { first: 1 }));
    }

    #[test]
    fn a_later_first_sequence_needs_a_server_that_can_begin_there() {
        assert_eq!(decide(5001, &[], "2.10.0", Allow::No), Ok(Numbering::Kept { first: 5001 }));
        assert_eq!(decide(5001, &[], "2.9.10", Allow::No), Err(Class::Refused));
        assert_eq!(decide(5001, &[], "2.9.10", Allow::Yes), Ok(Numbering::New));
    }

    #[test]
    fn gaps_need_new_sequences_to_be_accepted() {
        assert_eq!(decide(1, &[(3, 4)], "2.15.2", Allow::No), Err(Class::Refused));
        assert_eq!(decide(1, &[(3, 4)], "2.15.2", Allow::Yes), Ok(Numbering::New));
    }

    #[test]
    fn a_gap_at_the_very_start_only_moves_the_first_sequence() {
        assert_eq!(decide(1, &[(1, 4)], "2.15.2", Allow::No), Ok(Numbering::Kept { first: 5 }));
    }
}

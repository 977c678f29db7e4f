//! Two logs message by message: names the first sequence at which a live log is not what the backup holds.

use std::collections::VecDeque;

use trstctl_formats::backup::Lines;
use trstctl_formats::{Failure, StoredMessage};

use super::source::Batches;
use crate::log::{LogError, LogReader};

/// How a live log stands to the backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    /// Both hold the same messages.
    Same {
        /// How many.
        records: u64,
    },
    /// The live log ends earlier; all that it holds is the same.
    Prefix {
        /// How many messages it holds.
        records: u64,
        /// The first message of the backup that it lacks.
        next_sequence: u64,
    },
    /// The first difference.
    Differs(Difference),
    /// The live log is damaged.
    Unreadable {
        /// Where; if that cannot be said, behind the last message that was read.
        sequence: u64,
        /// How.
        failure: Failure,
    },
}

impl Comparison {
    fn unreadable(failure: Failure, last: u64) -> Self {
        Self::Unreadable { sequence: failure.place.sequence.unwrap_or(last + 1), failure }
    }
}

/// The first difference between a live log and the backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where, in the backup's sequences (with new sequences: in the live log's).
    pub sequence: u64,
    /// What, for a person: completes "message N …".
    pub what: String,
}

impl Difference {
    pub(super) fn new(sequence: u64, what: impl Into<String>) -> Self {
        Self { sequence, what: what.into() }
    }

    /// What is [`Comparison::Unreadable`].
    pub(super) fn of_damage(sequence: u64, failure: &Failure) -> Self {
        Self::new(sequence, format!("cannot be read: {}", failure.message))
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "message {} {}", self.sequence, self.what)
    }
}

/// Reads both to the end of the shorter one, or to the first difference.
pub(super) async fn compare<R: LogReader>(
    live: R,
    backup: Batches,
    lines: Lines,
    mut progress: impl FnMut(u64),
) -> Result<Comparison, Failure> {
    let mut live = Live { reader: live, queue: VecDeque::new() };
    let mut backup = Backup { batches: backup, queue: VecDeque::new() };
    let (mut records, mut last) = (0, 0);
    loop {
        let left = match live.next().await {
            Err(error) if error.is_damage() => return Ok(Comparison::unreadable(error.into(), last)),
            read => read?,
        };
        last = left.as_ref().map_or(last, |message| message.sequence);
        match (left, backup.next().await?) {
            (None, None) => return Ok(Comparison::Same { records }),
            (None, Some(next)) => return Ok(Comparison::Prefix { records, next_sequence: next.sequence }),
            (Some(extra), None) => {
                let difference = Difference::new(extra.sequence, "is in the log and not in the backup");
                return Ok(Comparison::Differs(difference));
            }
            (Some(live), Some(backup)) => {
                if let Some(difference) = first_difference(&live, &backup, lines) {
                    return Ok(Comparison::Differs(difference));
                }
            }
        }
        records += 1;
        progress(records);
    }
}

struct Live<R> {
    reader: R,
    queue: VecDeque<StoredMessage>,
}

impl<R: LogReader> Live<R> {
    async fn next(&mut self) -> Result<Option<StoredMessage>, LogError> {
        while self.queue.is_empty() {
            match self.reader.next_batch().await? {
                Some(batch) => self.queue.extend(batch),
                None => return Ok(None),
            }
        }
        Ok(self.queue.pop_front())
    }
}

struct Backup {
    batches: Batches,
    queue: VecDeque<StoredMessage>,
}

impl Backup {
    async fn next(&mut self) -> Result<Option<StoredMessage>, Failure> {
        while self.queue.is_empty() {
            match self.batches.next().await? {
                Some(batch) => self.queue.extend(batch),
                None => return Ok(None),
            }
        }
        Ok(self.queue.pop_front())
    }
}

fn first_difference(live: &StoredMessage, backup: &StoredMessage, lines: Lines) -> Option<Difference> {
    if lines != Lines::ContentOnly && live.sequence != backup.sequence {
        return Some(match live.sequence < backup.sequence {
            true => Difference::new(live.sequence, "is in the log and not in the backup"),
            false => Difference::new(backup.sequence, "is in the backup and not in the log"),
        });
    }
    let what = if live.subject != backup.subject {
        "has another subject than in the backup"
    } else if !same_headers(live, backup, lines) {
        "has other headers than in the backup"
    } else if live.payload != backup.payload {
        "has another payload than in the backup"
    } else if lines == Lines::Exact && live.stored_at != backup.stored_at {
        "has another store time than in the backup"
    } else {
        return None;
    };
    Some(Difference::new(live.sequence, what))
}

fn same_headers(live: &StoredMessage, backup: &StoredMessage, lines: Lines) -> bool {
    live.headers == backup.headers
        || (lines == Lines::ContentOnly
            && without_expectations(&live.headers).headers == without_expectations(&backup.headers).headers)
}

/// A header block without the lines that only the old sequences could satisfy.
pub(super) struct Stripped {
    /// The block; empty when no line is left.
    pub(super) headers: Vec<u8>,
    /// Lines left out.
    pub(super) lines: u64,
}

const EXPECTATION: &[u8] = b"nats-expected-";

/// Leaves out the `Nats-Expected-*` lines: a server would check them against the new sequences, and refuse.
pub(super) fn without_expectations(headers: &[u8]) -> Stripped {
    let mut kept = Vec::with_capacity(headers.len());
    let mut lines = 0;
    for (index, line) in headers.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let name = line.get(..EXPECTATION.len()).unwrap_or_default();
        if index > 0 && name.eq_ignore_ascii_case(EXPECTATION) {
            lines += 1;
        } else {
            kept.extend_from_slice(line);
        }
    }
    // Only the version line and the end: a message without headers.
    if lines > 0 && kept.split(|&byte| byte == b'\n').filter(|line| line.len() > 1).count() <= 1 {
        kept.clear();
    }
    Stripped { headers: kept, lines }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use trstctl_formats::StoreTime;

    use super::super::samples::{log, source};
    use super::*;
    use crate::log::EventLog;

    fn message(sequence: u64) -> StoredMessage {
        StoredMessage {
            sequence,
            stored_at: StoreTime(7),
            subject: Bytes::from_static(b"events.x"),
            headers: Bytes::from_static(b"NATS/1.0\r\nA: b\r\n\r\n"),
            payload: Bytes::from_static(b"p"),
        }
    }

    fn what(live: &StoredMessage, lines: Lines) -> Option<(u64, String)> {
        first_difference(live, &message(5), lines).map(|difference| (difference.sequence, difference.what))
    }

    #[test]
    fn every_field_of_a_message_is_compared() {
        assert_eq!(what(&message(5), Lines::Exact), None);
        let other = |change: fn(&mut StoredMessage)| {
            let mut message = message(5);
            change(&mut message);
            what(&message, Lines::Exact).unwrap().1
        };
        assert!(other(|message| message.subject = Bytes::from_static(b"events.y")).contains("subject"));
        assert!(other(|message| message.headers = Bytes::new()).contains("headers"));
        assert!(other(|message| message.payload = Bytes::new()).contains("payload"));
        assert!(other(|message| message.stored_at = StoreTime(8)).contains("store time"));
    }

    #[test]
    fn the_lower_sequence_is_named_when_one_side_lacks_a_message() {
        assert_eq!(what(&message(4), Lines::Exact).unwrap().0, 4);
        assert_eq!(what(&message(9), Lines::WithoutStoreTime).unwrap().0, 5);
        assert_eq!(what(&message(9), Lines::ContentOnly), None);
    }

    #[test]
    fn store_times_are_compared_only_where_they_were_kept() {
        let later = StoredMessage { stored_at: StoreTime(9), ..message(5) };
        assert_eq!(what(&later, Lines::WithoutStoreTime), None);
    }

    #[test]
    fn expectations_count_as_headers_only_where_sequences_are_kept() {
        let with =
            |headers: &'static [u8]| StoredMessage { headers: Bytes::from_static(headers), ..message(5) };
        let expecting = with(b"NATS/1.0\r\nA: b\r\nNats-Expected-Last-Sequence: 4\r\n\r\n");
        assert_eq!(what(&expecting, Lines::ContentOnly), None);
        assert!(what(&expecting, Lines::WithoutStoreTime).unwrap().1.contains("headers"));
        assert!(what(&with(b"NATS/1.0\r\nA: c\r\n\r\n"), Lines::ContentOnly).unwrap().1.contains("headers"));
    }

    #[tokio::test]
    async fn two_logs_are_compared_to_the_end_of_the_shorter_one() {
        for (live, backup) in [(0, 0), (3, 3), (3, 5)] {
            let mut reached = 0;
            let reader = log(live).await.read(1, live).await.unwrap();
            let compared =
                compare(reader, source(backup).batches(), Lines::WithoutStoreTime, |n| reached = n);
            let expected = match live == backup {
                true => Comparison::Same { records: live },
                false => Comparison::Prefix { records: live, next_sequence: live + 1 },
            };
            assert_eq!((compared.await.unwrap(), reached), (expected, live));
        }
    }

    /// A log whose only message is followed by damage.
    struct Damaged(Option<StoredMessage>, LogError);

    impl LogReader for Damaged {
        async fn next_batch(&mut self) -> Result<Option<Vec<StoredMessage>>, LogError> {
            self.0.take().map(|message| Some(vec![message])).ok_or_else(|| self.1.clone())
        }

        fn accounting(&self) -> &crate::log::Accounting {
            unreachable!("it is not read to its end")
        }
    }

    #[tokio::test]
    async fn damage_is_a_difference_and_any_other_failure_is_none() {
        let backup = source(9);
        let first = log(1).await.read(1, 1).await.unwrap().next_batch().await.unwrap().unwrap().remove(0);
        let compared = async |error: LogError| {
            let live = Damaged(Some(first.clone()), error);
            compare(live, backup.batches(), Lines::WithoutStoreTime, |_| {}).await
        };
        for (error, at) in [
            (LogError::Unaccounted { first: 4, last: 7 }, 4),
            (LogError::Lost { first: 5, count: 4 }, 5),
            (LogError::MiscountedMessages { read: 3, counted: 4, suspect: Some(6) }, 6),
            (LogError::MiscountedMessages { read: 4, counted: 3, suspect: None }, 2),
        ] {
            match compared(error).await.unwrap() {
                Comparison::Unreadable { sequence, .. } => assert_eq!(sequence, at),
                other => panic!("{other:?}"),
            }
        }
        compared(LogError::NoStream { stream: "S".to_owned() }).await.unwrap_err();
    }

    #[test]
    fn a_block_without_lines_stays_when_nothing_was_left_out() {
        let empty = b"NATS/1.0\r\n\r\n";
        assert_eq!(without_expectations(empty).headers, empty);
    }

    #[test]
    fn expectations_are_left_out_and_counted() {
        let stripped = without_expectations(
            b"NATS/1.0\r\nNats-Msg-Id: a\r\nnats-expected-last-sequence: 4\r\nNats-Expected-Stream: S\r\n\r\n",
        );
        assert_eq!(stripped.headers, b"NATS/1.0\r\nNats-Msg-Id: a\r\n\r\n");
        assert_eq!(stripped.lines, 2);
        let alone = without_expectations(b"NATS/1.0\r\nNats-Expected-Last-Sequence: 4\r\n\r\n");
        assert!(alone.headers.is_empty());
        let none = without_expectations(b"NATS/1.0\r\nA: b\r\n\r\n");
        assert_eq!((none.headers.as_slice(), none.lines), (&b"NATS/1.0\r\nA: b\r\n\r\n"[..], 0));
    }
}

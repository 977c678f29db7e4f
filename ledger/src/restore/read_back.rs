//! Reads the live log whole and compares it with what was to be written: count, gaps, ends and root, then, when they
//! differ, message by message. No server's word replaces this: some drop what they cannot read and say success.

use std::io::{Read, Seek};

use tokio::sync::mpsc;
use trstctl_formats::backup::{Content, ContentFold, Lines};
use trstctl_formats::{Class, Failure, StoredMessage};

use super::Progress;
use super::compare::{Comparison, Difference, compare};
use super::source::Source;
use crate::log::{EventLog, LogError, LogReader};

/// Batches read ahead of folding.
const BATCHES_AHEAD: usize = 4;

const RESTORE_AGAIN: &str = "The stream keeps its mark and no server uses it. Run the same command again: it deletes the \
    stream and restores once more. If it fails again, take another server, or --method publish.";

/// What a complete reading of the live log gives.
pub(super) async fn read_live<L: EventLog>(
    log: &L,
    lines: Lines,
    progress: &Progress,
) -> Result<Content, Failure> {
    let state = log.state().await?;
    let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
    let folding = tokio::task::spawn_blocking(move || fold(receiver, lines, state.first_sequence));
    if state.messages > 0 {
        let mut reader = log.read(state.first_sequence, state.last_sequence).await?;
        let mut done = 0;
        while let Some(batch) = reader.next_batch().await.map_err(unreadable)? {
            done += batch.len() as u64;
            if sender.send(batch).await.is_err() {
                break; // The fold has panicked; its end says so.
            }
            progress.report(done);
        }
    }
    drop(sender);
    let fold = folding.await.map_err(|error| {
        let message = format!("the thread that folds the live log ended unexpectedly: {error}");
        Failure::new(Class::Internal, message, "Report this with the command that was run.")
    })?;
    Ok(fold.finish(state.last_sequence))
}

/// In a log that was restored just now, what cannot be read was lost by the server.
fn unreadable(error: LogError) -> Failure {
    let is_damage = error.is_damage();
    let failure = Failure::from(error);
    if !is_damage {
        return failure;
    }
    let message = format!("the restored log is damaged: {}", failure.message);
    Failure { class: Class::ReadbackDiffers, message, hint: RESTORE_AGAIN.to_owned(), ..failure }
}

fn fold(mut batches: mpsc::Receiver<Vec<StoredMessage>>, lines: Lines, first_sequence: u64) -> ContentFold {
    let mut fold = ContentFold::new(lines, first_sequence);
    while let Some(batch) = batches.blocking_recv() {
        for message in &batch {
            fold.append(message);
        }
    }
    fold
}

/// Whether two contents are the same under `lines`.
pub(super) fn is_same(live: &Content, expected: &Content, lines: Lines) -> bool {
    let same_messages = live.records == expected.records && live.merkle_root == expected.merkle_root;
    same_messages && (lines == Lines::ContentOnly || ends(live) == ends(expected))
}

/// First, last and gaps. A gap at the very start is no gap for a server: its log begins with the first message.
fn ends(content: &Content) -> (u64, u64, &[(u64, u64)]) {
    match content.gaps.split_first() {
        Some((&(first, last), rest)) if first == content.first_sequence => {
            (last + 1, content.last_sequence, rest)
        }
        _ => (content.first_sequence, content.last_sequence, &content.gaps),
    }
}

/// The first difference between the live log and the backup, and the failure that it is.
pub(super) async fn name_difference<L: EventLog, S: Read + Seek + Send + 'static>(
    log: &L,
    source: &Source<S>,
    lines: Lines,
    live: &Content,
    expected: &Content,
) -> Failure {
    match first_difference(log, source, lines).await {
        Ok(Some(difference)) => differs(&difference, live, expected),
        Ok(None) => differs(&difference_of_ends(live, expected), live, expected),
        Err(failure) => failure,
    }
}

/// `None` when both hold the same messages.
pub(super) async fn first_difference<L: EventLog, S: Read + Seek + Send + 'static>(
    log: &L,
    source: &Source<S>,
    lines: Lines,
) -> Result<Option<Difference>, Failure> {
    let state = log.state().await?;
    let reader = log.read(state.first_sequence, state.last_sequence).await?;
    let comparison = compare(reader, source.batches(), lines, |_| {}).await?;
    Ok(match comparison {
        Comparison::Same { .. } => None,
        Comparison::Prefix { next_sequence, .. } => {
            Some(Difference::new(next_sequence, "is in the backup and not in the log"))
        }
        Comparison::Differs(difference) => Some(difference),
        Comparison::Unreadable { sequence, failure } => Some(Difference::of_damage(sequence, &failure)),
    })
}

/// All messages are the same, so the difference is at an end of the log.
fn difference_of_ends(live: &Content, expected: &Content) -> Difference {
    let (live, expected) = (ends(live), ends(expected));
    if live.0 != expected.0 {
        return Difference::new(live.0.min(expected.0), "is where only one of the two logs begins");
    }
    Difference::new(live.1.min(expected.1) + 1, "is beyond the end of one of the two logs only")
}

fn differs(difference: &Difference, live: &Content, expected: &Content) -> Failure {
    let message = format!(
        "the restored log is not what was verified: {difference} ({} messages, last sequence {}, root {}; expected {} \
         messages, last sequence {}, root {})",
        live.records,
        live.last_sequence,
        live.merkle_root,
        expected.records,
        expected.last_sequence,
        expected.merkle_root
    );
    Failure::new(Class::ReadbackDiffers, message, RESTORE_AGAIN).at_sequence(difference.sequence)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use trstctl_formats::Digest;

    use super::super::samples::{log, message, source};
    use super::*;
    use crate::log::{Accounting, Appended, Expected, LogState, NewMessage};

    /// A log of which a server says that the second message is there, and does not give it: no server does so when it is asked to.
    struct Unreadable;

    impl EventLog for Unreadable {
        type Reader = Self;

        async fn state(&self) -> Result<LogState, LogError> {
            Ok(LogState { first_sequence: 1, last_sequence: 3, messages: 3, len_bytes: 3 })
        }

        async fn append(&self, _: NewMessage, _: Expected) -> Result<Appended, LogError> {
            unreachable!("what is read back is not written")
        }

        async fn read(&self, _: u64, _: u64) -> Result<Self, LogError> {
            Ok(Self)
        }
    }

    impl LogReader for Unreadable {
        async fn next_batch(&mut self) -> Result<Option<Vec<StoredMessage>>, LogError> {
            Err(LogError::Unaccounted { first: 2, last: 3 })
        }

        fn accounting(&self) -> &Accounting {
            unreachable!("it is not read to its end")
        }
    }

    async fn named(log: impl EventLog, live: &Content, source: &Source<Cursor<Vec<u8>>>) -> Failure {
        name_difference(&log, source, Lines::WithoutStoreTime, live, source.content()).await
    }

    #[tokio::test]
    async fn every_difference_is_named_by_its_sequence() {
        let source = source(5);
        let live = content(1, 3, &[]);
        let shorter = named(log(3).await, &live, &source).await;
        assert_eq!((shorter.class, shorter.place.sequence), (Class::ReadbackDiffers, Some(4)));
        assert!(shorter.message.contains("message 4 is in the backup and not in the log"), "{shorter:?}");
        let longer = named(log(7).await, &content(1, 7, &[]), &source).await;
        assert!(longer.message.contains("message 6 is in the log and not in the backup"), "{longer:?}");
        let unreadable = named(Unreadable, &live, &source).await;
        assert!(unreadable.message.contains("message 2 cannot be read"), "{unreadable:?}");
    }

    #[tokio::test]
    async fn a_log_is_read_whole_and_says_how_far_it_is() {
        for messages in [0, 1, 3] {
            let reached = Arc::new(AtomicU64::new(0));
            let last = Arc::clone(&reached);
            let progress = Progress::to(move |messages| last.store(messages, Ordering::Relaxed));
            let live = read_live(&log(messages).await, Lines::WithoutStoreTime, &progress).await.unwrap();
            let mut expected = ContentFold::new(Lines::WithoutStoreTime, 1);
            for sequence in 1..=messages {
                expected.append(&message(sequence));
            }
            assert_eq!(live, expected.finish(messages));
            assert_eq!(reached.load(Ordering::Relaxed), messages);
        }
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_a_damage_and_has_a_place() {
        let failure = read_live(&Unreadable, Lines::Exact, &Progress::default()).await.unwrap_err();
        assert_eq!((failure.class, failure.place.sequence), (Class::ReadbackDiffers, Some(2)));
        assert!(failure.message.starts_with("the restored log is damaged: "), "{failure:?}");
        assert_eq!(failure.hint, RESTORE_AGAIN);
    }

    fn content(first_sequence: u64, last_sequence: u64, gaps: &[(u64, u64)]) -> Content {
        Content {
            records: 3,
            first_sequence,
            last_sequence,
            gaps: gaps.to_vec(),
            merkle_root: Digest([1; 32]),
        }
    }

    #[test]
    fn ends_and_gaps_count_where_sequences_were_kept() {
        let expected = content(1, 5, &[(2, 3)]);
        assert!(is_same(&expected.clone(), &expected, Lines::Exact));
        assert!(!is_same(&content(1, 6, &[(2, 3)]), &expected, Lines::Exact));
        assert!(!is_same(&content(1, 5, &[(3, 4)]), &expected, Lines::WithoutStoreTime));
        assert!(is_same(&content(1, 3, &[]), &expected, Lines::ContentOnly));
    }

    #[test]
    fn a_gap_at_the_very_start_is_none() {
        assert!(is_same(&content(4, 6, &[]), &content(1, 6, &[(1, 3)]), Lines::Exact));
    }

    #[test]
    fn another_root_or_count_is_never_the_same() {
        let expected = content(1, 3, &[]);
        let other_root = Content { merkle_root: Digest([2; 32]), ..expected.clone() };
        let other_count = Content { records: 4, ..expected.clone() };
        for lines in [Lines::Exact, Lines::WithoutStoreTime, Lines::ContentOnly] {
            assert!(!is_same(&other_root, &expected, lines));
            assert!(!is_same(&other_count, &expected, lines));
            assert!(!is_same(&expected, &other_count, lines));
        }
    }

    #[test]
    fn a_difference_of_the_ends_names_the_first_sequence_beyond_the_shorter() {
        assert_eq!(difference_of_ends(&content(1, 3, &[]), &content(1, 5, &[(4, 5)])).sequence, 4);
        assert_eq!(difference_of_ends(&content(3, 5, &[]), &content(2, 5, &[])).sequence, 2);
    }
}

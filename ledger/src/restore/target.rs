//! What a restore finds in its place, and whether it may go on: nothing is changed here.
//!
//! A restore writes where there is no log, or takes up its own unfinished work, known by its [`Mark`]. Everything else
//! is refused with the first differing sequence, or recognised as the log that the restore would make.

use trstctl_formats::backup::{Content, Lines};
use trstctl_formats::{Class, Failure};

use super::compare::{Comparison, Difference};
use super::server::LiveStream;
use crate::log::{LogError, Mark, StreamConfig};

/// What stands where the log is to be restored. A target that no restore may touch is a [`Failure`] instead, of class
/// `target_not_empty` or `target_differs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetState {
    /// There is no stream.
    Empty,
    /// There is one that was never written, with our configuration: it is replaced.
    NeverWritten,
    /// The log already is what the restore would make: nothing to write.
    Equal,
    /// An earlier run of the same restore has written all of it and was stopped before the read-back: it reads back
    /// well, and only its mark is left.
    EqualUnverified,
    /// An earlier run of the same restore was stopped after `records` messages, all of them right. The archive begins
    /// again; publishing goes on from there.
    Unfinished {
        /// Messages that are there.
        records: u64,
    },
    /// An earlier run of the same restore has left something else: it is deleted, and the restore begins again.
    Broken(Difference),
    /// What an earlier run of the same restore has left has no leader and gets none: it is deleted, and the restore begins
    /// again.
    Leaderless,
}

/// What the stream's own words allow, before its messages are compared.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Never written, ours: replaced.
    NeverWritten,
    /// Ours, and nobody can read it.
    Leaderless,
    /// The messages decide.
    Compare(Finding),
}

/// Whose stream it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// No mark: a log in use.
    Log,
    /// The mark of this very restore.
    OwnWork,
}

/// Judges by configuration and state alone.
pub(super) fn judge(
    live: &LiveStream,
    content: &Content,
    config: &StreamConfig,
) -> Result<Judgement, Box<Failure>> {
    match Mark::parse(&live.description) {
        Some(mark) if mark.0 == content.merkle_root => own_work(live, content),
        _ if !live.is_led() => Err(Box::new(no_leader(live))),
        Some(mark) => Err(Box::new(another_restore(live, mark))),
        None if live.last_sequence == 0 && content.last_sequence > 0 => never_written(live, config),
        None => Ok(Judgement::Compare(Finding::Log)),
    }
}

fn own_work(live: &LiveStream, content: &Content) -> Result<Judgement, Box<Failure>> {
    if live.last_sequence <= content.last_sequence {
        return Ok(match live.is_led() {
            true => Judgement::Compare(Finding::OwnWork),
            false => Judgement::Leaderless,
        });
    }
    let message = format!(
        "{} is an unverified restore of this backup, and was written since: its last sequence is {}, the backup's {}",
        live.name, live.last_sequence, content.last_sequence
    );
    let hint = "Stop what writes to it, keep a copy of what is newer if it matters, delete the stream, and restore again.";
    Err(Box::new(Failure::new(Class::TargetNotEmpty, message, hint).at_sequence(content.last_sequence + 1)))
}

fn no_leader(live: &LiveStream) -> Failure {
    LogError::NoLeader { stream: live.name.clone() }.into()
}

fn another_restore(live: &LiveStream, mark: Mark) -> Failure {
    let message = format!("{} is the unfinished restore of another backup, of root {}", live.name, mark.0);
    let hint =
        "Finish that restore with the command that began it, or delete the stream, then restore this backup.";
    Failure::new(Class::TargetNotEmpty, message, hint)
}

fn never_written(live: &LiveStream, config: &StreamConfig) -> Result<Judgement, Box<Failure>> {
    let refuse = |why: String| {
        let message = format!("{} is empty and was never written, but it is not replaced: {why}", live.name);
        let hint = "Delete the stream if nothing needs it, then run the same command again.";
        Err(Box::new(Failure::new(Class::TargetNotEmpty, message, hint)))
    };
    if live.consumers > 0 {
        return refuse(format!("it has {} consumers, and deleting it would delete them", live.consumers));
    }
    let differences = differences_of_never_written(live, config);
    match differences.as_slice() {
        [] => Ok(Judgement::NeverWritten),
        some => refuse(format!("its configuration is another one ({})", some.join("; "))),
    }
}

/// As [`StreamConfig::differences`]; subjects that an earlier run moved aside are no difference.
fn differences_of_never_written(live: &LiveStream, config: &StreamConfig) -> Vec<String> {
    let moved = live.subjects() == [moved_aside(&config.name)];
    let differences = config.differences(&live.config).into_iter();
    differences
        .filter(|difference| !(moved && difference.key == "subjects"))
        .map(|difference| difference.to_string())
        .collect()
}

/// The unused subject that a never-written stream gets before it is deleted, so that nothing can be written to it.
pub(super) fn moved_aside(stream: &str) -> String {
    format!("trstctl-restore.moved-aside.{stream}")
}

/// The state that a comparison up to the backup's last sequence gives.
pub(super) fn conclude(
    finding: Finding,
    comparison: Comparison,
    live: &LiveStream,
    content: &Content,
    lines: Lines,
) -> Result<TargetState, Box<Failure>> {
    let comparison = with_ends(comparison, live, content, lines);
    match (finding, comparison) {
        (Finding::OwnWork, Comparison::Same { .. }) => Ok(TargetState::EqualUnverified),
        (Finding::OwnWork, Comparison::Prefix { records, .. }) => Ok(TargetState::Unfinished { records }),
        (Finding::OwnWork, Comparison::Differs(difference)) => Ok(TargetState::Broken(difference)),
        (Finding::OwnWork, Comparison::Unreadable { sequence, failure }) => {
            Ok(TargetState::Broken(Difference::of_damage(sequence, &failure)))
        }
        (Finding::Log, Comparison::Unreadable { failure, .. }) => Err(Box::new(failure)),
        (Finding::Log, Comparison::Same { records }) if has_more(live, content, records, lines) => {
            Err(Box::new(newer_events(live, content, live.messages.saturating_sub(records))))
        }
        (Finding::Log, Comparison::Same { .. }) => Ok(TargetState::Equal),
        (Finding::Log, Comparison::Prefix { next_sequence, .. }) => {
            let what = "is in the backup and not in the log";
            Err(Box::new(differs(live, &Difference::new(next_sequence, what))))
        }
        (Finding::Log, Comparison::Differs(difference)) => Err(Box::new(differs(live, &difference))),
    }
}

/// Newer events, or sequences that newer events had.
fn has_more(live: &LiveStream, content: &Content, records: u64, lines: Lines) -> bool {
    live.messages > records || (lines != Lines::ContentOnly && live.last_sequence > content.last_sequence)
}

/// Takes into account what messages alone do not show: deleted messages at the end.
fn with_ends(comparison: Comparison, live: &LiveStream, content: &Content, lines: Lines) -> Comparison {
    if lines == Lines::ContentOnly {
        return comparison;
    }
    match comparison {
        Comparison::Same { .. } if live.last_sequence < content.last_sequence => {
            let what = "was deleted before the backup, and the log has never had it";
            Comparison::Differs(Difference::new(live.last_sequence + 1, what))
        }
        Comparison::Prefix { next_sequence, .. } if next_sequence <= live.last_sequence => {
            Comparison::Differs(Difference::new(next_sequence, "is in the backup and not in the log"))
        }
        other => other,
    }
}

fn newer_events(live: &LiveStream, content: &Content, newer: u64) -> Failure {
    let plural = if newer == 1 { "" } else { "s" };
    let message = format!(
        "{} holds this backup and {newer} newer event{plural} (sequence {} to {})",
        live.name,
        content.last_sequence + 1,
        live.last_sequence
    );
    let hint = "Nothing needs to be restored: the log is ahead of the backup. To go back to the backup anyway, take \
                another server or delete the stream first.";
    Failure::new(Class::TargetNotEmpty, message, hint).at_sequence(content.last_sequence + 1)
}

fn differs(live: &LiveStream, difference: &Difference) -> Failure {
    if live.messages == 0 {
        let message = format!(
            "{} is empty, but its last sequence is {}: a restore cannot keep the sequences there",
            live.name, live.last_sequence
        );
        let hint = "Its messages were deleted or purged. If nothing needs the stream, delete it and run the same command again.";
        return Failure::new(Class::TargetNotEmpty, message, hint).at_sequence(live.last_sequence);
    }
    let message = format!("{} is another log than the backup: {difference}", live.name);
    let hint = "Restore into an empty server, or find out why they differ; a log that was restored by publishing is \
                compared as such only with --method publish.";
    Failure::new(Class::TargetDiffers, message, hint).at_sequence(difference.sequence)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use trstctl_formats::Digest;

    use super::*;
    use crate::log::stream::ClusterInfo;

    const ROOT: Digest = Digest([7; 32]);

    fn config() -> StreamConfig {
        StreamConfig::new("TRSTCTL_EVENTS", "events.>", 1)
    }

    fn content() -> Content {
        Content { records: 8, first_sequence: 1, last_sequence: 10, gaps: vec![(9, 10)], merkle_root: ROOT }
    }

    fn live(description: &str, last_sequence: u64, messages: u64) -> LiveStream {
        LiveStream {
            name: "TRSTCTL_EVENTS".to_owned(),
            description: description.to_owned(),
            config: config().to_json(),
            last_sequence,
            messages,
            len_bytes: 0,
            consumers: 0,
            cluster: None,
        }
    }

    fn leaderless(description: &str, last_sequence: u64) -> LiveStream {
        LiveStream { cluster: Some(ClusterInfo::default()), ..live(description, last_sequence, 0) }
    }

    fn judged(live: &LiveStream) -> Result<Judgement, Class> {
        judge(live, &content(), &config()).map_err(|failure| failure.class)
    }

    fn concluded(
        finding: Finding,
        comparison: Comparison,
        live: &LiveStream,
    ) -> Result<TargetState, Failure> {
        conclude(finding, comparison, live, &content(), Lines::Exact).map_err(|failure| *failure)
    }

    #[test]
    fn a_stream_that_was_never_written_is_replaced() {
        assert_eq!(judged(&live("", 0, 0)), Ok(Judgement::NeverWritten));
    }

    #[test]
    fn a_stream_that_an_earlier_run_moved_aside_is_replaced() {
        let mut moved = live("", 0, 0);
        moved.config.insert("subjects".to_owned(), json!([moved_aside("TRSTCTL_EVENTS")]));
        assert_eq!(judged(&moved), Ok(Judgement::NeverWritten));
    }

    #[test]
    fn an_empty_stream_with_consumers_or_another_configuration_is_refused() {
        let consumed = LiveStream { consumers: 2, ..live("", 0, 0) };
        assert_eq!(judged(&consumed), Err(Class::TargetNotEmpty));
        let mut limited = live("", 0, 0);
        limited.config.insert("max_age".to_owned(), json!(1_000_000_000));
        let failure = judge(&limited, &content(), &config()).unwrap_err();
        assert!(failure.message.contains("max_age is 1000000000 instead of null"), "{failure}");
    }

    #[test]
    fn only_own_work_is_replaced_when_nobody_leads_it() {
        let own = Mark(ROOT).to_string();
        assert_eq!(judged(&leaderless(&own, 0)), Ok(Judgement::Leaderless));
        assert_eq!(judged(&leaderless(&own, 11)), Err(Class::TargetNotEmpty));
        let other = Mark(Digest([8; 32])).to_string();
        for description in ["", &other] {
            assert_eq!(judged(&leaderless(description, 0)), Err(Class::Unreachable), "{description}");
        }
    }

    #[test]
    fn a_stream_with_the_mark_of_another_root_is_refused() {
        let other = Mark(Digest([8; 32])).to_string();
        assert_eq!(judged(&live(&other, 5, 5)), Err(Class::TargetNotEmpty));
    }

    #[test]
    fn own_work_is_compared_unless_somebody_wrote_to_it() {
        let own = Mark(ROOT).to_string();
        assert_eq!(judged(&live(&own, 10, 8)), Ok(Judgement::Compare(Finding::OwnWork)));
        assert_eq!(judged(&live(&own, 0, 0)), Ok(Judgement::Compare(Finding::OwnWork)));
        assert_eq!(judged(&live(&own, 11, 9)), Err(Class::TargetNotEmpty));
    }

    #[test]
    fn an_equal_log_is_recognised_and_a_newer_one_refused_with_the_number_of_newer_events() {
        let same = Comparison::Same { records: 8 };
        assert_eq!(concluded(Finding::Log, same.clone(), &live("", 10, 8)), Ok(TargetState::Equal));
        let failure = concluded(Finding::Log, same, &live("", 13, 11)).unwrap_err();
        assert_eq!(failure.class, Class::TargetNotEmpty);
        assert!(failure.message.contains("3 newer events"), "{failure}");
    }

    #[test]
    fn a_shorter_log_differs_at_the_first_message_that_it_lacks() {
        let prefix = Comparison::Prefix { records: 4, next_sequence: 5 };
        let failure = concluded(Finding::Log, prefix, &live("", 4, 4)).unwrap_err();
        assert_eq!((failure.class, failure.place.sequence), (Class::TargetDiffers, Some(5)));
    }

    #[test]
    fn a_log_without_the_deleted_end_differs() {
        let same = Comparison::Same { records: 8 };
        let failure = concluded(Finding::Log, same, &live("", 8, 8)).unwrap_err();
        assert_eq!((failure.class, failure.place.sequence), (Class::TargetDiffers, Some(9)));
    }

    #[test]
    fn an_emptied_stream_is_refused_because_of_its_sequence() {
        let prefix = Comparison::Prefix { records: 0, next_sequence: 1 };
        let failure = concluded(Finding::Log, prefix, &live("", 4, 0)).unwrap_err();
        assert_eq!(failure.class, Class::TargetNotEmpty);
        assert!(failure.message.contains("its last sequence is 4"), "{failure}");
    }

    #[test]
    fn own_work_is_equal_unfinished_or_broken() {
        let own = live(&Mark(ROOT).to_string(), 4, 4);
        let prefix = Comparison::Prefix { records: 4, next_sequence: 5 };
        assert_eq!(concluded(Finding::OwnWork, prefix, &own), Ok(TargetState::Unfinished { records: 4 }));
        let hole = Comparison::Prefix { records: 3, next_sequence: 4 };
        assert!(matches!(concluded(Finding::OwnWork, hole, &own), Ok(TargetState::Broken(_))));
        let lost = || Failure::from(LogError::Lost { first: 5, count: 6 });
        let damaged = || Comparison::Unreadable { sequence: 5, failure: lost() };
        assert_eq!(
            concluded(Finding::OwnWork, damaged(), &own),
            Ok(TargetState::Broken(Difference::of_damage(5, &lost())))
        );
        assert_eq!(concluded(Finding::Log, damaged(), &live("", 4, 4)), Err(lost()));
        let whole = live(&Mark(ROOT).to_string(), 10, 8);
        let same = Comparison::Same { records: 8 };
        assert_eq!(concluded(Finding::OwnWork, same, &whole), Ok(TargetState::EqualUnverified));
    }
}

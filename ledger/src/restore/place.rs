//! The place where the log is to stand: looked at, made free, and handed over.
//!
//! Only three things are ever deleted: a stream that was never written (after its subjects were moved away, so that
//! nothing can be written meanwhile), a stream with the mark of this very restore and nothing beyond the backup, and what
//! this run began and saw fail. Each is looked at again just before it goes. What a stream holds is believed of its leader
//! alone: where there is none, one of its replicas answers, and one that has nothing says that nothing was ever written.

use std::io::{Read, Seek};
use std::time::Duration;

use serde_json::{Value, json};
use trstctl_formats::backup::{Content, Lines};
use trstctl_formats::{Class, Failure};

use super::archive::{Begun, Stopped};
use super::compare::{Comparison, compare};
use super::limits::Limits;
use super::publish::Numbering;
use super::refusal::{self, Stage};
use super::server::{Leaderless, LiveStream, Server};
use super::source::Source;
use super::target::{self, Finding, Judgement, TargetState};
use super::{LONGEST_REMOVAL, Method, NAME_WITHOUT_STREAM, RestoreOptions};
use crate::log::{DUPLICATE_WINDOW, EventLog, LogReader, Mark, PUBLISH_DUPLICATE_WINDOW, StreamConfig};

/// What a server has received for a stream is stored, and an update done, within so long.
const SETTLE: Duration = Duration::from_secs(1);

/// So often it is looked whether messages of an earlier run still come.
const LOOKS: u32 = 30;

/// The place, as one restore sees it.
pub(super) struct Place<'a> {
    pub(super) server: &'a Server,
    pub(super) options: &'a RestoreOptions,
    pub(super) content: &'a Content,
}

impl Place<'_> {
    /// What is there. Changes nothing.
    pub(super) async fn state<L: EventLog, S: Read + Seek + Send + 'static>(
        &self,
        log: &L,
        source: &Source<S>,
        lines: Lines,
    ) -> Result<TargetState, Failure> {
        self.check_subjects().await?;
        let Some(live) = self.live().await? else { return Ok(TargetState::Empty) };
        let Some(live) = self.quiet(live).await? else { return Ok(TargetState::Empty) };
        match target::judge(&live, self.content, self.config()).map_err(|failure| *failure)? {
            Judgement::NeverWritten => Ok(TargetState::NeverWritten),
            Judgement::Leaderless => Ok(TargetState::Leaderless),
            Judgement::Compare(finding) => self.compared(log, source, lines, &live, finding).await,
        }
    }

    /// What the server allows, once the stream that stands here has gone; refused when that cannot be enough.
    pub(super) async fn limits(&self) -> Result<Limits, Failure> {
        let going = self.server.shown().await?;
        Limits::checked(self.server, self.config(), self.content, going.as_ref()).await
    }

    /// Removes what `state` allows to remove, so that an archive can enter.
    pub(super) async fn make_free(&self, state: &TargetState) -> Result<(), Failure> {
        self.check_subjects().await?;
        match state {
            TargetState::Empty => Ok(()),
            TargetState::NeverWritten => self.remove_never_written().await,
            TargetState::Unfinished { .. } | TargetState::Broken(_) => self.remove_own_work().await,
            TargetState::Leaderless => self.remove_leaderless().await,
            TargetState::Equal | TargetState::EqualUnverified => Err(nothing_to_write(&self.config().name)),
        }
    }

    /// Leaves a marked stream that takes the messages after the first `messages_before`.
    pub(super) async fn make_publishable(
        &self,
        state: &TargetState,
        numbering: Numbering,
        messages_before: u64,
    ) -> Result<(), Failure> {
        if messages_before == 0 {
            self.make_free(state).await?;
            return self.create(numbering).await;
        }
        self.check_subjects().await?;
        let live = self.own_work().await?;
        let window = nanoseconds(PUBLISH_DUPLICATE_WINDOW);
        self.server.update(&live, &[("duplicate_window", window)]).await.map(|_| ())
    }

    /// After a good read-back, which has seen `proven`.
    pub(super) async fn clear_mark(&self, proven: &Content) -> Result<(), Failure> {
        let live = self.own_work().await?;
        if (live.messages, live.last_sequence) != (proven.records, proven.last_sequence) {
            return Err(changed_since(&live, proven));
        }
        let changes = [("description", json!("")), ("duplicate_window", nanoseconds(DUPLICATE_WINDOW))];
        let updated = self.server.update(&live, &changes).await?;
        match updated.mark() {
            None => Ok(()),
            Some(_) => Err(Failure::new(
                Class::Refused,
                format!("the server kept the description of {} although it was told to clear it", live.name),
                "The log is restored and proven; run the same command again to clear the mark.",
            )),
        }
    }

    /// After an archive that failed. A single server keeps nothing; a cluster keeps the name, and what it shows under it
    /// is worth nothing: complete now, empty some seconds later.
    pub(super) async fn clean_up_after(&self, stopped: Stopped) -> Failure {
        let Stopped { failure, begun } = stopped;
        if begun == Begun::No || !self.server.is_clustered() {
            return failure;
        }
        let left = match tokio::time::timeout(LONGEST_REMOVAL, self.remove_begun()).await {
            Ok(Ok(())) => return failure,
            Ok(Err(left)) => left.message,
            Err(_) => format!("it was not removed within {} s", LONGEST_REMOVAL.as_secs()),
        };
        let hint = format!(
            "{} What was begun, if anything was, is still there ({left}); the same command removes it.",
            failure.hint
        );
        Failure { hint, ..failure }
    }

    async fn remove_begun(&self) -> Result<(), Failure> {
        match self.server.glance().await? {
            Some(live) if live.mark() != Some(Mark(self.content.merkle_root)) => {
                Err(written_meanwhile(&live))
            }
            _ => self.server.delete().await,
        }
    }

    fn config(&self) -> &StreamConfig {
        &self.options.config
    }

    /// No other stream may hold the subjects: an old server accepts such a restore and serves it after a restart.
    async fn check_subjects(&self) -> Result<(), Failure> {
        for subject in &self.config().subjects {
            let mut names = self.server.names(subject).await?;
            names.retain(|name| *name != self.config().name);
            if !names.is_empty() {
                let message =
                    format!("the subjects {subject} belong to another stream: {}", names.join(", "));
                let hint = "Restore into another server or account, or remove that stream if nothing needs it. Nothing was sent.";
                return Err(Failure::new(Class::TargetNotEmpty, message, hint));
            }
        }
        Ok(())
    }

    async fn live(&self) -> Result<Option<LiveStream>, Failure> {
        let subject = self.config().subjects.first().map_or("", String::as_str);
        self.server.live_within(subject, Mark(self.content.merkle_root), NAME_WITHOUT_STREAM).await
    }

    /// A server stores what a killed run has published still after that run's death: its stream is looked at until nothing comes any
    /// more.
    async fn quiet(&self, live: LiveStream) -> Result<Option<LiveStream>, Failure> {
        let is_ours = |live: &LiveStream| {
            live.mark() == Some(Mark(self.content.merkle_root))
                && live.last_sequence <= self.content.last_sequence
        };
        if !is_ours(&live) || !live.is_led() || self.options.method != Method::Publish {
            return Ok(Some(live));
        }
        let mut seen = live;
        for _ in 0..LOOKS {
            tokio::time::sleep(SETTLE).await;
            let Some(again) = self.server.live().await? else { return Ok(None) };
            if again.last_sequence == seen.last_sequence || !is_ours(&again) {
                return Ok(Some(again));
            }
            seen = again;
        }
        Err(still_written(&seen))
    }

    async fn compared<L: EventLog, S: Read + Seek + Send + 'static>(
        &self,
        log: &L,
        source: &Source<S>,
        lines: Lines,
        live: &LiveStream,
        finding: Finding,
    ) -> Result<TargetState, Failure> {
        let comparison = self.comparison(log, source, lines).await?;
        target::conclude(finding, comparison, live, self.content, lines).map_err(|failure| *failure)
    }

    async fn comparison<L: EventLog, S: Read + Seek + Send + 'static>(
        &self,
        log: &L,
        source: &Source<S>,
        lines: Lines,
    ) -> Result<Comparison, Failure> {
        let state = log.state().await?;
        let through = state.last_sequence.min(self.content.last_sequence);
        let progress = |records: u64| {
            if records.is_multiple_of(super::Progress::EVERY) {
                self.options.progress.report(records);
            }
        };
        if state.messages == 0 || state.first_sequence > through {
            return compare(NoMessages::default(), source.batches(), lines, progress).await;
        }
        let reader = log.read(state.first_sequence, through).await?;
        compare(reader, source.batches(), lines, progress).await
    }

    async fn create(&self, numbering: Numbering) -> Result<(), Failure> {
        let first_sequence = match numbering {
            Numbering::Kept { first } if first > 1 => Some(first),
            _ => None,
        };
        let config = StreamConfig {
            duplicate_window: PUBLISH_DUPLICATE_WINDOW,
            first_sequence,
            ..self.config().marked(Mark(self.content.merkle_root))
        };
        let created = self.server.create(&config).await;
        let live = created.map_err(|error| refusal::failure(error, &config.name, Stage::Request))?;
        let expected_last = first_sequence.map_or(0, |first| first - 1);
        // A message of somebody who was quicker is not ours to delete: publishing and the read-back name it by sequence.
        if live.last_sequence == expected_last || live.messages > 0 {
            return Ok(());
        }
        // What we created just now and nobody has seen; an old server drops the wish silently.
        self.remove_own_work().await?;
        let message =
            format!("{} cannot begin at sequence {}: the server ignores it", config.name, expected_last + 1);
        let hint = "Restore as an archive (without --method publish), or accept other sequences with --accept-new-sequences.";
        Err(Failure::new(Class::Refused, message, hint))
    }

    /// Moves the subjects aside, looks again, and only then deletes. Whatever stops this, they are moved back.
    async fn remove_never_written(&self) -> Result<(), Failure> {
        let Some(live) = self.server.live().await? else { return Ok(()) };
        if !live.is_untouched() {
            return Err(written_meanwhile(&live));
        }
        match self.remove_aside(&live).await {
            Err(failure) => Err(self.move_back(failure).await),
            gone => gone,
        }
    }

    async fn remove_aside(&self, live: &LiveStream) -> Result<(), Failure> {
        self.server.update(live, &[("subjects", json!([target::moved_aside(&live.name)]))]).await?;
        // What had arrived before is stored by then.
        tokio::time::sleep(SETTLE).await;
        match self.server.live().await? {
            None => Ok(()),
            Some(again) if again.is_untouched() => self.server.delete().await,
            Some(again) => Err(written_meanwhile(&again)),
        }
    }

    /// An update that was not answered may have been done.
    async fn move_back(&self, failure: Failure) -> Failure {
        let hint = match self.moved_back().await {
            Ok(()) => return failure,
            Err(left) => format!(
                "{} Its subjects may still be moved aside, so that nothing can be written to it ({}): the same command goes on, or \
                 `nats stream edit {} --subjects '{}'` moves them back.",
                failure.hint,
                left.message,
                self.config().name,
                self.config().subjects.join(",")
            ),
        };
        Failure { hint, ..failure }
    }

    async fn moved_back(&self) -> Result<(), Failure> {
        tokio::time::sleep(SETTLE).await;
        // The other connection may have been lost.
        let server = Server::new(self.server.connect_again().await?, &self.config().name);
        match server.live().await? {
            Some(live) if live.subjects() == [target::moved_aside(&live.name)] => {
                server.update(&live, &[("subjects", json!(self.config().subjects))]).await.map(|_| ())
            }
            _ => Ok(()),
        }
    }

    async fn remove_own_work(&self) -> Result<(), Failure> {
        match self.server.live().await? {
            None => Ok(()),
            Some(_) => {
                self.own_work().await?;
                self.server.delete().await
            }
        }
    }

    async fn remove_leaderless(&self) -> Result<(), Failure> {
        match self.server.shown().await? {
            None => Ok(()),
            Some(live) => match self.server.leaderless(&live).await? {
                Leaderless::Of(live) => {
                    self.own(live)?;
                    self.server.delete_leaderless().await
                }
                // Which may have all of it.
                Leaderless::No => Err(led_again(&live.name)),
            },
        }
    }

    /// The stream, still with our mark and nothing beyond the backup.
    async fn own_work(&self) -> Result<LiveStream, Failure> {
        self.own(self.server.live().await?.ok_or_else(|| self.gone())?)
    }

    fn own(&self, live: LiveStream) -> Result<LiveStream, Failure> {
        let is_marked = live.mark() == Some(Mark(self.content.merkle_root));
        match is_marked && live.last_sequence <= self.content.last_sequence {
            true => Ok(live),
            false => Err(written_meanwhile(&live)),
        }
    }

    fn gone(&self) -> Failure {
        let message = format!("{} was deleted by somebody else while it was restored", self.config().name);
        Failure::new(Class::Refused, message, "Find out by whom, then run the same command again.")
    }
}

fn nanoseconds(duration: Duration) -> Value {
    Value::from(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}

fn nothing_to_write(stream: &str) -> Failure {
    let message = format!("{stream} already holds the backup; there is nothing to write");
    Failure::new(Class::Internal, message, "Report this: the plan should not have come to writing.")
}

fn changed_since(live: &LiveStream, proven: &Content) -> Failure {
    let message = format!(
        "{} has {} messages up to sequence {}, and had {} up to {} when it was read back",
        live.name, live.messages, live.last_sequence, proven.records, proven.last_sequence
    );
    let hint = "The stream keeps its mark. Has a server of its cluster died? Run the same command again.";
    Failure::new(Class::ReadbackDiffers, message, hint)
}

fn led_again(stream: &str) -> Failure {
    let message = format!("{stream} has a leader again");
    Failure::new(
        Class::TargetNotEmpty,
        message,
        "Run the same command again: it looks at what is there anew.",
    )
}

fn still_written(live: &LiveStream) -> Failure {
    let message = format!(
        "{} is an unfinished restore of this backup, and messages still come: its last sequence is {} by now",
        live.name, live.last_sequence
    );
    let hint = "Another run of this restore is at work, or the server is slow. Wait for its end, or stop it; then run the same command again.";
    Failure::new(Class::TargetNotEmpty, message, hint)
}

fn written_meanwhile(live: &LiveStream) -> Failure {
    let message = format!(
        "{} changed while the restore was being prepared: {} messages, last sequence {}, {} consumers",
        live.name, live.messages, live.last_sequence, live.consumers
    );
    let hint = "A server or another restore is using it. Stop that first, then run the same command again.";
    Failure::new(Class::TargetNotEmpty, message, hint)
}

/// A log that holds no message in the range of the backup.
#[derive(Default)]
struct NoMessages {
    accounting: crate::log::Accounting,
}

impl LogReader for NoMessages {
    async fn next_batch(
        &mut self,
    ) -> Result<Option<Vec<trstctl_formats::StoredMessage>>, crate::log::LogError> {
        Ok(None)
    }

    fn accounting(&self) -> &crate::log::Accounting {
        &self.accounting
    }
}

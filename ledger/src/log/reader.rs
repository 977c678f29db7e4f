//! Reads a range of the log completely, or fails and names what is missing.
//!
//! The consumer hands out what it has; what it skips is believed to be deleted only on the word of the stream's leader:
//! 1. Before reading, the leader lists its deleted sequences. What it lists must not be delivered: a replica that is behind with
//!    deletions may do so for a moment, and another consumer begins at that sequence.
//! 2. A sequence that was skipped must be on that list, below the stream's first, or be denied by STREAM.MSG.GET; otherwise
//!    the replica that serves the consumer lags or is damaged, and another consumer begins at that sequence.
//! 3. The end is reached when the last sequence was delivered or accounted for as in 2, never because the consumer says that
//!    nothing is pending.
//! 4. Afterwards the leader is asked again: what was skipped is still gone, none was lost to damage, and where the whole log was
//!    read, no fewer messages were delivered than the leader counted before, but for those deleted since. A message that a
//!    server cannot read is skipped by its consumers, and denied when it is asked for: only the count and the list of the lost know of it.
//!    (That list is not asked for where more than three million are deleted.)
//!
//! Every retry is bounded and starts anew with every step forward.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use trstctl_formats::StoredMessage;

use super::link::{Attempts, Link, Trouble};
use super::source::{Delivered, Received, Source};
use super::stream::{StreamInfo, StreamRequests};
use super::{Accounting, LogError, LogReader};
use crate::wire::Connection;

/// Without a message for so long, the leader is asked whether there is any.
const PATIENCE: Duration = Duration::from_millis(500);
/// So many silences in a row, while the leader has messages, end a consumer.
const SILENCES: u32 = 4;
/// So much news of pulls in a row, without a message, end a consumer too. It is worth minutes on a slow line, whose large
/// messages arrive in pieces.
const NEWS: u32 = 1_000;
/// Questions about single sequences that are under way at once.
const QUESTIONS: usize = 64;

/// A complete reading of a stream.
pub struct JetStreamReader {
    /// For questions, which must not wait behind messages.
    asking: Arc<Link>,
    reading: Arc<Link>,
    stream: String,
    from: u64,
    through: u64,
    /// The first sequence that is neither handed out nor accounted for.
    next: u64,
    before: StreamInfo,
    source: Option<Source>,
    /// Received and not yet looked at.
    received: VecDeque<Delivered>,
    silences: u32,
    news: u32,
    /// Nothing more is expected: the leader is to be asked whether that is so.
    doubt: Doubt,
    attempts: Attempts,
    /// Of what was received, the leader has confirmed the gaps below this sequence.
    confirmed_below: u64,
    accounting: Accounting,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Doubt {
    None,
    AskLeader,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Reading,
    Finished,
}

impl JetStreamReader {
    pub(super) async fn open(
        asking: Arc<Link>,
        reading: Arc<Link>,
        stream: &str,
        from: u64,
        through: u64,
    ) -> Result<Self, LogError> {
        let from = from.max(1);
        let mut reader = Self {
            asking,
            reading,
            stream: stream.to_owned(),
            from,
            through,
            next: from,
            before: StreamInfo::default(),
            source: None,
            received: VecDeque::new(),
            silences: 0,
            news: 0,
            doubt: Doubt::None,
            attempts: Attempts::new(),
            confirmed_below: 0,
            accounting: Accounting::default(),
            phase: Phase::Reading,
        };
        reader.before = reader.leader_info_through(through).await?;
        Ok(reader)
    }

    /// The leader's word of a log that reaches so far: in a cluster, one that has just been elected may be behind what another one
    /// has said.
    async fn leader_info_through(&mut self, through: u64) -> Result<StreamInfo, LogError> {
        let info = self.leader_info().await?;
        if through <= info.state.last_seq {
            return Ok(info);
        }
        let beyond = LogError::beyond(through, info.state.last_seq);
        if self.asking.connection().await?.server().cluster.is_none() {
            return Err(beyond);
        }
        self.before.state.last_seq = through;
        match self.leader_info().await {
            Err(LogError::Unaccounted { .. }) => Err(beyond),
            info => info,
        }
    }

    /// The leader's word, its list of deleted sequences included; its log must reach to the end of what is read. A leader
    /// that has just been elected may be behind for a moment.
    async fn leader_info(&self) -> Result<StreamInfo, LogError> {
        let mut attempts = Attempts::new();
        loop {
            let trouble = match self.try_leader_info().await {
                Ok(info) if info.state.last_seq >= self.before.state.last_seq => return Ok(info),
                Ok(info) => Trouble::Passing(LogError::Unaccounted {
                    first: info.state.last_seq + 1,
                    last: self.before.state.last_seq,
                }),
                Err(trouble) => trouble,
            };
            attempts.after(trouble).await?;
        }
    }

    async fn try_leader_info(&self) -> Result<StreamInfo, Trouble> {
        let connection = self.asking.connection().await?;
        let requests = StreamRequests::new(&connection, &self.stream)?;
        requests.info_with_deleted().await.map_err(|error| Trouble::about_served_stream(&self.stream, error))
    }

    /// One step: messages, or `None` when something else happened.
    async fn step(&mut self) -> Result<Option<Vec<StoredMessage>>, Trouble> {
        if self.received.is_empty() && self.doubt == Doubt::AskLeader {
            self.doubt = Doubt::None;
            self.ask_whether_rest_is_gone().await?;
            return Ok(None);
        }
        if self.received.is_empty() {
            self.receive().await?;
        }
        let batch = self.take_received().await?;
        Ok((!batch.is_empty()).then_some(batch))
    }

    async fn receive(&mut self) -> Result<(), Trouble> {
        let source = match &mut self.source {
            Some(source) => source,
            None => {
                let connection = self.reading.connection().await?;
                let (source, pending) = Source::open(connection, &self.stream, self.next).await?;
                if pending == 0 {
                    self.doubt = Doubt::AskLeader;
                }
                self.source.insert(source)
            }
        };
        match source.receive(PATIENCE).await? {
            Received::Messages(delivered) => {
                (self.silences, self.news) = (0, 0);
                self.received.extend(delivered);
            }
            Received::News => self.news += 1,
            Received::Silence => {
                self.silences += 1;
                self.doubt = Doubt::AskLeader;
            }
        }
        if self.silences > SILENCES || self.news > NEWS {
            return Err(self.missing(self.next, self.through));
        }
        Ok(())
    }

    /// Takes what was received, up to a gap that is not known to be one: the messages before it leave first, and no error
    /// may lose them.
    async fn take_received(&mut self) -> Result<Vec<StoredMessage>, Trouble> {
        let mut batch = Vec::with_capacity(self.received.len());
        while let Some(sequence) = self.received.front().map(|delivered| delivered.message.sequence) {
            let skipped = self.next..=sequence.saturating_sub(1).min(self.through);
            let smooth = sequence >= self.next
                && (skipped.is_empty() || self.is_known_gap(*skipped.start(), *skipped.end()));
            if !smooth && !batch.is_empty() {
                break;
            }
            if sequence < self.next {
                return Err(self.missing(sequence, sequence));
            }
            if !smooth {
                self.confirm_gaps().await?;
                continue;
            }
            if !skipped.is_empty() {
                self.skip_through(*skipped.end());
            }
            if sequence > self.through {
                self.received.clear();
                break;
            }
            if self.before.state.deleted.contains(sequence) {
                if batch.is_empty() {
                    // A replica that is behind with the others' deletions shows it for a moment.
                    return Err(Trouble::Passing(LogError::DeletedYetDelivered { sequence }));
                }
                break;
            }
            batch.extend(self.take_front());
        }
        self.accounting.records += batch.len() as u64;
        if !batch.is_empty() {
            self.attempts = Attempts::new();
        }
        Ok(batch)
    }

    fn take_front(&mut self) -> Option<StoredMessage> {
        let Delivered { message, pending } = self.received.pop_front()?;
        if pending == 0 {
            self.doubt = Doubt::AskLeader;
        }
        self.next = message.sequence + 1;
        Some(message)
    }

    fn skip_through(&mut self, last: u64) {
        let first = self.next;
        self.next = last + 1;
        match self.accounting.gaps.last_mut() {
            Some(gap) if gap.1 + 1 == first => gap.1 = last,
            _ => self.accounting.gaps.push((first, last)),
        }
    }

    fn is_known_gap(&self, first: u64, last: u64) -> bool {
        last < self.confirmed_below || self.is_listed_as_deleted(first, last)
    }

    fn is_listed_as_deleted(&self, first: u64, last: u64) -> bool {
        unlisted(&self.before, first, last).is_empty()
    }

    /// The consumer has nothing, but only the leader knows whether there is nothing.
    async fn ask_whether_rest_is_gone(&mut self) -> Result<(), Trouble> {
        let last = self.through;
        // The first message that the leader still has settles it; usually that is the very next one.
        if !self.is_listed_as_deleted(self.next, self.next)
            && self.first_existing(vec![(self.next, self.next)]).await?.is_some()
        {
            return Ok(());
        }
        // Its waits are not multiplied by those of the steps.
        let info = self.leader_info().await.map_err(Trouble::Final)?;
        if self.first_existing(unlisted(&info, self.next, last)).await?.is_none() {
            self.skip_through(last);
        }
        Ok(())
    }

    /// What was received begins after a gap. Every sequence that it leaves out, in all its gaps, is gone on the leader's
    /// word, asked once; otherwise the consumer's replica is not to be relied upon, and the next one begins at the missing
    /// sequence, after the messages before it have left.
    async fn confirm_gaps(&mut self) -> Result<(), Trouble> {
        let gaps = self.gaps_received();
        let info = self.leader_info().await.map_err(Trouble::Final)?;
        let doubtful = gaps.iter().flat_map(|&(first, last)| unlisted(&info, first, last)).collect();
        let Some(missing) = self.first_existing(doubtful).await? else {
            self.confirmed_below = gaps.last().map_or(self.next, |gap| gap.1 + 1);
            return Ok(());
        };
        match gaps.first() {
            Some(&(first, last)) if missing <= last => {
                if missing > first {
                    self.skip_through(missing - 1);
                }
                Err(self.missing(missing, last))
            }
            _ => {
                self.confirmed_below = missing;
                Ok(())
            }
        }
    }

    /// The gaps in what was received, as far as it is to be read.
    fn gaps_received(&self) -> Vec<(u64, u64)> {
        let mut gaps = Vec::new();
        let mut next = self.next;
        for sequence in self.received.iter().map(|delivered| delivered.message.sequence) {
            let last = sequence.saturating_sub(1).min(self.through);
            if next <= last {
                gaps.push((next, last));
            }
            next = next.max(sequence + 1);
        }
        gaps
    }

    fn missing(&self, first: u64, last: u64) -> Trouble {
        Trouble::Passing(LogError::Unaccounted { first, last })
    }

    /// The first sequence of these ranges whose message the leader has.
    async fn first_existing(&self, ranges: Vec<(u64, u64)>) -> Result<Option<u64>, Trouble> {
        if ranges.is_empty() {
            return Ok(None);
        }
        let connection = self.asking.connection().await?;
        let sequences = ranges.into_iter().flat_map(|(first, last)| first..=last);
        let answers = stream::iter(sequences)
            .map(|sequence| has_message(&connection, &self.stream, sequence))
            .buffered(QUESTIONS)
            .try_filter_map(|(sequence, exists)| std::future::ready(Ok(exists.then_some(sequence))));
        std::pin::pin!(answers).try_next().await
    }

    /// Rule 4.
    async fn finish(&mut self) -> Result<(), LogError> {
        let after = self.leader_info().await?;
        let mut doubtful = Vec::new();
        for &(first, last) in &self.accounting.gaps {
            doubtful.extend(unlisted(&after, first, last));
        }
        if let Some(sequence) = self.retrying_first_existing(doubtful).await? {
            return Err(LogError::Unaccounted { first: sequence, last: sequence });
        }
        self.refuse_lost(&after)?;
        self.check_count(&after)?;
        if let Some(source) = self.source.take() {
            source.close().await;
        }
        Ok(())
    }

    /// What the server has found damaged and gave up counts as deleted afterwards, or as never written where it was the log's
    /// beginning or end. (What was stored again since is neither.)
    fn refuse_lost(&self, info: &StreamInfo) -> Result<(), LogError> {
        let mut gone = self.accounting.gaps.clone();
        if self.is_from_the_beginning() {
            gone.push((1, self.from.max(self.before.state.log_state().first_sequence) - 1));
            gone.push((info.state.last_seq.saturating_add(1), u64::MAX));
        }
        let lost = gone.iter().flat_map(|&(first, last)| info.state.lost.msgs.within(first, last));
        let (first, count) = lost.fold((u64::MAX, 0), |(least, count), (first, last)| {
            (least.min(first), last.saturating_sub(first).saturating_add(count + 1))
        });
        if count == 0 { Ok(()) } else { Err(LogError::Lost { first, count }) }
    }

    fn is_from_the_beginning(&self) -> bool {
        self.from <= self.before.state.log_state().first_sequence
    }

    /// Of a reading from the log's beginning: as many messages as the leader counted, less those beyond what was read and those that
    /// were deleted meanwhile.
    fn check_count(&self, info: &StreamInfo) -> Result<(), LogError> {
        let (before, after) = (&self.before.state, &info.state);
        if !self.is_from_the_beginning() {
            return Ok(());
        }
        let beyond = before.last_seq.saturating_sub(self.through);
        let added = after.last_seq.saturating_sub(before.last_seq);
        let deleted = before.messages.saturating_add(added).saturating_sub(after.messages);
        let least = before.messages.saturating_sub(beyond + deleted);
        let length = before.last_seq.saturating_add(1).saturating_sub(before.log_state().first_sequence);
        let most =
            before.messages.saturating_sub(beyond.saturating_sub(length.saturating_sub(before.messages)));
        let read = self.accounting.records;
        let counted = read.clamp(least, most.max(least));
        if read == counted {
            return Ok(());
        }
        let suspects = self.accounting.gaps.iter().flat_map(|&(first, last)| unlisted(info, first, last));
        Err(LogError::MiscountedMessages { read, counted, suspect: suspects.map(|(first, _)| first).next() })
    }

    async fn retrying_first_existing(&self, ranges: Vec<(u64, u64)>) -> Result<Option<u64>, LogError> {
        let mut attempts = Attempts::new();
        loop {
            match self.first_existing(ranges.clone()).await {
                Ok(found) => return Ok(found),
                Err(trouble) => attempts.after(trouble).await?,
            }
        }
    }

    /// Begins again at the first sequence that was not handed out, unless there have been enough attempts.
    async fn start_over(&mut self, trouble: Trouble) -> Result<(), LogError> {
        self.received.clear();
        self.confirmed_below = 0;
        (self.silences, self.news) = (0, 0);
        if let Some(source) = self.source.take() {
            source.close().await;
        }
        self.attempts.after(trouble).await
    }
}

impl LogReader for JetStreamReader {
    async fn next_batch(&mut self) -> Result<Option<Vec<StoredMessage>>, LogError> {
        while self.phase == Phase::Reading && self.next <= self.through {
            match self.step().await {
                Ok(Some(batch)) => return Ok(Some(batch)),
                Ok(None) => {}
                Err(trouble) => self.start_over(trouble).await?,
            }
        }
        if self.phase == Phase::Reading {
            self.finish().await?;
            self.phase = Phase::Finished;
        }
        Ok(None)
    }

    fn accounting(&self) -> &Accounting {
        &self.accounting
    }
}

/// The parts of a range that the leader does not list as deleted and that are not below its first message.
fn unlisted(info: &StreamInfo, first: u64, last: u64) -> Vec<(u64, u64)> {
    let first = first.max(info.state.log_state().first_sequence);
    if first > last { Vec::new() } else { info.state.deleted.outside(first, last) }
}

async fn has_message(connection: &Connection, stream: &str, sequence: u64) -> Result<(u64, bool), Trouble> {
    let asked = StreamRequests::new(connection, stream)?.has_message(sequence).await;
    Ok((sequence, asked.map_err(|error| Trouble::about_served_stream(stream, error))?))
}

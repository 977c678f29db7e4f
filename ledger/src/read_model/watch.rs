//! Ends work on a database that says nothing more, which no connection notices by itself: its packets are acknowledged by a
//! server that hangs, or by a proxy that passes nothing on.
//!
//! No statement has a deadline, for an index over millions of rows takes its time. Instead a session of the watch's own asks
//! the server, at every look, whether it answers and what it makes of the work's sessions. While the work waits for the log,
//! whose waits are bounded by themselves, its sessions may rest.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};
use trstctl_formats::StoredMessage;
use trstctl_migrations::connect::Target;

use super::error::{During, ReadModelError};
use super::session::Session;
use crate::log::{Accounting, Appended, EventLog, Expected, LogError, LogReader, LogState, NewMessage};

/// From look to look; an answer takes no longer.
const PACE: Duration = Duration::from_secs(10);
/// Looks without any answer after which the server counts as gone. Looks and not seconds: a program that was suspended has heard
/// nothing either.
const SILENT_LOOKS: u32 = 6;
/// Looks after which the work counts as stalled when nothing of it moved.
const STILL_LOOKS: u32 = 9;

/// What the server knows of each session: whether it works, and what changes with each statement and each row copied. A session
/// whose state it does not tell counts as one that works.
const LOOK: &str = "SELECT s.pid,
        coalesce(s.state, 'disabled') NOT LIKE 'idle%' AND s.wait_event_type IS DISTINCT FROM 'Client',
        concat_ws(' ', s.state, s.state_change, c.relid, c.bytes_processed)
    FROM pg_stat_activity s LEFT JOIN pg_stat_progress_copy c USING (pid) WHERE s.pid = ANY ($1)";

/// Watches over work on one database.
#[derive(Debug)]
pub struct Watch {
    target: Target,
    moved: AtomicBool,
    /// Waits for the log that are under way.
    waits_for_log: AtomicU32,
}

impl Watch {
    /// Of the sessions that this target, or a clone of it, opens.
    pub fn of(target: &Target) -> Self {
        Self { target: target.clone(), moved: AtomicBool::new(false), waits_for_log: AtomicU32::new(0) }
    }

    /// Says that the work has got on.
    pub fn work_moves(&self) {
        self.moved.store(true, Ordering::Relaxed);
    }

    /// The log for the work: who waits for it does not wait for the database.
    pub fn log<'w, L: EventLog>(&'w self, log: &'w L) -> WatchedLog<'w, L> {
        WatchedLog { watch: self, log }
    }

    /// The work's end, unless the database falls silent before: then the work is dropped.
    ///
    /// # Errors
    /// The work's own; [`ReadModelError::Silent`] when the server answered nothing for a minute, and
    /// [`ReadModelError::Stalled`] when it and the work have waited for each other for one and a half.
    pub async fn over<T, E: From<ReadModelError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        tokio::select! {
            biased;
            ended = work => ended,
            silence = self.silence() => Err(silence.into()),
        }
    }

    /// Ends when the database has fallen silent.
    async fn silence(&self) -> ReadModelError {
        let mut lookout = Lookout { target: &self.target, session: None, seen: BTreeMap::new() };
        let (mut heard, mut silent, mut still) = (false, 0, 0);
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first is at once: work that takes less than a look needs no session more.
        pace.tick().await;
        loop {
            pace.tick().await;
            let sight = timeout(PACE, lookout.look()).await.unwrap_or(Sight::Silence);
            heard |= sight != Sight::Silence;
            silent = if sight == Sight::Silence { silent + 1 } else { 0 };
            still = if sight == Sight::Moving || self.has_moved() { 0 } else { still + 1 };
            // Where nothing was ever heard: a pooler without a session left for the watch, which may serve the work all the same.
            let patience = if heard { SILENT_LOOKS } else { STILL_LOOKS };
            let place = self.target.place();
            if silent.min(still) >= patience {
                return ReadModelError::Silent { place, seconds: (PACE * silent).as_secs() };
            }
            if still >= STILL_LOOKS {
                return ReadModelError::Stalled { place, seconds: (PACE * still).as_secs() };
            }
        }
    }

    /// Whether the work has got on since the last look, or waits for the log.
    fn has_moved(&self) -> bool {
        self.moved.swap(false, Ordering::Relaxed) || self.waits_for_log.load(Ordering::Relaxed) > 0
    }

    async fn waiting_for_log<T>(&self, wait: impl Future<Output = T>) -> T {
        let _waiting = Waiting::begin(&self.waits_for_log);
        let answer = wait.await;
        self.work_moves();
        answer
    }
}

/// A wait for the log, until it is dropped.
struct Waiting<'w>(&'w AtomicU32);

impl<'w> Waiting<'w> {
    fn begin(waits: &'w AtomicU32) -> Self {
        waits.fetch_add(1, Ordering::Relaxed);
        Self(waits)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A log whose waits a [`Watch`] knows of.
#[derive(Debug)]
pub struct WatchedLog<'w, L> {
    watch: &'w Watch,
    log: &'w L,
}

impl<'w, L: EventLog> EventLog for WatchedLog<'w, L> {
    type Reader = WatchedReader<'w, L::Reader>;

    async fn state(&self) -> Result<LogState, LogError> {
        self.watch.waiting_for_log(self.log.state()).await
    }

    async fn append(&self, message: NewMessage, expected: Expected) -> Result<Appended, LogError> {
        self.watch.waiting_for_log(self.log.append(message, expected)).await
    }

    async fn read(&self, from: u64, through: u64) -> Result<Self::Reader, LogError> {
        let reader = self.watch.waiting_for_log(self.log.read(from, through)).await?;
        Ok(WatchedReader { watch: self.watch, reader })
    }
}

/// A reading of such a log.
#[derive(Debug)]
pub struct WatchedReader<'w, R> {
    watch: &'w Watch,
    reader: R,
}

impl<R: LogReader> LogReader for WatchedReader<'_, R> {
    async fn next_batch(&mut self) -> Result<Option<Vec<StoredMessage>>, LogError> {
        self.watch.waiting_for_log(self.reader.next_batch()).await
    }

    fn accounting(&self) -> &Accounting {
        self.reader.accounting()
    }
}

/// What one look has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    /// A session works, or has done something since the last look. Also where the server does not say.
    Moving,
    /// None does.
    Still,
    /// The server did not answer.
    Silence,
}

/// The session that asks, and what it has seen.
struct Lookout<'a> {
    target: &'a Target,
    session: Option<Session>,
    seen: BTreeMap<i32, String>,
}

impl Lookout<'_> {
    async fn look(&mut self) -> Sight {
        // Taken out: a session that does not answer in time is not asked again.
        let asked = match self.session.take() {
            Some(session) => Ok(session),
            None => Session::open_unproven(self.target).await,
        };
        let looked = async {
            let session = asked?;
            let rows = session.client().query(LOOK, &[&self.target.sessions()]).await;
            Ok((session, rows.during("looking after the sessions")?))
        };
        match looked.await {
            Ok((session, rows)) => {
                self.session = Some(session);
                let now = rows.iter().map(|row| (row.get(0), row.get(2))).collect();
                let works = rows.iter().any(|row| row.get(1));
                let changed = self.seen != now;
                self.seen = now;
                if works || changed { Sight::Moving } else { Sight::Still }
            }
            Err(ReadModelError::Database(trstctl_migrations::Error::Refused { .. })) => Sight::Moving,
            Err(_) => Sight::Silence,
        }
    }
}

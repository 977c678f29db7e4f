//! How a flow tells how far it is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

/// What a phase counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Events of the log.
    Events,
    /// Bytes of a file.
    Bytes,
    /// Steps too short to count.
    Steps,
}

/// Told by a flow, from any thread.
pub trait Progress: Send + Sync {
    /// A phase begins; `total` when known.
    fn begin(&self, phase: &'static str, total: Option<u64>, unit: Unit);
    /// So much of the current phase is done.
    fn done(&self, count: u64);
    /// The current phase has come to a step that is not counted.
    fn step(&self, what: &'static str);
    /// The phase ended well.
    fn end(&self, phase: &Phase);
    /// The operator wants to stop: asked often by whatever cannot be dropped.
    fn interrupted(&self) -> bool;
}

/// A finished phase: a line of the report.
#[derive(Clone, Debug, Serialize)]
pub struct Phase {
    /// Its name.
    pub name: &'static str,
    /// What it counted.
    pub unit: Unit,
    /// How many of them.
    pub count: u64,
    /// How long it took.
    pub elapsed_ms: u64,
}

/// Measures phases and passes them on.
pub struct Phases {
    progress: Arc<dyn Progress>,
    finished: Vec<Phase>,
}

impl Phases {
    /// Nothing measured yet.
    pub fn new(progress: Arc<dyn Progress>) -> Self {
        Self { progress, finished: Vec::new() }
    }

    /// Adds phases that were measured elsewhere.
    pub fn extend(&mut self, phases: Vec<Phase>) {
        self.finished.extend(phases);
    }

    /// Begins a phase; [`Running::end`] ends it.
    pub fn begin(&mut self, name: &'static str, total: Option<u64>, unit: Unit) -> Running<'_> {
        self.progress.begin(name, total, unit);
        Running { phases: self, name, unit, started: Instant::now() }
    }

    /// The finished phases, in order.
    pub fn into_report(self) -> Vec<Phase> {
        self.finished
    }
}

/// A phase that runs.
pub struct Running<'a> {
    phases: &'a mut Phases,
    name: &'static str,
    unit: Unit,
    started: Instant,
}

impl Running<'_> {
    /// Where to tell how far it is.
    pub fn progress(&self) -> &dyn Progress {
        self.phases.progress.as_ref()
    }

    /// The same, for whoever outlives this borrow.
    pub fn shared_progress(&self) -> Arc<dyn Progress> {
        Arc::clone(&self.phases.progress)
    }

    /// The phase ended well, with this many units done.
    pub fn end(self, count: u64) {
        let phase = Phase { name: self.name, unit: self.unit, count, elapsed_ms: ms(self.started.elapsed()) };
        self.phases.progress.end(&phase);
        self.phases.finished.push(phase);
    }
}

/// Whole milliseconds.
pub fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

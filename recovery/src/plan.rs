//! What a flow would do, step by step, before it does anything.

use serde::Serialize;

/// The steps of a flow.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Plan {
    /// In the order in which they run.
    pub steps: Vec<Step>,
    /// What the operator should know before saying yes: a new sequence numbering, a foreign deployment, no key.
    pub warnings: Vec<String>,
}

/// One step.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// What it does, as a sentence without its full stop.
    pub what: String,
    /// How long it takes about, from the rates of this program on two cores; `None` when it takes no time to speak of.
    pub estimate_ms: Option<u64>,
    /// What it writes to; `None` for a step that only reads.
    pub writes: Option<&'static str>,
}

impl Plan {
    /// Adds a step that only reads.
    pub fn reads(&mut self, what: impl Into<String>, estimate_ms: Option<u64>) {
        self.steps.push(Step { what: what.into(), estimate_ms, writes: None });
    }

    /// Adds a step that writes to `target`.
    pub fn writes(&mut self, target: &'static str, what: impl Into<String>, estimate_ms: Option<u64>) {
        self.steps.push(Step { what: what.into(), estimate_ms, writes: Some(target) });
    }

    /// The sum of the estimates.
    pub fn estimate_ms(&self) -> u64 {
        self.steps.iter().filter_map(|step| step.estimate_ms).sum()
    }
}

/// Rates for estimates, per second, cautious: half of what docs/benchmarks.md has of two shared cores.
pub mod rates {
    /// Events backed up.
    pub const BACKUP_EVENTS: u64 = 80_000;
    /// Events restored by archive.
    pub const ARCHIVE_EVENTS: u64 = 45_000;
    /// Events restored by publishing.
    pub const PUBLISH_EVENTS: u64 = 23_000;
    /// Events read back.
    pub const READ_BACK_EVENTS: u64 = 90_000;
    /// Events folded and written into the read model.
    pub const REBUILD_EVENTS: u64 = 30_000;

    /// Milliseconds for `count` at `rate` a second.
    pub fn estimate_ms(count: u64, rate: u64) -> Option<u64> {
        Some(count.saturating_mul(1000).div_ceil(rate))
    }
}

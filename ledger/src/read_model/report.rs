//! What a rebuild did.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::projection::{ModelDigest, Reference, Row, Table};

/// What a rebuild did, found and took.
#[derive(Clone, Debug)]
pub struct RebuildReport {
    /// The new model's checkpoint: the log's last sequence at the swap.
    pub checkpoint: u64,
    /// Messages read.
    pub events: u64,
    /// Events applied.
    pub projected: u64,
    /// Events without rows, by type.
    pub not_projected: BTreeMap<String, u64>,
    /// Events that went to `projection_faults`.
    pub faults: u64,
    /// State digests of the new model, read back from PostgreSQL after the swap, and the checkpoint that they belong to:
    /// later than [`RebuildReport::checkpoint`] when a live tail has gone on.
    pub digests: ModelDigest,
    /// Checkpoint of the digests.
    pub digests_checkpoint: u64,
    /// References to rows that are not there.
    pub dangling: Vec<DanglingCount>,
    /// How often the fold was written because memory was used up; 0: everything was folded at once.
    pub spills: u64,
    /// How often the swap was tried.
    pub swap_attempts: u32,
    /// Replaced models, of this rebuild and of earlier ones, that could not be dropped.
    pub leftovers: Vec<Leftover>,
    /// How long it took.
    pub timings: Timings,
}

impl RebuildReport {
    /// Rows of the new model by table.
    pub fn rows(&self) -> Vec<(Table, u64)> {
        Table::ALL.into_iter().map(|table| (table, self.digests.table(table).rows)).collect()
    }

    /// Something needs a person: faults, dangling references.
    pub fn has_findings(&self) -> bool {
        self.faults > 0 || !self.dangling.is_empty()
    }
}

/// A replaced model that is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Its schema now.
    pub schema: String,
    /// Why it stays.
    pub kept_for: KeptFor,
}

/// Why a replaced model stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptFor {
    /// Somebody reads it; the next rebuild drops it.
    Reader,
    /// Views, foreign keys or tables of others need it, which show what it held.
    Additions,
}

/// A reference with rows that refer to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DanglingCount {
    /// The reference.
    pub reference: &'static Reference,
    /// How many rows refer to nothing.
    pub rows: u64,
    /// Keys of the first of them.
    pub examples: Vec<Row>,
}

/// How long the parts of a rebuild took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Reading the log and folding, and all writing that had to happen between.
    pub read_and_fold: Duration,
    /// Writing what was folded last, and keys.
    pub write: Duration,
    /// Indexes, policies, grants.
    pub index: Duration,
    /// Catching up with what arrived meanwhile.
    pub catch_up: Duration,
    /// The swap, with its retries.
    pub swap: Duration,
    /// Dropping the old model.
    pub drop: Duration,
    /// Reading back: digests and dangling references; and statistics.
    pub check: Duration,
    /// All of it.
    pub total: Duration,
}

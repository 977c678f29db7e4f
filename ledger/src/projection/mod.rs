//! The projection: what every event does to the rows of the read model (spec "Events of the core").
//!
//! Pure, total and deterministic: `(rows so far, event) -> rows`. No clock, no random number, no SQL, no NATS. A batch of
//! events is folded to the final row of each key. Whoever keeps rows ([`crate::read_model`], the memory model of the
//! tests) loads the rows that a batch touches, folds, and writes the outcome set-wise.
//!
//! Tables are described once, in [`Table`]: name, columns and their kinds, key. Persistence is driven by that
//! description and knows nothing of what a column means.

mod digest;
mod effect;
mod fold;
mod jsonb;
mod keyed;
mod memory;
mod payload;
mod record;
mod rows;
mod step;
mod table;
mod tenant;
mod time;

pub use digest::{ModelDigest, TableDigest};
pub use fold::{Changes, Counts, Drained, Fold, ForeignRow, Lookups, OTHER_TYPES, TableChanges};
pub use keyed::Rows;
pub use memory::{Dangling, MemoryModel};
pub use step::Step;
pub use table::{Column, Kind, REFERENCES, Reference, Row, Table, Value};

/// Longest text, in bytes, that the projection lets into a key or a lookup; an event with a longer one is quarantined.
///
/// PostgreSQL refuses index entries over 2,704 bytes, and an event that no index takes would stop the projection. All
/// other text columns are unbounded: no b-tree index may include one.
pub const MAX_INDEXED_TEXT_BYTES: usize = 2_048;

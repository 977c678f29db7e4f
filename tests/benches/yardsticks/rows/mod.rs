//! The rows, in the order of the table: one file a group.

mod backups;
mod child;
mod verify;
mod verify_memory;

use crate::row::Row;
use crate::setting::Setting;

/// What measures one row or a few.
pub struct Entry {
    /// `group/row`: what the command line filters by.
    pub name: &'static str,
    pub measure: fn(&Setting) -> Vec<Row>,
}

/// Every row there is.
pub const ALL: &[Entry] = &[
    Entry { name: "verify/v2", measure: verify::v2 },
    Entry { name: "verify/v1-keyed", measure: verify::v1_keyed },
    Entry { name: "verify/first-verdict", measure: verify::first_verdict },
    Entry { name: "verify/memory", measure: verify_memory::peaks },
];

//! The rows, in the order of the table: one file a group.

mod backups;
mod bare;
mod child;
mod log;
mod read_model;
mod resume;
mod signer;
mod signer_site;
mod slow_link;
mod verify;
mod verify_memory;
mod whole;
/// What the signer's own tests ask it to sign.
#[path = "../../../../signer/tests/support/x509.rs"]
#[allow(dead_code, reason = "rows use the good certificates only")]
mod x509;

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
    Entry { name: "log/backup", measure: log::backup },
    Entry { name: "log/memory", measure: log::memory },
    Entry { name: "log/restore", measure: log::restore },
    Entry { name: "log/three-servers", measure: log::restore_on_three },
    Entry { name: "log/latency", measure: log::publish_over_latency },
    Entry { name: "whole/processes", measure: whole::seconds_of_each },
    Entry { name: "read-model/rebuild", measure: read_model::speed },
    Entry { name: "read-model/memory", measure: read_model::memory },
    Entry { name: "read-model/readers", measure: read_model::readers },
    Entry { name: "resume/archive", measure: resume::archive },
    Entry { name: "resume/publish", measure: resume::publish },
    Entry { name: "signer/certificates", measure: signer::speed },
];

//! The projection: what every event does to the rows of the read model (spec "Events of the core").
//!
//! Pure, total and deterministic: `(rows so far, event) -> rows`. No clock, no random number, no SQL, no NATS. A batch of
//! events is folded to the final row of each key. Whoever keeps rows ([`crate::read_model`], the memory model of the
//! tests) loads the rows that a batch touches, folds, and writes the outcome set-wise.
//!
//! Tables are described once, in [`Table`]: name, columns and their kinds, key. Persistence is driven by that
//! description and knows nothing of what a column means.

/// The tables of `read_model` that the projection fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// `tenants`
    Tenants,
    /// `owners`
    Owners,
    /// `issuers`
    Issuers,
    /// `certificate_profiles`
    CertificateProfiles,
    /// `identities`
    Identities,
    /// `identity_transitions`
    IdentityTransitions,
    /// `certificates`
    Certificates,
    /// `ca_authorities`
    CaAuthorities,
    /// `ca_issued_certs`
    CaIssuedCerts,
    /// `ca_crls`
    CaCrls,
    /// `projection_faults`
    ProjectionFaults,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `uuid`
    Uuid,
    /// `text`
    Text,
    /// `text[]`, not null inside
    TextArray,
    /// `bigint`
    Int,
    /// `boolean`
    Bool,
    /// `timestamptz`, microseconds
    Time,
    /// `jsonb`
    Json,
    /// `bytea`
    Bytes,
}

/// A column of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name in SQL.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// May be NULL.
    pub nullable: bool,
}

/// A value of a row. The variant fits the column's [`Kind`], or is `Null`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// NULL
    Null,
    /// `uuid`
    Uuid(uuid::Uuid),
    /// `text`; never holds U+0000
    Text(String),
    /// `text[]`
    TextArray(Vec<String>),
    /// `bigint`
    Int(i64),
    /// `boolean`
    Bool(bool),
    /// `timestamptz`: microseconds since 1970-01-01T00:00:00Z, within PostgreSQL's range
    Time(i64),
    /// `jsonb`: JSON text that PostgreSQL takes, canonical (as `jsonb` prints it), so that equal values are equal texts
    Json(String),
    /// `bytea`
    Bytes(Vec<u8>),
}

/// A row: one value a column, in the order of the table's columns.
pub type Row = Vec<Value>;

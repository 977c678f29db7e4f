//! The tables of the read model, described as data: names, columns, keys, references.
//!
//! The columns of a table come from its record in `rows`, so that what is described, what is folded and what is
//! written cannot differ.

use super::record::Record;
use super::rows;

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

/// A row: one value a column, in the order of the table's columns. Also a key: one value a key column, in their order.
pub type Row = Vec<Value>;

impl Table {
    /// Every table, in the order in which they may be filled, compared and reported.
    pub const ALL: [Table; 11] = [
        Table::Tenants,
        Table::Owners,
        Table::Issuers,
        Table::CertificateProfiles,
        Table::Identities,
        Table::IdentityTransitions,
        Table::Certificates,
        Table::CaAuthorities,
        Table::CaIssuedCerts,
        Table::CaCrls,
        Table::ProjectionFaults,
    ];

    /// Name in SQL, without schema.
    pub fn name(self) -> &'static str {
        match self {
            Table::Tenants => "tenants",
            Table::Owners => "owners",
            Table::Issuers => "issuers",
            Table::CertificateProfiles => "certificate_profiles",
            Table::Identities => "identities",
            Table::IdentityTransitions => "identity_transitions",
            Table::Certificates => "certificates",
            Table::CaAuthorities => "ca_authorities",
            Table::CaIssuedCerts => "ca_issued_certs",
            Table::CaCrls => "ca_crls",
            Table::ProjectionFaults => "projection_faults",
        }
    }

    /// Columns in their order. The first is always `tenant_id`, nullable in `projection_faults` only.
    pub fn columns(self) -> &'static [Column] {
        match self {
            Table::Tenants => rows::Tenant::COLUMNS,
            Table::Owners => rows::Owner::COLUMNS,
            Table::Issuers => rows::Issuer::COLUMNS,
            Table::CertificateProfiles => rows::Profile::COLUMNS,
            Table::Identities => rows::Identity::COLUMNS,
            Table::IdentityTransitions => rows::Transition::COLUMNS,
            Table::Certificates => rows::Certificate::COLUMNS,
            Table::CaAuthorities => rows::Authority::COLUMNS,
            Table::CaIssuedCerts => rows::IssuedCert::COLUMNS,
            Table::CaCrls => rows::Crl::COLUMNS,
            Table::ProjectionFaults => rows::Fault::COLUMNS,
        }
    }

    /// Columns of the primary key, in its order.
    pub fn key(self) -> &'static [&'static str] {
        match self {
            Table::Tenants => &["tenant_id"],
            Table::IdentityTransitions => &["tenant_id", "identity_id", "sequence"],
            Table::CaIssuedCerts => &["tenant_id", "ca_id", "serial"],
            Table::CaCrls => &["tenant_id", "ca_id", "crl_number"],
            Table::ProjectionFaults => &["sequence"],
            _ => &["tenant_id", "id"],
        }
    }

    /// Columns by which rows are looked up besides the key, when there are such: not unique, to be indexed.
    pub fn lookup(self) -> Option<&'static [&'static str]> {
        match self {
            Table::CertificateProfiles => Some(&["tenant_id", "name"]),
            Table::Certificates => Some(&["tenant_id", "fingerprint"]),
            _ => None,
        }
    }

    /// Position of a column.
    pub fn position(self, column: &str) -> Option<usize> {
        self.columns().iter().position(|c| c.name == column)
    }

    /// The key of a row of this table.
    pub fn key_of(self, row: &Row) -> Row {
        self.values_of(row, self.key())
    }

    /// The values of the named columns; columns that the table or the row lacks are left out.
    pub fn values_of(self, row: &Row, columns: &[&str]) -> Row {
        columns.iter().filter_map(|c| row.get(self.position(c)?).cloned()).collect()
    }
}

/// A column that names a row of another table of the same tenant. Nothing enforces it: a reference that dangles is
/// found set-wise and reported (spec "Tenancy", design decision 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The table that refers.
    pub child: Table,
    /// Its column; a NULL refers to nothing.
    pub column: &'static str,
    /// The table referred to.
    pub parent: Table,
    /// Its column; with `tenant_id`, its key.
    pub parent_column: &'static str,
}

/// Every reference of the read model.
pub const REFERENCES: &[Reference] = &[
    refers(Table::Owners, "tenant_id", Table::Tenants, "tenant_id"),
    refers(Table::Issuers, "tenant_id", Table::Tenants, "tenant_id"),
    refers(Table::CertificateProfiles, "tenant_id", Table::Tenants, "tenant_id"),
    refers(Table::Identities, "tenant_id", Table::Tenants, "tenant_id"),
    refers(Table::Identities, "owner_id", Table::Owners, "id"),
    refers(Table::Identities, "issuer_id", Table::Issuers, "id"),
    refers(Table::IdentityTransitions, "identity_id", Table::Identities, "id"),
    refers(Table::Certificates, "tenant_id", Table::Tenants, "tenant_id"),
    refers(Table::Certificates, "owner_id", Table::Owners, "id"),
    refers(Table::Certificates, "ca_id", Table::CaAuthorities, "id"),
    refers(Table::Certificates, "replaces_id", Table::Certificates, "id"),
    refers(Table::CaAuthorities, "tenant_id", Table::Tenants, "tenant_id"),
    refers(Table::CaAuthorities, "parent_id", Table::CaAuthorities, "id"),
    refers(Table::CaAuthorities, "predecessor_id", Table::CaAuthorities, "id"),
    refers(Table::CaIssuedCerts, "ca_id", Table::CaAuthorities, "id"),
    refers(Table::CaCrls, "ca_id", Table::CaAuthorities, "id"),
];

const fn refers(child: Table, column: &'static str, parent: Table, parent_column: &'static str) -> Reference {
    Reference { child, column, parent, parent_column }
}

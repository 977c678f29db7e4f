//! The rows of every table, field by field: the columns of the read model are these, in this order.
//!
//! Columns carry the payload's names (spec "Events of the core"). Changing a field changes the SQL: the migrations are
//! compared with this description.

use uuid::Uuid;

use super::record::{Cell, Jsonb, Micros, Record, allocated, record, tenant_of};
use super::table::{Column, Kind, Row, Table, Value};

record! {
    /// A registered tenant.
    Tenant in Tenants, tenant false, key () {
        name: String,
        created_at: Micros,
    }
}

record! {
    /// Who answers for identities and certificates.
    Owner in Owners, tenant false, key (id: Uuid) {
        id: Uuid,
        kind: String,
        name: String,
        email: String,
    }
}

record! {
    /// A CA that issues for the tenant, as its clients see it.
    Issuer in Issuers, tenant false, key (id: Uuid) {
        id: Uuid,
        kind: String,
        name: String,
        chain: Vec<String>,
        public_key: String,
        internal: bool,
    }
}

record! {
    /// A version of a certificate profile; at most one of a name is active.
    Profile in CertificateProfiles, tenant false, key (id: Uuid) {
        id: Uuid,
        name: String,
        version: i64,
        spec: Jsonb,
        active: bool,
        created_by: String,
    }
}

record! {
    /// A machine identity and where it is in its lifecycle.
    Identity in Identities, tenant false, key (id: Uuid) {
        id: Uuid,
        kind: String,
        name: String,
        owner_id: Uuid,
        issuer_id: Option<Uuid>,
        attributes: Jsonb,
        status: String,
    }
}

record! {
    /// One step in the lifecycle of an identity. Only ever added.
    Transition in IdentityTransitions, tenant false, key (identity_id: Uuid, sequence: i64) {
        identity_id: Uuid,
        sequence: i64,
        from_state: String,
        to_state: String,
        event_type: String,
        reason: Option<String>,
        occurred_at: Micros,
    }
}

record! {
    /// A certificate of the inventory.
    Certificate in Certificates, tenant false, key (id: Uuid) {
        id: Uuid,
        fingerprint: String,
        serial: String,
        subject: String,
        sans: Vec<String>,
        issuer: String,
        status: Status,
        not_before: Option<Micros>,
        not_after: Option<Micros>,
        revoked_at: Option<Micros>,
        revocation_reason: Option<String>,
        renewed_at: Option<Micros>,
        replaces_id: Option<Uuid>,
        superseded_by: Option<String>,
        ca_id: Option<Uuid>,
        owner_id: Option<Uuid>,
        key_algorithm: String,
        deployment_location: String,
        source: String,
        certificate_der: Option<Vec<u8>>,
    }
}

record! {
    /// A certification authority that signs for the tenant.
    Authority in CaAuthorities, tenant false, key (id: Uuid) {
        id: Uuid,
        parent_id: Option<Uuid>,
        common_name: String,
        kind: String,
        certificate_pem: String,
        signer_handle: String,
        serial: String,
        not_after: Micros,
        predecessor_id: Option<Uuid>,
    }
}

record! {
    /// A serial that a CA has given out: what its CRLs are made from.
    IssuedCert in CaIssuedCerts, tenant false, key (ca_id: Uuid, serial: String) {
        ca_id: Uuid,
        serial: String,
        issued_at: Option<Micros>,
        revoked_at: Option<Micros>,
        reason_code: Option<i64>,
    }
}

record! {
    /// A published CRL.
    Crl in CaCrls, tenant false, key (ca_id: Uuid, crl_number: i64) {
        ca_id: Uuid,
        crl_number: i64,
        crl_der: Vec<u8>,
        this_update: Micros,
        next_update: Micros,
        revoked_count: i64,
    }
}

record! {
    /// An event that could not be applied. Its tenant is NULL when the event does not name one.
    Fault in ProjectionFaults, tenant true, key (sequence: i64) {
        sequence: i64,
        event_id: Option<String>,
        event_type: Option<String>,
        reason: String,
    }
}

/// Status of a certificate. It only ever gets worse: active, superseded, revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Status {
    Active,
    Superseded,
    Revoked,
}

impl Status {
    const ALL: [(Status, &'static str); 3] =
        [(Status::Active, "active"), (Status::Superseded, "superseded"), (Status::Revoked, "revoked")];
}

impl Cell for Status {
    const KIND: Kind = Kind::Text;

    fn into_value(self) -> Value {
        Value::Text(Self::ALL[self as usize].1.to_owned())
    }

    fn from_value(value: Value) -> Option<Self> {
        let Value::Text(text) = value else { return None };
        Self::ALL.iter().find(|(_, name)| *name == text).map(|(status, _)| *status)
    }
}

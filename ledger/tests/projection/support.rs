//! Events and models of these tests, in short.

use bytes::Bytes;
use trstctl_formats::event::Event;
use trstctl_ledger::projection::{Counts, MemoryModel, Row, Step, Table, Value};
use uuid::Uuid;

/// When every event of these tests happened, unless it says otherwise; in microseconds below.
pub const TIME: &str = "2026-01-02T03:04:05.123456789Z";
pub const TIME_MICROS: i64 = 1_767_323_045_123_456;

/// A uuid that is told from others by its number.
pub fn id(number: u128) -> Uuid {
    Uuid::from_u128(0x4000_8000_0000_0000_0000 | number)
}

/// An event of tenant 1. `{7}` in the payload is the uuid of that number.
pub fn event(kind: &str, payload: &str) -> Event {
    of_tenant(1, kind, payload)
}

pub fn of_tenant(tenant: u128, kind: &str, payload: &str) -> Event {
    let version = (kind.starts_with("profile.") || kind == "ca.crl.published").then_some(2);
    Event {
        id: format!("event of {kind}"),
        kind: kind.to_owned(),
        tenant_id: id(tenant).to_string(),
        time: TIME.to_owned(),
        version,
        data: Bytes::from(with_ids(payload)),
        actor: None,
    }
}

pub fn at(time: &str, event: Event) -> Event {
    Event { time: time.to_owned(), ..event }
}

pub fn version(version: i64, event: Event) -> Event {
    Event { version: Some(version), ..event }
}

fn with_ids(payload: &str) -> String {
    (0..100).fold(payload.to_owned(), |text, n| text.replace(&format!("{{{n}}}"), &id(n).to_string()))
}

/// A certificate of id 1 and fingerprint `f`, of CA 50 and serial `05`; further keys replace these.
pub fn certificate(further: &str) -> Event {
    event("certificate.recorded", &certificate_payload(further))
}

pub fn certificate_payload(further: &str) -> String {
    format!(
        r#"{{"id":"{{1}}","ca_id":"{{50}}","owner_id":"{{9}}","subject":"CN=a","sans":["a","b"],"issuer":"CN=ca",
        "serial":"05","fingerprint":"f","key_algorithm":"P-256","not_before":"2026-01-01T00:00:00Z",
        "not_after":"2026-04-01T00:00:00Z","deployment_location":"web","source":"api","certificate_der":"AQID"{further}}}"#
    )
}

pub const OWNER: &str = r#"{"id":"{1}","kind":"team","name":"a","email":"a@b"}"#;
pub const IDENTITY: &str =
    r#"{"id":"{1}","kind":"x509","name":"a","owner_id":"{9}","issuer_id":"{8}","attributes":{"k":1}}"#;
pub const MOVE: &str = r#"{"identity_id":"{1}","from":"requested","to":"issued","reason":"r"}"#;
pub const REVOKE: &str = r#"{"fingerprint":"f","ca_id":"{50}","serial":"05","reason":"stolen","reason_code":1,"revoked_at":"2026-02-01T00:00:00Z"}"#;
pub const SUPERSEDE: &str =
    r#"{"fingerprint":"f","serial":"05","superseded_by":"g","renewed_at":"2026-03-01T00:00:00Z"}"#;

/// The steps of these events, at sequences from `first`.
pub fn steps(first: u64, events: &[Event]) -> Vec<Step> {
    (first..).zip(events).map(|(sequence, event)| Step::of_event(sequence, event)).collect()
}

/// The model that these events, at sequences from 1, make.
pub fn model(events: &[Event]) -> MemoryModel {
    counted(events).0
}

pub fn counted(events: &[Event]) -> (MemoryModel, Counts) {
    let mut model = MemoryModel::new();
    let counts = model.apply_steps(steps(1, events)).expect("rows of this version");
    (model, counts)
}

/// The rows of a table.
pub fn rows(model: &MemoryModel, table: Table) -> Vec<Row> {
    model.rows(table).cloned().collect()
}

/// One column of every row of a table, in the order of keys.
pub fn column(model: &MemoryModel, table: Table, name: &str) -> Vec<Value> {
    let position = table.position(name).expect("a column of the table");
    model.rows(table).map(|row| row[position].clone()).collect()
}

/// Reasons of all faults, in the order of sequences.
pub fn reasons(model: &MemoryModel) -> Vec<String> {
    let reason = |value| match value {
        Value::Text(reason) => reason,
        other => panic!("{other:?} is no reason"),
    };
    column(model, Table::ProjectionFaults, "reason").into_iter().map(reason).collect()
}

pub fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

pub fn uuid(number: u128) -> Value {
    Value::Uuid(id(number))
}

/// Midnight of the first of a month of 2026.
pub fn month(month: i64) -> Value {
    let days: [i64; 4] = [0, 31, 59, 90];
    Value::Time((20_454 + days[(month - 1) as usize]) * 86_400_000_000)
}

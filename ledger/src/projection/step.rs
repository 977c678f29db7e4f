//! A step: one message of the log, read and judged as far as that goes without looking at any row.
//!
//! Reading a step needs nothing but the message, so that many threads may read steps while one folds them in log order.
//! The order of judgement: is it an event; is its type one that is projected; tenant, time, version; payload.

use trstctl_formats::StoredMessage;
use trstctl_formats::event::{Event, EventView, NotAnEvent};
use uuid::Uuid;

use super::effect::{self, Effect};
use super::payload::{Misfit, Payload, parse_uuid};
use super::record::Micros;
use super::rows::Fault;
use super::time;

/// Longest text, in characters, that a fault keeps of an event's id and type.
const MAX_FAULT_TEXT_CHARS: usize = 256;

/// One message of the log, ready to be folded.
#[derive(Debug)]
pub struct Step {
    pub(super) sequence: u64,
    pub(super) tenant: Option<Uuid>,
    pub(super) id: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) outcome: Outcome,
}

/// What a message means to the read model.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Rows change, in the tenant of the step.
    Apply(Uuid, Effect),
    /// A type, or a version of it, that has no rows.
    NotProjected,
    /// Nobody can apply it.
    Quarantine(Refusal),
}

/// Why an event is quarantined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("not an event: {0}")]
    NotAnEvent(NotAnEvent),
    #[error("the tenant id is not a uuid")]
    Tenant,
    #[error("the event's time is not an RFC 3339 time")]
    Time,
    #[error("version {0} of the payload is not known here")]
    Version(i64),
    #[error("{0}")]
    Payload(#[from] Misfit),
    #[error("there is no such {0} to change")]
    Absent(&'static str),
}

impl Step {
    /// Reads a message of the log. Never fails: what is no event becomes a fault when it is folded.
    pub fn read(message: &StoredMessage) -> Self {
        match EventView::from_stored(&message.payload) {
            Ok(event) => Self::of_view(message.sequence, event),
            Err(reason) => Self {
                sequence: message.sequence,
                tenant: None,
                id: None,
                kind: None,
                outcome: Outcome::Quarantine(Refusal::NotAnEvent(reason)),
            },
        }
    }

    /// The step of an event that stands in the log at this sequence.
    pub fn of_event(sequence: u64, event: &Event) -> Self {
        Self::of_view(sequence, event.view())
    }

    fn of_view(sequence: u64, event: EventView<'_>) -> Self {
        let tenant = parse_uuid(&event.tenant_id);
        let outcome = judge(sequence, &event, tenant).unwrap_or_else(Outcome::Quarantine);
        Self {
            sequence,
            tenant,
            id: Some(fault_text(event.id.into_owned())),
            kind: Some(fault_text(event.kind.into_owned())),
            outcome,
        }
    }

    /// Its sequence in the log.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(super) fn fault(self, reason: &Refusal) -> Fault {
        let reason = fault_text(reason.to_string());
        Fault { sequence: column_sequence(self.sequence), event_id: self.id, event_type: self.kind, reason }
    }
}

/// A sequence as its column holds it; a log does not reach the end of 63 bits.
pub(super) fn column_sequence(sequence: u64) -> i64 {
    i64::try_from(sequence).unwrap_or(i64::MAX)
}

fn judge(sequence: u64, event: &EventView<'_>, tenant: Option<Uuid>) -> Result<Outcome, Refusal> {
    let Some(schema) = Schema::of(&event.kind) else { return Ok(Outcome::NotProjected) };
    let tenant = tenant.ok_or(Refusal::Tenant)?;
    let time = event_time(event)?;
    let version = event.version.filter(|v| *v != 0).unwrap_or(1);
    if schema.without_rows.contains(&version) {
        return Ok(Outcome::NotProjected);
    }
    if !schema.projected.contains(&version) {
        return Err(Refusal::Version(version));
    }
    let effect = read_effect(schema, &effect::Context { sequence, kind: &event.kind, time }, &event.data)?;
    Ok(Outcome::Apply(tenant, effect))
}

fn read_effect(schema: Schema, context: &effect::Context<'_>, data: &[u8]) -> Result<Effect, Misfit> {
    if let Read::Keyless(effect) = schema.read
        && matches!(data, b"" | b"null")
    {
        return Ok(effect());
    }
    let payload = Payload::new(data);
    let fields = payload.fields()?;
    match schema.read {
        Read::Keyless(effect) => Ok(effect()),
        Read::Keys(read) => read(context, &fields),
    }
}

fn event_time(event: &EventView<'_>) -> Result<Micros, Refusal> {
    match &*event.time {
        "" => Ok(time::YEAR_ONE),
        text => time::parse(text).ok_or(Refusal::Time),
    }
}

/// Versions of a type's payload, and how it is read. Version 0 counts as 1.
struct Schema {
    projected: &'static [i64],
    without_rows: &'static [i64],
    read: Read,
}

enum Read {
    /// The payload has no keys; it may be missing, `null`, or any object.
    Keyless(fn() -> Effect),
    Keys(effect::Reader),
}

impl Schema {
    /// `None` for a type that is not projected.
    fn of(kind: &str) -> Option<Self> {
        let keys =
            |projected, without_rows, read| Some(Self { projected, without_rows, read: Read::Keys(read) });
        match kind {
            "tenant.registered" => keys(&[1], &[], effect::tenant_registered),
            "tenant.offboarded" => {
                Some(Self { projected: &[1], without_rows: &[], read: Read::Keyless(|| Effect::Offboard) })
            }
            "owner.created" => keys(&[1], &[], effect::owner_created),
            "owner.updated" => keys(&[1], &[], effect::owner_updated),
            "owner.deleted" => keys(&[1], &[], effect::owner_deleted),
            "issuer.created" => keys(&[1], &[], effect::issuer_created),
            "profile.created" => keys(&[2], &[1], effect::profile_created),
            "profile.updated" => keys(&[2], &[1], effect::profile_updated),
            "identity.created" => keys(&[1], &[], effect::identity_created),
            "identity.issued" | "identity.deployed" | "identity.renewing" | "identity.renewed"
            | "identity.revoked" | "identity.retired" => keys(&[1, 2], &[], effect::identity_moved),
            "certificate.recorded" => keys(&[1], &[], effect::certificate_recorded),
            "certificate.revoked" => keys(&[1], &[], effect::certificate_revoked),
            "certificate.superseded" => keys(&[1], &[], effect::certificate_superseded),
            "ca.authority.created" | "ca.authority.rotated" => keys(&[1], &[], effect::authority),
            "ca.certificate.issued" => keys(&[1], &[], effect::serial_issued),
            "ca.certificate.revoked" => keys(&[1], &[], effect::serial_revoked),
            "ca.crl.published" => keys(&[2, 3], &[1], effect::crl_published),
            _ => None,
        }
    }
}

/// A text of an event as a column of `projection_faults` keeps it: without U+0000, and cut.
fn fault_text(text: String) -> String {
    if text.len() <= MAX_FAULT_TEXT_CHARS && !text.contains('\0') {
        return text;
    }
    text.chars()
        .take(MAX_FAULT_TEXT_CHARS)
        .map(|c| if c == '\0' { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

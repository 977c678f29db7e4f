//! The event envelope: the JSON object that a stored message of the log holds (spec "The stored message").

use bytes::Bytes;

/// An event of the control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Unique id; the message id of the log. May be empty in foreign histories.
    pub id: String,
    /// Type, e.g. `owner.created`; never empty.
    pub kind: String,
    /// Tenant, a uuid in text form as it was written; never absent.
    pub tenant_id: String,
    /// RFC 3339, as it was written, offset and zeros included; empty when absent.
    pub time: String,
    /// Schema version of the payload; `None` when absent (counts as 1).
    pub version: Option<i64>,
    /// The payload's bytes (decoded from base64); empty when there is none.
    pub data: Bytes,
    /// Who did it.
    pub actor: Option<Actor>,
}

/// Who caused an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Token subject.
    pub subject: String,
    /// Roles at that time.
    pub roles: Vec<String>,
}

/// Why a stored message is no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotAnEvent {
    /// What is wrong with it, for a person.
    pub reason: String,
}

impl Event {
    /// Reads a stored message by the lenient reading rules of a version 1 record, whatever its spacing; `data` is
    /// base64 there.
    pub fn from_stored(_payload: &[u8]) -> Result<Self, NotAnEvent> {
        todo!()
    }

    /// The canonical stored form: `id type tenant_id time v data actor`, no white space, strings escaped as in a
    /// version 1 backup, `v` 1 when absent.
    pub fn to_stored(&self) -> Bytes {
        todo!()
    }
}

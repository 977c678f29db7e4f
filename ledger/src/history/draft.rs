//! An event before it has an id and a time, and the writer of its payload.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use uuid::Uuid;

use super::{Entry, Keep, Outcome};

/// What comes next in a history.
pub enum Draw {
    Event(Draft),
    Message(Entry),
}

/// An event without id, time and actor.
#[derive(Clone, Debug)]
pub struct Draft {
    pub kind: &'static str,
    pub subject: String,
    pub tenant_id: Uuid,
    /// Written instead of the id: a tenant that is no uuid.
    pub tenant_text: Option<String>,
    pub version: i64,
    pub data: Bytes,
    pub keep: Keep,
    pub outcome: Outcome,
}

impl Draft {
    /// An event of version 1 that is applied and stays, under a subject of older servers.
    pub fn new(kind: &'static str, tenant_id: Uuid, payload: Payload) -> Self {
        Self {
            kind,
            subject: format!("events.{kind}"),
            tenant_id,
            tenant_text: None,
            version: 1,
            data: payload.finish(),
            keep: Keep::Kept,
            outcome: Outcome::Applied,
        }
    }

    #[must_use]
    pub fn version(self, version: i64) -> Self {
        Self { version, ..self }
    }

    #[must_use]
    pub fn outcome(self, outcome: Outcome) -> Self {
        Self { outcome, ..self }
    }
}

/// A payload that grows key by key. Texts are JSON text already: they come from lists or are made of harmless characters.
#[derive(Clone, Debug, Default)]
pub struct Payload(String);

impl Payload {
    pub fn new() -> Self {
        Self(String::with_capacity(320))
    }

    #[must_use]
    pub fn text(mut self, key: &str, value: &str) -> Self {
        self.key(key);
        self.0.push('"');
        self.0.push_str(value);
        self.0.push('"');
        self
    }

    #[must_use]
    pub fn raw(mut self, key: &str, value: &str) -> Self {
        self.key(key);
        self.0.push_str(value);
        self
    }

    #[must_use]
    pub fn uuid(self, key: &str, value: Uuid) -> Self {
        self.text(key, value.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
    }

    #[must_use]
    pub fn optional_uuid(self, key: &str, value: Option<Uuid>) -> Self {
        match value {
            Some(value) => self.uuid(key, value),
            None => self,
        }
    }

    #[must_use]
    pub fn number(self, key: &str, value: u64) -> Self {
        self.raw(key, &value.to_string())
    }

    #[must_use]
    pub fn bytes(mut self, key: &str, value: &[u8]) -> Self {
        self.key(key);
        self.0.push('"');
        STANDARD.encode_string(value, &mut self.0);
        self.0.push('"');
        self
    }

    fn key(&mut self, key: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push('"');
        self.0.push_str(key);
        self.0.push_str("\":");
    }

    /// Nothing when no key was added.
    fn finish(mut self) -> Bytes {
        if !self.0.is_empty() {
            self.0.push('}');
        }
        self.0.into()
    }
}

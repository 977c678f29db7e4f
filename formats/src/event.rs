//! The event envelope: the JSON object that a stored message of the log holds.

use std::borrow::Cow;

use bytes::Bytes;

use crate::base64;
use crate::envelope::{Data, Envelope, Form};
use crate::json;

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
    pub fn from_stored(payload: &[u8]) -> Result<Self, NotAnEvent> {
        let envelope = Envelope::of_stored(payload)?;
        let event = EventView::of(&envelope)?;
        Ok(Self {
            id: event.id.into_owned(),
            kind: event.kind.into_owned(),
            tenant_id: event.tenant_id.into_owned(),
            time: event.time.into_owned(),
            version: event.version,
            data: Bytes::from(event.data.into_owned()),
            actor: envelope.actor(),
        })
    }

    /// The same event, borrowed.
    pub fn view(&self) -> EventView<'_> {
        EventView {
            id: Cow::Borrowed(&self.id),
            kind: Cow::Borrowed(&self.kind),
            tenant_id: Cow::Borrowed(&self.tenant_id),
            time: Cow::Borrowed(&self.time),
            version: self.version,
            data: Cow::Borrowed(&self.data),
        }
    }

    /// The canonical stored form: `id type tenant_id time v data actor`, no white space, strings escaped as in a
    /// version 1 backup, `v` 1 when absent or 0, a `time` that is absent as the year 1 (as Go has it).
    pub fn to_stored(&self) -> Bytes {
        let mut out = Vec::with_capacity(256 + self.data.len() * 4 / 3);
        push_field(&mut out, b"{\"id\":\"", &self.id);
        push_field(&mut out, b",\"type\":\"", &self.kind);
        push_field(&mut out, b",\"tenant_id\":\"", &self.tenant_id);
        push_field(
            &mut out,
            b",\"time\":\"",
            if self.time.is_empty() { "0001-01-01T00:00:00Z" } else { &self.time },
        );
        out.extend_from_slice(b",\"v\":");
        let version = self.version.filter(|v| *v != 0).unwrap_or(1);
        out.extend_from_slice(version.to_string().as_bytes());
        if !self.data.is_empty() {
            out.extend_from_slice(b",\"data\":\"");
            base64::push(&mut out, &self.data);
            out.push(b'"');
        }
        if let Some(actor) = &self.actor {
            actor.push(&mut out);
        }
        out.push(b'}');
        Bytes::from(out)
    }
}

/// An event without its actor, as far as possible borrowed from the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventView<'a> {
    /// [`Event::id`].
    pub id: Cow<'a, str>,
    /// [`Event::kind`].
    pub kind: Cow<'a, str>,
    /// [`Event::tenant_id`].
    pub tenant_id: Cow<'a, str>,
    /// [`Event::time`].
    pub time: Cow<'a, str>,
    /// [`Event::version`].
    pub version: Option<i64>,
    /// [`Event::data`].
    pub data: Cow<'a, [u8]>,
}

impl<'a> EventView<'a> {
    /// The same reading as [`Event::from_stored`].
    pub fn from_stored(payload: &'a [u8]) -> Result<Self, NotAnEvent> {
        Self::of(&Envelope::of_stored(payload)?)
    }

    fn of(envelope: &Envelope<'a>) -> Result<Self, NotAnEvent> {
        let data = decode_data(envelope.data)
            .ok_or_else(|| NotAnEvent { reason: String::from("`data` is no base64") })?;
        Ok(Self {
            id: envelope.id.decoded(),
            kind: envelope.kind.decoded(),
            tenant_id: envelope.tenant_id.decoded(),
            time: envelope.time.map(|time| String::from_utf8_lossy(time.text)).unwrap_or_default(),
            version: envelope.version,
            data: Cow::Owned(data),
        })
    }
}

impl<'a> Envelope<'a> {
    fn of_stored(payload: &'a [u8]) -> Result<Self, NotAnEvent> {
        Self::read(payload, Form::StoredMessage).map_err(|fault| NotAnEvent {
            reason: format!("expected {} at byte {}", fault.expected, fault.at),
        })
    }
}

impl Actor {
    /// Appends the member `actor`, as a stored event and a version 1 line have it.
    pub(crate) fn push(&self, out: &mut Vec<u8>) {
        push_field(out, b",\"actor\":{\"subject\":\"", &self.subject);
        for (i, role) in self.roles.iter().enumerate() {
            push_field(out, if i == 0 { b",\"roles\":[\"" } else { b",\"" }, role);
        }
        out.extend_from_slice(if self.roles.is_empty() { b"}" } else { b"]}" });
    }
}

/// Appends `before`, the string, and its closing quote.
pub(crate) fn push_field(out: &mut Vec<u8>, before: &[u8], text: &str) {
    out.extend_from_slice(before);
    json::push_go_escaped(out, text);
    out.push(b'"');
}

/// The payload's bytes, as leniently as Go decodes them: line breaks are skipped, unused bits ignored.
pub(crate) fn decode_data(data: Data<'_>) -> Option<Vec<u8>> {
    match data {
        Data::Absent => Some(Vec::new()),
        Data::Json(json) => Some(json.to_vec()),
        Data::Base64(string) if !string.escaped => base64::decode_leniently(string.raw),
        Data::Base64(string) => base64::decode_leniently(string.decoded().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATED: &str = r#"{"id":"Vh5Zk2QmX0aBcDeFgHiJkM","type":"owner.created","tenant_id":"00000000-0000-4000-8000-00000000000a","time":"2026-01-02T03:00:01.5Z","v":1,"data":"eyJpZCI6IjExMTExMTExLTExMTEtNDExMS04MTExLTExMTExMTExMTExMSIsImtpbmQiOiJ0ZWFtIiwibmFtZSI6InBheW1lbnRzIiwiZW1haWwiOiJwYXlAZXhhbXBsZS5jb20ifQ==","actor":{"subject":"alice","roles":["admin"]}}"#;

    fn read(text: &str) -> Result<Event, NotAnEvent> {
        Event::from_stored(text.as_bytes())
    }

    #[test]
    fn the_example_of_the_specification_is_read_and_written_back() {
        let event = read(CREATED).unwrap();
        assert_eq!(event.kind, "owner.created");
        assert_eq!(event.version, Some(1));
        assert!(event.data.starts_with(b"{\"id\":\"11111111"));
        assert_eq!(event.actor.as_ref().unwrap().roles, ["admin"]);
        assert_eq!(event.to_stored(), CREATED.as_bytes());
    }

    #[test]
    fn reading_is_lenient_where_go_is() {
        let event = read(
            "\t{ \"ID\":\"a\",\"Type\":\"t\", \"tenant_id\" :\"x\",\"TENANT_ID\":\"y\",\"time\":null,\"v\":null,\"more\":[1],\"data\":\"aG\\nk=\",\"id\":null}\r\n",
        )
        .unwrap();
        assert_eq!((event.id.as_str(), event.tenant_id.as_str(), event.time.as_str()), ("a", "y", ""));
        assert_eq!((event.version, &event.data[..], event.actor), (None, &b"hi"[..], None));
    }

    #[test]
    fn a_second_actor_is_read_into_the_first_and_null_removes_it() {
        let with = |rest: &str| read(&format!(r#"{{"type":"t","tenant_id":"x"{rest}}}"#)).unwrap().actor;
        let roles = |actor: Option<Actor>| actor.unwrap().roles;
        assert_eq!(with(r#","actor":{"subject":"a"},"actor":null"#), None);
        let both = with(r#","actor":{"subject":"a","roles":["r","s"]},"actor":{"roles":[null]}"#).unwrap();
        assert_eq!((both.subject.as_str(), both.roles), ("a", vec![String::from("r")]));
        assert_eq!(roles(with(r#","actor":{"roles":["r"],"roles":null}"#)), [""; 0]);
        assert_eq!(roles(with(r#","actor":{"Roles":[null,"b"]}"#)), ["", "b"]);
    }

    #[test]
    fn roles_are_read_over_each_other_as_into_one_slice_of_go() {
        let roles = |members: &str| {
            let text = format!(r#"{{"type":"t","tenant_id":"x","actor":{{{members}}}}}"#);
            read(&text).unwrap().actor.unwrap().roles
        };
        assert_eq!(roles(r#""roles":["r","s"],"roles":["t"],"roles":[null,null]"#), ["t", "s"]);
        assert_eq!(roles(r#""roles":["r","s"],"roles":["t"]"#), ["t"]);
        assert_eq!(roles(r#""roles":["r","s"],"roles":["t"],"roles":[null,null,null]"#), ["t", "s", ""]);
        assert_eq!(roles(r#""roles":["r","s"],"roles":[],"roles":[null,"u"]"#), ["", "u"]);
        assert_eq!(roles(r#""roles":["r","s"],"roles":null,"roles":[null,"u"]"#), ["", "u"]);
    }

    #[test]
    fn what_is_no_event_is_refused_with_its_reason() {
        for (text, reason) in [
            ("hello", "a JSON object"),
            ("[]", "a JSON object"),
            ("null", "a JSON object"),
            (r#"{"type":"t"}"#, "a `tenant_id`"),
            (r#"{"tenant_id":"t","type":""}"#, "a `type`"),
            (r#"{"tenant_id":"t","type":5}"#, "a string"),
            (r#"{"tenant_id":"t","type":"t","v":1.0}"#, "an integer"),
            (r#"{"tenant_id":"t","type":"t","v":1234567890123456789}"#, "an integer"),
            (r#"{"tenant_id":"t","type":"t","time":"yesterday"}"#, "an RFC 3339 time"),
            (r#"{"tenant_id":"t","type":"t","data":{}}"#, "base64"),
            (r#"{"tenant_id":"t","type":"t","data":"aGk"}"#, "base64"),
            (r#"{"tenant_id":"t","type":"t","data":"aGk","data":"aGk="}"#, "base64"),
            (r#"{"tenant_id":"t","type":"t","data":"aGk","data":null}"#, "base64"),
            (r#"{"tenant_id":"t","type":"t","actor":[]}"#, "an object"),
            (r#"{"tenant_id":"t","type":"t","actor":{"roles":[1]}}"#, "an actor"),
            (r#"{"tenant_id":"t","type":"t"} x"#, "the end"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.reason.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn an_absent_version_is_written_as_1_and_an_absent_time_as_the_year_1() {
        let event = read(r#"{"type":"t","tenant_id":"x","v":0}"#).unwrap();
        let expected = r#"{"id":"","type":"t","tenant_id":"x","time":"0001-01-01T00:00:00Z","v":1}"#;
        assert_eq!(event.to_stored(), expected.as_bytes());
    }
}

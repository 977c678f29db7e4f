//! A record line of version 1, byte for byte as the Go implementation writes it, and what a restore makes of it.
//!
//! Version 1 decodes each stored message and encodes it again, so it can only say what both sides understand as an
//! event. It knows no sequence, subject, header or store time: [`Numbering`] gives those anew.

use std::borrow::Cow;

use bytes::Bytes;

use super::headers;
use super::trailer;
use crate::envelope::{DEPTH_V1, Data, Envelope, Form};
use crate::event::{self, Event};
use crate::json::{self, Fault};
use crate::rfc3339::{WrittenTime, YEAR_ONE};
use crate::{StoreTime, StoredMessage};

/// Appends the line of a message, without newline, and gives the event's time; or says why there is none.
pub(crate) fn write(payload: &[u8], out: &mut Vec<u8>) -> Result<Option<WrittenTime>, String> {
    let envelope = Envelope::read(payload, Form::StoredMessage)
        .map_err(|fault| format!("expected {} at byte {}", fault.expected, fault.at))?;
    let data = event::decode_data(envelope.data).ok_or("its payload is no base64")?;
    let time = envelope.time.map(|field| field.time);
    let written_time = time.unwrap_or(YEAR_ONE);
    if !written_time.is_writable_by_go() {
        return Err(String::from("its time has an offset of 24 hours or more"));
    }
    event::push_field(out, b"{\"id\":\"", &envelope.id.decoded());
    event::push_field(out, b",\"type\":\"", &envelope.kind.decoded());
    event::push_field(out, b",\"tenant_id\":\"", &envelope.tenant_id.decoded());
    out.extend_from_slice(b",\"v\":");
    out.extend_from_slice(envelope.version.filter(|v| *v != 0).unwrap_or(1).to_string().as_bytes());
    out.extend_from_slice(b",\"time\":\"");
    written_time.write(out);
    out.push(b'"');
    push_data(out, &data)?;
    if let Some(actor) = envelope.actor() {
        actor.push(out);
    }
    out.push(b'}');
    Ok(time)
}

fn push_data(out: &mut Vec<u8>, data: &[u8]) -> Result<(), String> {
    if data.is_empty() {
        return Ok(());
    }
    // One level is the line's own object.
    let end = json::value_end(data, json::skip_space(data, 0), DEPTH_V1 - 1).map_err(|fault| {
        format!("its payload is not JSON: expected {} at byte {}", fault.expected, fault.at)
    })?;
    if json::skip_space(data, end) != data.len() {
        return Err(format!("its payload is not JSON: something follows the value at byte {end}"));
    }
    out.extend_from_slice(b",\"data\":");
    json::push_go_compacted(out, data);
    Ok(())
}

/// A line that was read.
#[derive(Debug)]
pub(crate) struct RecordV1<'a> {
    envelope: Envelope<'a>,
}

impl<'a> RecordV1<'a> {
    /// Reads a line without its newline.
    pub(crate) fn read(line: &'a [u8]) -> Result<Self, Fault> {
        Ok(Self { envelope: Envelope::read_line(line)? })
    }

    /// Reads a line by the lenient rules alone: what [`RecordV1::read`] does for a spelling that is not the writers'.
    pub(crate) fn read_leniently(line: &'a [u8]) -> Result<Self, Fault> {
        Ok(Self { envelope: Envelope::read(line, Form::RecordLine)? })
    }

    /// Whether the line says that it is a trailer.
    pub(crate) fn is_trailer(&self) -> bool {
        !self.envelope.format.raw.is_empty() && self.envelope.format.decoded() == trailer::FORMAT
    }

    /// The event's tenant.
    pub(crate) fn tenant_id(&self) -> Cow<'a, str> {
        self.envelope.tenant_id.decoded()
    }

    /// The event's type.
    pub(crate) fn kind(&self) -> Cow<'a, str> {
        self.envelope.kind.decoded()
    }

    /// The event's time, when 64 bits of nanoseconds can hold it.
    pub(crate) fn time(&self) -> Option<StoreTime> {
        self.envelope.time.and_then(|field| field.time.exact())
    }

    /// The event's time, or the nearest one that 64 bits of nanoseconds can hold.
    pub(crate) fn time_clamped(&self) -> Option<StoreTime> {
        self.envelope.time.map(|field| field.time.clamped())
    }

    /// The event, its time spelled as Go spells it.
    pub(crate) fn to_event(&self) -> Event {
        let envelope = &self.envelope;
        let mut time = Vec::with_capacity(30);
        envelope.time.map_or(YEAR_ONE, |field| field.time).write(&mut time);
        let data = match envelope.data {
            Data::Json(json) => Bytes::copy_from_slice(json),
            Data::Absent | Data::Base64(_) => Bytes::new(),
        };
        Event {
            id: envelope.id.decoded().into_owned(),
            kind: envelope.kind.decoded().into_owned(),
            tenant_id: envelope.tenant_id.decoded().into_owned(),
            time: String::from_utf8(time).expect("a time is ASCII"),
            version: envelope.version,
            data,
            actor: envelope.actor(),
        }
    }
}

/// Gives the records of a version 1 file, in order, what they lack: the same at every run.
#[derive(Clone, Debug)]
pub(crate) struct Numbering {
    next: u64,
    latest: StoreTime,
}

/// First instant that a store time does not take from an event: 2262-01-01T00:00:00Z.
const STORE_TIMES_END: StoreTime = StoreTime(9_214_646_400_000_000_000);

impl Numbering {
    pub(crate) fn new() -> Self {
        Self { next: 1, latest: StoreTime(0) }
    }

    /// The sequence of the next message.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.next
    }

    /// The message that a restore makes of the next record; or why there is none.
    pub(crate) fn message(&mut self, record: &RecordV1<'_>) -> Result<StoredMessage, &'static str> {
        if !record.envelope.time.is_none_or(|field| field.time.is_writable_by_go()) {
            return Err("a time with an offset below 24 hours");
        }
        let event = record.to_event();
        let subject = subject_of(&event.kind).ok_or("a type that can end a subject")?;
        let headers = headers_of(&event.id).ok_or("an id that can be a header's value")?;
        let time = record.time().filter(|time| *time < STORE_TIMES_END);
        self.latest = self.latest.max(time.unwrap_or(self.latest));
        let sequence = self.next;
        self.next += 1;
        Ok(StoredMessage { sequence, stored_at: self.latest, subject, headers, payload: event.to_stored() })
    }
}

/// `events.<type>`, when every token of it is one that can be published to.
fn subject_of(kind: &str) -> Option<Bytes> {
    let valid = kind.split('.').all(|token| !matches!(token, "" | "*" | ">"))
        && !kind.bytes().any(|b| b <= b' ' || b == 0x7f);
    valid.then(|| Bytes::from(format!("events.{kind}")))
}

fn headers_of(id: &str) -> Option<Bytes> {
    match id {
        "" => Some(Bytes::new()),
        _ if id.contains(['\r', '\n']) => None,
        _ => Some(Bytes::from(headers::message_id_block(id.as_bytes()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(stored: &str) -> Result<String, String> {
        let mut out = Vec::new();
        write(stored.as_bytes(), &mut out)?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    /// A stored message with this payload and these further members.
    fn stored(data: &[u8], more: &str) -> String {
        let mut text = Vec::new();
        crate::base64::push(&mut text, data);
        let text = String::from_utf8(text).unwrap();
        format!(
            r#"{{"id":"i","type":"t","tenant_id":"x","time":"2026-01-02T03:04:05Z","data":"{text}"{more}}}"#
        )
    }

    #[test]
    fn a_payload_is_compacted_and_escaped_and_else_verbatim() {
        let json = b" { \"a\" :\t[1.00, \"<&>\xe2\x80\xa8\xff\\/\"] }\n";
        let mut out = Vec::new();
        write(stored(json, "").as_bytes(), &mut out).unwrap();
        let data = b"\"data\":{\"a\":[1.00,\"\\u003c\\u0026\\u003e\\u2028\xff\\/\"]}}";
        assert!(out.ends_with(data), "{}", String::from_utf8_lossy(&out));
    }

    #[test]
    fn an_absent_version_is_1_and_an_absent_time_the_year_1() {
        let expected = r#"{"id":"","type":"t","tenant_id":"x","v":1,"time":"0001-01-01T00:00:00Z"}"#;
        assert_eq!(line(r#"{"type":"t","tenant_id":"x"}"#).unwrap(), expected);
        assert_eq!(line(r#"{"type":"t","tenant_id":"x","v":0,"data":""}"#).unwrap(), expected);
    }

    #[test]
    fn strings_are_decoded_and_written_anew() {
        let written =
            line(r#"{"id":"\u0041\/<\ud800\u007f","type":"t","tenant_id":"x","actor":{"roles":[]}}"#)
                .unwrap();
        assert!(written.starts_with("{\"id\":\"A/\\u003c\u{fffd}\u{7f}\""), "{written}");
        assert!(written.ends_with(r#","actor":{"subject":""}}"#), "{written}");
    }

    #[test]
    fn a_null_payload_is_not_no_payload() {
        assert!(line(&stored(b"null", "")).unwrap().ends_with(r#","data":null}"#));
    }

    #[test]
    fn what_version_1_cannot_say_is_refused() {
        let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert!(line(&stored(deep(9_999).as_bytes(), "")).is_ok());
        for payload in [deep(10_000).as_str(), "hello", " ", "1 2", "NaN"] {
            assert!(line(&stored(payload.as_bytes(), "")).unwrap_err().contains("payload"));
        }
        assert!(line("hello").is_err());
        assert!(
            line(&stored(b"1", r#","time":"2026-01-02T03:04:05+24:00""#)).unwrap_err().contains("24 hours")
        );
    }

    #[test]
    fn a_restore_numbers_and_never_lets_store_time_go_back() {
        let mut numbering = Numbering::new();
        let mut made = |time: &str| {
            let line = format!(r#"{{"id":"i","type":"a.b","tenant_id":"x","time":"{time}","data":null}}"#);
            numbering.message(&RecordV1::read(line.as_bytes()).unwrap()).unwrap()
        };
        let times = [
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:02Z",
            "1970-01-01T00:00:01+00:00",
            "2262-01-01T00:00:00Z",
        ];
        let messages = times.map(&mut made);
        assert_eq!(messages.each_ref().map(|m| m.sequence), [1, 2, 3, 4]);
        assert_eq!(messages.each_ref().map(|m| m.stored_at.0 / 1_000_000_000), [0, 2, 2, 2]);
        assert_eq!(messages[2].subject, "events.a.b");
        assert_eq!(messages[2].headers, "NATS/1.0\r\nNats-Msg-Id: i\r\n\r\n");
        let expected = r#"{"id":"i","type":"a.b","tenant_id":"x","time":"1970-01-01T00:00:01Z","v":1,"data":"bnVsbA=="}"#;
        assert_eq!(messages[2].payload, expected);
        assert_eq!(made("2261-12-31T23:59:59.999999999Z").stored_at.0, STORE_TIMES_END.0 - 1);
    }

    #[test]
    fn an_offset_of_24_hours_is_read_and_makes_no_message() {
        let made = |offset: &str| {
            let line = format!(r#"{{"type":"t","tenant_id":"x","time":"2026-01-02T03:04:05{offset}"}}"#);
            Numbering::new().message(&RecordV1::read(line.as_bytes()).unwrap()).map(|_| ())
        };
        assert_eq!(made("-23:59"), Ok(()));
        for offset in ["+24:00", "-24:00", "+24:60", "+23:60"] {
            assert_eq!(made(offset), Err("a time with an offset below 24 hours"), "{offset}");
        }
    }

    #[test]
    fn types_that_make_no_subject_and_ids_that_make_no_header_are_refused() {
        for kind in ["a b", "a..b", ".a", "a.", "*", "a.>", "a\\tb", "a\\u0000"] {
            let line = format!(r#"{{"type":"{kind}","tenant_id":"x"}}"#);
            let record = RecordV1::read(line.as_bytes()).unwrap();
            assert!(Numbering::new().message(&record).is_err(), "{kind}");
        }
        let record = RecordV1::read(br#"{"id":"a\nb","type":"t","tenant_id":"x"}"#).unwrap();
        assert!(Numbering::new().message(&record).is_err());
        let record = RecordV1::read(r#"{"type":"a*.é>","tenant_id":"x"}"#.as_bytes()).unwrap();
        assert_eq!(Numbering::new().message(&record).unwrap().headers, "");
    }
}

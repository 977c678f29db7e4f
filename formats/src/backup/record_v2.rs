//! A record line of version 2: one message has exactly one line, and the line gives the message back bit for bit.
//!
//! The event form is used if and only if the stored message can be rebuilt from it byte for byte; everything else takes
//! the raw form. Writing and reading stand side by side: `write` and [`RecordV2::read`], then the fields that both know.

use bytes::Bytes;

use super::content::Lines;
use super::headers;
use super::limits::MAX_DATA_DEPTH_V2;
use crate::json::{self, Cursor, Fault};
use crate::stored_form::StoredForm;
use crate::{StoreTime, StoredMessage, base64, rfc3339};

/// Buffers that writing needs again and again.
#[derive(Default)]
pub(crate) struct Scratch {
    payload: Vec<u8>,
    id: Vec<u8>,
}

/// Where in a line the tenant id stands, escaped as in the line; `None` for the raw form.
pub(crate) type TenantSpan = Option<std::ops::Range<usize>>;

/// Appends the line of a message, without newline.
pub(crate) fn write(
    message: &StoredMessage,
    lines: Lines,
    out: &mut Vec<u8>,
    scratch: &mut Scratch,
) -> TenantSpan {
    out.push(b'{');
    if lines != Lines::ContentOnly {
        out.extend_from_slice(b"\"seq\":");
        push_integer(out, message.sequence);
        out.push(b',');
    }
    let subject_is_text = push_subject(out, &message.subject);
    if lines == Lines::Exact {
        out.extend_from_slice(b",\"stored_at\":\"");
        rfc3339::write_store_time(message.stored_at, out);
        out.push(b'"');
    }
    let block = match lines {
        Lines::ContentOnly => headers::without_expectations(&message.headers),
        _ => std::borrow::Cow::Borrowed(&message.headers[..]),
    };
    let before = out.len();
    if subject_is_text && let Some(tenant) = push_event_form(out, &block, &message.payload, scratch) {
        return Some(tenant);
    }
    out.truncate(before);
    push_raw_form(out, &block, &message.payload);
    None
}

fn push_subject(out: &mut Vec<u8>, subject: &[u8]) -> bool {
    let is_text = simdutf8::basic::from_utf8(subject).is_ok();
    if is_text {
        out.extend_from_slice(b"\"subject\":\"");
        json::push_v2_escaped(out, subject);
    } else {
        out.extend_from_slice(b"\"subject_b64\":\"");
        base64::push(out, subject);
    }
    out.push(b'"');
    is_text
}

fn push_raw_form(out: &mut Vec<u8>, headers: &[u8], payload: &[u8]) {
    if !headers.is_empty() {
        out.extend_from_slice(b",\"headers_b64\":\"");
        base64::push(out, headers);
        out.push(b'"');
    }
    out.extend_from_slice(b",\"raw_b64\":\"");
    base64::push(out, payload);
    out.extend_from_slice(b"\"}");
}

/// Appends the rest of the line in event form; `None` when the message has none.
fn push_event_form(
    out: &mut Vec<u8>,
    block: &[u8],
    payload: &[u8],
    scratch: &mut Scratch,
) -> Option<std::ops::Range<usize>> {
    let stored = StoredForm::read(payload)?;
    scratch.id.clear();
    moved(&mut scratch.id, stored.id)?;
    headers::push(out, block, &scratch.id)?;
    out.extend_from_slice(b",\"id\":\"");
    out.extend_from_slice(&scratch.id);
    push_moved(out, b"\",\"type\":\"", stored.kind)?;
    out.extend_from_slice(b"\",\"tenant_id\":\"");
    let tenant_from = out.len();
    moved(out, stored.tenant_id)?;
    let tenant = tenant_from..out.len();
    out.push(b'"');
    if let Some(version) = stored.version {
        out.extend_from_slice(b",\"v\":");
        push_integer(out, version);
    }
    push_moved(out, b",\"time\":\"", stored.time)?;
    out.push(b'"');
    if let Some(text) = stored.data {
        push_data(out, text, &mut scratch.payload)?;
    }
    if let Some(actor) = stored.actor {
        push_moved(out, b",\"actor\":{\"subject\":\"", actor.subject)?;
        out.push(b'"');
        if let Some(roles) = actor.roles {
            push_moved(out, b",\"roles\":[", roles)?;
            out.push(b']');
        }
        out.push(b'}');
    }
    out.push(b'}');
    Some(tenant)
}

fn push_moved(out: &mut Vec<u8>, before: &[u8], stored: &[u8]) -> Option<()> {
    out.extend_from_slice(before);
    moved(out, stored)
}

fn moved(out: &mut Vec<u8>, stored: &[u8]) -> Option<()> {
    json::push_stored_as_v2(out, stored).then_some(())
}

/// Appends the payload, of which a stored event has the base64 text.
fn push_data(out: &mut Vec<u8>, text: &[u8], payload: &mut Vec<u8>) -> Option<()> {
    payload.clear();
    base64::decode_into(payload, text)?;
    if payload.is_empty() {
        return None;
    }
    if is_plain_data(payload) {
        out.extend_from_slice(b",\"data\":");
        out.extend_from_slice(payload);
    } else {
        out.extend_from_slice(b",\"data_b64\":\"");
        out.extend_from_slice(text);
        out.push(b'"');
    }
    Some(())
}

/// Whether a payload can stand in a line as it is.
fn is_plain_data(payload: &[u8]) -> bool {
    json::is_on_one_line(payload, MAX_DATA_DEPTH_V2) && simdutf8::basic::from_utf8(payload).is_ok()
}

/// Appends an integer in decimal digits.
pub(crate) fn push_integer(out: &mut Vec<u8>, value: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = value;
    loop {
        at -= 1;
        digits[at] = b"0123456789"[(rest % 10) as usize];
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// A line that was read: its fields as they stand in it.
#[derive(Debug)]
pub(crate) struct RecordV2<'a> {
    pub(crate) sequence: u64,
    pub(crate) stored_at: StoreTime,
    subject: Subject<'a>,
    body: Body<'a>,
}

#[derive(Debug)]
enum Subject<'a> {
    Text(&'a [u8]),
    Base64(&'a [u8]),
}

#[derive(Debug)]
enum Body<'a> {
    Event(EventBody<'a>),
    Raw { headers: &'a [u8], payload: &'a [u8] },
}

/// Strings are escaped as in the line.
#[derive(Debug)]
struct EventBody<'a> {
    headers: headers::InLine<'a>,
    id: &'a [u8],
    kind: &'a [u8],
    tenant_id: &'a [u8],
    version: Option<u64>,
    time: &'a [u8],
    data: Data<'a>,
    actor: Option<ActorBody<'a>>,
}

#[derive(Clone, Copy, Debug)]
enum Data<'a> {
    Absent,
    Json(&'a [u8]),
    Base64(&'a [u8]),
}

#[derive(Debug)]
struct ActorBody<'a> {
    subject: &'a [u8],
    /// The elements with their quotes and commas.
    roles: Option<&'a [u8]>,
}

impl<'a> RecordV2<'a> {
    /// Reads a line without its newline. The line must be UTF-8, hence the type.
    pub(crate) fn read(line: &'a str) -> Result<Self, Fault> {
        let mut cursor = Cursor::new(line.as_bytes());
        cursor.expect(b"{\"seq\":")?;
        let sequence = cursor.integer()?;
        let subject = read_subject(&mut cursor)?;
        cursor.expect(b",\"stored_at\":\"")?;
        let stored_at = read_stored_at(&mut cursor)?;
        let body = if cursor.take(b",\"headers_b64\":\"") {
            read_raw(&mut cursor, true)?
        } else if cursor.take(b",\"raw_b64\":\"") {
            read_raw(&mut cursor, false)?
        } else if matches!(subject, Subject::Base64(_)) {
            return Err(cursor.fault(",\"headers_b64\": or \"raw_b64\":"));
        } else {
            Body::Event(EventBody::read(&mut cursor)?)
        };
        cursor.expect(b"}")?;
        cursor.end()?;
        Ok(Self { sequence, stored_at, subject, body })
    }

    /// The tenant id, escaped as in the line (one spelling for each id); `""` for the raw form.
    pub(crate) fn tenant_id(&self) -> &'a [u8] {
        match &self.body {
            Body::Event(event) => event.tenant_id,
            Body::Raw { .. } => b"",
        }
    }

    /// The event's type, escaped as in the line; `None` for the raw form.
    pub(crate) fn kind(&self) -> Option<&'a [u8]> {
        match &self.body {
            Body::Event(event) => Some(event.kind),
            Body::Raw { .. } => None,
        }
    }

    /// The message that the line stands for.
    pub(crate) fn to_message(&self) -> StoredMessage {
        let mut bytes = Vec::with_capacity(1024);
        match &self.subject {
            Subject::Text(text) => bytes.extend_from_slice(&json::v2_decoded(text)),
            Subject::Base64(text) => decoded(&mut bytes, text),
        }
        let subject_end = bytes.len();
        match &self.body {
            Body::Event(event) => event.headers.push_block(&mut bytes, event.id),
            Body::Raw { headers, .. } => decoded(&mut bytes, headers),
        }
        let headers_end = bytes.len();
        match &self.body {
            Body::Event(event) => event.push_stored(&mut bytes),
            Body::Raw { payload, .. } => decoded(&mut bytes, payload),
        }
        let bytes = Bytes::from(bytes);
        StoredMessage {
            sequence: self.sequence,
            stored_at: self.stored_at,
            subject: bytes.slice(..subject_end),
            headers: bytes.slice(subject_end..headers_end),
            payload: bytes.slice(headers_end..),
        }
    }
}

/// Appends what base64 text stands for that was checked when the line was read.
fn decoded(out: &mut Vec<u8>, text: &[u8]) {
    base64::decode_into(out, text).expect("the text was checked when the line was read");
}

fn read_subject<'a>(cursor: &mut Cursor<'a>) -> Result<Subject<'a>, Fault> {
    if cursor.take(b",\"subject_b64\":\"") {
        let at = cursor.place();
        let text = read_base64(cursor)?;
        let mut subject = Vec::new();
        decoded(&mut subject, text);
        if std::str::from_utf8(&subject).is_ok() {
            return Err(Fault::new(at, "`subject`, since this one is UTF-8"));
        }
        return Ok(Subject::Base64(text));
    }
    cursor.expect(b",\"subject\":\"")?;
    Ok(Subject::Text(read_string(cursor)?))
}

fn read_stored_at(cursor: &mut Cursor<'_>) -> Result<StoreTime, Fault> {
    let at = cursor.place();
    let text = cursor.string()?;
    rfc3339::parse_utc(text.raw)
        .and_then(|time| time.exact())
        .ok_or(Fault::new(at, "a store time in UTC, within 64 bits of nanoseconds"))
}

/// A string as version 2 spells it, of which the opening quote was taken.
pub(crate) fn read_string<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Fault> {
    let at = cursor.place();
    let string = cursor.string()?;
    if string.escaped && !json::is_canonical_v2(string.raw) {
        return Err(Fault::new(at, "a string with the escapes of version 2 only"));
    }
    Ok(string.raw)
}

/// Padded canonical base64, of which the opening quote was taken.
fn read_base64<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Fault> {
    let at = cursor.place();
    let text = cursor.string()?.raw;
    if base64::pieces(text).any(|piece| piece.is_none()) {
        return Err(Fault::new(at, "padded canonical base64"));
    }
    Ok(text)
}

fn read_raw<'a>(cursor: &mut Cursor<'a>, with_headers: bool) -> Result<Body<'a>, Fault> {
    let mut headers: &[u8] = b"";
    if with_headers {
        let at = cursor.place();
        headers = read_base64(cursor)?;
        if headers.is_empty() {
            return Err(Fault::new(at, "no `headers_b64` where there is no header block"));
        }
        cursor.expect(b",\"raw_b64\":\"")?;
    }
    Ok(Body::Raw { headers, payload: read_base64(cursor)? })
}

impl<'a> EventBody<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, Fault> {
        let headers_at = cursor.place();
        let headers = headers::InLine::read(cursor)?;
        cursor.expect(b",\"id\":\"")?;
        let id = read_string(cursor)?;
        headers.check(id).map_err(|expected| Fault::new(headers_at, expected))?;
        cursor.expect(b",\"type\":\"")?;
        let kind = read_string(cursor)?;
        cursor.expect(b",\"tenant_id\":\"")?;
        let tenant_id = read_string(cursor)?;
        let version = if cursor.take(b",\"v\":") { Some(cursor.integer()?) } else { None };
        cursor.expect(b",\"time\":\"")?;
        let time = read_string(cursor)?;
        let data = Data::read(cursor)?;
        let actor = ActorBody::read(cursor)?;
        Ok(Self { headers, id, kind, tenant_id, version, time, data, actor })
    }

    /// Appends the stored message.
    fn push_stored(&self, out: &mut Vec<u8>) {
        push_as_stored(out, b"{\"id\":\"", self.id);
        push_as_stored(out, b"\",\"type\":\"", self.kind);
        push_as_stored(out, b"\",\"tenant_id\":\"", self.tenant_id);
        push_as_stored(out, b"\",\"time\":\"", self.time);
        out.push(b'"');
        if let Some(version) = self.version {
            out.extend_from_slice(b",\"v\":");
            push_integer(out, version);
        }
        self.data.push_stored(out);
        if let Some(actor) = &self.actor {
            push_as_stored(out, b",\"actor\":{\"subject\":\"", actor.subject);
            out.push(b'"');
            if let Some(roles) = actor.roles {
                push_as_stored(out, b",\"roles\":[", roles);
                out.push(b']');
            }
            out.push(b'}');
        }
        out.push(b'}');
    }
}

fn push_as_stored(out: &mut Vec<u8>, before: &[u8], text: &[u8]) {
    out.extend_from_slice(before);
    json::push_v2_as_stored(out, text);
}

impl<'a> Data<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, Fault> {
        if cursor.take(b",\"data\":") {
            let at = cursor.place();
            let json = cursor.value(MAX_DATA_DEPTH_V2)?;
            // A line has no LF.
            if cursor.has_seen_break() {
                let cr = memchr::memchr(b'\r', json).unwrap_or_default();
                return Err(Fault::new(at + cr, "`data_b64`, since this payload has a CR"));
            }
            return Ok(Data::Json(json));
        }
        if !cursor.take(b",\"data_b64\":\"") {
            return Ok(Data::Absent);
        }
        let at = cursor.place();
        let text = read_base64(cursor)?;
        if text.is_empty() {
            return Err(Fault::new(at, "no `data_b64` for an empty payload"));
        }
        if would_be_plain(text) {
            return Err(Fault::new(at, "`data`, since this payload is JSON on one line"));
        }
        Ok(Data::Base64(text))
    }

    fn push_stored(self, out: &mut Vec<u8>) {
        match self {
            Data::Absent => return,
            Data::Json(json) => {
                out.extend_from_slice(b",\"data\":\"");
                base64::push(out, json);
            }
            Data::Base64(text) => {
                out.extend_from_slice(b",\"data\":\"");
                out.extend_from_slice(text);
            }
        }
        out.push(b'"');
    }
}

/// Whether the payload behind checked base64 could stand in a line as it is. What surely cannot is found without
/// decoding it whole, so that a line full of binary data costs no second copy of it.
fn would_be_plain(text: &[u8]) -> bool {
    let begins_like_json =
        |first: u8| matches!(first, b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n');
    let mut pieces = base64::pieces(text).flatten();
    let Some(first) = pieces.next() else { return false };
    let breaks = |piece: &base64::Piece| memchr::memchr2(b'\r', b'\n', piece.bytes()).is_some();
    if !begins_like_json(first.bytes()[0]) || breaks(&first) || pieces.any(|piece| breaks(&piece)) {
        return false;
    }
    let mut payload = Vec::new();
    decoded(&mut payload, text);
    is_plain_data(&payload)
}

impl<'a> ActorBody<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Option<Self>, Fault> {
        if !cursor.take(b",\"actor\":{\"subject\":\"") {
            return Ok(None);
        }
        let subject = read_string(cursor)?;
        let mut roles = None;
        if cursor.take(b",\"roles\":[") {
            let from = cursor.place();
            cursor.expect(b"\"")?;
            read_string(cursor)?;
            while cursor.take(b",\"") {
                read_string(cursor)?;
            }
            roles = Some(cursor.since(from));
            cursor.expect(b"]")?;
        }
        cursor.expect(b"}")?;
        Ok(Some(Self { subject, roles }))
    }
}

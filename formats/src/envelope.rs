//! The fields of an event, read as leniently as Go's `encoding/json` reads them.
//!
//! A version 1 record line and a stored message have the same fields and the same rules; only `data` differs: raw JSON
//! in the line, base64 in the message. Nothing is copied here but what duplicates of `actor` make necessary.

use crate::event::{self, Actor};
use crate::json::{Cursor, Fault, Member, Members, RawString, Value};
use crate::rfc3339::{self, WrittenTime};

/// The fields as they stand in the text.
#[derive(Debug, Default)]
pub(crate) struct Envelope<'a> {
    pub(crate) id: RawString<'a>,
    /// Never empty.
    pub(crate) kind: RawString<'a>,
    /// Never empty.
    pub(crate) tenant_id: RawString<'a>,
    /// `None` when absent; Go does not tell that from 0.
    pub(crate) version: Option<i64>,
    /// `None` when absent; in Go the year 1.
    pub(crate) time: Option<TimeField<'a>>,
    /// `data` as its form wants it.
    pub(crate) data: Data<'a>,
    /// What a key `format` says: a trailer among the records is found by it.
    pub(crate) format: RawString<'a>,
    actor: ActorSpans<'a>,
}

/// A time, and how it was spelled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeField<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) time: WrittenTime,
}

/// The value of `data`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Data<'a> {
    #[default]
    Absent,
    /// Of a record line: JSON, `null` too.
    Json(&'a [u8]),
    /// Of a stored message: base64, not yet decoded.
    Base64(RawString<'a>),
}

/// Where the envelope stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A version 1 record line.
    RecordLine,
    /// A message of the log.
    StoredMessage,
}

/// The objects given for `actor`: Go reads a second one into the first.
#[derive(Debug, Default)]
struct ActorSpans<'a> {
    first: Option<&'a [u8]>,
    more: Vec<&'a [u8]>,
}

/// Brackets that may be open at once in version 1, the line's own object counted.
pub(crate) const DEPTH_V1: u32 = 10_000;

impl<'a> Envelope<'a> {
    /// Reads a record line. The spelling of the writers is tried first: it takes a third of the time.
    pub(crate) fn read_line(line: &'a [u8]) -> Result<Self, Fault> {
        match Self::read_canonical_line(&mut Cursor::new(line)) {
            Some(envelope) => Ok(envelope),
            None => Self::read(line, Form::RecordLine),
        }
    }

    /// Reads a line in the one spelling in which both writers write it; `None` for any other, and for what is wrong.
    fn read_canonical_line(cursor: &mut Cursor<'a>) -> Option<Self> {
        let mut envelope = Envelope::default();
        cursor.expect(b"{\"id\":\"").ok()?;
        envelope.id = cursor.string().ok()?;
        cursor.expect(b",\"type\":\"").ok()?;
        envelope.kind = cursor.string().ok()?;
        cursor.expect(b",\"tenant_id\":\"").ok()?;
        envelope.tenant_id = cursor.string().ok()?;
        if cursor.take(b",\"v\":") {
            envelope.version = Some(i64::try_from(cursor.integer().ok()?).ok()?);
        }
        cursor.expect(b",\"time\":\"").ok()?;
        envelope.time = read_time(Value::String(cursor.string().ok()?)).ok()?;
        if cursor.take(b",\"data\":") {
            envelope.data = Data::Json(cursor.value(DEPTH_V1 - 1).ok()?);
        }
        if cursor.take(b",\"actor\":") {
            envelope.actor.first = Some(read_canonical_actor(cursor)?);
        }
        cursor.expect(b"}").ok()?;
        cursor.end().ok()?;
        envelope.check_required(0).ok()?;
        Some(envelope)
    }

    /// Reads the whole text.
    pub(crate) fn read(text: &'a [u8], form: Form) -> Result<Self, Fault> {
        let mut envelope = Envelope::default();
        let mut members = Members::object(text, DEPTH_V1)?;
        while let Some(member) = members.next_member()? {
            envelope.set(&member, form).map_err(|expected| Fault::new(member.at, expected))?;
        }
        members.end()?;
        envelope.check_required(text.len())?;
        Ok(envelope)
    }

    fn check_required(&self, end: usize) -> Result<(), Fault> {
        if self.kind.raw.is_empty() {
            return Err(Fault::new(end, "a `type`"));
        }
        if self.tenant_id.raw.is_empty() {
            return Err(Fault::new(end, "a `tenant_id`"));
        }
        Ok(())
    }

    /// Sets the field of that key, if there is one. `null` leaves all but `data`, `actor` and their parts as they are.
    fn set(&mut self, member: &Member<'a>, form: Form) -> Result<(), &'static str> {
        let value = member.value;
        match field_of(member.key) {
            Some(Field::Id) => set_string(&mut self.id, value)?,
            Some(Field::Kind) => set_string(&mut self.kind, value)?,
            Some(Field::TenantId) => set_string(&mut self.tenant_id, value)?,
            Some(Field::Version) => self.version = read_integer(value)?.or(self.version),
            Some(Field::Time) => self.time = read_time(value)?.or(self.time),
            Some(Field::Data) => self.set_data(Data::read(value, member.span, form)?)?,
            Some(Field::Actor) => self.actor.set(value)?,
            None if member.key.is_key("format") && matches!(value, Value::String(_)) => {
                set_string(&mut self.format, value)?
            }
            None => {}
        }
        Ok(())
    }

    /// The last `data` counts; one before it must be base64 all the same, as every one is decoded in Go.
    fn set_data(&mut self, data: Data<'a>) -> Result<(), &'static str> {
        let before = std::mem::replace(&mut self.data, data);
        if matches!(before, Data::Base64(_)) && event::decode_data(before).is_none() {
            return Err("every `data` to be base64");
        }
        Ok(())
    }

    /// Who did it.
    pub(crate) fn actor(&self) -> Option<Actor> {
        let first = self.actor.first?;
        let mut subject = String::new();
        let mut roles = Roles::default();
        for span in std::iter::once(&first).chain(&self.actor.more) {
            merge_actor(&mut subject, &mut roles, span).expect("the spans were read before");
        }
        Some(Actor { subject, roles: roles.into_list() })
    }
}

enum Field {
    Id,
    Kind,
    TenantId,
    Version,
    Time,
    Data,
    Actor,
}

#[inline]
fn field_of(key: RawString<'_>) -> Option<Field> {
    Some(match key.raw {
        b"id" => Field::Id,
        b"type" => Field::Kind,
        b"tenant_id" => Field::TenantId,
        b"v" => Field::Version,
        b"time" => Field::Time,
        b"data" => Field::Data,
        b"actor" => Field::Actor,
        _ if key.is_key("id") => Field::Id,
        _ if key.is_key("type") => Field::Kind,
        _ if key.is_key("tenant_id") => Field::TenantId,
        _ if key.is_key("v") => Field::Version,
        _ if key.is_key("time") => Field::Time,
        _ if key.is_key("data") => Field::Data,
        _ if key.is_key("actor") => Field::Actor,
        _ => return None,
    })
}

pub(crate) fn set_string<'a>(field: &mut RawString<'a>, value: Value<'a>) -> Result<(), &'static str> {
    match value {
        Value::String(string) => *field = string,
        Value::Null => {}
        _ => return Err("a string"),
    }
    Ok(())
}

/// An integer of at most 18 digits; `None` for `null`.
pub(crate) fn read_integer(value: Value<'_>) -> Result<Option<i64>, &'static str> {
    const EXPECTED: &str = "an integer of at most 18 digits";
    let text = match value {
        Value::Number(text) => text,
        Value::Null => return Ok(None),
        _ => return Err(EXPECTED),
    };
    if text.strip_prefix(b"-").unwrap_or(text).len() > 18 {
        return Err(EXPECTED);
    }
    let text = std::str::from_utf8(text).map_err(|_| EXPECTED)?;
    text.parse().map(Some).map_err(|_| EXPECTED)
}

/// A time as Go reads it, which does not unescape it before.
pub(crate) fn read_time(value: Value<'_>) -> Result<Option<TimeField<'_>>, &'static str> {
    match value {
        Value::String(RawString { raw, .. }) => {
            let time = rfc3339::parse_go(raw).ok_or("an RFC 3339 time")?;
            Ok(Some(TimeField { text: raw, time }))
        }
        Value::Null => Ok(None),
        _ => Err("an RFC 3339 time"),
    }
}

impl<'a> Data<'a> {
    fn read(value: Value<'a>, span: &'a [u8], form: Form) -> Result<Self, &'static str> {
        match (form, value) {
            (Form::RecordLine, _) => Ok(Data::Json(span)),
            (Form::StoredMessage, Value::String(string)) => Ok(Data::Base64(string)),
            (Form::StoredMessage, Value::Null) => Ok(Data::Absent),
            (Form::StoredMessage, _) => Err("a string of base64"),
        }
    }
}

impl<'a> ActorSpans<'a> {
    fn set(&mut self, value: Value<'a>) -> Result<(), &'static str> {
        match value {
            Value::Null => *self = Self::default(),
            Value::Object(span) => {
                check_actor(span)?;
                if self.first.is_some() {
                    self.more.push(span);
                } else {
                    self.first = Some(span);
                }
            }
            _ => return Err("an object"),
        }
        Ok(())
    }
}

const ACTOR: &str = "an actor: an object with a string `subject` and strings `roles`";

/// An actor as both writers spell it; `None` for any other spelling.
fn read_canonical_actor<'a>(cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
    let from = cursor.place();
    cursor.expect(b"{\"subject\":\"").ok()?;
    cursor.string().ok()?;
    if cursor.take(b",\"roles\":[\"") {
        cursor.string().ok()?;
        while cursor.take(b",\"") {
            cursor.string().ok()?;
        }
        cursor.expect(b"]").ok()?;
    }
    cursor.expect(b"}").ok()?;
    Some(cursor.since(from))
}

fn check_actor(span: &[u8]) -> Result<(), &'static str> {
    each_actor_field(span, |_| (), |roles| each_role(roles, |_, _| ()), || ())
}

fn merge_actor(subject: &mut String, roles: &mut Roles, span: &[u8]) -> Result<(), &'static str> {
    let roles = std::cell::RefCell::new(roles);
    each_actor_field(
        span,
        |string| *subject = string.decoded().into_owned(),
        |array| roles.borrow_mut().merge(array),
        || **roles.borrow_mut() = Roles::default(),
    )
}

fn each_actor_field<'a>(
    span: &'a [u8],
    mut subject: impl FnMut(RawString<'a>),
    mut roles: impl FnMut(&'a [u8]) -> Result<(), &'static str>,
    mut no_roles: impl FnMut(),
) -> Result<(), &'static str> {
    let mut members = Members::object(span, DEPTH_V1).map_err(|_| ACTOR)?;
    while let Some(Member { key, value, .. }) = members.next_member().map_err(|_| ACTOR)? {
        match value {
            Value::String(string) if key.is_key("subject") => subject(string),
            Value::Array(array) if key.is_key("roles") => roles(array)?,
            Value::Null if key.is_key("roles") => no_roles(),
            Value::Null => {}
            _ if key.is_key("subject") || key.is_key("roles") => return Err(ACTOR),
            _ => {}
        }
    }
    Ok(())
}

/// A list that arrays are read into one after the other, as into one Go slice: what an array leaves unused stays behind
/// the end, and shows again where a longer one has `null`.
#[derive(Default)]
struct Roles {
    held: Vec<String>,
    len: usize,
}

impl Roles {
    /// Reads an array over what is held. An empty one makes a new list, as `null` in place of an array does.
    fn merge(&mut self, array: &[u8]) -> Result<(), &'static str> {
        self.len = 0;
        each_role(array, |i, role| {
            self.len = i + 1;
            if self.held.len() < self.len {
                self.held.push(String::new());
            }
            if let Some(role) = role {
                self.held[i] = role.decoded().into_owned();
            }
        })?;
        if self.len == 0 {
            self.held.clear();
        }
        Ok(())
    }

    fn into_list(mut self) -> Vec<String> {
        self.held.truncate(self.len);
        self.held
    }
}

fn each_role<'a>(
    array: &'a [u8],
    mut role: impl FnMut(usize, Option<RawString<'a>>),
) -> Result<(), &'static str> {
    let mut elements = Members::array(array, DEPTH_V1).map_err(|_| ACTOR)?;
    let mut i = 0;
    while let Some(value) = elements.next_element().map_err(|_| ACTOR)? {
        match value {
            Value::String(string) => role(i, Some(string)),
            Value::Null => role(i, None),
            _ => return Err(ACTOR),
        }
        i += 1;
    }
    Ok(())
}

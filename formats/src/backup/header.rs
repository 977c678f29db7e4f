//! The first line of a backup.
//!
//! Its first member says what the file is, its second which version; only then does a grammar apply. Version 1 is read
//! as leniently as Go reads it, version 2 in its one spelling.

use super::FormatVersion;
use super::limits::MAX_INTEGER;
use super::record_v2::{push_integer, read_string};
use crate::envelope::{DEPTH_V1, read_integer, read_time, set_string};
use crate::json::{self, Cursor, Fault, Members, RawString, Value};
use crate::{Class, StoreTime, rfc3339};

/// What every header begins with.
pub(crate) const HEADER_TAG: &[u8] = b"{\"format\":\"trstctl-event-log-backup\"";
const FORMAT: &str = "trstctl-event-log-backup";

/// What a header says. In version 1 only `created_at` and `event_cut_sequence` are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Version of the stream that follows.
    pub version: FormatVersion,
    /// When the backup began. A file may hold instants that 64 bits of nanoseconds cannot; they read as the nearest one.
    pub created_at: StoreTime,
    /// The deployment that the log belongs to, when known.
    pub deployment_id: Option<String>,
    /// Name of the stream; empty when read from version 1.
    pub stream: String,
    /// The stream's first sequence when the backup began; 1 when read from version 1.
    pub first_sequence: u64,
    /// The last sequence that the backup contains, whether that message still exists or not.
    pub event_cut_sequence: u64,
}

/// Why a first line is no header that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeaderFault {
    pub(crate) class: Class,
    pub(crate) fault: Fault,
}

impl Header {
    /// Why no header can say this; `None` when it can.
    pub(crate) fn unwritable(&self) -> Option<String> {
        let largest = self.first_sequence.max(self.event_cut_sequence);
        (largest > MAX_INTEGER).then(|| format!("sequence {largest} has more than 18 digits"))
    }

    /// Appends the line, without newline.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(HEADER_TAG);
        out.extend_from_slice(b",\"version\":");
        push_integer(out, u64::from(self.version.number()));
        out.extend_from_slice(b",\"created_at\":\"");
        rfc3339::write_store_time(self.created_at, out);
        out.push(b'"');
        if self.version == FormatVersion::V2 {
            self.write_v2_members(out);
        }
        if self.version == FormatVersion::V2 || self.event_cut_sequence != 0 {
            out.extend_from_slice(b",\"event_cut_sequence\":");
            push_integer(out, self.event_cut_sequence);
        }
        out.push(b'}');
    }

    fn write_v2_members(&self, out: &mut Vec<u8>) {
        if let Some(deployment_id) = &self.deployment_id {
            out.extend_from_slice(b",\"deployment_id\":\"");
            json::push_v2_escaped(out, deployment_id.as_bytes());
            out.push(b'"');
        }
        out.extend_from_slice(b",\"stream\":\"");
        json::push_v2_escaped(out, self.stream.as_bytes());
        out.extend_from_slice(b"\",\"first_sequence\":");
        push_integer(out, self.first_sequence);
    }

    /// Reads a line, without its newline.
    pub(crate) fn read(line: &[u8]) -> Result<Self, HeaderFault> {
        let of = |class| move |fault| HeaderFault { class, fault };
        let version = read_version(line).map_err(|(class, fault)| HeaderFault { class, fault })?;
        if line.len() >= version.max_line_bytes() {
            return Err(of(Class::Damaged)(Fault::new(0, "a header line within the limit")));
        }
        match version {
            FormatVersion::V1 => read_v1(line).map_err(of(Class::Damaged)),
            FormatVersion::V2 => read_v2(line).map_err(of(Class::Damaged)),
        }
    }
}

/// Finds the version in a line that need not be whole: the last one that can be read counts.
fn read_version(line: &[u8]) -> Result<FormatVersion, (Class, Fault)> {
    let no_backup = |at, expected| Err((Class::NotABackup, Fault::new(at, expected)));
    if !line.starts_with(HEADER_TAG) {
        return no_backup(0, "the beginning of a header");
    }
    let Ok(mut members) = Members::object(line, DEPTH_V1) else { return no_backup(0, "a header") };
    let mut version = None;
    while let Ok(Some(member)) = members.next_member() {
        if member.key.is_key("version") && !matches!(member.value, Value::Null) {
            version = Some((member.at, member.value));
        }
    }
    match version {
        None => no_backup(HEADER_TAG.len(), "a `version`"),
        Some((at, Value::Number(text))) => {
            version_of(text).map_err(|class| (class, Fault::new(at, "version 1 or 2")))
        }
        Some((at, _)) => no_backup(at, "an integer"),
    }
}

fn version_of(text: &[u8]) -> Result<FormatVersion, Class> {
    match text {
        b"1" => Ok(FormatVersion::V1),
        b"2" => Ok(FormatVersion::V2),
        b"0" => Err(Class::NotABackup),
        _ if text.iter().all(u8::is_ascii_digit) => Err(Class::NewerVersion),
        _ => Err(Class::NotABackup),
    }
}

fn read_v1(line: &[u8]) -> Result<Header, Fault> {
    let mut format = RawString::default();
    let mut created_at = None;
    let mut cut = 0;
    let mut members = Members::object(line, DEPTH_V1)?;
    while let Some(member) = members.next_member()? {
        let (key, value) = (member.key, member.value);
        let result = if key.is_key("format") {
            set_string(&mut format, value)
        } else if key.is_key("created_at") {
            read_time(value).map(|time| created_at = time.or(created_at))
        } else if key.is_key("event_cut_sequence") {
            read_unsigned(value).map(|integer| cut = integer.unwrap_or(cut))
        } else {
            // The last `version` was read before; earlier ones must be integers all the same.
            if key.is_key("version") { read_integer(value).map(|_| ()) } else { Ok(()) }
        };
        result.map_err(|expected| Fault::new(member.at, expected))?;
    }
    members.end()?;
    if format.decoded() != FORMAT {
        return Err(Fault::new(0, "one `format`, that of a backup"));
    }
    Ok(Header {
        version: FormatVersion::V1,
        created_at: created_at.map_or(rfc3339::YEAR_ONE, |field| field.time).clamped(),
        deployment_id: None,
        stream: String::new(),
        first_sequence: 1,
        event_cut_sequence: cut,
    })
}

/// An integer of at most 18 digits without sign; `None` for `null`.
pub(crate) fn read_unsigned(value: Value<'_>) -> Result<Option<u64>, &'static str> {
    const EXPECTED: &str = "an integer of at most 18 digits, not negative";
    if matches!(value, Value::Number([b'-', ..])) {
        return Err(EXPECTED);
    }
    let integer = read_integer(value).map_err(|_| EXPECTED)?;
    integer.map(|value| u64::try_from(value).map_err(|_| EXPECTED)).transpose()
}

fn read_v2(line: &[u8]) -> Result<Header, Fault> {
    let text = str::from_utf8(line).map_err(|error| Fault::new(error.valid_up_to(), "UTF-8"))?;
    let mut cursor = Cursor::new(text.as_bytes());
    cursor.expect(b"{\"format\":\"trstctl-event-log-backup\",\"version\":2,\"created_at\":\"")?;
    let at = cursor.place();
    let created_at = rfc3339::parse_utc(cursor.string()?.raw).ok_or(Fault::new(at, "a time in UTC"))?;
    let mut deployment_id = None;
    if cursor.take(b",\"deployment_id\":\"") {
        deployment_id = Some(decoded(read_string(&mut cursor)?));
    }
    cursor.expect(b",\"stream\":\"")?;
    let stream = decoded(read_string(&mut cursor)?);
    cursor.expect(b",\"first_sequence\":")?;
    let at = cursor.place();
    let first_sequence = cursor.integer()?;
    if first_sequence == 0 {
        return Err(Fault::new(at, "a first sequence of 1 or more"));
    }
    cursor.expect(b",\"event_cut_sequence\":")?;
    let event_cut_sequence = cursor.integer()?;
    cursor.expect(b"}")?;
    cursor.end()?;
    let created_at = created_at.clamped();
    Ok(Header {
        version: FormatVersion::V2,
        created_at,
        deployment_id,
        stream,
        first_sequence,
        event_cut_sequence,
    })
}

fn decoded(raw: &[u8]) -> String {
    json::decode_go(raw).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = r#"{"format":"trstctl-event-log-backup","version":1,"created_at":"2026-01-02T03:04:05.123456789Z","event_cut_sequence":2}"#;
    const V2: &str = r#"{"format":"trstctl-event-log-backup","version":2,"created_at":"2026-01-02T03:04:05.123456789Z","deployment_id":"example","stream":"TRSTCTL_EVENTS","first_sequence":1,"event_cut_sequence":5}"#;

    #[test]
    fn both_versions_are_written_back_as_they_were_read() {
        for text in [V1, V2] {
            let mut out = Vec::new();
            Header::read(text.as_bytes()).unwrap().write(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    fn class(text: &str) -> Option<Class> {
        Header::read(text.as_bytes()).err().map(|fault| fault.class)
    }

    #[test]
    fn the_version_decides_before_the_grammar() {
        let with = |rest: &str| class(&format!("{{\"format\":\"trstctl-event-log-backup\"{rest}"));
        for (rest, expected) in [
            ("}", Class::NotABackup),
            ("", Class::NotABackup),
            (",\"version\":0}", Class::NotABackup),
            (",\"version\":-1}", Class::NotABackup),
            (",\"version\":1.0}", Class::NotABackup),
            (",\"version\":\"2\"}", Class::NotABackup),
            (",\"version\":null}", Class::NotABackup),
            (",\"version\":3}", Class::NewerVersion),
            (",\"version\":99999999999999999999999,x", Class::NewerVersion),
            (",\"version\":2}", Class::Damaged),
            (",\"version\":2,x", Class::Damaged),
            (",\"version\":1,\"created_at\":\"now\"}", Class::Damaged),
            (",\"version\":1,\"event_cut_sequence\":-1}", Class::Damaged),
            (",\"version\":1,\"event_cut_sequence\":1.0}", Class::Damaged),
            (",\"version\":1,\"format\":\"other\"}", Class::Damaged),
            (",\"version\":1} x", Class::Damaged),
        ] {
            assert_eq!(with(rest), Some(expected), "{rest}");
        }
        assert_eq!(
            class("{\"format\": \"trstctl-event-log-backup\",\"version\":1}"),
            Some(Class::NotABackup)
        );
    }

    #[test]
    fn version_1_is_lenient_and_version_2_is_not() {
        let lenient =
            V1.replace("created_at", "Created_At").replace(",\"version\":1", ", \"x\":[],\"version\":1 ");
        assert_eq!(class(&lenient), None);
        assert_eq!(class(r#"{"format":"trstctl-event-log-backup","version":1}"#), None);
        for odd in [
            V2.replace("created_at", "Created_At"),
            V2.replace(",\"stream", ", \"stream"),
            V2.replace("789Z", "780Z"),
            V2.replace("example", "\\u0065xample"),
            V2.replace("5}", "05}"),
            V2.replace("\"first_sequence\":1,", ""),
            V2.replace("\"first_sequence\":1,", "\"first_sequence\":0,"),
            V2.replace("5}", "5}\r"),
            V2.replace("5}", "5,\"x\":1}"),
        ] {
            assert_eq!(class(&odd), Some(Class::Damaged), "{odd}");
        }
    }
}

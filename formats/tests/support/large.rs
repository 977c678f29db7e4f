//! Files at the limits of the format.

use super::forge::{forged, lines, replaced};
use super::{header, message, messages, written};
use trstctl_formats::backup::{FormatVersion, Writer};

/// A version 1 file whose first record is filled up to this many bytes, newline included.
pub fn v1_with_line_of(len: usize) -> Vec<u8> {
    let bytes = written(&header(FormatVersion::V1, 2), &messages()[..2], None);
    let fill = " ".repeat(len - lines(&bytes)[1].len());
    forged(&replaced(&bytes, b",\"v\":1", format!(",{fill}\"v\":1").as_bytes()))
}

/// A version 2 file whose one record takes this many bytes, newline included. The subject begins with `events.x`.
pub fn v2_with_line_of(len: usize) -> Vec<u8> {
    let of = |subject: &str, payload: &[u8]| {
        written(
            &header(FormatVersion::V2, 1),
            &[message(1, subject, "2026-01-02T03:00:02Z", None, payload)],
            None,
        )
    };
    let rest = len - lines(&of("events.x", b""))[1].len();
    let subject = format!("events.x{}", "x".repeat(rest % 4));
    of(&subject, &vec![b'.'; rest / 4 * 3])
}

/// A log with a message at every other sequence.
pub fn with_gaps(count: u64) -> Vec<u8> {
    let mut writer = Writer::create(Vec::new(), &header(FormatVersion::V2, 2 * count + 1), None).unwrap();
    let mut message = messages().pop().unwrap();
    for n in 0..=count {
        message.sequence = 2 * n + 1;
        writer.append(&message).unwrap();
    }
    writer.finish().unwrap().0
}

/// A log with a message of each of so many tenants.
pub fn with_tenants(count: u64) -> Vec<u8> {
    let mut writer = Writer::create(Vec::new(), &header(FormatVersion::V2, count), None).unwrap();
    for n in 1..=count {
        let payload = format!(r#"{{"id":"","type":"t","tenant_id":"{n}","time":""}}"#);
        writer.append(&message(n, "events.x", "2026-01-02T03:00:02Z", None, payload.as_bytes())).unwrap();
    }
    writer.finish().unwrap().0
}

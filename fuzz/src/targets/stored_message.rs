//! A message of the log, whatever bytes it is made of.

use bytes::Bytes;
use trstctl_formats::backup::{Lines, one_line};
use trstctl_formats::event::Event;
use trstctl_formats::{StoreTime, StoredMessage};

use super::{Outcome, record_v2};

/// Every message has a version 2 line that gives it back, and one that version 1 can say, says the same event.
///
/// The input is the subject, a newline, the header block when it begins like one, and the payload.
pub fn stored_message(input: &[u8]) -> Outcome {
    let message = message_of(input);
    let line = has_its_line(&message);
    let event = Event::from_stored(&message.payload);
    let line_v1 = one_line::record_v1_line(&message.payload);
    match (&event, &line_v1) {
        (Err(_), Ok(line)) => panic!("no event, and yet a line: {}", line.escape_ascii()),
        (Ok(event), _) => event_settles(event),
        (Err(_), Err(_)) => {}
    }
    if let (Ok(event), Ok(line)) = (&event, &line_v1) {
        same_event(event, line);
    }
    let shape = record_v2::shape_of(&message, &line);
    Outcome::from(format!("{shape} {} {}", event.is_ok(), line_v1.is_ok()))
}

fn message_of(input: &[u8]) -> StoredMessage {
    let (subject, rest) = match memchr::memchr(b'\n', input) {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (&b""[..], input),
    };
    let end = memchr::memmem::find(rest, b"\r\n\r\n").map_or(0, |at| at + 4);
    let (headers, payload) = rest.split_at(if rest.starts_with(b"NATS/1.0") { end } else { 0 });
    // Any sequence and time will do, as long as the input decides them.
    let number = input.iter().fold(1_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    StoredMessage {
        sequence: number % 1_000_000_000_000_000_000,
        stored_at: StoreTime(number as i64),
        subject: Bytes::copy_from_slice(subject),
        headers: Bytes::copy_from_slice(headers),
        payload: Bytes::copy_from_slice(payload),
    }
}

fn has_its_line(message: &StoredMessage) -> Vec<u8> {
    let line = one_line::record_v2_line(message, Lines::Exact);
    let text = std::str::from_utf8(&line).expect("a line is UTF-8");
    assert!(!text.contains(['\n', '\r']), "{text}");
    let again = one_line::record_v2(text).unwrap_or_else(|refused| panic!("{refused:?} in {text}"));
    assert_eq!(&again, message, "{text}");
    let without_time = one_line::record_v2_line(message, Lines::WithoutStoreTime);
    let content_only = one_line::record_v2_line(message, Lines::ContentOnly);
    assert!(content_only.len() < without_time.len() && without_time.len() < line.len());
    line
}

/// The canonical form of an event is read as that event, and is what version 2 writes as an event.
fn event_settles(event: &Event) {
    let stored = event.to_stored();
    let again =
        Event::from_stored(&stored).unwrap_or_else(|error| panic!("{error}: {}", stored.escape_ascii()));
    assert_eq!(again.to_stored(), stored);
    assert_eq!((&again.id, &again.kind, &again.tenant_id), (&event.id, &event.kind, &event.tenant_id));
    assert_eq!((&again.data, &again.actor), (&event.data, &event.actor));
    let message = StoredMessage {
        sequence: 1,
        stored_at: StoreTime(0),
        subject: Bytes::from_static(b"events.x"),
        headers: Bytes::new(),
        payload: stored,
    };
    let line = one_line::record_v2_line(&message, Lines::Exact);
    let raw = b"{\"seq\":1,\"subject\":\"events.x\",\"stored_at\":\"1970-01-01T00:00:00Z\",\"raw_b64\":";
    let is_raw = line.starts_with(raw);
    assert_eq!(is_raw, event.version.is_some_and(|version| version < 0), "{}", line.escape_ascii());
}

fn same_event(event: &Event, line: &[u8]) {
    let read =
        one_line::record_v1(line).unwrap_or_else(|refused| panic!("{refused:?} in {}", line.escape_ascii()));
    let said = read.event;
    assert_eq!((&said.id, &said.kind, &said.tenant_id), (&event.id, &event.kind, &event.tenant_id));
    assert_eq!(said.actor, event.actor);
    assert_eq!(said.version, Some(event.version.filter(|version| *version != 0).unwrap_or(1)));
    assert_eq!(said.data.is_empty(), event.data.is_empty());
}

//! What a NATS server sends.

use bytes::Bytes;
use trstctl_ledger::wire::parse::{Limits, Op, ParseError, Parsed, parse};
use trstctl_ledger::wire::{Message, ServerInfo, ServerVersion, read_answer};

use super::{Outcome, refusal};

/// Small ones, so that they are met.
const LIMITS: Limits = Limits { line_bytes: 1 << 10, message_bytes: 8 << 10 };
/// Longer inputs are fed in larger pieces than bytes.
const BYTEWISE_BYTES: usize = 2 << 10;

/// Bytes that come one by one, or in pieces, make the same operations as those that come at once; a message gives its
/// parts as they are; nothing that the server announces is reserved before it is within the limits.
pub fn nats_connection(bytes: &[u8]) -> Outcome {
    let at_once = operations(bytes, usize::MAX);
    for piece_bytes in [1, 7, 61, 1021] {
        if piece_bytes > 1 || bytes.len() <= BYTEWISE_BYTES {
            assert_eq!(operations(bytes, piece_bytes), at_once, "in pieces of {piece_bytes} bytes");
        }
    }
    let kinds: String = at_once
        .found
        .iter()
        .take(3)
        .map(|(op, from, used)| look_at(op, &bytes[*from..from + used]))
        .collect();
    let end = match at_once.end {
        Ok(at_least) => format!("waits for more than one byte: {}", at_least > bytes.len() + 1),
        Err(error) => refusal::shape_of(&error.to_string()),
    };
    Outcome::from(format!("{kinds} {end}"))
}

#[derive(Debug, PartialEq, Eq)]
struct Operations {
    /// Each, where it begins, and its length.
    found: Vec<(Op, usize, usize)>,
    /// The length that the input must reach for more, or why there will be none.
    end: Result<usize, ParseError>,
}

/// All operations, when so many bytes come at a time.
fn operations(bytes: &[u8], piece_bytes: usize) -> Operations {
    let (mut found, mut at, mut arrived) = (Vec::new(), 0, 0);
    let mut wanted = 0;
    loop {
        match parse(&bytes[at..arrived], &LIMITS) {
            Ok(Parsed::Op(op, used)) => {
                assert!(arrived >= wanted, "complete before the announced length was there");
                assert!(used > 0 && at + used <= arrived);
                found.push((op, at, used));
                at += used;
                wanted = 0;
            }
            Ok(Parsed::Incomplete { at_least }) => {
                assert!(at_least > arrived - at, "it waits for what it has");
                assert!(
                    at_least <= LIMITS.line_bytes + LIMITS.message_bytes + 2,
                    "it waits for {at_least} bytes"
                );
                wanted = wanted.max(at + at_least);
                if arrived == bytes.len() {
                    return Operations { found, end: Ok(at + at_least) };
                }
                arrived = bytes.len().min(arrived.saturating_add(piece_bytes));
            }
            Err(error) => return Operations { found, end: Err(error) },
        }
    }
}

/// A letter for the operation.
fn look_at(op: &Op, bytes: &[u8]) -> char {
    match op {
        Op::Message(frame) => {
            message(frame.sid, bytes);
            if bytes.starts_with(b"H") { 'H' } else { 'M' }
        }
        Op::Info(range) => info(&bytes[range.clone()]),
        Op::Err(range) => {
            assert!(range.end < bytes.len());
            'e'
        }
        Op::Ping => 'p',
        Op::Pong => 'q',
        Op::Ok => 'o',
    }
}

fn info(json: &[u8]) -> char {
    let Ok(info) = serde_json::from_slice::<ServerInfo>(json) else { return 'i' };
    assert_eq!(ServerVersion::parse(&info.version.to_string()), info.version);
    'I'
}

/// The parts of a message, and the same message in the spelling of a server.
fn message(sid: u64, bytes: &[u8]) {
    let read = |bytes: &[u8]| Message::of_operation(Bytes::copy_from_slice(bytes));
    // The limits of this target are within those of the program.
    let message = read(bytes).expect("it was parsed before");
    let parts = |message: &Message| {
        [message.subject(), message.reply(), message.headers(), message.payload()].map(<[u8]>::to_vec)
    };
    let [subject, reply, headers, payload] = parts(&message);
    assert!(!subject.is_empty() && subject.len() + reply.len() + headers.len() + payload.len() < bytes.len());
    let reply = if reply.is_empty() { reply } else { [&reply[..], b" "].concat() };
    let total = headers.len() + payload.len();
    let numbers =
        if bytes.starts_with(b"H") { format!("{} {total}", headers.len()) } else { total.to_string() };
    let word = if bytes.starts_with(b"H") { "HMSG " } else { "MSG " };
    let line =
        [word.as_bytes(), &subject, format!(" {sid} ").as_bytes(), &reply, numbers.as_bytes(), b"\r\n"]
            .concat();
    let again = [&line[..], &headers, &payload, b"\r\n"].concat();
    let respelled = read(&again).unwrap_or_else(|| panic!("not read again: {}", again.escape_ascii()));
    assert_eq!(parts(&respelled), parts(&message));
    answers(&message);
}

/// What a caller asks of a message must not fail, whatever its bytes are.
fn answers(message: &Message) {
    let _ = (message.status(), message.status_text(), format!("{message:?}"));
    let value = message.header("Nats-Msg-Id").unwrap_or_default();
    assert!(value.len() <= message.headers().len());
    let _ = read_answer::<serde_json::Value>("STREAM.INFO.X", message.payload());
}

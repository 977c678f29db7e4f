//! Any message whatsoever, through version 2 and back: the same message, on exactly one line.

mod support;

use std::io::Cursor;

use bytes::Bytes;
use proptest::prelude::*;
use support::{header, written};
use trstctl_formats::backup::{ContentFold, FormatVersion, Header, Lines, VerifyOptions, verify};
use trstctl_formats::event::{Actor, Event};
use trstctl_formats::{StoreTime, StoredMessage};

fn odd_text() -> impl Strategy<Value = String> {
    let odd = prop_oneof![
        Just("<&>\u{2028}\u{2029}"),
        Just("\"\\/\u{8}\u{c}\n\r\t\u{0}\u{1f}\u{7f}"),
        Just("é€😀\u{fffd}"),
        Just("plain"),
        Just(""),
    ];
    prop::collection::vec(odd, 0..3).prop_map(|parts| parts.concat())
}

fn json_text() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        Just(String::from("null")),
        Just(String::from("-0.50E+07")),
        Just(String::from("\"<\\u2028\\ud800\u{2028}\"")),
        Just(String::from("true")),
        "[0-9]{1,40}".prop_filter("leading zero", |t| !t.starts_with('0')),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|v| format!("[{}]", v.join(","))),
            prop::collection::vec(inner, 0..3).prop_map(|v| format!(
                "{{{}}}",
                v.iter().map(|v| format!("\"k\": {v}")).collect::<Vec<_>>().join(" ,")
            )),
        ]
    })
    .prop_map(String::into_bytes)
}

fn data() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => json_text(),
        1 => Just(Vec::new()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => json_text().prop_map(|json| [b" ", json.as_slice()].concat()),
        1 => json_text().prop_map(|json| [json.as_slice(), b"\n"].concat()),
        1 => json_text().prop_map(|json| [b"[\"\xff\",", json.as_slice(), b"]"].concat()),
        1 => (126_usize..131).prop_map(|depth| ["[".repeat(depth), "]".repeat(depth)].concat().into_bytes()),
    ]
}

fn actor() -> impl Strategy<Value = Option<Actor>> {
    prop::option::of(
        (odd_text(), prop::collection::vec(odd_text(), 0..3))
            .prop_map(|(subject, roles)| Actor { subject, roles }),
    )
}

fn event() -> impl Strategy<Value = Event> {
    let version =
        prop::option::of(prop_oneof![0_i64..4, Just(-1), Just(999_999_999_999_999_999), Just(i64::MAX)]);
    (odd_text(), odd_text(), odd_text(), odd_text(), version, data(), actor()).prop_map(
        |(id, kind, tenant_id, time, version, data, actor)| Event {
            id,
            kind,
            tenant_id,
            time,
            version,
            data: data.into(),
            actor,
        },
    )
}

/// Canonical events, events with a small change, and anything.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop_oneof![
        Just(("\"id\"", "\"ID\"")),
        Just((",\"v\":", ",\"v\": ")),
        Just((",\"v\":1", "")),
        Just((",\"v\":1", ",\"v\":0")),
        Just((",\"v\":1", ",\"v\":01")),
        Just((",\"v\":1", ",\"v\":null")),
        Just(("\\u003c", "<")),
        Just(("\\u0026", "\\u0026\\u0026")),
        Just(("\\n", "\\u000a")),
        Just(("]}}", "],\"x\":1}}")),
        Just(("\"time\"", "\"data\":\"\",\"time\"")),
        Just(("=\"", "\"")),
        Just(("plain", "\\ud83d\\ude00")),
    ];
    prop_oneof![
        3 => event().prop_map(|event| event.to_stored().to_vec()),
        3 => (event(), changes).prop_map(|(event, (from, to))| {
            String::from_utf8(event.to_stored().to_vec()).unwrap().replacen(from, to, 1).into_bytes()
        }),
        1 => prop::collection::vec(any::<u8>(), 0..60),
    ]
}

fn headers() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        odd_text().prop_map(|id| format!("Nats-Msg-Id: {id}\r\n")),
        Just(String::from("X: \r\n")),
        Just(String::from("a b: : c\r\n")),
        Just(String::from("a:b\r\n")),
        Just(String::from(": b\r\n")),
        Just(String::from("none\r\n")),
    ];
    prop_oneof![
        2 => Just(Vec::new()),
        3 => prop::collection::vec(line, 0..3)
            .prop_map(|lines| format!("NATS/1.0\r\n{}\r\n", lines.concat()).into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..30),
    ]
}

fn messages() -> impl Strategy<Value = Vec<StoredMessage>> {
    let subject = prop_oneof![
        2 => Just(b"events.x".to_vec()),
        1 => odd_text().prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..5),
    ];
    let message = (1_u64..4, any::<i64>(), subject, headers(), payload(), any::<bool>());
    prop::collection::vec(message, 0..6).prop_map(|parts| {
        let mut sequence = 0;
        let message = |(step, stored_at, subject, headers, payload, usual)| {
            sequence += step;
            let mut message = StoredMessage {
                sequence,
                stored_at: StoreTime(stored_at),
                subject: Bytes::from(subject),
                headers: Bytes::from(headers),
                payload: Bytes::from(payload),
            };
            if usual {
                let id = Event::from_stored(&message.payload).map(|event| event.id).unwrap_or_default();
                message.headers = Bytes::from(format!("NATS/1.0\r\nNats-Msg-Id: {id}\r\n\r\n"));
            }
            message
        };
        parts.into_iter().map(message).collect()
    })
}

/// What a line in event form must stand for, found out by another way: a stored message that equals one written from
/// its parsed fields.
fn is_canonical(message: &StoredMessage) -> bool {
    let text = std::str::from_utf8(&message.payload).ok();
    let Some(Ok(serde_json::Value::Object(fields))) = text.map(serde_json::from_str) else { return false };
    let string = |key: &str| fields.get(key).and_then(|value| value.as_str().map(String::from));
    let (Some(id), Some(kind), Some(tenant_id), Some(time)) =
        (string("id"), string("type"), string("tenant_id"), string("time"))
    else {
        return false;
    };
    let mut expected = Event { id, kind, tenant_id, time, version: Some(7), data: Bytes::new(), actor: None };
    let empty_time = expected.time.is_empty();
    if empty_time {
        expected.time = String::from("~");
    }
    if let Some(text) = string("data") {
        use base64::Engine as _;
        let Ok(data) = base64::engine::general_purpose::STANDARD.decode(text) else { return false };
        expected.data = data.into();
    }
    if let Some(actor) = fields.get("actor") {
        let Some(subject) = actor.get("subject").and_then(|s| s.as_str()) else { return false };
        let roles = actor.get("roles").and_then(|r| r.as_array()).cloned().unwrap_or_default();
        let roles = roles.iter().map(|r| r.as_str().map(String::from)).collect::<Option<_>>();
        let Some(roles) = roles else { return false };
        expected.actor = Some(Actor { subject: subject.to_owned(), roles });
    }
    let mut written = String::from_utf8(expected.to_stored().to_vec()).unwrap();
    if empty_time {
        written = written.replacen("\"time\":\"~\"", "\"time\":\"\"", 1);
    }
    let version = match fields.get("v") {
        None => String::new(),
        Some(serde_json::Value::Number(n)) => match n.as_u64() {
            Some(v) if v < 1_000_000_000_000_000_000 => format!(",\"v\":{v}"),
            _ => return false,
        },
        Some(_) => return false,
    };
    written.replacen(",\"v\":7", &version, 1).as_bytes() == message.payload
}

/// Whether a block is `NATS/1.0`, then `name: value` lines, then an empty one.
fn is_usable(block: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(block) else { return false };
    let Some(lines) = text.strip_prefix("NATS/1.0\r\n").and_then(|rest| rest.strip_suffix("\r\n\r\n")) else {
        return text.is_empty();
    };
    lines.split("\r\n").all(|line| {
        !line.contains(['\r', '\n'])
            && line.split_once(':').is_some_and(|(n, v)| !n.is_empty() && v.starts_with(' '))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_message_comes_back_bit_for_bit(messages in messages()) {
        let cut = messages.last().map_or(3, |message| message.sequence + 1);
        let header = Header { first_sequence: 1, ..header(FormatVersion::V2, cut) };
        let bytes = written(&header, &messages, None);
        let mut verified = verify(Cursor::new(&bytes), &VerifyOptions::default()).unwrap();
        let mut fold = ContentFold::new(Lines::Exact, 1);
        messages.iter().for_each(|message| fold.append(message));
        prop_assert_eq!(verified.part(), &fold.finish(cut));
        let mut read = verified.messages().unwrap();
        let mut back = Vec::new();
        while let Some(message) = read.next().unwrap() {
            back.push(message);
        }
        prop_assert_eq!(&back, &messages);
        prop_assert_eq!(written(&header, &back, None), bytes);
    }

    #[test]
    fn the_event_form_is_used_if_and_only_if_the_message_can_be_rebuilt(messages in messages()) {
        let cut = messages.last().map_or(3, |message| message.sequence);
        let bytes = written(&header(FormatVersion::V2, cut), &messages, None);
        let lines: Vec<_> = bytes.split(|b| *b == b'\n').skip(1).collect();
        for (message, line) in messages.iter().zip(lines) {
            let line = std::str::from_utf8(line).unwrap();
            let subject_is_text = std::str::from_utf8(&message.subject).is_ok();
            let rebuildable = subject_is_text && is_usable(&message.headers) && is_canonical(message);
            prop_assert_eq!(!line.contains(",\"raw_b64\":"), rebuildable, "{}", line);
        }
    }

    #[test]
    fn no_message_makes_version_1_panic_and_what_it_writes_verifies(messages in messages()) {
        use trstctl_formats::backup::{WriteError, Writer};
        let cut = messages.last().map_or(3, |message| message.sequence);
        let mut writer = Writer::create(Vec::new(), &header(FormatVersion::V1, cut), None).unwrap();
        let mut count = 0;
        for message in &messages {
            match writer.append(message) {
                Ok(_) => count += 1,
                Err(WriteError::NotInVersion1 { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
        let bytes = writer.finish().unwrap().0;
        let verified = verify(Cursor::new(&bytes), &VerifyOptions::default()).unwrap();
        prop_assert_eq!(verified.summary().records, count);
    }
}

//! The vectors: one file per case, whose name says the verdict and whether it is checked with the example key.
//!
//! `<verdict>-<what>.jsonl`, checked without a key, or `….with-key.jsonl`. The verdict is `accept` or `refuse-<class>`.
//! The cases below say how each file was made. With `TRSTCTL_WRITE_VECTORS=1` the folder is written anew.

mod support;

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::PathBuf;

use bytes::Bytes;
use support::forge::{forged, lines, replaced, rooted};
use support::{V1_KEYED, V2_KEYED, header, key, message, messages, time, written};
use trstctl_formats::StoredMessage;
use trstctl_formats::backup::{FormatVersion, Header, VerifyOptions, verify, verify_stream};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

type Cases = BTreeMap<String, Vec<u8>>;

fn v1() -> Vec<u8> {
    written(&header(FormatVersion::V1, 2), &messages()[..2], None)
}

fn v2() -> Vec<u8> {
    written(&header(FormatVersion::V2, 5), &messages(), None)
}

/// An edit of the text, then the right checksum.
fn v1_with(from: &str, to: &str) -> Vec<u8> {
    forged(&replaced(&v1(), from.as_bytes(), to.as_bytes()))
}

/// An edit of a line, then the right root and checksum.
fn v2_with(from: &str, to: &str) -> Vec<u8> {
    rooted(&replaced(&v2(), from.as_bytes(), to.as_bytes()))
}

fn flipped(bytes: &[u8], before: &str) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = memchr::memmem::find(&bytes, before.as_bytes()).unwrap_or_else(|| panic!("no {before}"));
    let byte = &mut bytes[at + before.len()];
    // The lowest bit, but a hex digit shall stay one.
    *byte ^= if matches!(*byte, b'a' | b'f') { 2 } else { 1 };
    bytes
}

/// Lines in another order or number.
fn arranged(bytes: &[u8], order: &[usize]) -> Vec<u8> {
    let lines = lines(bytes);
    order.iter().flat_map(|i| lines[*i].clone()).collect()
}

fn nested(depth: usize) -> String {
    "[".repeat(depth) + &"]".repeat(depth)
}

fn accepted() -> Vec<(&'static str, Vec<u8>)> {
    let empty_v1 = written(&header(FormatVersion::V1, 0), &[], None);
    let all_deleted = written(&header(FormatVersion::V2, 7), &[], None);
    let unknown = Header { deployment_id: None, ..header(FormatVersion::V2, 5) };
    let first_later = Header { first_sequence: 3, ..header(FormatVersion::V2, 4) };
    let crlf = v1().split(|b| *b == b'\n').collect::<Vec<_>>().join(&b"\r\n"[..]);
    let keyed = V1_KEYED.to_vec();
    let record = "{\"id\":\"Vh5Zk2QmX0aBcDeFgHiJkL\"";
    vec![
        ("v1-example.with-key", keyed.clone()),
        ("v1-unkeyed", v1()),
        ("v1-empty-log", empty_v1),
        ("v1-crlf", crlf),
        ("v1-crlf.with-key", keyed.split(|b| *b == b'\n').collect::<Vec<_>>().join(&b"\r\n"[..])),
        ("v1-without-last-newline", v1().strip_suffix(b"\n").unwrap().to_vec()),
        ("v1-white-space", v1_with(record, &record.replace("{\"id\":", "\t { \"id\" : "))),
        (
            "v1-trailer-after-space",
            replaced(
                &v1(),
                b"{\"format\":\"trstctl-event-log-backup-t",
                b" { \"format\" :\"trstctl-event-log-backup-t",
            ),
        ),
        ("v1-unknown-keys", v1_with(",\"v\":1", ",\"more\":{\"v\":[]},\"v\":1")),
        ("v1-key-case", v1_with("\"tenant_id\"", "\"Tenant_ID\"")),
        ("v1-key-case-in-trailer.with-key", replaced(V1_KEYED, b"\"sha256\"", b"\"Sha256\"")),
        ("v1-key-folded-long-s", v1_with("\"version\"", "\"ver\u{17f}ion\"")),
        ("v1-duplicate-key-last-wins", v1_with("\"type\":\"ten", "\"type\":\"\",\"TYPE\":\"ten")),
        ("v1-null-leaves-unset", v1_with("\"v\":1,", "\"v\":null,\"id\":null,\"actor\":null,")),
        ("v1-null-payload", v1_with("{\"name\":\"Acme \\u003cR\\u0026D\\u003e\"}", "null")),
        ("v1-without-version-and-time", v1_with(",\"v\":1,\"time\":\"2026-01-02T03:00:00Z\"", "")),
        ("v1-negative-version", v1_with(",\"v\":1", ",\"v\":-7")),
        ("v1-offset-time", v1_with("03:00:00Z", "03:00:00.120-07:30")),
        ("v1-time-hour-of-one-digit", v1_with("03:00:00Z", "3:00:00Z")),
        ("v1-time-fraction-after-comma", v1_with("03:00:00Z", "03:00:00,1234567891Z")),
        ("v1-time-offset-24-60", v1_with("03:00:00Z", "03:00:00+24:60")),
        ("v1-payload-not-utf-8", forged(&replaced(&v1(), b"Acme", b"Ac\xffme"))),
        ("v1-strings-not-utf-8", forged(&replaced(&v1(), b"alice", b"al\xc3ice"))),
        ("v1-lone-surrogate", v1_with("alice", "al\\ud800ice")),
        ("v1-nested-10000", v1_with("{\"name\":\"Acme \\u003cR\\u0026D\\u003e\"}", &nested(9_999))),
        ("v1-header-without-time", v1_with(",\"created_at\":\"2026-01-02T03:04:05.123456789Z\"", "")),
        ("v2-example.with-key", V2_KEYED.to_vec()),
        ("v2-unkeyed", v2()),
        ("v2-all-deleted", all_deleted),
        ("v2-empty-log", written(&header(FormatVersion::V2, 0), &[], None)),
        ("v2-without-deployment", written(&unknown, &messages(), None)),
        ("v2-gap-at-the-start", written(&first_later, &messages()[2..], None)),
        ("v2-odd-messages", written(&header(FormatVersion::V2, 40), &odd_messages(), None)),
        ("v2-odd-messages.with-key", written(&header(FormatVersion::V2, 40), &odd_messages(), Some(&key()))),
        ("v2-created-in-year-9999", v2_with("\"created_at\":\"2026", "\"created_at\":\"9999")),
    ]
}

/// One message for each choice that the writer makes.
fn odd_messages() -> Vec<StoredMessage> {
    let at = "2026-01-02T03:00:02Z";
    let event = |middle: &str| {
        format!(r#"{{"id":"i","type":"t","tenant_id":"x","time":"2026-01-02T03:00:00Z"{middle}}}"#)
            .into_bytes()
    };
    let data = |payload: &[u8]| {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(payload);
        event(&format!(r#","v":1,"data":"{text}""#))
    };
    let payloads: Vec<(Option<&str>, Vec<u8>)> = vec![
        (Some("i"), event("")),
        (None, event(r#","v":0"#)),
        (Some("other"), event(r#","v":999999999999999999"#)),
        (Some("i"), event(r#","v":1,"actor":{"subject":""}"#)),
        (Some("i"), event(r#","v":1,"actor":{"subject":"\u003ca\u2028\"\\\u0001","roles":["","r"]}"#)),
        (Some("i"), data(b"null")),
        (Some("i"), data(b"{\"a\": [1.0 , -0e5], \"a\": \"\\ud800\"}")),
        (Some("i"), data(nested(128).as_bytes())),
        (Some("i"), data(nested(129).as_bytes())),
        (Some("i"), data(b" 1")),
        (Some("i"), data(b"{\n}")),
        (Some("i"), data(b"\"\xff\"")),
        (Some("i"), data(&[0, 1, 2])),
        (Some("i"), event(r#","v":-1"#)),
        (Some("i"), event(r#","v":null"#)),
        (Some("i"), event(r#","v":1,"data":"""#)),
        (Some("i"), event(r#","v":1,"actor":{"subject":"a","roles":[]}"#)),
        (Some("i"), event(r#", "v":1"#)),
        (Some("i"), replaced(&event(""), b"2026-01-02T03:00:00Z", b"yesterday")),
        (Some("i"), replaced(&event(""), b"\"t\"", b"\"\\u0074\"")),
        (Some("i"), replaced(&event(""), b"\"x\"", b"\"\"")),
        (Some("i"), Vec::new()),
        (None, b"\xff\x00\n".to_vec()),
    ];
    let mut messages: Vec<_> = (1..)
        .zip(payloads)
        .map(|(sequence, (id, payload))| message(sequence, "events.t", at, id, &payload))
        .collect();
    let mut add = |subject: &[u8], headers: &[u8]| {
        let mut message = message(messages.len() as u64 + 2, "", at, None, &event(""));
        message.subject = Bytes::copy_from_slice(subject);
        message.headers = Bytes::copy_from_slice(headers);
        messages.push(message);
    };
    add(b"events.\xff", b"");
    add("events.é\"".as_bytes(), b"NATS/1.0\r\nA: 1\r\nNats-Msg-Id: i\r\nA:  2\r\n\r\n");
    add(b"events.t", b"NATS/1.0\r\n\r\n");
    add(b"events.t", b"NATS/1.0\r\nA:1\r\n\r\n");
    add(b"events.t", b"odd");
    for (place, stored_at) in [(0, "1677-09-21T00:12:43.145224192Z"), (1, "2262-04-11T23:47:16.854775807Z")] {
        messages[place].stored_at = time(stored_at);
    }
    messages
}

/// Class and what, then the file.
fn refused() -> Vec<(&'static str, Vec<u8>)> {
    let mut cases = refused_at_the_ends();
    cases.extend(refused_by_checksum_or_key());
    cases.extend(malformed_v1());
    cases.extend(malformed_v2());
    cases.extend(inconsistent());
    cases
}

fn refused_at_the_ends() -> Vec<(&'static str, Vec<u8>)> {
    let cut = |bytes: &[u8], len: usize| bytes[..len].to_vec();
    let header_len = |bytes: &[u8]| lines(bytes)[0].len();
    let without_trailer = |bytes: &[u8]| cut(bytes, bytes.len() - lines(bytes).last().unwrap().len());
    let (v1, v2) = (v1(), v2());
    vec![
        ("not_a_backup-empty", Vec::new()),
        ("not_a_backup-other-json", b"{\"format\":\"other\"}\n".to_vec()),
        ("not_a_backup-byte-order-mark", [b"\xef\xbb\xbf", v2.as_slice()].concat()),
        ("not_a_backup-trailer-only", lines(&v2).pop().unwrap()),
        ("not_a_backup-space-before-format", replaced(&v1, b"{\"format\"", b"{ \"format\"")),
        ("not_a_backup-version-missing", replaced(&v1, b"\"version\":1,", b"")),
        ("not_a_backup-version-0", replaced(&v2, b"\"version\":2", b"\"version\":0")),
        ("not_a_backup-version-negative", replaced(&v1, b"\"version\":1", b"\"version\":-1")),
        ("not_a_backup-version-text", replaced(&v1, b"\"version\":1", b"\"version\":\"1\"")),
        ("not_a_backup-version-fraction", replaced(&v1, b"\"version\":1", b"\"version\":1.0")),
        ("not_a_backup-version-number-cut-off", replaced(&v2, b"\"version\":2,", b"\"version\":2.\"")),
        ("damaged-v2-header-no-object-after-version", replaced(&v2, b"\"version\":2,", b"\"version\":2;")),
        ("newer_version-3", replaced(&v2, b"\"version\":2", b"\"version\":3")),
        ("newer_version-20-digits", replaced(&v2, b"\"version\":2", b"\"version\":10000000000000000000")),
        ("damaged-v1-header-time", replaced(&v1, b"2026-01-02T03:04", b"2026-02-30T03:04")),
        (
            "damaged-v1-header-cut-fraction",
            replaced(&v1, b"\"event_cut_sequence\":2", b"\"event_cut_sequence\":2.0"),
        ),
        (
            "damaged-v1-header-cut-19-digits",
            replaced(&v1, b"sequence\":2", b"sequence\":1000000000000000002"),
        ),
        ("damaged-v2-header-crlf", replaced(&v2, b"5}\n", b"5}\r\n")),
        ("damaged-v2-header-key-missing", replaced(&v2, b"\"stream\":\"TRSTCTL_EVENTS\",", b"")),
        ("damaged-v2-header-fraction-zeros", replaced(&v2, b".123456789Z", b".120Z")),
        ("damaged-v2-header-unknown-key", replaced(&v2, b",\"event_cut", b",\"x\":1,\"event_cut")),
        (
            "damaged-v2-header-first-0",
            v2_with("\"first_sequence\":1,\"event_cut", "\"first_sequence\":0,\"event_cut"),
        ),
        ("damaged-v2-header-no-date", replaced(&v2, b"2026-01-02T03:04", b"2026-02-29T03:04")),
        ("truncated-v1-in-header", cut(&v1, 60)),
        ("truncated-v2-in-header", cut(&v2, header_len(&v2) - 1)),
        ("truncated-v1-after-header", cut(&v1, header_len(&v1))),
        ("truncated-v2-after-header", cut(&v2, header_len(&v2))),
        ("truncated-v1-in-record", cut(&v1, header_len(&v1) + 40)),
        ("truncated-v2-in-record", cut(&v2, header_len(&v2) + 40)),
        ("truncated-v1-before-trailer", without_trailer(&v1)),
        ("truncated-v2-before-trailer", without_trailer(&v2)),
        ("truncated-v1-in-trailer", cut(&v1, v1.len() - 3)),
        ("truncated-v2-in-trailer", cut(&v2, v2.len() - 3)),
        ("truncated-v2-last-newline", cut(&v2, v2.len() - 1)),
        ("truncated-v1-something-after", [v1.as_slice(), b"{}\n"].concat()),
        ("truncated-v2-something-after", [v2.as_slice(), b"\n"].concat()),
        ("damaged-v1-trailer-records-text", replaced(&v1, b"\"records\":2", b"\"records\":\"2\"")),
        (
            "damaged-v1-trailer-key-case-records-text",
            replaced(
                &replaced(&v1, b"\"records\":2", b"\"records\":\"2\""),
                b"{\"format\":\"trstctl-event-log-backup-t",
                b"{\"Format\":\"trstctl-event-log-backup-t",
            ),
        ),
        (
            "damaged-v1-trailer-format-twice",
            replaced(&v1, b"\"records\":2", b"\"records\":2,\"format\":\"trstctl-event-log-backup\""),
        ),
        ("damaged-v1-trailer-not-json", replaced(&v1, b"\"records\":2", b"\"records\":02")),
        ("damaged-v2-trailer-upper-case", {
            let sha = memchr::memmem::rfind(&v2, b"\"sha256\":\"").unwrap() + 10;
            let mut bytes = v2.clone();
            bytes[sha..sha + 64].make_ascii_uppercase();
            bytes
        }),
        ("damaged-v2-trailer-key-missing", replaced(&v2, b"\"last_sequence\":5,", b"")),
        ("damaged-v2-trailer-space", replaced(&v2, b"\"gaps\":[", b"\"gaps\": [")),
        (
            "damaged-v2-trailer-key-id-alone",
            replaced(&v2, b"}]}\n", b"}],\"key_id\":\"a05d2d8a565e6e48\"}\n"),
        ),
        ("damaged-v2-trailer-gap-of-one", replaced(&v2, b"[3,3]", b"[3]")),
        (
            "damaged-v2-trailer-19-digits",
            replaced(&v2, b"\"records\":3,\"first", b"\"records\":1000000000000000003,\"first"),
        ),
        // The trailer decides before the middle is read, and the header before the trailer.
        (
            "damaged-v2-trailer-before-records",
            replaced(&flipped(&v2, "\"seq\":"), b"\"gaps\":[", b"\"gaps\": ["),
        ),
        (
            "damaged-v2-header-before-truncation",
            cut(&replaced(&v2, b"\"stream\"", b"\"Stream\""), v2.len() - 9),
        ),
        ("key_missing-v1-before-checksum", flipped(V1_KEYED, "\"tenant_id\":\"")),
        (
            "wrong_key-v2-before-checksum.with-key",
            flipped(&flipped(V2_KEYED, "\"tenant_id\":\""), "\"key_id\":\""),
        ),
    ]
}

fn refused_by_checksum_or_key() -> Vec<(&'static str, Vec<u8>)> {
    let (v1, v2) = (v1(), v2());
    vec![
        ("damaged-v1-bit-in-record", flipped(&v1, "\"tenant_id\":\"")),
        ("damaged-v2-bit-in-record", flipped(&v2, "\"tenant_id\":\"")),
        ("damaged-v2-bit-in-record.with-key", flipped(V2_KEYED, "\"tenant_id\":\"")),
        ("damaged-v1-line-dropped", arranged(&v1, &[0, 2, 3])),
        ("damaged-v2-line-dropped", arranged(&v2, &[0, 2, 3, 4])),
        ("damaged-v1-line-doubled", arranged(&v1, &[0, 1, 1, 2, 3])),
        ("damaged-v2-line-doubled", arranged(&v2, &[0, 1, 1, 2, 3, 4])),
        ("damaged-v1-lines-swapped", arranged(&v1, &[0, 2, 1, 3])),
        ("damaged-v2-lines-swapped", arranged(&v2, &[0, 2, 1, 3, 4])),
        ("damaged-v1-checksum-upper-case", {
            let sha = memchr::memmem::rfind(&v1, b"\"sha256\":\"").unwrap() + 10;
            let mut bytes = v1.clone();
            bytes[sha..sha + 64].make_ascii_uppercase();
            bytes
        }),
        ("damaged-v1-checksum-missing", replaced(&v1, b"\"sha256\"", b"\"Xha256\"")),
        ("damaged-v2-crlf-in-record", replaced(&v2, b"}}\n", b"}}\r\n")),
        ("tampered-v1-record.with-key", {
            // Right checksum, MAC of the file before.
            let edited = forged(&replaced(V1_KEYED, b"alice", b"mallo"));
            let mac = &V1_KEYED[memchr::memmem::find(V1_KEYED, b"hmac_sha256\":\"").unwrap()..][14..78];
            let at = memchr::memmem::find(&edited, b"hmac_sha256\":\"").unwrap() + 14;
            [&edited[..at], mac, &edited[at + 64..]].concat()
        }),
        ("tampered-v1-mac.with-key", flipped(V1_KEYED, "\"hmac_sha256\":\"")),
        ("tampered-v1-mac-upper-case.with-key", {
            let mac = memchr::memmem::rfind(V1_KEYED, b"\"hmac_sha256\":\"").unwrap() + 15;
            let mut bytes = V1_KEYED.to_vec();
            bytes[mac..mac + 64].make_ascii_uppercase();
            bytes
        }),
        ("tampered-v1-mac-cut-off.with-key", replaced(V1_KEYED, b"f63ac0\"", b"f63ac\"")),
        ("tampered-v1-before-malformed.with-key", {
            let edited = forged(&replaced(V1_KEYED, b"\"v\":1", b"\"v\":1.5"));
            flipped(&edited, "\"hmac_sha256\":\"")
        }),
        ("tampered-v2-mac.with-key", flipped(V2_KEYED, "\"hmac_sha256\":\"")),
        (
            "tampered-v2-trailer-before-checksum.with-key",
            flipped(&flipped(V2_KEYED, "\"tenant_id\":\""), "\"records\":"),
        ),
        ("wrong_key-v2.with-key", {
            let other = trstctl_formats::backup::BackupKey::from_key_file(b"another key").unwrap();
            written(&header(FormatVersion::V2, 5), &messages(), Some(&other))
        }),
        ("tampered-v1-another-key.with-key", {
            let other = trstctl_formats::backup::BackupKey::from_key_file(b"another key").unwrap();
            written(&header(FormatVersion::V1, 2), &messages()[..2], Some(&other))
        }),
        ("key_missing-v1", V1_KEYED.to_vec()),
        ("key_missing-v2", V2_KEYED.to_vec()),
        ("unkeyed-v1.with-key", v1),
        ("unkeyed-v2.with-key", v2),
    ]
}

fn malformed_v1() -> Vec<(&'static str, Vec<u8>)> {
    let payload = "{\"name\":\"Acme \\u003cR\\u0026D\\u003e\"}";
    vec![
        ("malformed_record-v1-type-missing", v1_with("\"type\":\"tenant.registered\",", "")),
        ("malformed_record-v1-type-empty", v1_with("\"type\":\"tenant.registered\"", "\"type\":\"\"")),
        (
            "malformed_record-v1-tenant-null",
            v1_with("\"tenant_id\":\"00000000-0000-4000-8000-00000000000a\"", "\"tenant_id\":null"),
        ),
        ("malformed_record-v1-id-number", v1_with("\"id\":\"Vh5Zk2QmX0aBcDeFgHiJkL\"", "\"id\":5")),
        ("malformed_record-v1-version-fraction", v1_with("\"v\":1", "\"v\":1.0")),
        ("malformed_record-v1-version-exponent", v1_with("\"v\":1", "\"v\":1e0")),
        ("malformed_record-v1-version-19-digits", v1_with("\"v\":1", "\"v\":1000000000000000001")),
        ("malformed_record-v1-time", v1_with("03:00:00Z", "03:00:60Z")),
        ("malformed_record-v1-time-offset-25", v1_with("03:00:00Z", "03:00:00+25:00")),
        ("malformed_record-v1-time-number", v1_with("\"time\":\"2026-01-02T03:00:00Z\"", "\"time\":0")),
        (
            "malformed_record-v1-actor-text",
            v1_with("\"actor\":{\"subject\":\"alice\",\"roles\":[\"admin\"]}", "\"actor\":\"alice\""),
        ),
        ("malformed_record-v1-role-number", v1_with("[\"admin\"]", "[1]")),
        ("malformed_record-v1-payload-not-json", v1_with(payload, "{\"name\":}")),
        ("malformed_record-v1-nested-10001", v1_with(payload, &nested(10_000))),
        (
            "malformed_record-v1-not-an-object",
            v1_with(
                "{\"id\":\"Vh5Zk2QmX0aBcDeFgHiJkL\"",
                "[{\"id\":\"\"}]\n{\"id\":\"Vh5Zk2QmX0aBcDeFgHiJkL\"",
            ),
        ),
        ("malformed_record-v1-empty-line", v1_with("\n{\"id\"", "\n\n{\"id\"")),
        ("malformed_record-v1-two-objects", v1_with("\n{\"id\"", "\n{} {\"id\"")),
        ("malformed_record-v1-control-character", v1_with("alice", "al\tice")),
        (
            "malformed_record-v1-before-count",
            v1_with("\"v\":1,\"time\":\"2026-01-02T03:00:01", "\"v\":[],\"time\":\"2026-01-02T03:00:01"),
        ),
    ]
}

fn malformed_v2() -> Vec<(&'static str, Vec<u8>)> {
    let data = "{\"name\":\"Acme <R&D>\"}";
    let first = ",\"id\":\"Vh5Zk2QmX0aBcDeFgHiJkL\"";
    vec![
        ("malformed_record-v2-unknown-key", v2_with(",\"v\":1", ",\"x\":1,\"v\":1")),
        (
            "malformed_record-v2-key-order",
            v2_with(
                "{\"seq\":1,\"subject\":\"events.tenant.registered\"",
                "{\"subject\":\"events.tenant.registered\",\"seq\":1",
            ),
        ),
        ("malformed_record-v2-key-case", v2_with("\"seq\":1", "\"Seq\":1")),
        ("malformed_record-v2-duplicate-key", v2_with("\"v\":1", "\"v\":1,\"v\":1")),
        ("malformed_record-v2-space", v2_with("\"v\":1", "\"v\": 1")),
        ("malformed_record-v2-crlf", v2_with("\"aGVsbG8=\"}\n", "\"aGVsbG8=\"}\r\n")),
        ("malformed_record-v2-empty-line", v2_with("\n{\"seq\":1", "\n\n{\"seq\":1")),
        ("malformed_record-v2-sequence-leading-zero", v2_with("\"seq\":1", "\"seq\":01")),
        ("malformed_record-v2-sequence-19-digits", v2_with("\"seq\":1", "\"seq\":1000000000000000001")),
        ("malformed_record-v2-version-negative", v2_with("\"v\":1", "\"v\":-1")),
        ("malformed_record-v2-time-zeros", v2_with("03:00:00.25Z\"", "03:00:00.250Z\"")),
        ("malformed_record-v2-time-offset", v2_with("03:00:00.25Z\"", "03:00:00.25+00:00\"")),
        (
            "malformed_record-v2-time-beyond-64-bits",
            v2_with("\"stored_at\":\"2026-01-02T03:00:00.25Z", "\"stored_at\":\"2300-01-02T03:00:00.25Z"),
        ),
        (
            "malformed_record-v2-time-no-date",
            v2_with("\"stored_at\":\"2026-01-02", "\"stored_at\":\"2026-02-30"),
        ),
        ("malformed_record-v2-escape-not-needed", v2_with("alice", "al\\u0069ce")),
        ("malformed_record-v2-escape-slash", v2_with("alice", "al\\/ice")),
        ("malformed_record-v2-escape-html", v2_with("alice", "al\\u003cice")),
        ("malformed_record-v2-escape-upper-case", v2_with("alice", "al\\u001Fice")),
        ("malformed_record-v2-not-utf-8", rooted(&replaced(&v2(), b"Acme", b"Ac\xffme"))),
        ("malformed_record-v2-data-before-space", v2_with(data, " 1")),
        ("malformed_record-v2-data-nested-129", v2_with(data, &nested(129))),
        ("malformed_record-v2-data-carriage-return", v2_with(data, "{\"name\":\r1}")),
        ("malformed_record-v2-data-nan", v2_with(data, "NaN")),
        (
            "malformed_record-v2-base64-where-data-would-do",
            v2_with(&format!("\"data\":{data}"), "\"data_b64\":\"bnVsbA==\""),
        ),
        ("malformed_record-v2-base64-empty", v2_with(&format!("\"data\":{data}"), "\"data_b64\":\"\"")),
        ("malformed_record-v2-base64-not-canonical", v2_with("aGVsbG8=", "aGVsbG9=")),
        ("malformed_record-v2-base64-not-padded", v2_with("aGVsbG8=", "aGVsbG8")),
        (
            "malformed_record-v2-headers-spelled-out",
            v2_with(first, &format!(",\"headers\":[[\"Nats-Msg-Id\",\"Vh5Zk2QmX0aBcDeFgHiJkL\"]]{first}")),
        ),
        (
            "malformed_record-v2-header-name-empty",
            v2_with(first, &format!(",\"headers\":[[\"\",\"x\"]]{first}")),
        ),
        (
            "malformed_record-v2-header-name-colon",
            v2_with(first, &format!(",\"headers\":[[\"a:b\",\"x\"]]{first}")),
        ),
        (
            "malformed_record-v2-header-value-break",
            v2_with(first, &format!(",\"headers\":[[\"a\",\"x\\n\"]]{first}")),
        ),
        ("malformed_record-v2-id-breaks-usual-header", v2_with("Vh5Zk2QmX0aBcDeFgHiJkL", "a\\r\\nb")),
        (
            "malformed_record-v2-header-block-empty",
            v2_with(",\"raw_b64\"", ",\"headers_b64\":\"\",\"raw_b64\""),
        ),
        (
            "malformed_record-v2-subject-base64-of-utf-8",
            v2_with("\"subject\":\"events.x\"", "\"subject_b64\":\"ZXZlbnRzLng=\""),
        ),
        (
            "malformed_record-v2-subject-base64-with-event",
            v2_with("\"subject\":\"events.owner.created\"", "\"subject_b64\":\"/w==\""),
        ),
        ("malformed_record-v2-roles-empty", v2_with("[\"admin\"]", "[]")),
        ("malformed_record-v2-actor-null", v2_with("{\"subject\":\"alice\",\"roles\":[\"admin\"]}", "null")),
        (
            "malformed_record-v2-actor-without-subject",
            v2_with("\"subject\":\"alice\",\"roles\"", "\"roles\""),
        ),
        ("malformed_record-v2-raw-missing", v2_with(",\"raw_b64\":\"aGVsbG8=\"", "")),
        (
            "malformed_record-v2-tenant-missing",
            v2_with(
                "\"tenant_id\":\"00000000-0000-4000-8000-00000000000a\",\"v\":1,\"time\":\"2026-01-02T03:00:00Z\"",
                "\"v\":1,\"time\":\"2026-01-02T03:00:00Z\"",
            ),
        ),
        // A malformed line decides before an earlier one out of order.
        (
            "malformed_record-v2-before-order",
            rooted(&replaced(&arranged(&v2(), &[0, 2, 1, 3, 4]), b"\"raw_b64\"", b"\"Raw_b64\"")),
        ),
    ]
}

fn inconsistent() -> Vec<(&'static str, Vec<u8>)> {
    let (v1, v2) = (v1(), v2());
    let trailer = |from: &str, to: &str| forged(&replaced(&v2, from.as_bytes(), to.as_bytes()));
    let id = "00000000-0000-4000-8000-00000000000a";
    let in_trailer = format!("{{\"tenant_id\":\"{id}\",\"records\":2");
    let empty = written(&header(FormatVersion::V2, 5), &[], None);
    let gap_first =
        written(&Header { first_sequence: 3, ..header(FormatVersion::V2, 4) }, &messages()[2..], None);
    vec![
        ("inconsistent-v1-second-trailer", forged(&arranged(&v1, &[0, 1, 3, 2, 3]))),
        (
            "inconsistent-v1-records-after-trailer-key-case",
            forged(&replaced(
                &arranged(&v1, &[0, 1, 3, 2, 3]),
                b"{\"format\":\"trstctl-event-log-backup-t",
                b"{\"Format\":\"trstctl-event-log-backup-t",
            )),
        ),
        (
            "inconsistent-v1-second-trailer-records-text",
            forged(&replaced(
                &replaced(&arranged(&v1, &[0, 1, 3, 2, 3]), b"\"records\":2", b"\"records\":\"2\""),
                b"{\"format\":\"trstctl-event-log-backup-t",
                b"{\"format\":null,\"FORMAT\":\"trstctl-event-log-backup-t",
            )),
        ),
        ("inconsistent-v1-line-dropped", forged(&arranged(&v1, &[0, 2, 3]))),
        ("inconsistent-v1-line-doubled", forged(&arranged(&v1, &[0, 1, 1, 2, 3]))),
        ("inconsistent-v1-records-missing", replaced(&v1, b"\"records\":2,", b"")),
        (
            "inconsistent-v1-cut",
            replaced(
                &v1,
                b"\"records\":2,\"event_cut_sequence\":2",
                b"\"records\":2,\"event_cut_sequence\":3",
            ),
        ),
        (
            "inconsistent-v1-cut-missing",
            replaced(&v1, b"\"records\":2,\"event_cut_sequence\":2", b"\"records\":2"),
        ),
        ("inconsistent-v2-second-trailer", rooted(&arranged(&v2, &[0, 1, 4, 2, 3, 4]))),
        ("inconsistent-v2-line-dropped", rooted(&arranged(&v2, &[0, 1, 3, 4]))),
        ("inconsistent-v2-line-doubled", rooted(&arranged(&v2, &[0, 1, 1, 2, 3, 4]))),
        ("inconsistent-v2-lines-swapped", rooted(&arranged(&v2, &[0, 2, 1, 3, 4]))),
        ("inconsistent-v2-line-edited", forged(&replaced(&v2, b"alice", b"mallo"))),
        ("inconsistent-v2-line-edited-right-root", rooted(&replaced(&v2, b"alice", b"mallo"))),
        ("inconsistent-v2-sequence-beyond-cut", v2_with("\"seq\":4", "\"seq\":6")),
        ("inconsistent-v2-sequence-0", v2_with("\"seq\":1", "\"seq\":0")),
        ("inconsistent-v2-records", trailer("\"records\":3", "\"records\":4")),
        (
            "inconsistent-v2-first",
            trailer("\"records\":3,\"first_sequence\":1", "\"records\":3,\"first_sequence\":2"),
        ),
        (
            "inconsistent-v2-first-in-header",
            forged(&replaced(
                &gap_first,
                b"\"first_sequence\":3,\"event_cut",
                b"\"first_sequence\":2,\"event_cut",
            )),
        ),
        ("inconsistent-v2-last", trailer("\"last_sequence\":5", "\"last_sequence\":4")),
        (
            "inconsistent-v2-cut",
            trailer("\"event_cut_sequence\":5,\"gaps\"", "\"event_cut_sequence\":6,\"gaps\""),
        ),
        ("inconsistent-v2-cut-in-header", v2_with("\"event_cut_sequence\":5}", "\"event_cut_sequence\":6}")),
        ("inconsistent-v2-gap-missing", trailer("[[3,3],[5,5]]", "[[3,3]]")),
        ("inconsistent-v2-gap-wrong", trailer("[3,3]", "[2,3]")),
        ("inconsistent-v2-gaps-out-of-order", trailer("[[3,3],[5,5]]", "[[5,5],[3,3]]")),
        ("inconsistent-v2-gaps-null", trailer("[[3,3],[5,5]]", "null")),
        ("inconsistent-v2-root", forged(&flipped(&v2, "\"merkle_root\":\""))),
        ("inconsistent-v2-root.with-key", forged(&flipped(V2_KEYED, "\"merkle_root\":\""))),
        ("inconsistent-v2-tenant-records", trailer(&in_trailer, &in_trailer.replace(":2", ":1"))),
        ("inconsistent-v2-tenant-root", {
            let at = memchr::memmem::rfind(&v2, b"\"merkle_root\":\"").unwrap() + 15;
            let mut bytes = v2.clone();
            bytes[at] ^= 1;
            forged(&bytes)
        }),
        ("inconsistent-v2-tenants-null", {
            let at = memchr::memmem::rfind(&v2, b"\"tenants\":").unwrap() + 10;
            forged(&[&v2[..at], b"null}\n"].concat())
        }),
        (
            "inconsistent-v2-empty-first",
            forged(&replaced(
                &replaced(&empty, b"\"first_sequence\":6", b"\"first_sequence\":1"),
                b"\"first_sequence\":6",
                b"\"first_sequence\":1",
            )),
        ),
        ("inconsistent-v2-empty-with-gap", forged(&replaced(&empty, b"\"gaps\":[]", b"\"gaps\":[[1,5]]"))),
    ]
}

/// A bit flipped in each field of the keyed examples, checked with the key.
fn flipped_fields() -> Vec<(String, Vec<u8>)> {
    let mut cases = Vec::new();
    let mut add = |class: &str, version: &str, bytes: &[u8], place: &str, before: &str| {
        let names = before.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let names =
            names.filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase()) && *name != "trailer");
        let field = names.collect::<Vec<_>>().join("-");
        cases.push((format!("{class}-{version}-bit-in-{place}-{field}.with-key"), flipped(bytes, before)));
    };
    for (version, bytes) in [("v1", V1_KEYED), ("v2", V2_KEYED)] {
        add("not_a_backup", version, bytes, "header", "{\"format\":\"");
        let class = if version == "v1" { "not_a_backup" } else { "newer_version" };
        add(class, version, bytes, "header", "\"version\":");
        for field in ["\"created_at\":\"", "\"event_cut_sequence\":"] {
            add("damaged", version, bytes, "header", field);
        }
        for field in [
            "\"id\":\"",
            "\"type\":\"",
            "\"tenant_id\":\"",
            "\"v\":",
            "\"time\":\"",
            "\"data\":",
            "\"actor\":",
            "\"actor\":{\"subject\":\"",
            "\"roles\":[\"",
        ] {
            add("damaged", version, bytes, "record", field);
        }
        add("truncated", version, bytes, "trailer", "{\"format\":\"trstctl-event-log-backup-");
    }
    for field in ["\"deployment_id\":\"", "\"stream\":\"", "\"first_sequence\":"] {
        add("damaged", "v2", V2_KEYED, "header", field);
    }
    for field in ["\"seq\":", ",\"subject\":\"", "\"stored_at\":\"", "\"raw_b64\":\""] {
        add("damaged", "v2", V2_KEYED, "record", field);
    }
    let odd = written(&header(FormatVersion::V2, 40), &odd_messages(), Some(&key()));
    for field in ["\"headers\":[[\"", "\"headers_b64\":\"", "\"data_b64\":\"", "\"subject_b64\":\""] {
        add("damaged", "v2", &odd, "record", field);
    }
    add("damaged", "v1", V1_KEYED, "trailer", "-trailer\",\"sha256\":\"");
    for field in ["\"records\":", "\"records\":2,\"event_cut_sequence\":"] {
        add("inconsistent", "v1", V1_KEYED, "trailer", field);
    }
    let trailer_fields = [
        "-trailer\",\"sha256\":\"",
        "\"merkle_root\":\"",
        "\"records\":",
        "\"records\":3,\"first_sequence\":",
        "\"last_sequence\":",
        "\"last_sequence\":5,\"event_cut_sequence\":",
        "\"gaps\":[[",
        "\"tenant_id\":\"\",\"records\":",
        "\"tenant_id\":\"\",\"records\":1,\"merkle_root\":\"",
    ];
    for field in trailer_fields {
        add("tampered", "v2", V2_KEYED, "trailer", field);
    }
    cases
}

fn cases() -> Cases {
    let named = |(name, bytes): (&str, Vec<u8>), verdict: &str| (format!("{verdict}-{name}.jsonl"), bytes);
    let mut cases: Cases = accepted().into_iter().map(|case| named(case, "accept")).collect();
    for (name, bytes) in refused() {
        let (name, bytes) = named((name, bytes), "refuse");
        assert!(cases.insert(name.clone(), bytes).is_none(), "{name} twice");
    }
    for (name, bytes) in flipped_fields() {
        let name = format!("refuse-{name}.jsonl");
        assert!(cases.insert(name.clone(), bytes).is_none(), "{name} twice");
    }
    cases
}

fn files() -> Cases {
    std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "jsonl"))
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect()
}

#[test]
fn every_case_has_its_file_and_every_file_its_case() {
    let cases = cases();
    if std::env::var_os("TRSTCTL_WRITE_VECTORS").is_some() {
        for name in files().keys() {
            std::fs::remove_file(folder().join(name)).unwrap();
        }
        for (name, bytes) in &cases {
            #[allow(clippy::disallowed_methods, reason = "a vector is part of the sources, not an output")]
            std::fs::write(folder().join(name), bytes).unwrap();
        }
    }
    let files = files();
    let without_file: Vec<_> = cases.keys().filter(|name| !files.contains_key(*name)).collect();
    let without_case: Vec<_> = files.keys().filter(|name| !cases.contains_key(*name)).collect();
    let different: Vec<_> =
        cases.iter().filter(|(n, b)| files.get(*n).is_some_and(|f| f != *b)).map(|(n, _)| n).collect();
    assert!(
        without_file.is_empty() && without_case.is_empty() && different.is_empty(),
        "no file: {without_file:?}\nno case: {without_case:?}\nanother content: {different:?}"
    );
}

#[test]
fn every_file_gets_the_verdict_of_its_name_read_at_once_and_as_a_stream() {
    let key = key();
    let mut wrong = Vec::new();
    for (name, bytes) in files() {
        let key = name.contains(".with-key.").then_some(&key);
        let options = VerifyOptions { key, ..VerifyOptions::default() };
        let seeked = verify(Cursor::new(&bytes), &options).map(|_| ());
        let streamed = verify_stream(&bytes[..], &options).map(|_| ());
        for (how, result) in [("seeked", seeked), ("streamed", streamed)] {
            let verdict = match &result {
                Ok(()) => String::from("accept-"),
                Err(failure) => format!("refuse-{}-", failure.class.name()),
            };
            if !name.starts_with(&verdict) {
                wrong.push(format!("{name} {how}: {verdict} {result:?}"));
            }
            let Err(failure) = result else { continue };
            assert!(!failure.message.is_empty() && !failure.hint.is_empty(), "{name}: {failure:?}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

//! The worked examples of `docs/format/backup.md`, as messages and as bytes.

#![allow(dead_code)] // Each test program uses another part.

use bytes::Bytes;
use trstctl_formats::backup::{BackupKey, FormatVersion, Header, Writer};
use trstctl_formats::{StoreTime, StoredMessage};

pub const KEY_FILE: &[u8] = b"-----BEGIN PRIVATE KEY-----\nEXAMPLE\n-----END PRIVATE KEY-----\n";
pub const V1_KEYED: &[u8] = include_bytes!("../examples/v1-keyed.jsonl");
pub const V2_KEYED: &[u8] = include_bytes!("../examples/v2-keyed.jsonl");

/// The specification of the format.
pub fn page_of_format() -> String {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/format/backup.md");
    std::fs::read_to_string(page).unwrap()
}

/// The blocks of JSON lines on that page, in their order: version 1, the trailer of an empty log, version 2.
pub fn page_examples() -> Vec<String> {
    let page = page_of_format();
    page.split("```jsonl\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// A pair of age keys.
pub const IDENTITY: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
pub const RECIPIENT: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";

const TENANT: &str = r#"{"id":"Vh5Zk2QmX0aBcDeFgHiJkL","type":"tenant.registered","tenant_id":"00000000-0000-4000-8000-00000000000a","time":"2026-01-02T03:00:00Z","v":1,"data":"eyJuYW1lIjoiQWNtZSA8UiZEPiJ9"}"#;
const OWNER: &str = r#"{"id":"Vh5Zk2QmX0aBcDeFgHiJkM","type":"owner.created","tenant_id":"00000000-0000-4000-8000-00000000000a","time":"2026-01-02T03:00:01.5Z","v":1,"data":"eyJpZCI6IjExMTExMTExLTExMTEtNDExMS04MTExLTExMTExMTExMTExMSIsImtpbmQiOiJ0ZWFtIiwibmFtZSI6InBheW1lbnRzIiwiZW1haWwiOiJwYXlAZXhhbXBsZS5jb20ifQ==","actor":{"subject":"alice","roles":["admin"]}}"#;

pub fn key() -> BackupKey {
    BackupKey::from_key_file(KEY_FILE).unwrap()
}

pub fn time(text: &str) -> StoreTime {
    StoreTime::parse(text).unwrap()
}

pub fn message(
    sequence: u64,
    subject: &str,
    stored_at: &str,
    id: Option<&str>,
    payload: &[u8],
) -> StoredMessage {
    let headers = id.map(|id| format!("NATS/1.0\r\nNats-Msg-Id: {id}\r\n\r\n")).unwrap_or_default();
    StoredMessage {
        sequence,
        stored_at: time(stored_at),
        subject: Bytes::copy_from_slice(subject.as_bytes()),
        headers: Bytes::from(headers),
        payload: Bytes::copy_from_slice(payload),
    }
}

/// The messages of the version 2 example: 3 and 5 are deleted, 4 is a foreign `hello`.
pub fn messages() -> Vec<StoredMessage> {
    let id = |last: &str| format!("Vh5Zk2QmX0aBcDeFgHiJk{last}");
    vec![
        message(1, "events.tenant.registered", "2026-01-02T03:00:00.25Z", Some(&id("L")), TENANT.as_bytes()),
        message(
            2,
            "events.owner.created",
            "2026-01-02T03:00:01.500000001Z",
            Some(&id("M")),
            OWNER.as_bytes(),
        ),
        message(4, "events.x", "2026-01-02T03:00:02Z", None, b"hello"),
    ]
}

pub fn header(version: FormatVersion, cut: u64) -> Header {
    Header {
        version,
        created_at: time("2026-01-02T03:04:05.123456789Z"),
        deployment_id: Some(String::from("example")),
        stream: String::from("TRSTCTL_EVENTS"),
        first_sequence: 1,
        event_cut_sequence: cut,
    }
}

pub fn written(header: &Header, messages: &[StoredMessage], key: Option<&BackupKey>) -> Vec<u8> {
    let mut writer = Writer::create(Vec::new(), header, key).unwrap();
    for message in messages {
        writer.append(message).unwrap();
    }
    writer.finish().unwrap().0
}

/// Whether the tests run in their whole form (`make torture`).
pub fn is_whole() -> bool {
    std::env::var_os("TRSTCTL_TORTURE").is_some_and(|value| !value.is_empty() && value != "0")
}

/// A keyed file of the same version, length of history and key, with another second record.
pub fn sibling(original: &[u8]) -> Vec<u8> {
    let (version, cut, count) =
        if original == V1_KEYED { (FormatVersion::V1, 2, 2) } else { (FormatVersion::V2, 5, 3) };
    let mut messages = messages();
    messages[1].payload = Bytes::from(forge::replaced(&messages[1].payload, b"alice", b"carol"));
    written(&header(version, cut), &messages[..count], Some(&key()))
}

pub mod forge;
pub mod go;
pub mod large;
pub mod matrix;
pub mod outcomes;

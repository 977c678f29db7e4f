//! The worked examples of `docs/format/backup.md` are what the page says that they are.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use trstctl_formats::backup::{BackupKey, FormatVersion, VerifyOptions, verify};

const KEY_FILE: &[u8] = b"-----BEGIN PRIVATE KEY-----\nEXAMPLE\n-----END PRIVATE KEY-----\n";

/// The blocks of JSON lines on the page, in their order.
fn examples() -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/format/backup.md");
    let page = fs::read_to_string(page).unwrap();
    page.split("```jsonl\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_keyed_examples_verify_with_the_key_of_the_page() {
    let key = BackupKey::from_key_file(KEY_FILE);
    for (index, version, records) in [(0, FormatVersion::V1, 2), (2, FormatVersion::V2, 3)] {
        let options = VerifyOptions { key: key.as_ref(), ..VerifyOptions::default() };
        let verified = verify(Cursor::new(examples()[index].clone()), &options).unwrap();
        let summary = verified.summary();
        assert_eq!((summary.header.version, summary.records), (version, records));
        assert!(summary.authenticated);
    }
}

#[test]
fn the_trailer_of_the_empty_log_verifies_under_its_header() {
    let header = r#"{"format":"trstctl-event-log-backup","version":1,"created_at":"2026-01-02T03:04:05Z"}"#;
    let file = format!("{header}\n{}", examples()[1]);
    let verified = verify(Cursor::new(file), &VerifyOptions::default()).unwrap();
    assert_eq!(verified.summary().records, 0);
}

//! The worked examples of `docs/format/backup.md` are what the page says that they are.

mod support;

use std::io::Cursor;

use support::forge::lines;
use support::{KEY_FILE, V1_KEYED, V2_KEYED, page_examples, page_of_format};
use trstctl_formats::backup::{BackupKey, FormatVersion, VerifyOptions, verify};
use trstctl_formats::merkle;

#[test]
fn the_keyed_examples_verify_with_the_key_of_the_page() {
    let key = BackupKey::from_key_file(KEY_FILE);
    for (index, version, records) in [(0, FormatVersion::V1, 2), (2, FormatVersion::V2, 3)] {
        let options = VerifyOptions { key: key.as_ref(), ..VerifyOptions::default() };
        let verified = verify(Cursor::new(page_examples()[index].clone()), &options).unwrap();
        let summary = verified.summary();
        assert_eq!((summary.header.version, summary.records), (version, records));
        assert!(summary.authenticated);
    }
}

#[test]
fn the_trailer_of_the_empty_log_verifies_under_its_header() {
    let header = r#"{"format":"trstctl-event-log-backup","version":1,"created_at":"2026-01-02T03:04:05Z"}"#;
    let file = format!("{header}\n{}", page_examples()[1]);
    let verified = verify(Cursor::new(file), &VerifyOptions::default()).unwrap();
    assert_eq!(verified.summary().records, 0);
}

#[test]
fn the_keyed_examples_are_the_files_of_the_tests() {
    let examples = page_examples();
    assert_eq!((examples[0].as_bytes(), examples[2].as_bytes()), (V1_KEYED, V2_KEYED));
}

#[test]
fn the_leaves_that_the_page_spells_out_are_those_of_its_records() {
    let page = page_of_format();
    for line in &lines(V2_KEYED)[1..4] {
        let leaf = merkle::leaf_hash(line.strip_suffix(b"\n").unwrap()).to_string();
        assert!(page.contains(&format!("\n{leaf}\n")), "{leaf}");
    }
}

#[test]
fn the_key_that_the_page_spells_out_is_named_by_the_key_id_of_its_example() {
    let key_id = BackupKey::from_key_file(KEY_FILE).unwrap().key_id();
    assert!(page_examples()[2].contains(&format!("\"key_id\":\"{key_id}\"")));
}

//! Version 1 and Go: what a Go program writes is what we write, and what Go reads or refuses, we read or refuse.
//!
//! The files of `tests/go_vectors/` were written by Go's standard library; the program lies beside them, and no test
//! needs Go. With `TRSTCTL_GO_VECTORS=FOLDER` the tests take files that were made anew, with another seed, or more events.

mod support;

use std::collections::BTreeSet;
use std::io::Cursor;

use support::forge::lines;
use support::go::{folder, read, texts, with_ends, with_line};
use support::{KEY_FILE, header, key, message, written};
use trstctl_formats::backup::{
    BackupKey, FormatVersion, Header, VerifyOptions, WriteError, Writer, verify, verify_stream,
};
use trstctl_formats::{Class, StoredMessage};

/// Messages, and the backup that Go makes of them.
const BACKUPS: [(&str, &str); 3] = [
    ("history.stored", "history.with-key.jsonl"),
    ("odd-names.stored", "odd-names.jsonl"),
    ("spellings.stored", "spellings.with-key.jsonl"),
];

/// A backup with lines that Go reads and would write otherwise, and the one that it writes after it read them.
const LINES: (&str, &str) = ("lines.jsonl", "lines-written-again.jsonl");

fn stored(name: &str) -> Vec<StoredMessage> {
    let message = |(sequence, payload): (u64, Vec<u8>)| {
        message(sequence, "events.x", "2026-01-02T03:00:02Z", None, &payload)
    };
    (1..).zip(texts(name)).map(message).collect()
}

fn key_of(name: &str) -> Option<BackupKey> {
    name.contains(".with-key.").then(key)
}

fn options(key: Option<&BackupKey>) -> VerifyOptions<'_> {
    VerifyOptions { key, ..VerifyOptions::default() }
}

fn header_of(cut: usize) -> Header {
    header(FormatVersion::V1, cut as u64)
}

/// Both files line by line: every line that differs is shown.
fn assert_same(what: &str, ours: &[u8], theirs: &[u8]) {
    let (ours, theirs) = (lines(ours), lines(theirs));
    let show = |line: Option<&Vec<u8>>| line.map(|line| line.escape_ascii().to_string());
    let differences: Vec<_> = (0..ours.len().max(theirs.len()))
        .filter(|i| ours.get(*i) != theirs.get(*i))
        .map(|i| format!("line {}\n  ours {:?}\n  Go's {:?}", i + 1, show(ours.get(i)), show(theirs.get(i))))
        .collect();
    let shown = differences.iter().take(5).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(differences.is_empty(), "{what}: {} lines differ, such as\n{shown}", differences.len());
}

#[test]
fn every_file_is_one_that_a_test_reads() {
    let read = BACKUPS.iter().flat_map(|(messages, backup)| [*messages, *backup]).chain([LINES.0, LINES.1]);
    let ends = ["readable.headers", "readable.trailers", "refused.headers", "refused.trailers"];
    let expected: BTreeSet<_> =
        read.chain(ends).chain(["refused.lines", "refused.stored"]).map(String::from).collect();
    let is_source =
        |name: &str| ["go", "mod", "sum", "md"].iter().any(|end| name.ends_with(&format!(".{end}")));
    let entries = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap());
    let names = entries.filter(|entry| entry.file_type().unwrap().is_file()).map(|entry| entry.file_name());
    let found: BTreeSet<_> =
        names.map(|name| name.into_string().unwrap()).filter(|name| !is_source(name)).collect();
    assert_eq!(found, expected);
}

#[test]
fn the_writer_writes_the_bytes_that_go_writes_for_the_same_messages() {
    for (messages, backup) in BACKUPS {
        let messages = stored(messages);
        let ours = written(&header_of(messages.len()), &messages, key_of(backup).as_ref());
        assert_same(backup, &ours, &read(backup));
    }
}

#[test]
fn what_go_wrote_is_accepted_with_every_record_and_as_authentic() {
    for (messages, backup) in BACKUPS {
        let count = texts(messages).len() as u64;
        let bytes = read(backup);
        let key = key_of(backup);
        let summary = verify_stream(&bytes[..], &options(key.as_ref())).unwrap();
        assert_eq!((summary.records, summary.header.event_cut_sequence), (count, count), "{backup}");
        assert_eq!((summary.keyed, summary.authenticated), (key.is_some(), key.is_some()), "{backup}");
        let other = BackupKey::from_key_file(&[KEY_FILE, b"\n"].concat()).unwrap();
        let class = verify(Cursor::new(&bytes), &options(Some(&other))).map(|_| ()).unwrap_err().class;
        let refused = if key.is_some() { Class::Tampered } else { Class::Unkeyed };
        assert_eq!(class, refused, "{backup}");
    }
}

/// The messages that a restore makes of a file.
fn restored(backup: &str) -> Vec<StoredMessage> {
    let key = key_of(backup);
    let mut verified = verify(Cursor::new(read(backup)), &options(key.as_ref())).unwrap();
    let mut messages = verified.messages().unwrap();
    std::iter::from_fn(|| messages.next().unwrap()).collect()
}

#[test]
fn what_go_wrote_is_restored_and_backed_up_again_as_go_wrote_it() {
    let (file, again) = LINES;
    for (file, again) in [(BACKUPS[0].1, BACKUPS[0].1), (file, again)] {
        let messages = restored(file);
        let ours = written(&header_of(messages.len()), &messages, key_of(again).as_ref());
        assert_same(file, &ours, &read(again));
    }
}

#[test]
fn messages_that_go_cannot_back_up_are_refused_by_their_sequence() {
    let accepted: Vec<_> = stored("refused.stored")
        .iter()
        .filter(|message| {
            let header = header_of(usize::MAX >> 5);
            let mut writer = Writer::create(Vec::new(), &header, None).unwrap();
            let refusal = writer.append(message).err();
            !matches!(refusal, Some(WriteError::NotInVersion1 { sequence, .. }) if sequence == message.sequence)
        })
        .map(|message| message.payload.escape_ascii().to_string())
        .collect();
    assert!(accepted.is_empty(), "{} are written, such as\n{}", accepted.len(), accepted[0]);
}

#[test]
fn lines_that_go_does_not_read_are_malformed_records() {
    let wrong: Vec<_> = texts("refused.lines")
        .iter()
        .map(|line| (line, verify_stream(&with_line(line)[..], &options(None)).map(|_| ())))
        .filter(|(_, result)| {
            !matches!(result, Err(failure) if failure.class == Class::MalformedRecord
                && failure.place.line == Some(2))
        })
        .map(|(line, result)| format!("{} {result:?}", line.escape_ascii()))
        .collect();
    assert!(wrong.is_empty(), "{} are not, such as\n{}", wrong.len(), wrong[0]);
}

#[test]
fn headers_and_trailers_are_read_and_refused_as_go_does() {
    let key = key();
    let files = with_ends();
    let wrong: Vec<_> = files
        .iter()
        .map(|(reads, bytes)| (reads, bytes, verify_stream(&bytes[..], &options(Some(&key))).map(|_| ())))
        .filter(|(reads, _, result)| **reads != result.is_ok())
        .map(|(reads, bytes, result)| format!("Go {reads}, we {result:?}: {}", bytes.escape_ascii()))
        .collect();
    assert!(wrong.is_empty(), "{} of {}, such as\n{}", wrong.len(), files.len(), wrong[0]);
}

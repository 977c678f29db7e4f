//! Tree heads: the worked example of `docs/format/tree-head.md`, every damage, and who may be believed.

mod support;

use trstctl_formats::backup::{Allow, FormatVersion, Leaves, Writer};
use trstctl_formats::head::{Head, HeadTrust, NewHistory, sha256};
use trstctl_formats::history::{Difference, DifferenceKind, HeadCheck, RecordCheck};
use trstctl_formats::{Class, Digest, StoredMessage};

use support::{header, key, message, messages};

const EXAMPLE: &[u8] = include_bytes!("examples/tree-head.head");
const DOCUMENT: &str = include_str!("../../docs/format/tree-head.md");

/// The head of a backup of these messages, up to this cut.
fn head(messages: &[StoredMessage], cut: u64) -> Head {
    let mut writer = Writer::create(Vec::new(), &header(FormatVersion::V2, cut), Some(&key())).unwrap();
    for message in messages {
        writer.append(message).unwrap();
    }
    let summary = writer.finish().unwrap().1;
    Head::of(&summary, "trstctl-events-20260102T030405Z.jsonl", None).unwrap()
}

fn trust() -> HeadTrust {
    HeadTrust { keys: vec![key()], ..HeadTrust::default() }
}

fn class(file: &[u8], trust: &HeadTrust) -> Option<Class> {
    Head::read(file).and_then(|head| head.check(trust)).err().map(|failure| failure.class)
}

#[test]
fn worked_example_is_written_and_read_and_stands_in_the_document() {
    let head = head(&messages(), 5);
    let text = String::from_utf8(head.write(Some(&key()))).unwrap();
    assert_eq!(text, String::from_utf8_lossy(EXAMPLE));
    assert!(DOCUMENT.contains(text.trim_end()));
    let read = Head::read(EXAMPLE).unwrap().check(&trust()).unwrap();
    assert!(read.authenticated && read.head == head);
}

#[test]
fn new_history_is_kept_word_for_word() {
    let new_history = NewHistory {
        reason: "\"erased\"\nby order".to_owned(),
        earlier: Some("a.jsonl".to_owned()),
        set_aside: vec![("b.jsonl.head".to_owned(), sha256(b"x")), ("c".to_owned(), sha256(b"y"))],
    };
    let head = Head { new_history: Some(new_history), deployment_id: None, ..head(&messages(), 5) };
    let read = Head::read(&head.write(None)).unwrap().check(&HeadTrust::default()).unwrap();
    assert!(!read.authenticated && read.head == head);
}

#[test]
fn every_flipped_bit_and_every_length_is_refused_without_a_key_too() {
    let unkeyed = head(&messages(), 5).write(None);
    let open = HeadTrust::default();
    let lenient = HeadTrust { unverified_mac: Allow::Yes, ..HeadTrust::default() };
    assert_eq!((class(&unkeyed, &open), class(EXAMPLE, &trust())), (None, None));
    for (file, trust) in [(&unkeyed[..], &open), (EXAMPLE, &trust())] {
        for at in 0..file.len() {
            for bit in 0..8 {
                let mut flipped = file.to_vec();
                flipped[at] ^= 1 << bit;
                assert!(class(&flipped, trust).is_some(), "byte {at} bit {bit}");
            }
            assert!(class(&file[..at], trust).is_some(), "{at} bytes");
        }
    }
    assert_eq!(class(&EXAMPLE[..EXAMPLE.len() - 1], &lenient), Some(Class::Truncated));
}

#[test]
fn who_may_be_believed_is_as_with_backups() {
    let unkeyed = head(&messages(), 5).write(None);
    let other = trstctl_formats::backup::BackupKey::from_key_file(b"another").unwrap();
    let none = HeadTrust::default();
    let others = HeadTrust { keys: vec![other.clone()], ..none.clone() };
    assert_eq!(class(EXAMPLE, &none), Some(Class::KeyMissing));
    assert_eq!(class(EXAMPLE, &HeadTrust { unverified_mac: Allow::Yes, ..none.clone() }), None);
    assert_eq!(class(EXAMPLE, &others), Some(Class::WrongKey));
    assert_eq!(
        class(EXAMPLE, &HeadTrust { unverified_mac: Allow::Yes, ..others.clone() }),
        Some(Class::WrongKey)
    );
    assert_eq!(class(EXAMPLE, &HeadTrust { keys: vec![other, key()], ..none.clone() }), None);
    assert_eq!(class(&unkeyed, &none), None);
    assert_eq!(class(&unkeyed, &others), Some(Class::Unkeyed));
    assert_eq!(class(&unkeyed, &HeadTrust { unkeyed: Allow::Yes, ..others }), None);
}

#[test]
fn other_files_and_newer_versions_are_told_apart() {
    let text = String::from_utf8_lossy(EXAMPLE);
    let with = |from: &str, to: &str| class(text.replace(from, to).as_bytes(), &trust());
    assert_eq!(class(b"", &trust()), Some(Class::NotABackup));
    assert_eq!(class(support::V2_KEYED, &trust()), Some(Class::NotABackup));
    assert_eq!(with("\"version\":1", "\"version\":2"), Some(Class::NewerVersion));
    assert_eq!(with("\"version\":1", "\"version\":0"), Some(Class::Damaged));
    assert_eq!(with("\"records\":3", "\"records\":4"), Some(Class::Damaged));
}

/// A message that says its sequence, and this.
fn said(sequence: u64, what: &str) -> StoredMessage {
    message(sequence, "events.x", "2026-01-02T03:00:02Z", None, what.as_bytes())
}

fn leaves(
    sequences: impl IntoIterator<Item = u64>,
    what: impl Fn(u64) -> &'static str,
) -> Vec<(u64, Digest)> {
    let mut leaves = Leaves::default();
    sequences.into_iter().map(|sequence| (sequence, leaves.of(&said(sequence, what(sequence))))).collect()
}

/// What a head finds about a later log.
fn by_head(head: &Head, later: &[(u64, Digest)], last: u64) -> Option<Difference> {
    let mut check = HeadCheck::new(head);
    let pushed = later.iter().try_for_each(|(sequence, leaf)| check.push(*sequence, *leaf));
    pushed.and_then(|()| check.finish(last)).err()
}

/// What the records of the earlier log find.
fn by_records(earlier: &[(u64, Digest)], cut: u64, later: &[(u64, Digest)], last: u64) -> Option<Difference> {
    let (mut check, mut earlier) = (RecordCheck::new(cut), earlier.iter().copied());
    let pushed = later.iter().try_for_each(|leaf| check.push(*leaf, earlier.next()));
    pushed.and_then(|()| check.finish(last, earlier.next().map(|(sequence, _)| sequence))).err()
}

/// A later log that differs from 1 to 200, with what its difference is by records.
type Case = (Vec<(u64, Digest)>, u64, Option<(DifferenceKind, u64, u64)>);

#[test]
fn every_difference_is_found_and_the_head_names_a_range_that_holds_it() {
    let same = |_| "same";
    let without = |n: u64| (1..=250).filter(move |sequence| *sequence != n);
    let cases: Vec<Case> = vec![
        (leaves(1..=200, same), 200, None),
        (leaves(1..=250, same), 250, None),
        (leaves(1..=200, same), 260, None),
        (leaves(1..=150, same), 150, Some((DifferenceKind::Lost, 151, 200))),
        (leaves([], same), 0, Some((DifferenceKind::Lost, 1, 200))),
        (leaves(without(1), same), 250, Some((DifferenceKind::Missing, 1, 1))),
        (leaves(without(77), same), 250, Some((DifferenceKind::Missing, 77, 77))),
        (leaves(without(200), same), 250, Some((DifferenceKind::Missing, 200, 200))),
        (leaves(1..=199, same), 260, Some((DifferenceKind::Missing, 200, 200))),
        (
            leaves(1..=250, |n| if n == 130 { "other" } else { "same" }),
            250,
            Some((DifferenceKind::Changed, 130, 130)),
        ),
        (
            leaves(1..=250, |n| if n > 190 { "fork" } else { "same" }),
            250,
            Some((DifferenceKind::Changed, 191, 191)),
        ),
    ];
    let earlier: Vec<StoredMessage> = (1..=200).map(|sequence| said(sequence, "same")).collect();
    let (head, earlier) = (head(&earlier, 200), leaves(1..=200, same));
    assert_eq!(head.blocks.leaves_per_block(), 4);
    for (later, last, expected) in cases {
        let exact = by_records(&earlier, 200, &later, last);
        assert_eq!(exact.map(|d| (d.kind, d.from, d.to)), expected);
        let found = by_head(&head, &later, last);
        assert_eq!(found.is_some(), expected.is_some(), "{expected:?}");
        let Some((found, exact)) = found.zip(exact) else { continue };
        assert!(found.from <= exact.from && exact.from <= found.to, "{found:?} {exact:?}");
        assert!(
            found.common_through < exact.from && found.to - found.from < 4
                || found.kind == DifferenceKind::Lost
        );
    }
}

#[test]
fn what_the_earlier_log_had_deleted_must_stay_away_and_the_end_may_not_go_back() {
    let earlier: Vec<StoredMessage> = [2, 3, 7].map(|sequence| said(sequence, "same")).into();
    let (head, same) = (head(&earlier, 10), leaves([2, 3, 7], |_| "same"));
    assert_eq!(by_head(&head, &same, 10), None);
    for (sequences, last, kind, at) in [
        (vec![2, 3, 7, 9], 12, DifferenceKind::Added, 9),
        (vec![2, 3, 7, 10], 10, DifferenceKind::Added, 10),
        (vec![2, 3, 7], 9, DifferenceKind::EndsBefore, 10),
    ] {
        let later = leaves(sequences, |_| "same");
        for found in [by_head(&head, &later, last), by_records(&same, 10, &later, last)] {
            assert_eq!(found.map(|d| (d.kind, d.from)), Some((kind, at)));
        }
    }
    let later = leaves([2, 3, 5, 7], |_| "same");
    let exact = by_records(&same, 10, &later, 12).unwrap();
    assert_eq!((exact.kind, exact.from, exact.common_through), (DifferenceKind::Added, 5, 3));
    // With few records the head knows each of them.
    assert_eq!(by_head(&head, &later, 12).map(|d| d.kind), Some(DifferenceKind::Changed));
}

#[test]
fn head_of_a_log_without_messages_allows_what_comes_behind_its_cut() {
    let head = head(&[], 5);
    assert_eq!((head.first_sequence, head.records), (6, 0));
    assert!(Head::read(&head.write(None)).is_ok());
    assert_eq!(by_head(&head, &leaves([6], |_| "x"), 6), None);
    assert_eq!(by_head(&head, &leaves([5], |_| "x"), 6).map(|d| d.kind), Some(DifferenceKind::Added));
}

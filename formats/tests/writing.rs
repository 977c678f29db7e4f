//! What the writer writes: the worked examples byte for byte, and what it refuses.

mod support;

use support::{V1_KEYED, V2_KEYED, header, key, message, messages, time, written};
use trstctl_formats::backup::{ContentFold, FormatVersion, Header, Lines, MAX_INTEGER, WriteError, Writer};

#[test]
fn the_worked_example_of_version_1_is_written_byte_for_byte() {
    let written = written(&header(FormatVersion::V1, 2), &messages()[..2], Some(&key()));
    assert_eq!(String::from_utf8(written).unwrap(), str::from_utf8(V1_KEYED).unwrap());
}

#[test]
fn the_worked_example_of_version_2_is_written_byte_for_byte() {
    let written = written(&header(FormatVersion::V2, 5), &messages(), Some(&key()));
    assert_eq!(String::from_utf8(written).unwrap(), str::from_utf8(V2_KEYED).unwrap());
}

#[test]
fn an_empty_log_in_version_1_ends_with_the_trailer_of_the_specification() {
    let header = Header { created_at: time("2026-01-02T03:04:05Z"), ..header(FormatVersion::V1, 0) };
    let text = String::from_utf8(written(&header, &[], None)).unwrap();
    let expected = r#"{"format":"trstctl-event-log-backup-trailer","sha256":"0854f4702f088362af9e6a07f4573839322e3d5ca2ea8da5819e6f44013566dd","records":0}"#;
    assert_eq!(text.lines().last().unwrap(), expected);
}

#[test]
fn a_log_without_messages_begins_after_its_cut_in_version_2() {
    for first in [1, 4, 90] {
        let header = Header { first_sequence: first, ..header(FormatVersion::V2, 7) };
        let text = String::from_utf8(written(&header, &[], None)).unwrap();
        assert!(text.lines().next().unwrap().ends_with(r#""first_sequence":8,"event_cut_sequence":7}"#));
        let root = r#""merkle_root":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855""#;
        let rest = r#","records":0,"first_sequence":8,"last_sequence":7,"event_cut_sequence":7,"gaps":[],"tenants":[]}"#;
        assert!(text.lines().last().unwrap().ends_with(&format!("{root}{rest}")), "{text}");
    }
}

#[test]
fn a_message_that_version_1_cannot_say_is_named_and_version_2_takes_it() {
    let mut writer = Writer::create(Vec::new(), &header(FormatVersion::V1, 5), None).unwrap();
    match writer.append(&messages()[2]) {
        Err(WriteError::NotInVersion1 { sequence: 4, reason }) => {
            assert!(reason.contains("a JSON object"), "{reason}")
        }
        other => panic!("{other:?}"),
    }
    written(&header(FormatVersion::V2, 5), &messages()[2..], None);
}

#[test]
fn messages_out_of_order_or_range_are_refused() {
    let messages = messages();
    for (first, cut) in [(1, 1), (3, 5)] {
        let header = Header { first_sequence: first, ..header(FormatVersion::V2, cut) };
        let mut writer = Writer::create(Vec::new(), &header, None).unwrap();
        assert!(matches!(writer.append(&messages[1]), Err(WriteError::OutOfOrder { sequence: 2, .. })));
    }
    let mut writer = Writer::create(Vec::new(), &header(FormatVersion::V2, 5), None).unwrap();
    writer.append(&messages[1]).unwrap();
    assert!(writer.append(&messages[1]).is_err());
    assert!(writer.append(&messages[0]).is_err());
    let through = |cut| Header { event_cut_sequence: cut, ..header(FormatVersion::V2, 5) };
    assert!(Writer::create(Vec::new(), &through(MAX_INTEGER), None).is_ok());
    let one_more = Writer::create(Vec::new(), &through(MAX_INTEGER + 1), None);
    assert!(matches!(one_more, Err(WriteError::Header { .. })));
}

#[test]
fn a_fold_of_the_messages_states_what_the_trailer_states() {
    let mut writer = Writer::create(Vec::new(), &header(FormatVersion::V2, 5), None).unwrap();
    let mut fold = ContentFold::new(Lines::Exact, 1);
    for message in messages() {
        writer.append(&message).unwrap();
        fold.append(&message);
    }
    let content = fold.finish(5);
    assert_eq!(writer.finish().unwrap().1.content.unwrap(), content);
    assert_eq!(
        content.merkle_root.to_string(),
        "76cb6c5d6808744f44669153957c7943c9c4727bcff7dc84922779dfe232f785"
    );
    assert_eq!(content.gaps, [(3, 3), (5, 5)]);
}

#[test]
fn folds_without_times_and_sequences_do_not_see_them() {
    let root = |lines, sequence, stored_at: &str, id: Option<&str>| {
        let mut fold = ContentFold::new(lines, 1);
        fold.append(&message(sequence, "events.x", stored_at, id, b"hello"));
        fold.finish(sequence).merkle_root
    };
    let (one, other) = ("2026-01-02T03:00:02Z", "2027-01-02T03:00:02Z");
    assert_ne!(root(Lines::Exact, 1, one, None), root(Lines::Exact, 1, other, None));
    assert_eq!(root(Lines::WithoutStoreTime, 1, one, None), root(Lines::WithoutStoreTime, 1, other, None));
    assert_ne!(root(Lines::WithoutStoreTime, 1, one, None), root(Lines::WithoutStoreTime, 2, one, None));
    assert_eq!(root(Lines::ContentOnly, 1, one, Some("i")), root(Lines::ContentOnly, 2, other, Some("i")));
    assert_ne!(root(Lines::ContentOnly, 1, one, Some("i")), root(Lines::ContentOnly, 1, one, Some("j")));
}

#[test]
fn a_first_sequence_of_0_is_written_as_1() {
    let reported = Header { first_sequence: 0, ..header(FormatVersion::V2, 5) };
    assert_eq!(
        written(&reported, &messages(), None),
        written(&header(FormatVersion::V2, 5), &messages(), None)
    );
}

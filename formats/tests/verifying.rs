//! Verification of the worked examples, the second pass, and the parts that a restore can take.

mod support;

use std::io::{Cursor, Read, Seek, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use support::forge::{forged, replaced};
use support::{IDENTITY, RECIPIENT, V1_KEYED, V2_KEYED, header, key, messages, time, written};
use trstctl_formats::backup::{
    Allow, ContentFold, Cut, FormatVersion, Lines, Purpose, Verified, VerifyOptions, verify, verify_stream,
};
use trstctl_formats::container::{self, Compression, Container};
use trstctl_formats::merkle::leaf_hash;
use trstctl_formats::{Class, Failure, StoredMessage};

fn opened(bytes: &[u8], options: &VerifyOptions<'_>) -> Result<Verified<Cursor<Vec<u8>>>, Failure> {
    verify(Cursor::new(bytes.to_vec()), options)
}

fn all<S: Read + Seek + Send>(verified: &mut Verified<S>) -> Vec<StoredMessage> {
    let mut messages = verified.messages().unwrap();
    std::iter::from_fn(|| messages.next().unwrap()).collect()
}

#[test]
fn the_worked_example_of_version_2_verifies_and_gives_its_messages_back() {
    let key = key();
    let options = VerifyOptions { key: Some(&key), ..VerifyOptions::default() };
    let mut verified = opened(V2_KEYED, &options).unwrap();
    let summary = verified.summary().clone();
    assert_eq!((summary.records, summary.tenants, summary.len_bytes), (3, Some(2), V2_KEYED.len() as u64));
    assert!(summary.keyed && summary.authenticated);
    assert_eq!(summary.content.as_ref(), Some(verified.part()));
    let longest = V2_KEYED.split(|b| *b == b'\n').skip(1).take(3).map(<[u8]>::len).max();
    assert_eq!(Some(verified.longest_record_bytes() as usize), longest);
    assert_eq!(summary.time_range, Some((time("2026-01-02T03:00:00.25Z"), time("2026-01-02T03:00:02Z"))));
    assert_eq!(all(&mut verified), messages());
    assert_eq!(all(&mut verified), messages(), "a second time");
    assert_eq!(verify_stream(V2_KEYED, &options).unwrap().sha256, summary.sha256);
}

#[test]
fn the_worked_example_of_version_1_verifies_and_makes_new_messages() {
    let key = key();
    let options =
        VerifyOptions { key: Some(&key), part_of_version_1: Allow::Yes, ..VerifyOptions::default() };
    let mut verified = opened(V1_KEYED, &options).unwrap();
    let summary = verified.summary().clone();
    assert!(summary.keyed && summary.authenticated);
    assert_eq!((summary.records, summary.content, summary.tenants), (2, None, None));
    let part = verified.part().clone();
    let made = all(&mut verified);
    let mut expected = messages()[..2].to_vec();
    expected[0].stored_at = time("2026-01-02T03:00:00Z");
    expected[1].stored_at = time("2026-01-02T03:00:01.5Z");
    // Version 1 keeps the escapes that it wrote into the payload.
    let payload = r#"{"id":"Vh5Zk2QmX0aBcDeFgHiJkL","type":"tenant.registered","tenant_id":"00000000-0000-4000-8000-00000000000a","time":"2026-01-02T03:00:00Z","v":1,"data":"eyJuYW1lIjoiQWNtZSBcdTAwM2NSXHUwMDI2RFx1MDAzZSJ9"}"#;
    expected[0].payload = payload.into();
    assert_eq!(made, expected);
    let mut fold = ContentFold::new(Lines::Exact, 1);
    made.iter().for_each(|message| fold.append(message));
    assert_eq!(part, fold.finish(2));
    let again = written(&header(FormatVersion::V1, 2), &made, Some(&key));
    assert_eq!(again, V1_KEYED);
}

#[test]
fn records_say_what_stands_in_their_lines() {
    let owner = "00000000-0000-4000-8000-00000000000a";
    let lines_of =
        |bytes: &'static [u8]| -> Vec<&[u8]> { bytes.split(|byte| *byte == b'\n').skip(1).collect() };
    let of_version_2 = [
        (1, "2026-01-02T03:00:00.25Z", owner, Some("tenant.registered")),
        (2, "2026-01-02T03:00:01.500000001Z", owner, Some("owner.created")),
        (4, "2026-01-02T03:00:02Z", "", None),
    ];
    // Version 1 counts, and knows the events' own times.
    let of_version_1 = [
        (1, "2026-01-02T03:00:00Z", owner, Some("tenant.registered")),
        (2, "2026-01-02T03:00:01.5Z", owner, Some("owner.created")),
    ];
    for (bytes, expected) in [(V2_KEYED, &of_version_2[..]), (V1_KEYED, &of_version_1)] {
        let key = key();
        let mut verified =
            opened(bytes, &VerifyOptions { key: Some(&key), ..VerifyOptions::default() }).unwrap();
        let mut records = verified.records().unwrap();
        for (number, (sequence, stored_at, tenant, kind)) in (1..).zip(expected) {
            let record = records.next().unwrap().unwrap();
            let line = lines_of(bytes)[number - 1];
            assert_eq!((record.number, record.line), (number as u64, line));
            assert_eq!((record.sequence(), record.time()), (*sequence, Some(time(stored_at))));
            assert_eq!((&*record.tenant_id(), record.kind().as_deref()), (*tenant, *kind));
            assert_eq!(record.leaf(), leaf_hash(line));
            assert_eq!(record.event_in_raw_form(), None);
        }
        assert!(records.next().unwrap().is_none());
    }
}

#[test]
fn an_event_that_is_spelled_in_another_way_is_found_in_its_raw_form() {
    let mut messages = messages();
    let spelled = replaced(&messages[1].payload, b"{\"id\":", b"{ \"id\":");
    messages[1].payload = spelled.into();
    let bytes = written(&header(FormatVersion::V2, 5), &messages, None);
    let mut verified = opened(&bytes, &VerifyOptions::default()).unwrap();
    let mut records = verified.records().unwrap();
    let mut found = Vec::new();
    while let Some(record) = records.next().unwrap() {
        found.push((record.kind().is_some(), record.event_in_raw_form().map(|event| event.kind)));
    }
    assert_eq!(found, [(true, None), (false, Some(String::from("owner.created"))), (false, None)]);
}

#[test]
fn a_part_has_the_content_of_a_backup_cut_there() {
    let bytes = written(&header(FormatVersion::V2, 5), &messages(), None);
    let part = |cut| {
        let mut verified = opened(&bytes, &VerifyOptions { cut, ..VerifyOptions::default() }).unwrap();
        let part = verified.part().clone();
        (part, all(&mut verified))
    };
    let expected = |records: usize, last: u64| {
        let mut fold = ContentFold::new(Lines::Exact, 1);
        messages()[..records].iter().for_each(|message| fold.append(message));
        (fold.finish(last), messages()[..records].to_vec())
    };
    for (through, records) in [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (5, 3)] {
        assert_eq!(part(Cut::Through(through)), expected(records, through), "through {through}");
    }
    for (until, records, last) in [
        ("2026-01-02T03:00:00Z", 0, 0),
        ("2026-01-02T03:00:00.25Z", 1, 1),
        // The next record is 4: the cut lies inside the gap.
        ("2026-01-02T03:00:01.500000001Z", 2, 3),
        ("2026-01-02T03:00:02Z", 3, 5),
        ("2027-01-01T00:00:00Z", 3, 5),
    ] {
        assert_eq!(part(Cut::Until(time(until))), expected(records, last), "until {until}");
    }
}

#[test]
fn a_part_of_version_1_counts_records_and_event_times() {
    let key = key();
    let part = |cut| {
        let options =
            VerifyOptions { key: Some(&key), cut, part_of_version_1: Allow::Yes, ..VerifyOptions::default() };
        let mut verified = opened(V1_KEYED, &options)?;
        let part = verified.part().clone();
        assert_eq!(all(&mut verified).len() as u64, part.records);
        Ok::<_, Failure>((part.records, part.last_sequence))
    };
    assert_eq!(part(Cut::Through(1)).unwrap(), (1, 1));
    assert_eq!(part(Cut::Through(2)).unwrap(), (2, 2));
    assert_eq!(part(Cut::Through(3)).unwrap_err().class, Class::Usage);
    assert_eq!(part(Cut::Until(time("2026-01-02T03:00:01.4Z"))).unwrap(), (1, 1));
    assert_eq!(part(Cut::Until(time("2026-01-02T03:00:01.5Z"))).unwrap(), (2, 2));
    assert_eq!(part(Cut::Until(time("2020-01-01T00:00:00Z"))).unwrap(), (0, 0));
}

#[test]
fn a_restore_refuses_a_version_1_time_that_could_not_be_read_again() {
    let bytes = written(&header(FormatVersion::V1, 2), &messages()[..2], None);
    let bytes = forged(&replaced(&bytes, b"03:00:01.5Z", b"03:00:01.5+24:00"));
    assert!(opened(&bytes, &VerifyOptions::default()).is_ok());
    let options =
        VerifyOptions { purpose: Purpose::Restore, unkeyed: Allow::Yes, ..VerifyOptions::default() };
    let failure = opened(&bytes, &options).err().unwrap();
    assert_eq!((failure.class, failure.place.line), (Class::MalformedRecord, Some(3)), "{failure}");
    let line = "{\"id\":\"Vh5Zk2QmX0aBcDeFgHiJkM\"";
    let offset = memchr::memmem::find(&bytes, line.as_bytes()).unwrap() as u64;
    assert_eq!(failure.place.offset, Some(offset));
    assert!(failure.message.contains("an offset below 24 hours (a restore makes"), "{failure}");
    // It is told before what is wrong with a later line.
    let both = forged(&replaced(
        &bytes,
        b"\n{\"format\":\"trstctl-event-log-backup-t",
        b"\n{}\n{\"format\":\"trstctl-event-log-backup-t",
    ));
    let failure = opened(&both, &options).err().unwrap();
    assert_eq!((failure.class, failure.place.line), (Class::MalformedRecord, Some(3)), "{failure}");
}

#[test]
fn a_part_may_end_before_a_line_that_is_longer_than_all_buffers() {
    let mut long = messages();
    long[1].payload = vec![b'x'; 10 << 20].into();
    let bytes = written(&header(FormatVersion::V2, 5), &long, None);
    let (sender, given) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let options = VerifyOptions { cut: Cut::Through(1), ..VerifyOptions::default() };
        sender.send(all(&mut opened(&bytes, &options).unwrap()))
    });
    let given = given.recv_timeout(std::time::Duration::from_secs(120));
    assert_eq!(given.expect("the second pass ends"), messages()[..1]);
}

#[test]
fn a_part_beyond_the_end_is_a_usage_failure() {
    let bytes = written(&header(FormatVersion::V2, 5), &messages(), None);
    let failure =
        opened(&bytes, &VerifyOptions { cut: Cut::Through(6), ..VerifyOptions::default() }).err().unwrap();
    assert_eq!(failure.class, Class::Usage);
    assert!(failure.message.contains("beyond 5"), "{failure}");
}

#[test]
fn who_may_accept_what_is_the_table_of_the_specification() {
    let (ours, other) = (key(), trstctl_formats::backup::BackupKey::from_key_file(b"other").unwrap());
    for (version, cut) in [(FormatVersion::V1, 2), (FormatVersion::V2, 5)] {
        let count = if version == FormatVersion::V1 { 2 } else { 3 };
        let keyed = written(&header(version, cut), &messages()[..count], Some(&ours));
        let unkeyed = written(&header(version, cut), &messages()[..count], None);
        let class = |bytes: &[u8], options: VerifyOptions<'_>| {
            let streamed = verify_stream(bytes, &options).map(|s| s.authenticated).map_err(|f| f.class);
            let seeked = opened(bytes, &options).map(|v| v.summary().authenticated).map_err(|f| f.class);
            assert_eq!(streamed, seeked);
            seeked
        };
        let none = VerifyOptions::default;
        let restore = || VerifyOptions { purpose: Purpose::Restore, ..VerifyOptions::default() };
        let with = |key| VerifyOptions { key: Some(key), ..VerifyOptions::default() };
        let wrong = if version == FormatVersion::V1 { Class::Tampered } else { Class::WrongKey };
        assert_eq!(class(&keyed, with(&ours)), Ok(true));
        assert_eq!(class(&keyed, with(&other)), Err(wrong));
        assert_eq!(class(&keyed, VerifyOptions { unverified_mac: Allow::Yes, ..with(&other) }), Err(wrong));
        assert_eq!(class(&keyed, none()), Err(Class::KeyMissing));
        assert_eq!(class(&keyed, VerifyOptions { unkeyed: Allow::Yes, ..none() }), Err(Class::KeyMissing));
        assert_eq!(class(&keyed, VerifyOptions { unverified_mac: Allow::Yes, ..restore() }), Ok(false));
        assert_eq!(class(&unkeyed, with(&ours)), Err(Class::Unkeyed));
        assert_eq!(
            class(&unkeyed, VerifyOptions { unverified_mac: Allow::Yes, ..with(&ours) }),
            Err(Class::Unkeyed)
        );
        assert_eq!(class(&unkeyed, VerifyOptions { unkeyed: Allow::Yes, ..with(&ours) }), Ok(false));
        assert_eq!(class(&unkeyed, none()), Ok(false));
        assert_eq!(class(&unkeyed, restore()), Err(Class::Unkeyed));
        assert_eq!(class(&unkeyed, VerifyOptions { unkeyed: Allow::Yes, ..restore() }), Ok(false));
    }
}

#[test]
fn a_file_that_changes_between_the_passes_fails_at_the_latest_at_its_end() {
    /// Gives other bytes from the moment that a flag is set.
    struct Changing<'a> {
        contents: [Cursor<Vec<u8>>; 2],
        changed: &'a AtomicBool,
    }
    impl Changing<'_> {
        fn content(&mut self) -> &mut Cursor<Vec<u8>> {
            &mut self.contents[usize::from(self.changed.load(Ordering::Relaxed))]
        }
    }
    impl Read for Changing<'_> {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            self.content().read(buf)
        }
    }
    impl Seek for Changing<'_> {
        fn seek(&mut self, position: std::io::SeekFrom) -> std::io::Result<u64> {
            self.content().seek(position)
        }
    }
    let bytes = written(&header(FormatVersion::V2, 5), &messages(), None);
    let len = bytes.len() as u64;
    let other = String::from_utf8(bytes.clone()).unwrap().replace("payments", "Payments").into_bytes();
    let changed = AtomicBool::new(false);
    let source = Changing { contents: [Cursor::new(bytes), Cursor::new(other)], changed: &changed };
    let mut verified = verify(source, &VerifyOptions::default()).unwrap();
    changed.store(true, Ordering::Relaxed);
    let failure_of = |next: &mut dyn FnMut() -> Result<bool, Failure>| loop {
        match next() {
            Ok(goes_on) => assert!(goes_on, "the second pass ended well"),
            Err(failure) => break failure,
        }
    };
    let mut messages = verified.messages().unwrap();
    let of_messages = failure_of(&mut || messages.next().map(|message| message.is_some()));
    drop(messages);
    let mut records = verified.records().unwrap();
    let of_records = failure_of(&mut || records.next().map(|record| record.is_some()));
    for failure in [of_messages, of_records] {
        assert_eq!(failure.class, Class::Damaged);
        assert!(failure.message.contains("changed after it was verified"), "{failure}");
        assert_eq!(failure.place.offset, Some(len));
    }
}

#[test]
fn every_container_is_read_twice_with_the_same_verdict_and_messages() {
    let bytes = written(&header(FormatVersion::V2, 5), &messages(), Some(&key()));
    let key = key();
    let identities = container::parse_identities(IDENTITY.as_bytes()).unwrap();
    let options = VerifyOptions { key: Some(&key), identities: &identities, ..VerifyOptions::default() };
    for compression in [Compression::None, Compression::Zstd] {
        for recipients in [vec![], vec![RECIPIENT.parse().unwrap()]] {
            let mut sealed = container::seal(Vec::new(), compression, &recipients).unwrap();
            sealed.write_all(&bytes).unwrap();
            let sealed = sealed.finish().unwrap();
            let mut verified = opened(&sealed, &options).unwrap();
            assert_eq!(verified.container(), Container::of(compression, &recipients));
            assert_eq!(verified.summary().len_bytes, bytes.len() as u64);
            assert_eq!(all(&mut verified), messages());
            let truncated = opened(&sealed[..sealed.len() - 1], &options).err().unwrap();
            let class = if recipients.is_empty() { Class::Truncated } else { Class::Damaged };
            assert_eq!(truncated.class, class, "{truncated}");
        }
    }
}

#[test]
fn a_fault_of_a_container_is_placed_where_the_plain_stream_stopped() {
    let sealed = |bytes: &[u8]| {
        let mut sealed = container::seal(Vec::new(), Compression::Zstd, &[]).unwrap();
        sealed.write_all(bytes).unwrap();
        sealed.finish().unwrap()
    };
    let bytes = written(&header(FormatVersion::V2, 5), &messages(), None);
    let long: Vec<_> =
        (1..=9_000).map(|n| StoredMessage { sequence: n, ..messages().pop().unwrap() }).collect();
    let long = written(&header(FormatVersion::V2, 9_000), &long, None);
    let place = |bytes: &[u8]| {
        let failure = opened(bytes, &VerifyOptions::default()).err().unwrap();
        (failure.class, failure.place.line, failure.place.offset)
    };
    // The checksum is missing: all lines were read, one block of them or several.
    for (bytes, lines) in [(&bytes, 5), (&long, 9_002)] {
        let (sealed, end) = (sealed(bytes), bytes.len() as u64);
        assert_eq!(place(&sealed[..sealed.len() - 1]), (Class::Truncated, Some(lines + 1), Some(end)));
    }
    let sealed = sealed(&bytes);
    assert_eq!(place(&sealed[..8]), (Class::Truncated, Some(1), Some(0)));
    assert_eq!(place(b"\x1f\x8b"), (Class::NotABackup, Some(1), Some(0)));
}

#[test]
fn a_refusal_by_key_is_placed_at_the_trailer() {
    let (ours, other) = (key(), trstctl_formats::backup::BackupKey::from_key_file(b"other").unwrap());
    let unkeyed = written(&header(FormatVersion::V2, 5), &messages(), None);
    for (bytes, key, class) in [
        (V1_KEYED, None, Class::KeyMissing),
        (V2_KEYED, None, Class::KeyMissing),
        (V2_KEYED, Some(&other), Class::WrongKey),
        (&unkeyed, Some(&ours), Class::Unkeyed),
    ] {
        let options = VerifyOptions { key, ..VerifyOptions::default() };
        let trailer = memchr::memmem::rfind(bytes, b"\n{").unwrap() as u64 + 1;
        let seeked = opened(bytes, &options).err().unwrap();
        assert_eq!((seeked.class, seeked.place.line, seeked.place.offset), (class, None, Some(trailer)));
        let streamed = verify_stream(bytes, &options).unwrap_err();
        let line = bytes.split_inclusive(|b| *b == b'\n').count() as u64;
        assert_eq!(
            (streamed.class, streamed.place.line, streamed.place.offset),
            (class, Some(line), Some(trailer))
        );
    }
}

#[test]
fn an_interrupted_verification_says_so() {
    let bytes = written(&header(FormatVersion::V2, 5), &messages(), None);
    let options = VerifyOptions { interrupted: Some(&|| true), ..VerifyOptions::default() };
    assert_eq!(opened(&bytes, &options).err().unwrap().class, Class::Interrupted);
}

#[test]
fn progress_ends_with_the_bytes_of_the_file() {
    use std::sync::atomic::AtomicU64;
    let mut long = messages();
    long[1].payload = vec![b'x'; 1 << 20].into();
    let bytes = written(&header(FormatVersion::V2, 5), &long, None);
    let (calls, read) = (AtomicU64::new(0), AtomicU64::new(0));
    let progress = |so_far| {
        calls.fetch_add(1, Ordering::Relaxed);
        assert!(read.swap(so_far, Ordering::Relaxed) <= so_far);
    };
    verify_stream(&bytes[..], &VerifyOptions { progress: Some(&progress), ..VerifyOptions::default() })
        .unwrap();
    assert_eq!(read.into_inner(), bytes.len() as u64);
    assert!(calls.into_inner() > 1);
}

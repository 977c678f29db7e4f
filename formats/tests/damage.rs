//! Damage to a small keyed file of each version: what it is taken for, and where it is seen. The whole matrix is in
//! `damage_matrix.rs`.

mod support;

use std::io::Cursor;

use support::forge::{forged, lines};
use support::{V1_KEYED, V2_KEYED, key};
use trstctl_formats::backup::{BackupKey, VerifyOptions, verify, verify_stream};
use trstctl_formats::container::{self, Compression};
use trstctl_formats::{Class, Failure};

/// The verdict, which reading as a stream must share, and where the fault was seen.
fn verdict(bytes: &[u8], key: &BackupKey) -> Result<(), Failure> {
    let options = VerifyOptions { key: Some(key), ..VerifyOptions::default() };
    let seeked = verify(Cursor::new(bytes), &options).map(|_| ());
    let streamed = verify_stream(bytes, &options).map(|_| ());
    let class = |result: &Result<(), Failure>| result.as_ref().map_err(|failure| failure.class).copied();
    assert_eq!(class(&seeked), class(&streamed));
    seeked
}

#[test]
fn each_truncation_is_refused_as_one() {
    let key = key();
    for original in [V1_KEYED, V2_KEYED] {
        for len in 0..original.len() {
            let tag_bytes = b"{\"format\":\"trstctl-event-log-backup\"".len();
            let only_newline_missing = len + 1 == original.len();
            match verdict(&original[..len], &key).map_err(|failure| failure.class) {
                Err(Class::NotABackup) => assert!(len < tag_bytes, "{len}"),
                Err(Class::Truncated) => assert!(len >= tag_bytes, "{len}"),
                // Version 1 does not need the last newline.
                Ok(()) => assert!(only_newline_missing && original == V1_KEYED, "{len}"),
                Err(other) => panic!("{len}: {other:?}"),
            }
        }
    }
}

/// All files with a line dropped, doubled, or swapped with the next, and the number of the first line that is wrong.
fn rearranged(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let all = lines(bytes);
    let records = 1..all.len() - 1;
    let mut files = Vec::new();
    for i in records.clone() {
        let mut dropped = all.clone();
        dropped.remove(i);
        files.push((format!("line {} dropped", i + 1), dropped.concat()));
        let mut doubled = all.clone();
        doubled.insert(i, all[i].clone());
        files.push((format!("line {} doubled", i + 1), doubled.concat()));
        if records.contains(&(i + 1)) {
            let mut swapped = all.clone();
            swapped.swap(i, i + 1);
            files.push((format!("line {} swapped", i + 1), swapped.concat()));
        }
    }
    files
}

#[test]
fn lines_dropped_doubled_or_swapped_are_damage() {
    let key = key();
    for original in [V1_KEYED, V2_KEYED] {
        for (what, bytes) in rearranged(original) {
            assert_eq!(verdict(&bytes, &key).unwrap_err().class, Class::Damaged, "{what}");
        }
    }
}

#[test]
fn lines_dropped_doubled_or_swapped_under_a_right_checksum_are_tampering() {
    let (ours, other) = (key(), BackupKey::from_key_file(b"other").unwrap());
    for original in [V1_KEYED, V2_KEYED] {
        for (what, bytes) in rearranged(original) {
            // A forger has no key: the checksum is right, the MAC that of the original.
            let forged_without_key = {
                let right = forged(&bytes);
                let field = b"\"hmac_sha256\":\"";
                let mac_at = |bytes: &[u8]| memchr::memmem::rfind(bytes, field).unwrap() + field.len();
                let mut right_checksum = right.clone();
                let from = mac_at(&right);
                right_checksum[from..from + 64].copy_from_slice(&original[mac_at(original)..][..64]);
                right_checksum
            };
            assert_eq!(verdict(&forged_without_key, &ours).unwrap_err().class, Class::Tampered, "{what}");
            // Whoever has the key wrote it wrong: swapped lines of version 1 have no sequence to show it.
            let with_key = verdict(&forged(&bytes), &ours);
            let is_swap_of_v1 = original == V1_KEYED && what.ends_with("swapped");
            assert_eq!(
                with_key.map_err(|f| f.class),
                if is_swap_of_v1 { Ok(()) } else { Err(Class::Inconsistent) },
                "{what}"
            );
            assert!(verdict(&forged(&bytes), &other).is_err(), "{what}");
        }
    }
}

#[test]
fn the_place_of_damage_is_named() {
    let key = key();
    let damaged = |from: &str, to: &str| {
        let bytes = support::forge::replaced(V2_KEYED, from.as_bytes(), to.as_bytes());
        verdict(&bytes, &key).unwrap_err()
    };
    let failure = damaged("\"v\":1,\"time\":\"2026-01-02T03:00:01", "\"v\":x,\"time\":\"2026-01-02T03:00:01");
    let offset = memchr::memmem::rfind(V2_KEYED, b"\"v\":1").unwrap() as u64 + 4;
    assert_eq!((failure.place.line, failure.place.offset), (Some(3), Some(offset)));
    assert!(
        failure
            .message
            .contains("line 3: expected an integer of 1 to 18 digits without leading zero, found `x`"),
        "{failure}"
    );
    // No line is against the grammar: the trailer is the place, and the tenant is named.
    let failure = damaged("alice", "alicf");
    assert_eq!(failure.place.line, Some(5));
    assert!(
        failure.message.contains("Tenants whose records differ: \"00000000-0000-4000-8000-00000000000a\"."),
        "{failure}"
    );
    let failure = damaged("aGVsbG8=", "aGVsbG9=");
    assert!(failure.message.contains("Tenants whose records differ: \"\"."), "{failure}");
}

#[test]
fn the_first_line_that_contradicts_the_rest_is_named_with_its_sequence() {
    let key = key();
    let all = lines(V2_KEYED);
    let place = |order: &[usize]| {
        let bytes: Vec<u8> = order.iter().flat_map(|i| all[*i].clone()).collect();
        let failure = verdict(&forged(&bytes), &key).unwrap_err();
        assert_eq!(failure.class, Class::Inconsistent, "{order:?}");
        let line = failure.place.line.unwrap() as usize;
        let offset: usize = order[..line - 1].iter().map(|i| all[*i].len()).sum();
        assert_eq!(failure.place.offset, Some(offset as u64), "{order:?}");
        (line, failure.place.sequence, failure.message)
    };
    let expected = |line: usize, sequence, what: &str| {
        let message = format!("The checksum holds, but line {line} contradicts the rest: {what}.");
        (line, sequence, message)
    };
    let trailer = "it is a trailer, and not the last line";
    assert_eq!(place(&[0, 1, 3, 2, 4]), expected(4, Some(2), "sequence 2 follows 4"));
    assert_eq!(place(&[0, 1, 1, 3, 2, 4]), expected(3, Some(1), "sequence 1 follows 1"));
    assert_eq!(place(&[0, 1, 2, 4, 3, 4]), expected(4, None, trailer));
    assert_eq!(place(&[0, 1, 4, 3, 2, 4, 4]), expected(3, None, trailer));
    assert_eq!(place(&[0, 1, 3, 2, 4, 4]), expected(4, Some(2), "sequence 2 follows 4"));
}

#[test]
fn a_header_that_cannot_be_read_is_told_apart_by_what_to_do() {
    let key = key();
    for (from, to, class, message, hint) in [
        ("\"version\":2", "\"version\":3", Class::NewerVersion, "newer format version", "newer one"),
        ("\"version\":2", "\"version\":0", Class::NotABackup, "no backup that can be read", "came from"),
        ("\"stream\"", "\"Stream\"", Class::Damaged, "The header is damaged", "Fetch it again"),
        ("log-backup\"", "log-Backup\"", Class::NotABackup, "is not the header of one", "came from"),
    ] {
        let bytes = support::forge::replaced(V2_KEYED, from.as_bytes(), to.as_bytes());
        let failure = verdict(&bytes, &key).unwrap_err();
        assert_eq!((failure.class, failure.place.line), (class, Some(1)), "{failure}");
        assert!(failure.message.contains(message) && failure.hint.contains(hint), "{failure:?}");
    }
    let nothing = container::seal(Vec::new(), Compression::Zstd, &[]).unwrap().finish().unwrap();
    for empty in [&b""[..], &nothing] {
        let failure = verdict(empty, &key).unwrap_err();
        assert_eq!(failure.class, Class::NotABackup, "{failure}");
        assert!(failure.message.ends_with(" is empty."), "{failure}");
    }
}

#[test]
fn a_record_of_version_1_that_is_tagged_as_a_trailer_is_one() {
    let tagged = support::forge::replaced(
        V1_KEYED,
        b"\"v\":1,",
        b"\"v\":1,\"Format\":\"trstctl-event-log-backup-trailer\",",
    );
    let failure = verdict(&forged(&tagged), &key()).unwrap_err();
    assert_eq!((failure.class, failure.place.line), (Class::Inconsistent, Some(2)), "{failure}");
    assert_eq!(failure.place.offset, Some(lines(V1_KEYED)[0].len() as u64));
    assert!(failure.message.contains("it is a trailer, and not the last line"), "{failure}");
}

#[test]
fn what_a_trailer_says_wrongly_is_named_with_what_is_right() {
    let key = key();
    let said = |original: &[u8], from: &str, to: &str| {
        let edited = forged(&support::forge::replaced(original, from.as_bytes(), to.as_bytes()));
        let failure = verdict(&edited, &key).unwrap_err();
        assert_eq!((failure.class, failure.place.sequence), (Class::Inconsistent, None), "{to}");
        assert_eq!(failure.place.line, Some(lines(original).len() as u64), "{to}");
        assert_eq!(
            failure.place.offset,
            Some(memchr::memmem::rfind(original, b"\n{").unwrap() as u64 + 1),
            "{to}"
        );
        failure.message
    };
    let tenant = "{\"tenant_id\":\"00000000-0000-4000-8000-00000000000a\",\"records\":";
    let others = "{\"tenant_id\":\"00000000-0000-4000-8000-00000000000b\",\"records\":";
    for (from, to, expected) in [
        ("\"records\":3", "\"records\":4", "records is stated as 4, and is 3"),
        (
            "\"records\":3,\"first_sequence\":1",
            "\"records\":3,\"first_sequence\":2",
            "first_sequence is stated as 2, and is 1",
        ),
        ("\"last_sequence\":5", "\"last_sequence\":6", "last_sequence is stated as 6, and is 5"),
        (
            "\"event_cut_sequence\":5,\"gaps",
            "\"event_cut_sequence\":4,\"gaps",
            "event_cut_sequence is stated as 4, and is 5",
        ),
        ("[[3,3],[5,5]]", "[[3,3]]", "gap 2 is stated as none, and is 5–5"),
        ("[[3,3],[5,5]]", "[[2,3],[5,5]]", "gap 1 is stated as 2–3, and is 3–3"),
        ("[[3,3],[5,5]]", "[[3,3],[5,5],[7,8]]", "gap 3 is stated as 7–8, and is none"),
        ("[[3,3],[5,5]]", "null", "gaps is null, and there are only 2 ranges"),
        (
            &format!("{tenant}2"),
            &format!("{tenant}1"),
            "tenants differ from the records: \"00000000-0000-4000-8000-00000000000a\"",
        ),
        (
            &format!("{tenant}2"),
            &format!("{others}2"),
            "tenants differ from the records: \"00000000-0000-4000-8000-00000000000a\", \
             \"00000000-0000-4000-8000-00000000000b\"",
        ),
    ] {
        let message = said(V2_KEYED, from, to);
        assert!(message.ends_with(&format!("the trailer contradicts the records: {expected}.")), "{message}");
    }
    for (from, to, expected) in [
        ("\"records\":2", "\"records\":1", "records is stated as 1, and is 2"),
        (
            "\"records\":2,\"event_cut_sequence\":2",
            "\"records\":2,\"event_cut_sequence\":3",
            "event_cut_sequence is stated as 3, and is 2",
        ),
    ] {
        let message = said(V1_KEYED, from, to);
        assert!(message.ends_with(&format!("the trailer contradicts the records: {expected}.")), "{message}");
    }
}

#[test]
fn a_bad_end_is_told_without_reading_the_middle() {
    use std::io::{Read, Seek, SeekFrom};
    /// Fails when its middle is read.
    struct Ends<'a> {
        bytes: Cursor<&'a [u8]>,
        far: u64,
    }
    impl Read for Ends<'_> {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            let at = self.bytes.position();
            let near = at < 1 << 20 || at >= self.far;
            if near { self.bytes.read(buf) } else { Err(std::io::Error::other("the middle is read")) }
        }
    }
    impl Seek for Ends<'_> {
        fn seek(&mut self, position: SeekFrom) -> std::io::Result<u64> {
            self.bytes.seek(position)
        }
    }
    let all = lines(V2_KEYED);
    let middle = all[1].repeat(20_000);
    let ours = key();
    let options = VerifyOptions { key: Some(&ours), ..VerifyOptions::default() };
    let class = |header: &[u8], trailer: &[u8]| {
        let bytes = [header, middle.as_slice(), trailer].concat();
        let far = bytes.len() as u64 - (1 << 20);
        verify(Ends { bytes: Cursor::new(&bytes), far }, &options).err().map(|failure| failure.class)
    };
    let edited =
        |line: &[u8], from: &str, to: &str| support::forge::replaced(line, from.as_bytes(), to.as_bytes());
    let (header, trailer) = (&all[0], &all[4]);
    assert_eq!(class(&edited(header, ":2", ":3"), trailer), Some(Class::NewerVersion));
    assert_eq!(class(&edited(header, "stream", "Stream"), trailer), Some(Class::Damaged));
    assert_eq!(class(header, &all[1]), Some(Class::Truncated));
    assert_eq!(class(header, &edited(trailer, "gaps", "Gaps")), Some(Class::Damaged));
    assert_eq!(class(header, &edited(trailer, "a05d", "b05d")), Some(Class::WrongKey));
    assert_eq!(class(header, &edited(trailer, "\"records\":3", "\"records\":4")), Some(Class::Tampered));
    // Nothing is wrong with the ends: the middle must be read.
    assert_eq!(class(header, trailer), Some(Class::Usage));
}

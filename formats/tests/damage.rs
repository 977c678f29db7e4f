//! Damage to a small keyed file of each version: what it is taken for, and where it is seen. The whole matrix is in
//! `damage_matrix.rs`.

mod support;

use std::io::Cursor;

use support::forge::{forged, lines};
use support::{V1_KEYED, V2_KEYED, key};
use trstctl_formats::backup::{BackupKey, VerifyOptions, verify, verify_stream};
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

//! The limits of `docs/format/backup.md`, at the limit and one beyond.

mod support;

use std::io::Cursor;

use support::forge::{forged, lines, replaced, rooted};
use support::large::{v1_with_line_of, v2_with_line_of, with_gaps, with_tenants};
use support::{header, message, messages, written};
use trstctl_formats::backup::{FormatVersion, VerifyOptions, WriteError, Writer, verify, verify_stream};
use trstctl_formats::{Class, Failure};

fn verdict(bytes: &[u8]) -> Result<(), Failure> {
    let options = VerifyOptions::default();
    let seeked = verify(Cursor::new(bytes), &options).map(|_| ());
    let streamed = verify_stream(bytes, &options).map(|_| ());
    let class = |result: &Result<(), Failure>| result.as_ref().map_err(|failure| failure.class).copied();
    assert_eq!(class(&seeked), class(&streamed));
    seeked
}

#[test]
fn a_record_line_over_64_mib_is_malformed_in_version_1_and_still_hashed() {
    let max = FormatVersion::V1.max_line_bytes();
    verdict(&v1_with_line_of(max)).unwrap();
    let bytes = v1_with_line_of(max + 1);
    let failure = verdict(&bytes).unwrap_err();
    assert_eq!((failure.class, failure.place.line), (Class::MalformedRecord, Some(2)), "{failure}");
    assert_eq!(failure.place.offset, Some(lines(&bytes)[0].len() as u64));
    // A wrong checksum decides before it.
    let damaged = replaced(&bytes, b"alice", b"alicf");
    assert_eq!(verdict(&damaged).unwrap_err().class, Class::Damaged);
}

#[test]
fn a_record_line_over_128_mib_is_malformed_in_version_2() {
    let max = FormatVersion::V2.max_line_bytes();
    let bytes = v2_with_line_of(max);
    assert_eq!(lines(&bytes)[1].len(), max);
    verdict(&bytes).unwrap();
    let failure = verdict(&rooted(&replaced(&bytes, b"events.x", b"events.xx"))).unwrap_err();
    assert_eq!((failure.class, failure.place.line), (Class::MalformedRecord, Some(2)), "{failure}");
}

#[test]
fn a_last_line_over_the_limit_is_damaged_when_it_is_tagged_and_else_truncated() {
    let bytes = written(&header(FormatVersion::V1, 2), &messages()[..2], None);
    let filled = |len: usize| {
        let fill = " ".repeat(len - lines(&bytes).last().unwrap().len());
        replaced(&bytes, b",\"records\":", format!(",{fill}\"records\":").as_bytes())
    };
    let max = FormatVersion::V1.max_line_bytes();
    for len in [100_000, max] {
        verdict(&filled(len)).unwrap();
    }
    let long = filled(max + 1);
    assert_eq!(verdict(&long).unwrap_err().class, Class::Damaged);
    let untagged = replaced(&long, b"backup-trailer", b"backup-trailes");
    assert_eq!(verdict(&untagged).unwrap_err().class, Class::Truncated);
    // Version 1 needs no last newline, but the whole line.
    verdict(long.strip_suffix(b"\n").unwrap()).unwrap();
    let unterminated = filled(max + 2);
    let unterminated = unterminated.strip_suffix(b"\n").unwrap();
    assert_eq!(verdict(unterminated).unwrap_err().class, Class::Truncated);
}

#[test]
fn a_header_over_the_limit_is_damaged() {
    let bytes = written(&header(FormatVersion::V1, 2), &messages()[..2], None);
    let fill = " ".repeat(FormatVersion::V1.max_line_bytes());
    let long = replaced(&bytes, b",\"created_at\":", format!(",{fill}\"created_at\":").as_bytes());
    assert_eq!(verdict(&forged(&long)).unwrap_err().class, Class::Damaged);
}

#[test]
fn a_message_whose_line_no_reader_takes_is_refused_by_name() {
    let payload = vec![b'x'; FormatVersion::V2.max_line_bytes() / 4 * 3];
    let mut writer = Writer::create(Vec::new(), &header(FormatVersion::V2, 5), None).unwrap();
    let refused = writer.append(&message(1, "events.x", "2026-01-02T03:00:02Z", None, &payload));
    assert!(matches!(refused, Err(WriteError::LineTooLong { sequence: 1, .. })));
    // The writer is still usable for what it can write.
    writer.append(&messages()[2]).unwrap();
    verdict(&writer.finish().unwrap().0).unwrap();
}

#[test]
fn more_than_a_million_gaps_are_null() {
    let bytes = with_gaps(1_000_000);
    verdict(&bytes).unwrap();
    assert!(memchr::memmem::find(&bytes, b"\"gaps\":[[2,2],").is_some());
    let bytes = with_gaps(1_000_001);
    assert!(memchr::memmem::find(&bytes, b"\"gaps\":null,").is_some());
    verdict(&bytes).unwrap();
    assert_eq!(
        verdict(&forged(&replaced(&bytes, b"\"gaps\":null", b"\"gaps\":[]"))).unwrap_err().class,
        Class::Inconsistent
    );
}

#[test]
fn more_than_250_000_tenants_are_null() {
    let bytes = with_tenants(250_000);
    assert!(bytes.ends_with(b"\"}]}\n"));
    verdict(&bytes).unwrap();
    let bytes = with_tenants(250_001);
    assert!(bytes.ends_with(b"\"tenants\":null}\n"));
    let verified = verify(Cursor::new(&bytes), &VerifyOptions::default()).unwrap();
    assert_eq!(verified.summary().tenants, None);
    let stated = replaced(&bytes, b"\"tenants\":null", b"\"tenants\":[]");
    let failure = verdict(&forged(&stated)).unwrap_err();
    assert_eq!(failure.class, Class::Inconsistent);
    assert!(failure.message.contains("more than a trailer can say"), "{failure}");
}

//! A whole plain backup, as it is and with the right digests.

use std::io::{Cursor, Read, Seek};
use std::sync::LazyLock;

use trstctl_formats::backup::{
    Allow, BackupKey, Content, ContentFold, Cut, FormatVersion, Header, Lines, Summary, Verified,
    VerifyOptions, Writer, glance, verify, verify_stream,
};
use trstctl_formats::head::Head;
use trstctl_formats::merkle::Tree;
use trstctl_formats::{Class, Failure, StoredMessage};

use super::{Outcome, assert_same, header::is_clamped, record_v2::is_event_in_raw_form, refusal};
use crate::forge;

static KEY: LazyLock<BackupKey> =
    LazyLock::new(|| BackupKey::from_key_file(forge::KEY_FILE).expect("the key file is not empty"));

/// A file whose digests, where they are wrong, become those of version 1.
pub fn whole_v1(file: &[u8]) -> Outcome {
    whole(FormatVersion::V1, file)
}

/// A file whose digests, where they are wrong, become those of version 2.
pub fn whole_v2(file: &[u8]) -> Outcome {
    whole(FormatVersion::V2, file)
}

fn whole(version: FormatVersion, file: &[u8]) -> Outcome {
    let strict = VerifyOptions { key: Some(&KEY), ..VerifyOptions::default() };
    let as_it_is = judge(file, &strict);
    let lax = VerifyOptions { key: Some(&KEY), unkeyed: Allow::Yes, ..VerifyOptions::default() };
    let forged = judge(&forge::backup(version, file), &lax);
    Outcome::from(format!("{as_it_is} / {forged}"))
}

/// Both ways of reading agree; a refusal points into the file; what is accepted comes back.
fn judge(file: &[u8], options: &VerifyOptions<'_>) -> Outcome {
    let verdict = verify(Cursor::new(file), options);
    agree(&verdict, verify_stream(file, options));
    match verdict {
        Err(failure) => refused(file, &failure),
        Ok(mut verified) => {
            let seen = glance(Cursor::new(file), options).expect("the ends of a whole file are whole");
            assert_eq!(seen.header, verified.summary().header);
            records_are_those_of_the_summary(&mut verified);
            match verified.summary().header.version {
                FormatVersion::V1 => accepted_v1(file, options),
                FormatVersion::V2 => accepted_v2(file, &mut verified),
            }
        }
    }
}

fn agree<S>(at_once: &Result<Verified<S>, Failure>, as_stream: Result<Summary, Failure>)
where
    S: Read + Seek + Send,
{
    match (at_once, as_stream) {
        (Ok(verified), Ok(summary)) => assert_eq!(verified.summary().sha256, summary.sha256),
        (Err(one), Err(other)) => {
            assert_eq!(one.class, other.class, "{one:?} at once, {other:?} as a stream");
            let lines = (one.place.line, other.place.line);
            assert!(lines.0.is_none() || lines.0 == lines.1, "{one:?} at once, {other:?} as a stream");
        }
        (one, other) => panic!("{:?} at once, {:?} as a stream", one.as_ref().err(), other.err()),
    }
}

fn refused(file: &[u8], failure: &Failure) -> Outcome {
    use Class::*;
    if file.starts_with(b"{") {
        refusal::points_into(failure, file);
    }
    let classes = [
        NotABackup,
        NewerVersion,
        Truncated,
        Damaged,
        MalformedRecord,
        Inconsistent,
        Tampered,
        WrongKey,
        Unkeyed,
    ];
    // Where the file is a container: the key to open it.
    let classes =
        if file.starts_with(b"age") { [&classes[..], &[KeyMissing]].concat() } else { classes.to_vec() };
    refusal::of_file(failure, &classes)
}

fn records_are_those_of_the_summary<S: Read + Seek + Send>(verified: &mut Verified<S>) {
    let summary = verified.summary().clone();
    let (mut tree, mut count) = (Tree::new(), 0);
    let mut records = verified.records().expect("the file can be read again");
    while let Some(record) = records.next().expect("the file is the same") {
        count += 1;
        assert_eq!(record.number, count);
        tree.push(record.leaf());
        // They decode what the first pass only looked at.
        let _ = (record.kind(), record.tenant_id(), record.time(), record.event_in_raw_form());
    }
    assert_eq!(count, summary.records);
    if let Some(content) = summary.content {
        assert_eq!(tree.root(), content.merkle_root);
    }
}

/// Version 2: the writer writes the same file of these messages.
fn accepted_v2<S: Read + Seek + Send>(file: &[u8], verified: &mut Verified<S>) -> Outcome {
    let summary = verified.summary().clone();
    let content = summary.content.as_ref().expect("version 2 states its content");
    assert_eq!(verified.part(), content);
    let messages = all(verified);
    if file.split(|byte| *byte == b'\n').any(is_event_in_raw_form) {
        return Outcome::Borrowed("accepted, with the raw form of an event");
    }
    assert_eq!(&folded(content.first_sequence, &messages, content.last_sequence), content);
    if !is_clamped(&summary.header) {
        assert_same(&written(&summary.header, &messages, summary.keyed), file);
    }
    digests_are_those_of_the_lines(file);
    a_part_is_a_smaller_log(file, summary.keyed, &messages, content);
    let head = Head::of(&summary, "x.jsonl", None).expect("version 2 has a tree head");
    let read = Head::read(&head.write(None)).unwrap_or_else(|failure| panic!("{failure} in {head:?}"));
    assert_eq!(*read.claims(), head);
    Outcome::from(format!("accepted, {} records, {} gaps", messages.len(), content.gaps.len()))
}

/// What is accepted has the digests that are computed here without the verifier.
fn digests_are_those_of_the_lines(file: &[u8]) {
    let trailer = file.rsplit(|byte| *byte == b'\n').nth(1).unwrap_or_default();
    // Tenants with escapes in their ids stand in another order than here.
    if !trailer.contains(&b'\\') {
        assert_same(&forge::backup(FormatVersion::V2, file), file);
    }
}

/// A host without the key, that takes the file's word, sees the same messages up to the cut that it asks for.
fn a_part_is_a_smaller_log(file: &[u8], keyed: bool, messages: &[StoredMessage], content: &Content) {
    let (first, last) = (content.first_sequence, content.last_sequence);
    if messages.is_empty() {
        return;
    }
    let through = first + (last - first) / 2;
    let unverified_mac = if keyed { Allow::Yes } else { Allow::No };
    let options = VerifyOptions { unverified_mac, cut: Cut::Through(through), ..VerifyOptions::default() };
    let mut verified = verify(Cursor::new(file), &options).expect("the checksum was right before");
    let within = messages.iter().filter(|message| message.sequence <= through).cloned().collect::<Vec<_>>();
    assert_eq!(all(&mut verified), within);
    if !within.is_empty() {
        assert_eq!(verified.part(), &folded(first, &within, through));
    }
}

/// Version 1: what a restore makes of it is a log whose backups settle.
fn accepted_v1(file: &[u8], options: &VerifyOptions<'_>) -> Outcome {
    let options = VerifyOptions {
        key: options.key,
        unkeyed: Allow::Yes,
        part_of_version_1: Allow::Yes,
        ..VerifyOptions::default()
    };
    let mut verified = match verify(Cursor::new(file), &options) {
        Ok(verified) => verified,
        Err(failure) => return refusal::of_file(&failure, &[Class::MalformedRecord]),
    };
    let summary = verified.summary().clone();
    let messages = all(&mut verified);
    assert_eq!(verified.part(), &folded(1, &messages, messages.len() as u64));
    let header = Header { event_cut_sequence: messages.len() as u64, ..summary.header };
    let once = written(&header, &messages, summary.keyed);
    let mut verified = verify(Cursor::new(&once[..]), &options)
        .unwrap_or_else(|failure| panic!("{failure:?} of {}", once.escape_ascii()));
    let again = all(&mut verified);
    assert_same(&written(&header, &again, summary.keyed), &once);
    Outcome::from(format!("accepted, {} records", messages.len()))
}

fn all<S: Read + Seek + Send>(verified: &mut Verified<S>) -> Vec<StoredMessage> {
    let mut messages = verified.messages().expect("the file can be read again");
    std::iter::from_fn(|| messages.next().expect("the file is the same")).collect()
}

fn folded(first: u64, messages: &[StoredMessage], last: u64) -> Content {
    let mut fold = ContentFold::new(Lines::Exact, first);
    messages.iter().for_each(|message| fold.append(message));
    fold.finish(last)
}

fn written(header: &Header, messages: &[StoredMessage], keyed: bool) -> Vec<u8> {
    let key = keyed.then_some(&*KEY);
    let mut writer = Writer::create(Vec::new(), header, key).expect("the header was read");
    for message in messages {
        writer.append(message).unwrap_or_else(|error| panic!("{error}: {message:?}"));
    }
    writer.finish().expect("a vector takes it").0
}

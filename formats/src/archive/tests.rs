//! Archives are read back here by a small independent reader: snappy frames, tar entries, records.

use std::io::Read;

use bytes::Bytes;

use super::*;
use crate::StoreTime;

const META: &[u8] = br#"{"Created":"2022-02-03T04:05:06Z","name":"TRSTCTL_EVENTS"}"#;

/// What a record says; gaps have no subject.
#[derive(Debug, PartialEq, Eq)]
enum Record {
    Message(StoredMessage),
    Gap { sequence: u64, time: i64 },
}

fn message(sequence: u64, payload: &[u8]) -> StoredMessage {
    StoredMessage {
        sequence,
        stored_at: StoreTime(1_000 + sequence as i64),
        subject: Bytes::from_static(b"events.x"),
        headers: Bytes::from_static(if sequence.is_multiple_of(2) {
            b"NATS/1.0\r\nA: b\r\n\r\n"
        } else {
            b""
        }),
        payload: Bytes::copy_from_slice(payload),
    }
}

fn archive(messages: &[StoredMessage], last_sequence: u64) -> (Vec<(String, Vec<u8>)>, ArchiveStats) {
    let mut writer = ArchiveWriter::create(Vec::new(), "TRSTCTL_EVENTS", META).unwrap();
    for message in messages {
        writer.append(message).unwrap();
    }
    let (bytes, stats) = writer.finish(last_sequence).unwrap();
    (entries(&bytes), stats)
}

fn entries(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut tar = tar::Archive::new(snap::read::FrameDecoder::new(archive));
    let read = |entry: io::Result<tar::Entry<'_, _>>| {
        let mut entry = entry.unwrap();
        assert_eq!(entry.header().mode().unwrap(), 0o600);
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (entry.path().unwrap().to_str().unwrap().to_owned(), content)
    };
    tar.entries().unwrap().map(read).collect()
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (head, tail) = bytes.split_at(count);
    *bytes = tail;
    head
}

fn records(block_number: usize, mut block: &[u8]) -> Vec<Record> {
    let hash = NamedHash::new(&format!("TRSTCTL_EVENTS-{block_number}"));
    let mut records = Vec::new();
    while !block.is_empty() {
        let word = u32::from_le_bytes(block[..4].try_into().unwrap());
        let mut record = take(&mut block, (word & !(1 << 31)) as usize);
        let sum: [u8; 8] = record[record.len() - 8..].try_into().unwrap();
        record = &record[4..record.len() - 8];
        let fixed = take(&mut record, 16);
        let sequence = u64::from_le_bytes(fixed[..8].try_into().unwrap());
        let time = i64::from_le_bytes(fixed[8..].try_into().unwrap());
        let subject_len = u16::from_le_bytes(take(&mut record, 2).try_into().unwrap());
        let subject = take(&mut record, subject_len.into());
        let header_len = match word >> 31 {
            1 => u32::from_le_bytes(take(&mut record, 4).try_into().unwrap()),
            _ => 0,
        };
        let headers = take(&mut record, header_len as usize);
        assert_eq!(hash.over(&[fixed, subject, headers, record]), sum);
        records.push(match sequence >> 63 {
            1 => Record::Gap { sequence: sequence & !(1 << 63), time },
            _ => Record::Message(StoredMessage {
                sequence,
                stored_at: StoreTime(time),
                subject: Bytes::copy_from_slice(subject),
                headers: Bytes::copy_from_slice(headers),
                payload: Bytes::copy_from_slice(record),
            }),
        });
    }
    records
}

fn blocks(messages: &[StoredMessage], last_sequence: u64) -> Vec<Vec<Record>> {
    let (entries, stats) = archive(messages, last_sequence);
    assert_eq!(stats.messages, messages.len() as u64);
    assert_eq!(stats.blocks, entries.len() as u64 - 2);
    let blocks = entries[2..].iter().enumerate();
    blocks
        .map(|(index, (name, content))| {
            assert_eq!(*name, format!("msgs/{}.blk", index + 1));
            records(index + 1, content)
        })
        .collect()
}

#[test]
fn configuration_and_its_checksum_come_first() {
    let (entries, _) = archive(&[message(1, b"a")], 1);
    assert_eq!(entries[0], ("meta.inf".to_owned(), META.to_vec()));
    assert_eq!(entries[1], ("meta.sum".to_owned(), b"e56c6cb42d3aed52".to_vec()));
}

#[test]
fn messages_keep_every_byte() {
    let messages = [message(5001, b"one"), message(5002, b""), message(5003, &[0, 255, 10])];
    let expected = messages.iter().cloned().map(Record::Message).collect::<Vec<_>>();
    assert_eq!(blocks(&messages, 5003), [expected]);
}

#[test]
fn gaps_in_the_middle_and_at_the_end_are_records_and_gaps_at_the_start_are_none() {
    let messages = [message(11, b"a"), message(14, b"b")];
    let expected = vec![
        Record::Message(messages[0].clone()),
        Record::Gap { sequence: 12, time: 1_011 },
        Record::Gap { sequence: 13, time: 1_011 },
        Record::Message(messages[1].clone()),
        Record::Gap { sequence: 15, time: 1_014 },
    ];
    assert_eq!(blocks(&messages, 15), [expected]);
}

#[test]
fn a_log_whose_messages_are_all_deleted_is_one_gap_record() {
    assert_eq!(blocks(&[], 77), [vec![Record::Gap { sequence: 77, time: 0 }]]);
}

#[test]
fn a_log_that_was_never_written_has_no_block() {
    assert!(blocks(&[], 0).is_empty());
}

#[test]
fn blocks_hold_about_8_mib_and_begin_with_a_message() {
    let payload = vec![7; 1 << 20];
    let messages: Vec<_> = (0..20).map(|n| message(1 + n * 3, &payload)).collect();
    let blocks = blocks(&messages, 70);
    assert_eq!(blocks.len(), 3);
    assert!(blocks.iter().all(|block| matches!(block[0], Record::Message(_))));
    assert_eq!(blocks[2].last().unwrap(), &Record::Gap { sequence: 70, time: 1_058 });
}

#[test]
fn a_run_of_gaps_stays_with_the_message_before_it_whatever_its_length() {
    let messages = [message(1, b"a"), message(1_000_001, b"b")];
    let blocks = blocks(&messages, 1_000_001);
    assert_eq!(blocks[0].len(), 1_000_000);
    assert_eq!(blocks[1], [Record::Message(messages[1].clone())]);
}

#[test]
fn a_message_over_8_mib_has_a_block_of_its_own() {
    let messages = [message(1, b"a"), message(2, &vec![1; 9 << 20]), message(3, b"c")];
    let blocks = blocks(&messages, 3);
    assert_eq!(blocks.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1]);
}

#[test]
fn a_record_over_20_mb_is_refused_by_name() {
    let mut writer = ArchiveWriter::create(Vec::new(), "S", META).unwrap();
    let fits = message(1, &vec![0; MAX_RECORD_BYTES as usize - 38]);
    assert_eq!(record_bytes(&fits), MAX_RECORD_BYTES);
    writer.append(&fits).unwrap();
    let error = writer.append(&message(3, &vec![0; MAX_RECORD_BYTES as usize - 37])).unwrap_err();
    assert!(matches!(error, ArchiveError::TooLarge { sequence: 3, record_bytes: 20_000_001 }));
    assert_eq!(Failure::from(error).class, Class::Refused);
}

#[test]
fn a_subject_that_a_record_cannot_hold_is_refused() {
    let mut writer = ArchiveWriter::create(Vec::new(), "S", META).unwrap();
    let long = StoredMessage { subject: Bytes::from(vec![b'x'; 65_536]), ..message(1, b"") };
    assert!(matches!(writer.append(&long), Err(ArchiveError::SubjectTooLong { sequence: 1, .. })));
}

#[test]
fn a_gap_that_no_block_can_hold_is_refused_at_once() {
    let mut writer = ArchiveWriter::create(Vec::new(), "S", META).unwrap();
    writer.append(&message(1, b"")).unwrap();
    let error = writer.append(&message(1 << 40, b"")).unwrap_err();
    assert!(matches!(error, ArchiveError::GapTooLong { first: 2, .. }));
}

#[test]
fn sequences_must_rise_and_end_within_the_log() {
    let mut writer = ArchiveWriter::create(Vec::new(), "S", META).unwrap();
    writer.append(&message(5, b"")).unwrap();
    assert!(matches!(writer.append(&message(5, b"")), Err(ArchiveError::OutOfOrder { .. })));
    assert!(matches!(writer.finish(4), Err(ArchiveError::OutOfOrder { .. })));
}

#[test]
fn nothing_of_the_last_block_is_written_before_finish() {
    let mut writer = ArchiveWriter::create(Vec::new(), "S", META).unwrap();
    for sequence in 1..=1_000 {
        writer.append(&message(sequence, &[9; 4096])).unwrap();
    }
    assert!(writer.tar.output().is_empty(), "4 MB of messages are one block, and it is still open");
}

#[test]
fn a_flipped_bit_is_the_only_difference_and_the_container_holds() {
    let write = |flip: Option<u64>| {
        let mut writer = ArchiveWriter::create(Vec::new(), "TRSTCTL_EVENTS", META).unwrap();
        if let Some(offset) = flip {
            writer = writer.with_flipped_bit(offset);
        }
        writer.append(&message(1, b"payload")).unwrap();
        entries(&writer.finish(1).unwrap().0)
    };
    let (sound, damaged) = (write(None), write(Some(5 * 512 + 30)));
    assert_eq!(sound[..2], damaged[..2]);
    let different: Vec<_> =
        sound[2].1.iter().zip(&damaged[2].1).map(|(a, b)| a ^ b).filter(|&bits| bits != 0).collect();
    assert_eq!(different, [1]);
}

//! What the tests of this module restore and read back.

use std::io::Cursor;

use bytes::Bytes;
use trstctl_formats::backup::{Allow, FormatVersion, Header, VerifyOptions, Writer, verify};
use trstctl_formats::{StoreTime, StoredMessage};

use super::source::Source;
use crate::log::{EventLog, Expected, MemoryLog, NewMessage};

/// A message that differs from the others in its payload.
pub(super) fn message(sequence: u64) -> StoredMessage {
    StoredMessage {
        sequence,
        stored_at: StoreTime(0),
        subject: Bytes::from_static(b"events.x"),
        headers: Bytes::new(),
        payload: Bytes::from(sequence.to_string()),
    }
}

/// A backup of these, which begin with the first.
pub(super) fn backup(messages: &[StoredMessage]) -> Vec<u8> {
    let header = Header {
        version: FormatVersion::V2,
        created_at: StoreTime(0),
        deployment_id: None,
        stream: "S".to_owned(),
        first_sequence: 1,
        event_cut_sequence: messages.len() as u64,
    };
    let mut writer = Writer::create(Vec::new(), &header, None).unwrap();
    for message in messages {
        writer.append(message).unwrap();
    }
    writer.finish().unwrap().0
}

/// The first ones, verified.
pub(super) fn source(messages: u64) -> Source<Cursor<Vec<u8>>> {
    let file = backup(&(1..=messages).map(message).collect::<Vec<_>>());
    let options = VerifyOptions { unkeyed: Allow::Yes, ..VerifyOptions::default() };
    Source::new(verify(Cursor::new(file), &options).unwrap())
}

/// A log in memory of the first ones, with store times of its own.
pub(super) async fn log(messages: u64) -> MemoryLog {
    let log = MemoryLog::new();
    for sequence in 1..=messages {
        let StoredMessage { payload, .. } = message(sequence);
        let message = NewMessage { subject: "events.x".to_owned(), headers: Bytes::new(), payload };
        log.append(message, Expected::Any).await.unwrap();
    }
    log
}

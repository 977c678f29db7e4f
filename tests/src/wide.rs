//! A backup that asks for memory: ten thousand tenants, and lines of every length up to 1 MiB.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use bytes::Bytes;
use trstctl_formats::backup::{BackupKey, FormatVersion, Header, Writer};
use trstctl_formats::event::Event;
use trstctl_formats::{StoreTime, StoredMessage};

/// Writes a version 2 backup of so many thousand events, about 1 MB each thousand.
pub fn write_wide(path: &Path, thousands: u64, key: Option<&BackupKey>) {
    let header = Header {
        version: FormatVersion::V2,
        created_at: StoreTime(1_800_000_000_000_000_000),
        deployment_id: None,
        stream: String::from("TRSTCTL_EVENTS"),
        first_sequence: 1,
        event_cut_sequence: thousands * 1000,
    };
    let out = BufWriter::new(File::create(path).expect("the file can be made"));
    let mut writer = Writer::create(out, &header, key).expect("the header can be written");
    for sequence in 1..=thousands * 1000 {
        writer.append(&message(sequence)).expect("the message can be written");
    }
    writer.finish().expect("the trailer can be written");
}

/// One in a thousand is long: lengths in no order, so that buffers of every size are needed.
fn message(sequence: u64) -> StoredMessage {
    let is_long = sequence % 1000 == 500;
    let data_bytes = if is_long { (sequence / 1000 * 37 % 100 + 1) * 10_400 } else { 150 };
    let event = Event {
        id: format!("0190c2a0-0000-7000-8000-{sequence:012}"),
        kind: String::from("owner.created"),
        tenant_id: format!("6f1c2a70-0000-4000-8000-{:012}", sequence * 7919 % 10_000),
        time: String::from("2026-07-15T08:30:00Z"),
        version: Some(1),
        data: Bytes::from(format!("{{\"note\":\"{}\"}}", "n".repeat(data_bytes as usize))),
        actor: None,
    };
    StoredMessage {
        sequence,
        stored_at: StoreTime(1_767_322_800_000_000_000 + sequence.cast_signed() * 1000),
        subject: Bytes::from_static(b"events.owner.created"),
        headers: Bytes::from(format!("NATS/1.0\r\nNats-Msg-Id: {}\r\n\r\n", event.id)),
        payload: event.to_stored(),
    }
}

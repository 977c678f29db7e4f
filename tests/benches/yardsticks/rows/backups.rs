//! Backup files to measure with: made once, of seeded histories, and kept for the next run.

use std::fs::{self, File, Permissions};
use std::io::BufWriter;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use trstctl_formats::backup::{BackupKey, FormatVersion, Header, Writer};
use trstctl_formats::event::Event;
use trstctl_formats::{StoreTime, StoredMessage};
use trstctl_ledger::history::{Gaps, History, HistoryOptions, Odd};

use crate::setting::Setting;

const KEY: &[u8] = b"a key of the benchmarks\n";

/// Mean length of a line of a history, near enough to name a size.
const LINE_BYTES: f64 = 690.0;

/// The key file that the keyed backups are made with.
pub fn key_file(setting: &Setting) -> PathBuf {
    setting.file("audit.key", |path| {
        fs::write(path, KEY).expect("a key file");
        fs::set_permissions(path, Permissions::from_mode(0o600)).expect("a private key file");
    })
}

/// A keyed backup of about so many GB of a realistic history.
pub fn realistic(setting: &Setting, version: FormatVersion, gb: f64) -> PathBuf {
    let events = (gb * 1e9 / LINE_BYTES) as u64;
    let odd = if version == FormatVersion::V1 { Odd::None } else { Odd::Some };
    let options = HistoryOptions { odd, gaps: Gaps::Some, ..HistoryOptions::default() };
    setting.file(&format!("v{}-{gb}-gb.jsonl", version.number()), |path| {
        write(path, version, events, History::with_options(7, events, options).stored());
    })
}

/// A keyed version 2 backup of about so many GB: 10,000 tenants, and in each thousand lines one of up to 1 MiB.
pub fn wide(setting: &Setting, gb: f64) -> PathBuf {
    const BYTES_A_THOUSAND: f64 = 1.05e6;
    let events = ((gb * 1e9 / BYTES_A_THOUSAND) as u64).max(10) * 1000;
    setting.file(&format!("wide-{gb}-gb.jsonl"), |path| {
        write(path, FormatVersion::V2, events, (1..=events).map(wide_message));
    })
}

fn write(
    path: &Path,
    version: FormatVersion,
    cut_sequence: u64,
    messages: impl Iterator<Item = StoredMessage>,
) {
    let header = Header {
        version,
        created_at: StoreTime(1_800_000_000_000_000_000),
        deployment_id: None,
        stream: String::from("TRSTCTL_EVENTS"),
        first_sequence: 1,
        event_cut_sequence: cut_sequence,
    };
    let out = BufWriter::new(File::create(path).expect("a file below target/"));
    let key = BackupKey::from_key_file(KEY);
    let mut writer = Writer::create(out, &header, key.as_ref()).expect("the header can be written");
    for message in messages {
        writer.append(&message).expect("the message can be written");
    }
    writer.finish().expect("the trailer can be written");
}

fn wide_message(sequence: u64) -> StoredMessage {
    let is_long = sequence % 1000 == 500;
    // Rising lengths, so that buffers of every size are needed; the longest line has a little less than 1 MiB.
    let data_bytes = if is_long { (sequence / 1000 % 100 + 1) * 10_400 } else { 150 };
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

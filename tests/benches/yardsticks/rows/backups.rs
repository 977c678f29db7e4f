//! Backup files to measure with: made once, of seeded histories, and kept for the next run.

use std::fs::{self, File, Permissions};
use std::io::BufWriter;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use trstctl_formats::backup::{BackupKey, FormatVersion, Header, Writer};
use trstctl_formats::{StoreTime, StoredMessage};
use trstctl_ledger::history::{Gaps, History, HistoryOptions, Odd};
use trstctl_tests::write_wide;

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

/// A keyed version 2 backup of at most so many events, none of which empties a tenant: nearly as many rows are left.
pub fn without_offboarding(setting: &Setting, events: u64) -> PathBuf {
    let options = HistoryOptions { odd: Odd::None, gaps: Gaps::None, ..HistoryOptions::default() };
    let stays =
        |message: &StoredMessage| !message.payload.windows(17).any(|text| text == b"tenant.offboarded");
    setting.file(&format!("growing-{events}.jsonl"), |path| {
        let kept = || History::with_options(7, events, options).stored().filter(stays);
        let numbered = kept().zip(1..).map(|(message, sequence)| StoredMessage { sequence, ..message });
        write(path, FormatVersion::V2, kept().count() as u64, numbered);
    })
}

/// A keyed version 2 backup of about so many GB: 10,000 tenants, and in each thousand lines one of up to 1 MiB.
pub fn wide(setting: &Setting, gb: f64) -> PathBuf {
    let thousands = ((gb * 1e9 / 1.05e6) as u64).max(10);
    setting.file(&format!("wide-{gb}-gb.jsonl"), |path| {
        write_wide(path, thousands, BackupKey::from_key_file(KEY).as_ref());
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

//! Times writing, verifying and reading a backup: `backup_speed DIR MEGABYTES PAYLOAD_BYTES v1|v2`.
//!
//! The file stays in DIR, to be compared with `openssl dgst -sha256` and to be timed again without writing it.

use std::error::Error;
use std::fs::File;
use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use trstctl_formats::backup::{BackupKey, FormatVersion, Header, VerifyOptions, Writer, verify};
use trstctl_formats::event::{Actor, Event};
use trstctl_formats::{StoreTime, StoredMessage};

/// Different messages; they repeat with other sequences.
const MESSAGES: u64 = 500;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, dir, megabytes, payload_bytes, version] = args.as_slice() else {
        return Err("usage: backup_speed DIR MEGABYTES PAYLOAD_BYTES v1|v2".into());
    };
    let payload_bytes: usize = payload_bytes.parse()?;
    let count = megabytes.parse::<u64>()? * 1_000_000 / (payload_bytes as u64 + 480);
    let path = Path::new(dir).join(format!("speed-{version}-{payload_bytes}.jsonl"));
    let version = if version == "v1" { FormatVersion::V1 } else { FormatVersion::V2 };
    let key = BackupKey::from_key_file(b"key").ok_or("no key")?;
    if !path.exists() {
        write(&path, version, count, payload_bytes, &key)?;
    }
    read(&path, &key)?;
    let status = std::fs::read_to_string("/proc/self/status")?;
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default());
    Ok(())
}

fn write(
    path: &Path,
    version: FormatVersion,
    count: u64,
    payload_bytes: usize,
    key: &BackupKey,
) -> Result<(), Box<dyn Error>> {
    let header = Header {
        version,
        created_at: StoreTime(0),
        deployment_id: None,
        stream: String::from("TRSTCTL_EVENTS"),
        first_sequence: 1,
        event_cut_sequence: count,
    };
    let messages: Vec<_> = (0..MESSAGES).map(|n| message(n, payload_bytes)).collect();
    let mut writer = Writer::create(File::create(path)?, &header, Some(key))?;
    let begun = Instant::now();
    for sequence in 1..=count {
        let mut message = messages[(sequence % MESSAGES) as usize].clone();
        message.sequence = sequence;
        writer.append(&message)?;
    }
    let (_, summary) = writer.finish()?;
    report("write", begun, count, summary.len_bytes);
    Ok(())
}

fn read(path: &Path, key: &BackupKey) -> Result<(), Box<dyn Error>> {
    let options = VerifyOptions { key: Some(key), ..VerifyOptions::default() };
    let begun = Instant::now();
    let mut verified = verify(File::open(path)?, &options)?;
    let (records, len_bytes) = (verified.summary().records, verified.summary().len_bytes);
    report("verify", begun, records, len_bytes);
    let begun = Instant::now();
    let mut messages = verified.messages()?;
    while messages.next()?.is_some() {}
    report("read", begun, records, len_bytes);
    Ok(())
}

fn report(what: &str, begun: Instant, records: u64, len_bytes: u64) {
    let seconds = begun.elapsed().as_secs_f64();
    let (rate, speed) = (records as f64 / seconds / 1e3, len_bytes as f64 / seconds / 1e6);
    let cpu = cpu_seconds();
    println!(
        "{what}: {seconds:.3} s, {rate:.0} k records/s, {speed:.0} MB/s; processor time so far {cpu:.2} s"
    );
}

/// What all threads have used so far, in steps of 10 ms; on a shared machine the only figure that means something.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    stat.split(' ').skip(13).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn message(n: u64, payload_bytes: usize) -> StoredMessage {
    let tenant_id = format!("00000000-0000-4000-8000-{:012}", n % 200);
    let id = format!("Vh5Zk2QmX0{n:012}");
    let pem = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t".repeat(payload_bytes / 36 + 1);
    let data = format!(
        r#"{{"id":"11111111-1111-4111-8111-{n:012}","kind":"team","name":"payments {n}","email":"pay@example.com","pem":"{}"}}"#,
        &pem[..payload_bytes]
    );
    let event = Event {
        id: id.clone(),
        kind: String::from("owner.created"),
        tenant_id: tenant_id.clone(),
        time: String::from("2026-01-02T03:00:01.5Z"),
        version: Some(1),
        data: Bytes::from(data),
        actor: Some(Actor { subject: String::from("alice"), roles: vec![String::from("admin")] }),
    };
    StoredMessage {
        sequence: n,
        stored_at: StoreTime(1_767_322_801_500_000_001),
        subject: Bytes::from(format!("events.{tenant_id}.owner.{n}")),
        headers: Bytes::from(format!("NATS/1.0\r\nNats-Msg-Id: {id}\r\n\r\n")),
        payload: event.to_stored(),
    }
}

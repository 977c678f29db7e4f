//! The seeds of the corpus are made of the format's vectors and of what the program writes: these tests make them, and check
//! that the files are the ones made. `UPDATE_CORPUS=1` writes them anew.
//!
//! A seed's name begins with `seed-`; every other file is an input that once was a finding, or is worth keeping, and stays.

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};
use std::path::Path;
use std::{env, fs};

use prost::Message;
use trstctl_formats::backup::{
    Allow, BackupKey, FormatVersion, Header, VerifyOptions, Writer, one_line, verify,
};
use trstctl_formats::container::{Compression, Recipient, seal};
use trstctl_formats::event::Event;
use trstctl_formats::head::Head;
use trstctl_formats::{StoreTime, StoredMessage};
use trstctl_fuzz::{TARGETS, der, folder, replay, target};
use trstctl_ledger::history::{Gaps, History, HistoryOptions, Odd};
use trstctl_migrations::files::MIGRATIONS;
use trstctl_signer_protocol::v1::{GenerateKeyRequest, ProbeRequest, SignTreeHeadRequest};

/// Longer lines and files are no seeds: mutations of them are slow.
const MAX_SEED_BYTES: usize = 6_000;
const MAX_CORPUS_BYTES: u64 = 1 << 20;
const KEY_FILE: &[u8] = b"-----BEGIN PRIVATE KEY-----\nEXAMPLE\n-----END PRIVATE KEY-----\n";
const RECIPIENT: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";

/// Content of each seed, by the name of its target and its own.
#[derive(Default)]
struct Seeds(BTreeMap<(&'static str, String), Vec<u8>>);

impl Seeds {
    /// Adds one, unless the target has the same already.
    fn add(&mut self, target: &'static str, name: &str, content: &[u8]) {
        let is_known = self.0.iter().any(|((other, _), known)| *other == target && known == content);
        if !is_known && content.len() <= MAX_SEED_BYTES {
            let name = format!("seed-{name}");
            assert!(self.0.insert((target, name), content.to_vec()).is_none());
        }
    }
}

fn vectors() -> Vec<(String, Vec<u8>)> {
    let folder = folder().join("../formats/tests/vectors");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    paths.sort();
    let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    paths.iter().map(|path| (name(path), fs::read(path).unwrap())).collect()
}

fn lines_of_vectors(seeds: &mut Seeds) {
    for (name, bytes) in vectors() {
        let lines: Vec<_> = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        let [first, middle @ .., last] = &lines[..] else { continue };
        seeds.add("header", &name, first);
        seeds.add("trailer", &name, last);
        let target = if name.contains("-v2-") { "record_v2" } else { "record_v1" };
        for (index, line) in middle.iter().enumerate() {
            seeds.add(target, &format!("{name}-{}", index + 1), line);
        }
    }
}

/// Messages and tree heads of the vectors that are accepted, and backups of some of those messages together.
fn contents_of_vectors(seeds: &mut Seeds) {
    let key = BackupKey::from_key_file(KEY_FILE).unwrap();
    let mut together = Vec::new();
    for (name, bytes) in vectors() {
        let options = VerifyOptions {
            key: Some(&key),
            unkeyed: Allow::Yes,
            part_of_version_1: Allow::Yes,
            ..VerifyOptions::default()
        };
        let Ok(mut verified) = verify(Cursor::new(&bytes), &options) else { continue };
        if let Some(head) = Head::of(verified.summary(), &format!("{name}.jsonl"), None) {
            seeds.add("tree_head", &name, &head.write(None));
            seeds.add("tree_head", &format!("{name}-keyed"), &head.write(Some(&key)));
        }
        let mut messages = verified.messages().unwrap();
        while let Some(message) = messages.next().unwrap() {
            let sequence = message.sequence;
            seeds.add("stored_message", &format!("{name}-{sequence}"), &spelled(&message));
            seeds.add("nats_connection", &format!("{name}-{sequence}"), &delivered(&message));
            together.push(message);
        }
    }
    backups(seeds, &together, &key);
}

/// Backups of messages that fit into both versions, and into version 2 only.
fn backups(seeds: &mut Seeds, messages: &[StoredMessage], key: &BackupKey) {
    let is_event = |message: &&StoredMessage| {
        Event::from_stored(&message.payload).is_ok_and(|event| event.data.starts_with(b"{"))
    };
    let numbered = |(index, message): (usize, &StoredMessage)| StoredMessage {
        sequence: 3 * index as u64 + 2,
        ..message.clone()
    };
    let events: Vec<_> =
        messages.iter().filter(is_event).step_by(3).take(5).enumerate().map(numbered).collect();
    let all: Vec<_> = messages.iter().step_by(5).take(8).enumerate().map(numbered).collect();
    for (target, version, messages) in [
        ("whole_v1", FormatVersion::V1, &events),
        ("whole_v2", FormatVersion::V2, &events),
        ("whole_v2", FormatVersion::V2, &all),
    ] {
        for (name, key) in [("unkeyed", None), ("keyed", Some(key))] {
            let name = format!("{}-messages-{name}", messages.len());
            seeds.add(target, &name, &written(version, messages, key));
        }
    }
}

fn written(version: FormatVersion, messages: &[StoredMessage], key: Option<&BackupKey>) -> Vec<u8> {
    let header = Header {
        version,
        created_at: StoreTime(1_767_322_800_000_000_000),
        deployment_id: None,
        stream: String::from("TRSTCTL_EVENTS"),
        first_sequence: 1,
        event_cut_sequence: 3 * messages.len() as u64 + 2,
    };
    let mut writer = Writer::create(Vec::new(), &header, key).unwrap();
    for message in messages {
        writer.append(message).unwrap();
    }
    writer.finish().unwrap().0
}

fn spelled(message: &StoredMessage) -> Vec<u8> {
    [&message.subject[..], b"\n", &message.headers, &message.payload].concat()
}

/// The message as a server delivers it.
fn delivered(message: &StoredMessage) -> Vec<u8> {
    let (headers, total) = (message.headers.len(), message.headers.len() + message.payload.len());
    let (word, numbers) =
        if headers == 0 { ("MSG", total.to_string()) } else { ("HMSG", format!("{headers} {total}")) };
    let reply = format!(" 2 $JS.ACK.S.c.1.{0}.{0}.1767322800000000000.0 {numbers}\r\n", message.sequence);
    [word.as_bytes(), b" ", &message.subject, reply.as_bytes(), &message.headers, &message.payload, b"\r\n"]
        .concat()
}

fn words_of_a_server(seeds: &mut Seeds) {
    let info = r#"INFO {"server_id":"NA","server_name":"n1","version":"2.15.2","proto":1,"headers":true,"max_payload":1048576,"jetstream":true,"auth_required":true,"nonce":"x","ldm":false,"cluster":"c","domain":"d"}"#;
    seeds.add("nats_connection", "info", format!("{info}\r\nPING\r\nPONG\r\n+OK\r\n").as_bytes());
    seeds.add(
        "nats_connection",
        "refusals",
        b"-ERR 'Permissions Violation for Publish to \"a.b\"'\r\n-ERR 'Stale Connection'\r\n",
    );
    let status = "NATS/1.0 404 No Messages\r\nNats-Pending-Bytes: 12\r\n\r\n";
    seeds.add(
        "nats_connection",
        "status",
        format!("HMSG _INBOX.x 1 {0} {0}\r\n{status}\r\n", status.len()).as_bytes(),
    );
    seeds.add("nats_connection", "empty-reply", b"MSG s 1  0\r\n\r\nMSG s 2 r 3\r\nabc\r\nPING\n");
    let answer = r#"{"type":"x","error":{"code":404,"err_code":10059,"description":"stream not found"}}"#;
    seeds.add(
        "nats_connection",
        "answer",
        format!("MSG _INBOX.x.1 1 {}\r\n{answer}\r\n", answer.len()).as_bytes(),
    );
}

/// The events of a short history, a few at a time, as record lines of version 1.
fn history(seeds: &mut Seeds) {
    let options = HistoryOptions { odd: Odd::None, gaps: Gaps::None, poison_events: 3 };
    let messages: Vec<_> = History::with_options(1, 60, options).stored().collect();
    for (index, some) in messages.chunks(12).enumerate() {
        let lines = some.iter().filter_map(|message| one_line::record_v1_line(&message.payload).ok());
        seeds.add("projection", &format!("history-{index}"), &lines.collect::<Vec<_>>().join(&b'\n'));
    }
    let all = messages.iter().filter_map(|message| one_line::record_v1_line(&message.payload).ok());
    for line in all.take(24) {
        let event = one_line::record_v1(&line).unwrap().event;
        seeds.add("projection", &format!("event-{}-{}", event.kind, event.id), &line);
    }
}

fn migrations(seeds: &mut Seeds) {
    let manifest = fs::read(folder().join("../migrations/manifest.toml")).unwrap();
    seeds.add("manifest", "embedded", &manifest);
    let entry = |table: &str, class: &str| {
        format!("[[tables]]\ntable = \"{table}\"\nclass = \"{class}\"\nwhy = \"x\"\n\n")
    };
    seeds.add("manifest", "one-table", entry("owners", "log-rebuild").as_bytes());
    seeds.add(
        "manifest",
        "two-classes",
        (entry("owners", "log-rebuild") + &entry("owners", "ephemeral")).as_bytes(),
    );
    seeds.add("manifest", "unknown-class", entry("owners", "forever").as_bytes());
    seeds.add("manifest", "empty", b"tables = []\n");
    for file in MIGRATIONS {
        seeds.add("migrations", file.name, file.sql.as_bytes());
    }
    for (name, sql) in [
        ("block", "DO $$ BEGIN IF true THEN CREATE TABLE a (tenant_id uuid); END IF; END $$;"),
        (
            "nested-block",
            "DO $a$ BEGIN EXECUTE $b$CREATE TABLE a (b int)$b$; END $a$;\n/* /* */ */ -- x\nCREATE TABLE c ();",
        ),
        (
            "renames",
            "CREATE TABLE a (b int); ALTER TABLE a RENAME TO c; ALTER TABLE c SET SCHEMA read_model; DROP TABLE read_model.c;",
        ),
        (
            "strings",
            "SELECT 'a;''b', E'c\\'d', U&\"e\\0066\", $$g;$$; CREATE TABLE \"H i\" (j int REFERENCES \"k\".\"L\");",
        ),
        (
            "into",
            "WITH a AS (SELECT 1) SELECT * INTO b FROM a; CREATE TEMP TABLE c (d int); CREATE SCHEMA e CREATE TABLE f (g int);",
        ),
        ("unterminated", "CREATE TABLE a (b text DEFAULT 'c);"),
    ] {
        seeds.add("migrations", name, sql.as_bytes());
    }
}

fn sealed_keys(seeds: &mut Seeds) {
    let files = fs::read_dir(folder().join("../formats/tests/vectors/sealed-key")).unwrap();
    let mut paths: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_stem().unwrap().to_str().unwrap();
        seeds.add("sealed_key", name, &fs::read(&path).unwrap());
    }
}

fn key_shares(seeds: &mut Seeds) {
    for kind in ["kek-3-of-5", "identity-2-of-3"] {
        let path = folder().join(format!("../formats/tests/vectors/key-share/{kind}.txt"));
        let shares = fs::read_to_string(path).unwrap();
        seeds.add("key_share", kind, shares.as_bytes());
        for (index, share) in shares.lines().enumerate() {
            seeds.add("key_share", &format!("{kind}-{}", index + 1), share.as_bytes());
        }
        let first = shares.lines().next().unwrap();
        let grouped =
            first.as_bytes().chunks(5).map(<[u8]>::to_ascii_lowercase).collect::<Vec<_>>().join(&b'-');
        seeds.add("key_share", &format!("{kind}-grouped-in-lower-case"), &grouped);
        seeds.add("key_share", &format!("{kind}-mistyped"), first.replacen('Z', "2", 1).as_bytes());
        seeds.add("key_share", &format!("{kind}-cut-off"), &first.as_bytes()[..80]);
    }
}

/// What a signer once signed, by its parts, as DER and as DER without lengths.
fn requests(seeds: &mut Seeds) {
    let read = |name: &str| fs::read(folder().join("signed").join(name)).unwrap();
    let mut add = |target, name: &str, content: &[u8]| {
        seeds.add(target, name, content);
        seeds.add(target, &format!("{name}-text"), der::to_text(content).unwrap().as_bytes());
    };
    for name in ["root", "intermediate", "leaf"] {
        let whole = read(&format!("{name}.der"));
        add("certificate_request", name, der::first_part(&whole).unwrap());
        add("issuer_certificate", name, &whole);
    }
    for name in ["root", "intermediate"] {
        add("crl_request", name, der::first_part(&read(&format!("{name}.crl.der"))).unwrap());
    }
}

/// One request of each kind, and one that is refused.
fn small_requests(seeds: &mut Seeds) {
    let key_id = String::from("00000001-0000-4000-8000-000000000001");
    let key = GenerateKeyRequest { key_id: key_id.clone(), algorithm: 5, purposes: vec![3] };
    let ca = GenerateKeyRequest { algorithm: 2, purposes: vec![1, 2], ..key.clone() };
    let head = SignTreeHeadRequest {
        key_id: key_id.clone(),
        log: String::from("a-deployment/TRSTCTL_EVENTS"),
        tree_size: 7,
        root: vec![0xab; 32],
        epoch: 1,
    };
    let probe = ProbeRequest { key_id, nonce: vec![7; 32] };
    let refused = SignTreeHeadRequest { log: String::from("a log"), ..head.clone() };
    for (name, content) in [
        ("key", key.encode_to_vec()),
        ("ca", ca.encode_to_vec()),
        ("tree-head", head.encode_to_vec()),
        ("probe", probe.encode_to_vec()),
        ("refused", refused.encode_to_vec()),
    ] {
        seeds.add("small_request", name, &content);
    }
}

/// A signer's journal, and the beginnings of it.
fn journals(seeds: &mut Seeds) {
    let whole = fs::read_to_string(folder().join("signed/journal")).unwrap();
    let lines: Vec<_> = whole.split_inclusive('\n').collect();
    for count in [0, 1, 2, 4, 8, lines.len()] {
        seeds.add("journal", &format!("{count}-entries"), lines[..count].concat().as_bytes());
    }
    seeds.add("journal", "torn", &whole.as_bytes()[..whole.len() - 20]);
    for (index, act) in MORE_ACTS.iter().enumerate() {
        let line = format!(r#"{{"number":0,"previous":"","at":"2026-11-29T10:10:33Z","act":{act}}}"#);
        seeds.add("journal", &format!("act-{index}"), [&whole, &line[..], "\n"].concat().as_bytes());
    }
}

/// What may follow in that journal, of the kinds that it does not have.
const MORE_ACTS: [&str; 7] = [
    r#"{"kind":"key_rewrapped","key_id":"00000001-0000-4000-8000-00000000000f","generation":2,"kek_id":"abababababababababababababababab"}"#,
    r#"{"kind":"serials_revoked","key_id":"00000001-0000-4000-8000-00000000000f","serials":["07","08"]}"#,
    r#"{"kind":"floor_set","key_id":"00000001-0000-4000-8000-00000000000f","crl_number":2000,"epoch":9,"by":"a","reason":"b"}"#,
    r#"{"kind":"crl_number_allowed","key_id":"00000003-0000-4000-8000-00000000000f","number":300,"by":"a","reason":"b"}"#,
    r#"{"kind":"dropped_serial_allowed","key_id":"00000003-0000-4000-8000-00000000000f","serial":"4000000000000000000000000000000000000000","by":"a","reason":"b"}"#,
    r#"{"kind":"tree_head_allowed","log":"a-deployment/TRSTCTL_EVENTS","tree_size":6,"root":"abababababababababababababababababababababababababababababababab","by":"a","reason":"b"}"#,
    r#"{"kind":"epoch_allowed","epoch":0,"by":"a","reason":"b"}"#,
];

fn all() -> Seeds {
    let mut seeds = Seeds::default();
    lines_of_vectors(&mut seeds);
    contents_of_vectors(&mut seeds);
    words_of_a_server(&mut seeds);
    history(&mut seeds);
    migrations(&mut seeds);
    sealed_keys(&mut seeds);
    key_shares(&mut seeds);
    requests(&mut seeds);
    small_requests(&mut seeds);
    journals(&mut seeds);
    seeds
}

fn is_update() -> bool {
    env::var_os("UPDATE_CORPUS").is_some()
}

#[test]
fn every_seed_is_the_one_that_is_made() {
    for ((target, name), content) in all().0 {
        let path = folder().join("corpus").join(target).join(&name);
        if is_update() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &content).unwrap();
        }
        let found = fs::read(&path).ok();
        assert!(
            found == Some(content),
            "{target}/{name} is another; write the seeds anew with UPDATE_CORPUS=1"
        );
    }
}

/// An encrypted file is another one each time it is made, so a file that is there stays; the target says what it is.
#[test]
fn there_is_a_seed_of_every_container() {
    let example = vectors().into_iter().find(|(name, _)| name == "accept-v2-example.with-key").unwrap().1;
    for (name, compression, is_encrypted) in [
        ("Plain", Compression::None, false),
        ("Zstd", Compression::Zstd, false),
        ("Age", Compression::None, true),
        ("AgeZstd", Compression::Zstd, true),
    ] {
        let path = folder().join("corpus/container").join(format!("seed-{name}"));
        if is_update() && !path.exists() {
            let recipients: Vec<Recipient> =
                is_encrypted.then(|| RECIPIENT.parse().unwrap()).into_iter().collect();
            let mut sealed = seal(Vec::new(), compression, &recipients).unwrap();
            sealed.write_all(&example).unwrap();
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, sealed.finish().unwrap()).unwrap();
        }
        let outcome = replay(target("container").unwrap(), &fs::read(&path).unwrap()).unwrap();
        assert_eq!(outcome, format!("{name}, Reached"));
    }
}

#[test]
fn the_corpus_is_small() {
    let files =
        TARGETS.iter().flat_map(|target| fs::read_dir(folder().join("corpus").join(target.name)).unwrap());
    let bytes: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes <= MAX_CORPUS_BYTES, "{bytes}");
}

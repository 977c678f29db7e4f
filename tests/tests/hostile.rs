//! Files that mean harm, or change while they are read: the right class and code, in bounded memory, the target untouched.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use trstctl_engines::NatsOptions;
use trstctl_formats::backup::{FormatVersion, Header, Writer};
use trstctl_formats::container::{Compression, seal};
use trstctl_formats::{Digest, StoreTime, StoredMessage};
use trstctl_ledger::history::History;
use trstctl_tests::{
    Action, Fault, Pick, Proxy, Run, Running, Site, Speech, cases, flip_byte, program, records, trailer,
};

const MIB: u64 = 1 << 20;
/// Most memory for lines up to 1 MiB.
const SHORT_LINES: u64 = 64 * MIB;
/// Most memory when a line reaches the limit of version 2, 128 MiB: 1.2 times the line, and 64 MiB.
const LONGEST_LINE: u64 = (64 + 154) * MIB;
const HEADER: &str = concat!(
    r#"{"format":"trstctl-event-log-backup","version":2,"created_at":"2026-01-02T03:04:05Z","#,
    r#""stream":"TRSTCTL_EVENTS","first_sequence":1,"event_cut_sequence":2}"#,
    "\n"
);

/// Verifies a file with no key, and demands that it took no more memory.
#[track_caller]
fn verify_within(path: &Path, bytes: u64) -> Run {
    let (run, peak) = Running::start(program().arg("verify").arg(path)).end_measured();
    println!("  {}: {} MiB, code {:?}", path.display(), peak / MIB, run.code);
    assert!(peak <= bytes, "{} MiB, allowed are {}", peak / MIB, bytes / MIB);
    run
}

/// A zstd file of these bytes, then `piece` again and again up to `len` bytes.
fn bomb(path: &Path, beginning: &str, piece: &[u8], len: u64) {
    let mut sealed = seal(BufWriter::new(File::create(path).unwrap()), Compression::Zstd, &[]).unwrap();
    sealed.write_all(beginning.as_bytes()).unwrap();
    for _ in 0..len / piece.len() as u64 {
        sealed.write_all(piece).unwrap();
    }
    sealed.finish().unwrap().flush().unwrap();
}

#[test]
fn decompression_bomb_is_read_in_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.jsonl.zst");
    let len = cases(512, 16_384) * MIB;
    bomb(&path, HEADER, &b"{}\n".repeat(20_000), len);
    assert!(path.metadata().unwrap().len() < len / 1_000);
    verify_within(&path, SHORT_LINES).fail(4, "truncated");
    // Nothing but lines, in blocks of the usual size and in one that a long line has made large.
    let empty_lines = vec![b'\n'; 1 << 20];
    bomb(&path, HEADER, &empty_lines, len / 16);
    verify_within(&path, SHORT_LINES).fail(4, "truncated");
    let long = "x".repeat(100 * MIB as usize);
    bomb(&path, &format!("{HEADER}{long}\n"), &empty_lines, len / 16);
    verify_within(&path, LONGEST_LINE).fail(4, "truncated");
    bomb(&path, HEADER, &vec![b' '; 1 << 20], len);
    verify_within(&path, LONGEST_LINE).fail(4, "truncated");
    bomb(&path, HEADER.trim_end().trim_end_matches('}'), &vec![b' '; 1 << 20], len);
    verify_within(&path, LONGEST_LINE).fail(4, "damaged");
    bomb(&path, "", &vec![b'{'; 1 << 20], len);
    verify_within(&path, LONGEST_LINE).fail(3, "not_a_backup");
}

/// A version 1 file whose first record is padded to this many bytes, newline included, with the right checksum.
fn padded(path: &Path, len: usize) {
    let example = vector("accept-v1-unkeyed.jsonl");
    let text = fs::read_to_string(example).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let fill = " ".repeat(len - lines[1].len());
    let record = lines[1].replacen(",\"v\":1", &format!(",{fill}\"v\":1"), 1);
    let body = [&[lines[0], record.as_str()], &lines[2..lines.len() - 1]].concat().concat();
    let digest = Digest(Sha256::digest(body.as_bytes()).into()).to_string();
    let before = lines[lines.len() - 1].split("\"sha256\":\"").next().unwrap();
    let after = &lines[lines.len() - 1][before.len() + "\"sha256\":\"".len() + digest.len()..];
    fs::write(path, format!("{body}{before}\"sha256\":\"{digest}{after}")).unwrap();
}

fn vector(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../formats/tests/vectors").join(name)
}

#[test]
fn line_of_exactly_the_limit_is_read_and_one_byte_more_is_malformed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.jsonl");
    let limit = FormatVersion::V1.max_line_bytes();
    let memory = SHORT_LINES + limit as u64 * 12 / 10;
    padded(&path, limit);
    verify_within(&path, memory).succeed();
    padded(&path, limit + 1);
    let run = verify_within(&path, memory).fail(4, "malformed_record");
    assert!(run.stderr.contains("line 2"), "{}", run.stderr);
}

#[test]
fn line_of_exactly_the_limit_of_version_2_is_read_in_the_memory_that_is_promised() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.jsonl");
    let line = || fs::read(&path).unwrap().split_inclusive(|&byte| byte == b'\n').nth(1).unwrap().len();
    lonely(&path, [1, 1], 1, "events.x", "");
    // Base64 takes four characters for three bytes; the subject the rest.
    let rest = FormatVersion::V2.max_line_bytes() - line();
    lonely(&path, [1, 1], 1, &format!("events.x{}", "x".repeat(rest % 4)), &".".repeat(rest / 4 * 3));
    assert_eq!(line(), FormatVersion::V2.max_line_bytes());
    verify_within(&path, LONGEST_LINE).succeed();
}

/// The verdict that a vector's name states: `accept` or the class.
fn stated(path: &Path) -> String {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let verdict = name.strip_prefix("refuse-").and_then(|rest| rest.split('-').next());
    verdict.unwrap_or("accept").to_owned()
}

/// Nesting at the limit and beyond, numbers of 19 digits, counts that lie, and all else that the format's vectors hold.
#[test]
fn every_vector_gets_its_verdict_from_the_program_itself() {
    let folder = tempfile::tempdir().unwrap();
    let mut files: Vec<PathBuf> =
        fs::read_dir(vector("")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "jsonl"));
    // The key of the worked examples (docs/format/backup.md).
    let key = folder.path().join("key");
    fs::write(&key, "-----BEGIN PRIVATE KEY-----\nEXAMPLE\n-----END PRIVATE KEY-----\n").unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let (keyed, plain): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|path| path.to_string_lossy().contains(".with-key."));
    for (paths, key) in [(keyed, Some(&key)), (plain, None)] {
        let mut verify = program();
        verify.args(["verify", "--json"]);
        if let Some(key) = key {
            verify.arg("--key-file").arg(key);
        }
        let (run, peak) = Running::start(verify.args(&paths)).end_measured();
        assert!(peak <= SHORT_LINES, "{} MiB", peak / MIB);
        let report = run.json();
        let verdict = |file: &serde_json::Value| {
            file["error"]["class"].as_str().map_or_else(|| "accept".to_owned(), ToOwned::to_owned)
        };
        let found: Vec<_> =
            report["files"].as_array().unwrap_or_else(|| panic!("{report}")).iter().map(verdict).collect();
        let differing: Vec<_> =
            paths.iter().zip(&found).filter(|(path, found)| stated(path) != **found).collect();
        assert!(paths.len() > 50 && found.len() == paths.len() && differing.is_empty(), "{differing:?}");
    }
}

#[test]
fn devices_are_no_backups_and_an_endless_stream_is_refused_at_its_beginning() {
    let site = Site::start();
    for device in ["/dev/zero", "/dev/full", "/dev/null", "/dev/tty"] {
        // A terminal may not even be there: it cannot be read either way.
        site.dr(&["verify", device]).fail(2, "usage");
        site.dr(&["restore", device]).fail(2, "usage");
    }
    let start = Instant::now();
    for endless in ["/dev/zero", "/dev/urandom"] {
        let run = Run::of(site.command(&["verify", "-"]).stdin(Stdio::from(File::open(endless).unwrap())));
        run.fail(3, "not_a_backup");
    }
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    site.dr(&["backup", "--output", "b.jsonl"]).fail(8, "no_stream");
}

/// A version 2 file of one message, at this sequence, of a log that begins and ends at those.
fn lonely(path: &Path, [first, last]: [u64; 2], sequence: u64, subject: &str, payload: &str) {
    let header = Header {
        version: FormatVersion::V2,
        created_at: StoreTime(1_700_000_000_000_000_000),
        deployment_id: None,
        stream: "TRSTCTL_EVENTS".to_owned(),
        first_sequence: first,
        event_cut_sequence: last,
    };
    let mut writer = Writer::create(File::create(path).unwrap(), &header, None).unwrap();
    let message = StoredMessage {
        sequence,
        stored_at: StoreTime(1_700_000_000_000_000_000),
        subject: subject.to_owned().into(),
        headers: "".into(),
        payload: payload.to_owned().into(),
    };
    writer.append(&message).unwrap();
    writer.finish().unwrap();
}

#[test]
fn gap_that_no_server_could_hold_is_refused_before_anything_is_written() {
    let site = Site::start();
    let path = site.path("gap.jsonl");
    lonely(&path, [1, 999_999_999_999_999_999], 1, "events.x", "lonely");
    verify_within(&path, SHORT_LINES).succeed();
    let restore = ["restore", "--allow-unkeyed", "gap.jsonl"];
    let (run, peak) = Running::start(&mut site.command(&restore)).end_measured();
    let run = run.fail(8, "refused");
    println!("{}", run.stderr);
    assert!(peak <= 2 * SHORT_LINES, "{} MiB", peak / MIB);
    site.dr(&["backup", "--output", "b.jsonl"]).fail(8, "no_stream");
}

#[test]
fn largest_sequence_of_the_format_is_restored() {
    let site = Site::start();
    let largest = 999_999_999_999_999_999;
    lonely(&site.path("a.jsonl"), [largest, largest], largest, "events.x", "lonely");
    site.dr(&["restore", "--allow-unkeyed", "a.jsonl"]).succeed();
    site.dr(&["backup", "--output", "b.jsonl"]).succeed();
    assert_eq!(records(&site.path("a.jsonl")), records(&site.path("b.jsonl")));
}

/// A restore that was stopped between its verification and the second pass over the file.
fn paused(events: u64) -> (Site, Proxy, Running) {
    let mut site = Site::start();
    site.seed(History::new(71, events));
    site.dr(&["backup", "--output", "real.jsonl"]).succeed();
    symlink("real.jsonl", site.path("a.jsonl")).unwrap();
    site.lose_log(NatsOptions::default());
    let proxy = Proxy::before(site.nats.port(), Speech::Nats);
    proxy.arm(Fault::to_server(Pick::Message("$JS.API.STREAM.RESTORE.", 1), Action::Freeze));
    let mut restore = site.command(&["restore", "a.jsonl"]);
    let run = Running::start(restore.env("TRSTCTL_NATS_URL", proxy.url(&site.nats.url())));
    assert!(proxy.wait_until_done(), "{}", run.end().stderr);
    (site, proxy, run)
}

/// What is done meanwhile, and its name.
type Change<T> = (&'static str, fn(&T));

/// Long enough that the second pass cannot have read to the end ahead of the server.
const LONG: u64 = 60_000;

#[test]
fn file_changed_between_verification_and_restore_leaves_no_log() {
    let changes: [Change<Path>; 2] = [
        ("a bit", |path| flip_byte(path, path.metadata().unwrap().len() - 100_000)),
        ("shorter", |path| {
            let file = File::options().write(true).open(path).unwrap();
            file.set_len(path.metadata().unwrap().len() - 100_000).unwrap();
        }),
    ];
    for (name, change) in changes {
        let (site, proxy, run) = paused(LONG);
        change(&site.path("real.jsonl"));
        proxy.thaw();
        let run = run.end();
        println!("  {name}: {:?} {}", run.code, run.stderr);
        assert_eq!(run.code, Some(4), "{name}: {}", run.stderr);
        site.dr(&["backup", "--output", "b.jsonl"]).fail(8, "no_stream");
    }
}

#[test]
fn restore_writes_what_it_verified_though_the_name_leads_elsewhere_meanwhile() {
    let changes: [Change<Site>; 3] = [
        ("link swapped", |site| {
            fs::write(site.path("other.jsonl"), "another file").unwrap();
            fs::remove_file(site.path("a.jsonl")).unwrap();
            symlink("other.jsonl", site.path("a.jsonl")).unwrap();
        }),
        ("file replaced", |site| {
            fs::rename(site.path("real.jsonl"), site.path("kept.jsonl")).unwrap();
            fs::write(site.path("real.jsonl"), "another file").unwrap();
        }),
        ("file grows", |site| {
            fs::copy(site.path("real.jsonl"), site.path("kept.jsonl")).unwrap();
            let mut file = File::options().append(true).open(site.path("real.jsonl")).unwrap();
            file.write_all(b"more\n").unwrap();
        }),
    ];
    for (name, change) in changes {
        let (site, proxy, run) = paused(3_000);
        change(&site);
        proxy.thaw();
        let run = run.end();
        println!("  {name}: {:?} {}", run.code, run.stderr);
        if name == "file grows" && run.code == Some(4) {
            site.dr(&["backup", "--output", "b.jsonl"]).fail(8, "no_stream");
            continue;
        }
        run.succeed();
        let kept = ["kept.jsonl", "real.jsonl"].into_iter().find(|name| site.path(name).exists()).unwrap();
        site.dr(&["backup", "--output", "b.jsonl"]).succeed();
        assert_eq!(records(&site.path(kept)), records(&site.path("b.jsonl")), "{name}");
        assert_eq!(trailer(&site.path(kept)), trailer(&site.path("b.jsonl")), "{name}");
    }
}

#[test]
fn file_that_grows_or_shrinks_while_it_is_verified_gets_a_verdict_and_no_accident() {
    let site = Site::start();
    site.seed(History::new(72, 20_000));
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    let whole = fs::read(site.path("a.jsonl")).unwrap();
    for round in 0..cases(6, 60) {
        fs::write(site.path("b.jsonl"), &whole).unwrap();
        let run = Running::start(&mut site.command(&["verify", "b.jsonl"]));
        assert!(run.wait_for_line("verify"));
        let file = File::options().append(true).open(site.path("b.jsonl")).unwrap();
        match round % 2 {
            0 => file.set_len(whole.len() as u64 / 2).unwrap(),
            _ => (&file).write_all(b"{\"more\":1}\n").unwrap(),
        }
        let run = run.end();
        assert!(matches!(run.code, Some(0 | 4)), "{:?} {}", run.code, run.stderr);
    }
}

#[test]
fn device_with_settings_and_pipe_with_migrations_are_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("0001-pipe.sql");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let refused = |arguments: &[&OsStr]| Running::start(program().args(arguments)).end().fail(2, "usage");
    refused(&["--config".as_ref(), "/dev/zero".as_ref(), "verify".as_ref(), "absent".as_ref()]);
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/manifest.toml");
    fs::copy(manifest, folder.path().join("manifest.toml")).unwrap();
    // A folder that leads back to itself is read once.
    symlink(folder.path(), folder.path().join("again")).unwrap();
    let audit = ["manifest".as_ref(), "audit".as_ref(), "--migrations".as_ref(), folder.path().as_os_str()];
    let run = refused(&audit);
    assert!(run.stderr.contains("0001-pipe.sql"), "{}", run.stderr);
}

//! The verifier and the second reader, `docs/format/read_backup.py`, give the same verdict on everything.
//!
//! Neither was written from the other; both from `docs/format/backup.md`. So where they differ, one of them is wrong, or
//! the page is. Whole when `TRSTCTL_TORTURE` is set; else a sample of the matrix and of the mutations.

mod support;

use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader, Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::forge::{forged, lines, replaced, rooted};
use support::large::{v1_with_line_of, v2_with_line_of, with_gaps, with_tenants};
use support::{KEY_FILE, V1_KEYED, V2_KEYED, go, matrix};
use trstctl_formats::backup::{Allow, BackupKey, FormatVersion, VerifyOptions, verify};

const OTHER_KEY: &[u8] = b"another key\n";

/// A file and what the host has to check it with.
struct Case {
    what: String,
    bytes: Vec<u8>,
    key: Option<&'static [u8]>,
    unverified_mac: Allow,
    unkeyed: Allow,
}

/// A verdict: class, exit code, line; the offset tells a failing test where to look.
#[derive(Clone)]
struct Verdict {
    class: String,
    exit_code: u8,
    line: Option<u64>,
    offset: Option<u64>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) line {:?} offset {:?}", self.class, self.exit_code, self.line, self.offset)
    }
}

impl Verdict {
    fn agrees(&self, other: &Self) -> bool {
        let same_line = self.line.is_none() || other.line.is_none() || self.line == other.line;
        self.class == other.class && self.exit_code == other.exit_code && same_line
    }

    fn of_verifier(case: &Case) -> Self {
        let key = case.key.map(|bytes| BackupKey::from_key_file(bytes).unwrap());
        let options = VerifyOptions {
            key: key.as_ref(),
            unverified_mac: case.unverified_mac,
            unkeyed: case.unkeyed,
            ..VerifyOptions::default()
        };
        match verify(Cursor::new(&case.bytes), &options) {
            Ok(_) => Self { class: String::from("accept"), exit_code: 0, line: None, offset: None },
            Err(failure) => Self {
                class: failure.class.name().to_owned(),
                exit_code: failure.class.exit_code(),
                line: failure.place.line,
                offset: failure.place.offset,
            },
        }
    }

    /// A line of the second reader's answers.
    fn parse(answer: &str) -> Self {
        let words: Vec<_> = answer.split(' ').collect();
        let [class, exit_code, line, offset] = words[..] else { panic!("{answer}") };
        Self {
            class: class.to_owned(),
            exit_code: exit_code.parse().unwrap(),
            line: line.parse().ok(),
            offset: offset.parse().ok(),
        }
    }
}

fn of(what: impl Into<String>, bytes: Vec<u8>, key: Option<&'static [u8]>) -> Case {
    Case { what: what.into(), bytes, key, unverified_mac: Allow::No, unkeyed: Allow::No }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What the second reader says of each case, from one process of it.
fn second_reader(cases: &[Case]) -> Vec<Verdict> {
    let mut process = Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/second_reader.py"))
        .arg(repository().join("docs/format/read_backup.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 runs; scripts/setup installs it");
    let mut orders = process.stdin.take().unwrap();
    let answers = BufReader::new(process.stdout.take().unwrap());
    let verdicts: Vec<_> = std::thread::scope(|scope| {
        scope.spawn(move || {
            for case in cases {
                let flags =
                    u8::from(case.unverified_mac == Allow::Yes) + 2 * u8::from(case.unkeyed == Allow::Yes);
                let key_len = case.key.map_or(String::from("-1"), |key| key.len().to_string());
                // An error here is a reader that stopped early: the missing answers tell.
                let _ = writeln!(orders, "{} {key_len} {flags}", case.bytes.len());
                let _ = orders.write_all(&case.bytes);
                let _ = orders.write_all(case.key.unwrap_or_default());
            }
        });
        answers.lines().map(|answer| Verdict::parse(&answer.unwrap())).collect()
    });
    assert!(process.wait().unwrap().success());
    assert_eq!(verdicts.len(), cases.len());
    verdicts
}

/// Both readers over all cases.
fn assert_agreement(cases: &[Case]) {
    let mut differences = Vec::new();
    for (case, theirs) in cases.iter().zip(second_reader(cases)) {
        let ours = Verdict::of_verifier(case);
        if !ours.agrees(&theirs) {
            let content = case.bytes[..case.bytes.len().min(10_000)].escape_ascii();
            differences
                .push(format!("{}:\n  verifier {ours}\n  second reader {theirs}\n  {content}", case.what));
        }
    }
    let shown = differences.iter().take(10).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(differences.is_empty(), "{} of {} differ, such as\n{shown}", differences.len(), cases.len());
}

/// All when the suite runs in full, else one of so many.
fn sampled(cases: Vec<Case>, one_of: usize) -> Vec<Case> {
    if support::is_whole() { cases } else { cases.into_iter().step_by(one_of).collect() }
}

/// Name and content of every vector.
fn vectors() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut vectors: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect();
    vectors.sort();
    vectors
}

#[test]
fn both_readers_agree_on_every_vector_in_every_situation_of_keys() {
    let mut cases = Vec::new();
    for (name, bytes) in vectors() {
        for key in [None, Some(KEY_FILE), Some(OTHER_KEY)] {
            for (unverified_mac, unkeyed) in
                [(Allow::No, Allow::No), (Allow::Yes, Allow::No), (Allow::No, Allow::Yes)]
            {
                let what = format!(
                    "{name}, key {:?}, {unverified_mac:?} {unkeyed:?}",
                    key.map(<[u8]>::escape_ascii).map(|key| key.to_string())
                );
                cases.push(Case { what, bytes: bytes.clone(), key, unverified_mac, unkeyed });
            }
        }
    }
    assert!(cases.len() > 2000);
    assert_agreement(&cases);
}

/// What the corpus of a fuzz target holds, by name.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(repository().join("fuzz/corpus").join(target)).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    paths.map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect()
}

/// The example with this in place of its header (0), its first record (1) or its trailer; but for a trailer with right
/// checksum, root and MAC.
fn spliced(example: &[u8], place: usize, line: &[u8]) -> Vec<u8> {
    let mut all = lines(example);
    let is_trailer = place == all.len() - 1;
    all[place] = [line.strip_suffix(b"\n").unwrap_or(line), b"\n"].concat();
    match (is_trailer, example == V2_KEYED) {
        (true, _) => all.concat(),
        (false, true) => rooted(&all.concat()),
        (false, false) => forged(&all.concat()),
    }
}

#[test]
fn both_readers_agree_on_the_corpus_of_the_fuzz_targets() {
    let mut files = [corpus("whole_v1"), corpus("whole_v2")].concat();
    let end = |example: &[u8]| lines(example).len() - 1;
    for (target, example, place) in [
        ("header", V1_KEYED, 0),
        ("header", V2_KEYED, 0),
        ("record_v1", V1_KEYED, 1),
        ("record_v2", V2_KEYED, 1),
        ("trailer", V1_KEYED, end(V1_KEYED)),
        ("trailer", V2_KEYED, end(V2_KEYED)),
    ] {
        let lines = corpus(target);
        assert!(lines.len() > 20, "{target}");
        files.extend(lines.into_iter().map(|(name, line)| (name, spliced(example, place, &line))));
    }
    let keys = [None, Some(KEY_FILE)];
    let each = |(name, bytes): &(String, Vec<u8>)| keys.map(|key| of(name.clone(), bytes.clone(), key));
    let cases: Vec<Case> = files.iter().flat_map(each).collect();
    assert_agreement(&cases);
}

#[test]
fn the_second_reader_accepts_what_go_wrote_and_reads_and_refuses_as_go_does() {
    let mut cases = Vec::new();
    for (name, bytes) in go::backups() {
        let key = name.contains(".with-key.").then_some(KEY_FILE);
        cases.push((true, of(name, bytes, key)));
    }
    for line in go::texts("refused.lines") {
        cases.push((false, of("a line that Go refuses", go::with_line(&line), None)));
    }
    for (reads, bytes) in go::with_ends() {
        cases.push((reads, of("another header or trailer", bytes, Some(KEY_FILE))));
    }
    let (reads, cases): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    assert_agreement(&cases);
    for ((case, verdict), reads) in cases.iter().zip(second_reader(&cases)).zip(reads) {
        assert_eq!(verdict.class == "accept", reads, "{}: {}", case.what, case.bytes.escape_ascii());
    }
}

#[test]
fn the_second_reader_gives_each_vector_the_verdict_of_its_name() {
    let cases: Vec<_> = vectors()
        .into_iter()
        .map(|(name, bytes)| {
            let key = name.contains(".with-key.").then_some(KEY_FILE);
            of(name, bytes, key)
        })
        .collect();
    for (case, verdict) in cases.iter().zip(second_reader(&cases)) {
        let name = case.what.strip_prefix("refuse-").unwrap_or(&case.what);
        assert!(name.starts_with(&format!("{}-", verdict.class)), "{name}: {verdict}");
    }
}

#[test]
fn the_second_reader_accepts_the_worked_examples_of_the_page() {
    let examples = support::page_examples();
    let header = r#"{"format":"trstctl-event-log-backup","version":1,"created_at":"2026-01-02T03:04:05Z"}"#;
    let cases = [
        of("version 1", examples[0].clone().into(), Some(KEY_FILE)),
        of("an empty log", format!("{header}\n{}", examples[1]).into(), None),
        of("version 2", examples[2].clone().into(), Some(KEY_FILE)),
    ];
    for (case, verdict) in cases.iter().zip(second_reader(&cases)) {
        assert_eq!(verdict.class, "accept", "{}: {verdict}", case.what);
    }
}

#[test]
fn both_readers_agree_on_the_damage_matrix() {
    let mut cases = Vec::new();
    for (original, other) in [(V1_KEYED, V2_KEYED), (V2_KEYED, V1_KEYED)] {
        let sibling = support::sibling(original);
        let others = [sibling.as_slice(), other];
        for damaged in
            matrix::of_bytes(original, &others).into_iter().chain(matrix::of_lines(original, &others))
        {
            let what = format!("{}: {}", damaged.kind, damaged.what);
            cases.push(of(what, damaged.bytes, Some(KEY_FILE)));
        }
    }
    assert!(cases.len() > 25_000, "{}", cases.len());
    assert_agreement(&sampled(cases, 13));
}

/// Files at a limit and beyond it. Hundreds of megabytes: only in the whole form.
#[test]
fn both_readers_agree_at_the_limits() {
    if !support::is_whole() {
        return;
    }
    let max = FormatVersion::V1.max_line_bytes();
    let fill = " ".repeat(max);
    let put = |bytes: &[u8], before: &str| {
        replaced(bytes, before.as_bytes(), format!(",{fill}{}", &before[1..]).as_bytes())
    };
    let plain = v1_with_line_of(400);
    let long_trailer = put(&plain, ",\"records\":");
    let gaps = with_gaps(1_000_001);
    let tenants = with_tenants(250_001);
    let v2_at_limit = v2_with_line_of(FormatVersion::V2.max_line_bytes());
    let cases = [
        ("a record at the limit", v1_with_line_of(max)),
        ("a record over the limit", v1_with_line_of(max + 1)),
        ("the same, damaged", replaced(&v1_with_line_of(max + 1), b"alice", b"alicf")),
        (
            "the same, with CR",
            forged(&replaced(&v1_with_line_of(max + 1), b"}\n{\"format", b"}\r\n{\"format")),
        ),
        ("a header over the limit", forged(&put(&plain, ",\"created_at\":"))),
        ("a trailer over the limit without newline", long_trailer[..long_trailer.len() - 1].to_vec()),
        ("another last line over the limit", replaced(&long_trailer, b"backup-trailer", b"backup-trailes")),
        ("a trailer over the limit", long_trailer),
        ("a record of version 2 over the limit", rooted(&replaced(&v2_at_limit, b"events.x", b"events.xx"))),
        ("a record of version 2 at the limit", v2_at_limit),
        ("a million gaps", with_gaps(1_000_000)),
        ("more, and not null", forged(&replaced(&gaps, b"\"gaps\":null", b"\"gaps\":[]"))),
        ("more than a million gaps", gaps),
        ("250,000 tenants", with_tenants(250_000)),
        ("more, and not null", forged(&replaced(&tenants, b"\"tenants\":null", b"\"tenants\":[]"))),
        ("more than 250,000 tenants", tenants),
    ];
    for (what, bytes) in cases {
        assert_agreement(&[of(what, bytes, None)]);
    }
}

/// Texts that a mutation puts into a file: what the grammar turns on.
const TOKENS: &[&str] = &[
    "\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    " ",
    "\t",
    "\r",
    "\r\n",
    "\n",
    "\\",
    "\\u0000",
    "\\u001f",
    "\\u001F",
    "\\ud800",
    "\\u003c",
    "\\/",
    "\u{7f}",
    "\u{2028}",
    "\u{17f}",
    "\u{212a}",
    "null",
    "true",
    "false",
    "0",
    "-0",
    "-1",
    "1",
    "1.0",
    "1e0",
    "00",
    "999999999999999999",
    "1000000000000000000",
    "\"\"",
    "{}",
    "[]",
    "[[]]",
    ",\"x\":1",
    "\"v\":2,",
    ",\"v\":null",
    ",\"V\":0",
    "\"data\":null,",
    ",\"data\":1",
    ",\"data_b64\":\"AAE=\"",
    ",\"data_b64\":\"\"",
    ",\"actor\":{\"subject\":\"\"}",
    ",\"actor\":null",
    ",\"actor\":{}",
    ",\"roles\":[]",
    ",\"roles\":[null]",
    "\"format\":\"trstctl-event-log-backup-trailer\"",
    "\"format\":\"trstctl-event-log-backup\",",
    ",\"version\":1",
    ",\"version\":2",
    ",\"version\":3",
    ",\"headers\":[]",
    ",\"headers\":[[\"a\",\"b\"]]",
    "\"Nats-Msg-Id\"",
    "Z",
    "+00:00",
    "-00:00",
    "+23:59",
    "+24:60",
    "+25:00",
    "+00:61",
    ".000",
    ".5",
    ",5",
    "T24:00:00Z",
    "23:59:60",
    "2024-02-29",
    "2025-02-29",
    "0000",
    "9999",
    "1677-09-21T00:12:43.145224191Z",
    "2262-04-11T23:47:16.854775808Z",
    "=",
    "==",
    "AA==",
    "AB==",
    "/w==",
    ",\"hmac_sha256\":\"\"",
    ",\"hmac_sha256\":null",
    "[1,1]",
    "[[1,1]]",
    ",\"tenants\":null",
    "\u{e9}",
];

/// A generator of numbers that are the same on every run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }

    /// One edit of a text.
    fn edit(&mut self, bytes: &mut Vec<u8>) {
        let from = self.below(bytes.len() + 1);
        let to = (from + [0, 0, 1, 2, 5, 20][self.below(6)]).min(bytes.len());
        match self.below(4) {
            0 => {
                bytes.drain(from..to);
            }
            1 => {
                let copy = bytes[from..to].to_vec();
                let at = self.below(bytes.len() + 1);
                bytes.splice(at..at, copy);
            }
            _ => {
                let token = TOKENS[self.below(TOKENS.len())].bytes();
                bytes.splice(from..to, token);
            }
        }
    }
}

fn ends_with_trailer(bytes: &[u8]) -> bool {
    bytes.ends_with(b"}\n")
        && lines(bytes)
            .last()
            .unwrap()
            .starts_with(b"{\"format\":\"trstctl-event-log-backup-trailer\",\"sha256\":\"")
}

#[test]
fn both_readers_agree_on_mutated_vectors_under_right_checksums() {
    let originals: Vec<_> =
        vectors().into_iter().filter(|(_, bytes)| (1..8_000).contains(&bytes.len())).collect();
    let seed = std::env::var("TRSTCTL_SEED").map_or(0x5eed_0001, |text| text.parse::<u64>().unwrap() | 1);
    println!("mutated vectors: TRSTCTL_SEED={seed}");
    let mut numbers = Numbers(seed);
    let mut cases = Vec::new();
    for round in 0..60_000 {
        let (name, original) = &originals[numbers.below(originals.len())];
        let mut all = lines(original);
        let line = numbers.below(all.len());
        for _ in 0..=numbers.below(2) {
            numbers.edit(&mut all[line]);
        }
        let bytes = all.concat();
        // Where the trailer is as it was, its digests can be those of the mutated lines.
        let has_trailer = line > 0 && line + 1 < all.len() && ends_with_trailer(original);
        let bytes = match numbers.below(4) {
            0 => bytes,
            _ if !has_trailer => bytes,
            _ if memchr::memmem::find(original, b"\"merkle_root\":\"").is_some() => rooted(&bytes),
            _ => forged(&bytes),
        };
        let key = [None, Some(KEY_FILE)][numbers.below(2)];
        let what = format!("round {round} of seed {seed}, from {name}");
        cases.push(Case { what, bytes, key, unverified_mac: Allow::Yes, unkeyed: Allow::Yes });
    }
    assert_agreement(&sampled(cases, 20));
}

/// Exit code and output of the second reader as a command.
fn run(arguments: &[&Path]) -> (Option<i32>, String) {
    let reader = repository().join("docs/format/read_backup.py");
    let output = Command::new("python3").arg(reader).args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn as_a_command_the_second_reader_says_class_place_and_what_to_do() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let (code, said) = run(&[&tests.join("vectors/accept-v2-unkeyed.jsonl")]);
    assert!(code == Some(0) && said.contains("3 records, checksum only"), "{code:?} {said}");
    let (code, said) = run(&[&tests.join("vectors/refuse-malformed_record-v2-space.jsonl")]);
    assert!(code == Some(4) && said.contains(": malformed_record, line 2, offset 190: "), "{code:?} {said}");
    assert!(said.contains("Do not restore from this file"), "{said}");
}

#[test]
fn as_a_command_the_second_reader_names_the_tool_for_a_container() {
    let containers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/containers");
    for (name, tool) in
        [("accept-zstd-level-3.jsonl.zst", "zstd -d"), ("accept-age-x25519.jsonl.age", "age -d -i")]
    {
        let (code, said) = run(&[&containers.join(name)]);
        assert!(code == Some(2) && said.contains(tool), "{code:?} {said}");
    }
    assert_eq!(run(&[&containers.join("absent")]).0, Some(2));
}

#[test]
fn as_a_command_the_second_reader_takes_an_absent_key_for_a_mistake() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let file = tests.join("examples/v2-keyed.jsonl");
    let key_file = Path::new("--key-file");
    assert_eq!(run(&[key_file, &tests.join("absent.key"), &file]).0, Some(2));
    assert_eq!(run(&[&file]).0, Some(6));
    assert_eq!(run(&[key_file, &file, &file]).0, Some(6));
    assert_eq!(run(&[Path::new("--allow-unverified-mac"), &file]).0, Some(0));
}

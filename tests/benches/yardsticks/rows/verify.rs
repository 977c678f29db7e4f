//! Verify against what the checksum alone costs: `openssl dgst -sha256` over the same file, warm.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

use trstctl_formats::backup::FormatVersion;

use super::{backups, child};
use crate::figures::{Figures, Unit, alternate, seconds};
use crate::row::{Reach, Row, Yardstick};
use crate::setting::Setting;

const LIMIT_V2: &str =
    "SHA-256: once over the stream, once over each line, and two blocks for each node of two trees.";
const LIMIT_V1: &str = "SHA-256: checksum and MAC, in one thread with SHA instructions, else in two.";

/// Version 2, lines of about 700 bytes, keyed.
pub fn v2(setting: &Setting) -> Vec<Row> {
    vec![throughput(setting, FormatVersion::V2, LIMIT_V2)]
}

/// Version 1, whose MAC covers the whole stream beside the checksum.
pub fn v1_keyed(setting: &Setting) -> Vec<Row> {
    vec![throughput(setting, FormatVersion::V1, LIMIT_V1)]
}

fn throughput(setting: &Setting, version: FormatVersion, limit: &str) -> Row {
    let file = backups::realistic(setting, version, setting.gb);
    let key = backups::key_file(setting);
    let digest = || child::rate(Command::new("openssl").args(["dgst", "-sha256"]).arg(&file), &file);
    let verify = || child::rate(&mut child::verify(&file, &key), &file);
    let (theirs, ours) = alternate(Unit::BytesPerSecond, setting.rounds, digest, verify);
    Row {
        name: String::new(),
        what: format!("verify v{} keyed, {} GB", version.number(), setting.gb),
        yardstick: Some(Yardstick { name: String::from("openssl dgst -sha256"), figures: theirs }),
        ours,
        reach: Reach::AtLeastTimes(0.9),
        limit: limit.to_owned(),
    }
}

/// A bad trailer of the largest file, then a bad header: refused at once. The middle of the file is a hole.
pub fn first_verdict(setting: &Setting) -> Vec<Row> {
    let largest = setting.sizes_gb.iter().copied().fold(setting.gb, f64::max);
    let good = backups::realistic(setting, FormatVersion::V2, 0.1);
    let begin = read_at(&good, 0, 4096);
    let key = backups::key_file(setting);
    let sparse = |name: &str, begin: &[u8], end: &[u8]| {
        setting.file(&format!("{name}-{largest}-gb.jsonl"), |path| {
            let file = File::create(path).expect("a file below target/");
            file.write_all_at(begin, 0).expect("its beginning");
            file.write_all_at(end, (largest * 1e9) as u64).expect("its end");
        })
    };
    let bad_trailer = sparse("bad-trailer", &begin, b"\n{\"trailer\":true,\"records\":-1}\n");
    let bad_header = sparse("bad-header", b"{\"format\":\"something else\"}\n", b"\n");
    [("trailer", bad_trailer), ("header", bad_header)]
        .map(|(end, file)| Row {
            name: String::new(),
            what: format!("first verdict, bad {end}, {largest} GB"),
            yardstick: None,
            ours: Figures {
                unit: Unit::Seconds,
                values: (0..setting.rounds).map(|_| seconds(|| is_refused(&file, &key))).collect(),
            },
            reach: Reach::AtMost(0.2),
            limit: String::from("starting the process."),
        })
        .into()
}

fn is_refused(file: &Path, key: &Path) {
    let mut command = child::verify(file, key);
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("the program starts");
    assert!(!status.success(), "{} was accepted", file.display());
}

fn read_at(path: &Path, offset: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let file = File::open(path).expect("the file is there");
    file.read_exact_at(&mut bytes, offset).expect("the file is long enough");
    bytes
}

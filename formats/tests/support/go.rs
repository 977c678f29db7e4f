//! What a Go program wrote, read and refused: the files of `tests/go_vectors/`.

use std::path::{Path, PathBuf};

use super::forge::{forged, lines, replaced};
use super::{V1_KEYED, header, messages, written};
use trstctl_formats::backup::FormatVersion;

/// The files of the sources, or those that were made anew with another seed.
pub fn folder() -> PathBuf {
    match std::env::var_os("TRSTCTL_GO_VECTORS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/go_vectors"),
    }
}

pub fn read(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap()
}

/// Every backup, by its name.
pub fn backups() -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".jsonl")).collect();
    names.sort();
    names.into_iter().map(|name| (name.clone(), read(&name))).collect()
}

/// The lines of a file, without their newlines.
pub fn texts(name: &str) -> Vec<Vec<u8>> {
    lines(&read(name)).iter().map(|line| line.strip_suffix(b"\n").unwrap().to_vec()).collect()
}

/// The worked example of version 1 with this line in place of its first record, and the right checksum.
pub fn with_line(line: &[u8]) -> Vec<u8> {
    let example = written(&header(FormatVersion::V1, 2), &messages()[..2], None);
    forged(&replaced(&example, lines(&example)[1].strip_suffix(b"\n").unwrap(), line))
}

/// The keyed worked example with another header or trailer, spelled as no writer does; and whether Go reads it.
pub fn with_ends() -> Vec<(bool, Vec<u8>)> {
    let example = lines(V1_KEYED);
    let mut files = Vec::new();
    for (reads, verdict) in [(true, "readable"), (false, "refused")] {
        for header in texts(&format!("{verdict}.headers")) {
            let header = [header.as_slice(), b"\n"].concat();
            files.push((
                reads,
                forged(&[&header, &example[1], &example[2], &example[3]].map(Vec::as_slice).concat()),
            ));
        }
        for trailer in texts(&format!("{verdict}.trailers")) {
            files.push((reads, [example[..3].concat(), trailer, b"\n".to_vec()].concat()));
        }
    }
    files
}

//! The file of serials that a CA is known to have used, made from whatever evidence there is.
//!
//! A line a serial: `SERIAL [NOT-AFTER] [revoked]`. The serial in hexadecimal; then, where it is known, when the certificate expires, RFC
//! 3339; then `revoked` if it was. Blank lines count for nothing, nor does what follows a `#`. A serial may be there several times, as when the lists
//! of several CRLs are put one behind the other: it is revoked if any line says so, and expires when the last one does.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::serial::Serial;

/// No line is longer, in bytes.
const MAX_LINE_BYTES: u64 = 1000;

/// No more serials are taken from a file.
const MAX_SERIALS: usize = 2_000_000;

/// Serials, by number.
pub type Serials = BTreeMap<Serial, Known>;

/// What is known of a serial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// When its certificate expires.
    pub not_after: Option<Timestamp>,
    /// Whether it was revoked.
    pub is_revoked: bool,
}

/// Why the file is not taken; nothing is written then.
#[derive(Debug, thiserror::Error)]
pub enum SerialsFault {
    /// A line is none.
    #[error("{}, line {number}: {what}. A line is: SERIAL [NOT-AFTER] [revoked]", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        number: usize,
        /// What about it.
        what: &'static str,
    },
    /// Too many.
    #[error("{} has more than {MAX_SERIALS} serials", .0.display())]
    TooMany(PathBuf),
    /// The operating system refuses.
    #[error("{} cannot be read: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Reads the file.
///
/// # Errors
/// Every [`SerialsFault`].
pub fn read(path: &Path) -> Result<Serials, SerialsFault> {
    let failed = |source| SerialsFault::Io { path: path.to_owned(), source };
    let mut lines = BufReader::new(File::open(path).map_err(failed)?);
    let (mut serials, mut line) = (Serials::new(), String::new());
    for number in 1.. {
        line.clear();
        if lines.by_ref().take(MAX_LINE_BYTES).read_line(&mut line).map_err(failed)? == 0 {
            break;
        }
        let bad = |what| SerialsFault::Line { path: path.to_owned(), number, what };
        if line.len() as u64 == MAX_LINE_BYTES {
            return Err(bad("it is too long"));
        }
        let Some((serial, news)) = parse(&line).map_err(bad)? else { continue };
        let known = serials.entry(serial).or_default();
        known.not_after = known.not_after.max(news.not_after);
        known.is_revoked |= news.is_revoked;
        if serials.len() > MAX_SERIALS {
            return Err(SerialsFault::TooMany(path.to_owned()));
        }
    }
    Ok(serials)
}

/// What a line says; `None` for one that says nothing.
fn parse(line: &str) -> Result<Option<(Serial, Known)>, &'static str> {
    let (line, _) = line.split_once('#').unwrap_or((line, ""));
    let mut words = line.split_whitespace().peekable();
    let Some(serial) = words.next() else { return Ok(None) };
    let serial = serial_of(serial).ok_or("its first word is no serial in hexadecimal")?;
    let not_after = words.next_if(|word| *word != "revoked").map(time_of);
    if not_after == Some(None) {
        return Err("its second word is neither a time (RFC 3339, whole seconds) nor `revoked`");
    }
    let is_revoked = words.next_if_eq(&"revoked").is_some();
    match words.next() {
        None => Ok(Some((serial, Known { not_after: not_after.flatten(), is_revoked }))),
        Some(_) => Err("it says more than a serial, a time and `revoked`"),
    }
}

/// The last day that a certificate can name is one that no [`Timestamp`] can.
fn time_of(word: &str) -> Option<Timestamp> {
    if word.starts_with("9999-12-31T") {
        return Timestamp::from_second(Timestamp::MAX.as_second()).ok();
    }
    word.parse().ok().filter(|time: &Timestamp| time.subsec_nanosecond() == 0)
}

/// Tools print serials in capitals too, and with zeros in front.
fn serial_of(word: &str) -> Option<Serial> {
    let word = word.to_ascii_lowercase();
    let mut digits = word.as_str();
    while digits.len() > 2 {
        let Some(rest) = digits.strip_prefix("00") else { break };
        digits = rest;
    }
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &[u8]) -> Result<Vec<(String, Option<String>, bool)>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, text).unwrap();
        let serials = read(file.path()).map_err(|fault| fault.to_string())?;
        let told = |(serial, known): (Serial, Known)| {
            (serial.to_string(), known.not_after.map(|time| time.to_string()), known.is_revoked)
        };
        Ok(serials.into_iter().map(told).collect())
    }

    #[test]
    fn lists_from_several_sources_are_one() {
        let text = "# from the CRLs\n0A revoked\r\n\n  00ff00\t\n0a 2030-01-01T00:00:00Z # from the control plane\n0a\n0b 2031-01-01T00:00:00Z revoked";
        let year = |year: u32| Some(format!("{year}-01-01T00:00:00Z"));
        assert_eq!(
            of(text.as_bytes()),
            Ok(vec![
                ("0a".into(), year(2030), true),
                ("0b".into(), year(2031), true),
                ("ff00".into(), None, false)
            ])
        );
        assert!(of(b"01 9999-12-31T23:59:59Z").is_ok_and(|known| known[0].1.is_some()));
        assert_eq!(of(b""), Ok(Vec::new()));
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        let long = format!("01 # {}\n", "x".repeat(1000));
        for bad in [
            "00",
            "1",
            "xyz",
            "01 yes",
            "01 revoked revoked",
            "01 revoked 2030-01-01T00:00:00Z",
            "01 2030-01-01",
            "01 2030-01-01T00:00:00Z no",
            "01 2030-01-01T00:00:00.5Z",
            &long,
        ] {
            let fault = of(format!("01\n{bad}\n").as_bytes()).unwrap_err();
            assert!(fault.contains("line 2"), "{bad}: {fault}");
        }
        assert!(of(b"01\n\xff\n").is_err());
    }
}

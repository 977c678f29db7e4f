//! The signer's journal, and the head beside it.

use std::fs;

use tempfile::TempDir;
use trstctl_signer::fuzzing;

use super::{Outcome, refusal};
use crate::forge;

thread_local! {
    /// In memory where there is such a place: it is written thousands of times.
    static FOLDER: TempDir = tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a folder for one journal");
}

/// A journal that holds is read as it stands there, to the last whole line, and is refused when its head names another entry, or its last
/// one is missing. Tried as it is, and with each line's number and digest put right.
pub fn journal(file: &[u8]) -> Outcome {
    let as_it_is = read(file);
    let chained = read(&forge::journal(file));
    Outcome::from(format!("{as_it_is} / {chained}"))
}

fn read(file: &[u8]) -> Outcome {
    let whole = memchr::memrchr(b'\n', file).map_or(0, |at| at + 1);
    match opened(file, &forge::journal_head(file)) {
        Err(message) => Outcome::from(format!("refused: {}", refusal::shape_of(&message))),
        Ok(entries) => {
            assert!(entries == file[..whole], "{} bytes of {whole} were read", entries.len());
            if let Some(last) = entries.split_last().and_then(|(_, rest)| memchr::memrchr(b'\n', rest)) {
                let shorter = opened(&file[..=last], &forge::journal_head(file));
                assert!(shorter.is_err(), "its last entry is missing, and it holds");
            }
            let acts = entries.split(|byte| *byte == b'\n').filter_map(act_of);
            let mut acts: Vec<_> = acts.collect();
            acts.dedup();
            Outcome::from(format!("holds: {}", acts.join(" ")))
        }
    }
}

fn act_of(line: &[u8]) -> Option<&str> {
    let (_, rest) = std::str::from_utf8(line).ok()?.split_once("\"kind\":\"")?;
    rest.split_once('"').map(|(kind, _)| kind)
}

/// What is read of these two files, which stay as they are.
fn opened(journal: &[u8], head: &[u8]) -> Result<Vec<u8>, String> {
    FOLDER.with(|folder| {
        let paths = [folder.path().join("journal"), folder.path().join("journal.head")];
        for (path, content) in paths.iter().zip([journal, head]) {
            fs::write(path, content).expect("a file is written");
        }
        let read = fuzzing::journal(folder.path()).map_err(|fault| fault.to_string());
        for (path, content) in paths.iter().zip([journal, head]) {
            assert!(fs::read(path).is_ok_and(|there| there == content), "{} was changed", path.display());
        }
        read.map_err(|message| message.replace(&folder.path().display().to_string(), ""))
    })
}

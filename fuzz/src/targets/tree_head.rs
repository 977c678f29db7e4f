//! A tree head, the small file beside a backup.

use trstctl_formats::Class;
use trstctl_formats::backup::{Allow, BackupKey};
use trstctl_formats::head::{Head, HeadTrust, UncheckedHead};

use super::{Outcome, refusal};
use crate::forge;

/// A head that is accepted is written again as it stood there, but for its MAC. Tried as it is, and with the right digests.
pub fn tree_head(file: &[u8]) -> Outcome {
    let as_it_is = read(file);
    let forged = read(&forge::tree_head(file));
    Outcome::from(format!("{as_it_is} / {forged}"))
}

fn read(file: &[u8]) -> Outcome {
    use Class::*;
    match Head::read(file) {
        Err(failure) => {
            refusal::of_file(&failure, &[NotABackup, NewerVersion, Truncated, Damaged, Inconsistent])
        }
        Ok(head) => accepted(file, head),
    }
}

fn accepted(file: &[u8], unchecked: UncheckedHead) -> Outcome {
    let head = unchecked.claims().clone();
    let again = head.write(None);
    let unkeyed = again.strip_suffix(b"}\n").expect("a head is an object on a line");
    assert!(file.starts_with(unkeyed), "written again: {}", again.escape_ascii());
    let reread = Head::read(&again).unwrap_or_else(|failure| panic!("{failure} in {}", again.escape_ascii()));
    assert_eq!(*reread.claims(), head);
    let key = BackupKey::from_key_file(forge::KEY_FILE);
    let trust = HeadTrust { keys: key.into_iter().collect(), unkeyed: Allow::Yes, unverified_mac: Allow::No };
    match unchecked.check(&trust) {
        Ok(trusted) => Outcome::from(format!("believed, authenticated {}", trusted.authenticated)),
        Err(failure) => refusal::of_file(&failure, &[Class::Tampered, Class::WrongKey]),
    }
}

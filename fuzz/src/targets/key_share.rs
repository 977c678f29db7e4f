//! Shares of a key, as they are typed.

use trstctl_formats::key_share::{Share, ShareFault, TEXT_CHARACTERS, combine};
use trstctl_formats::{Class, Failure};

use super::{Outcome, assert_same, refusal};
use crate::forge;

/// A share that is read is written as it was typed, but for white space, hyphens and the case of letters; and several together give only the
/// key that they name. Each line is tried as it is, and as a share with that content and the right checksum.
pub fn key_share(typed: &[u8]) -> Outcome {
    let typed = String::from_utf8_lossy(typed);
    let (mut shares, mut shapes) = (Vec::new(), Vec::new());
    for line in typed.lines().take(4) {
        for text in [line.to_owned(), forge::key_share(line)] {
            let read = read(&text);
            shapes.push(read.as_ref().map_or_else(|shape| shape.clone(), |_| Outcome::from("share")));
            shares.extend(read.ok());
        }
    }
    let together = match combine(&shares) {
        Ok(secret) => {
            assert_eq!((secret.kind(), secret.tag()), (shares[0].kind(), shares[0].tag()));
            assert_eq!(combine(&shares).map(|again| again.name()), Ok(secret.name()));
            Outcome::from("a key")
        }
        Err(fault) => refused(fault),
    };
    shapes.dedup();
    Outcome::from(format!("{} / {together}", shapes.join(", ")))
}

fn read(typed: &str) -> Result<Share, Outcome> {
    let share = Share::parse(typed).map_err(refused)?;
    let text = share.text();
    let plain = typed.replace(|c: char| c.is_whitespace() || c == '-', "").to_ascii_uppercase();
    assert_same(text.as_bytes(), plain.as_bytes());
    assert_eq!(text.len(), TEXT_CHARACTERS);
    for again in [&*text, &*share.grouped_text(), &text.to_ascii_lowercase()] {
        let again = Share::parse(again).expect("what was written is read");
        assert_same(again.text().as_bytes(), text.as_bytes());
    }
    assert!(share.threshold() >= 2 && share.index() >= 1, "{share:?}");
    Ok(share)
}

fn refused(fault: ShareFault) -> Outcome {
    if let ShareFault::Typing { character: Some(at) } = fault {
        assert!((4..=TEXT_CHARACTERS).contains(&at), "{fault:?}");
    }
    use Class::*;
    refusal::of_file(
        &Failure::from(fault),
        &[Damaged, NewerVersion, KeyMissing, WrongKey, Inconsistent, Tampered],
    )
}

//! A sealed key file.

use trstctl_formats::sealed_key::{Kek, SealedKey, SealedKeyFault, seal};
use trstctl_formats::{Class, Failure};

use super::{Outcome, assert_same, refusal};
use crate::forge;

/// A file is opened only by the KEK that it names, and then is the one that is sealed again from its content. Tried as it
/// is, with the right checksum, with the right length too, and sealed under its own header.
pub fn sealed_key(file: &[u8]) -> Outcome {
    let as_it_is = read(file);
    let with_checksum = read(&forge::checksum(file));
    let fitted = forge::sealed_key(file);
    let with_length = read(&fitted);
    let resealed = SealedKey::read(&fitted).map_or(Outcome::from("too short"), |key| resealed(&fitted, &key));
    Outcome::from(format!("{as_it_is} / {with_checksum} / {with_length} / {resealed}"))
}

fn kek() -> Kek {
    Kek::new(std::array::from_fn(|index| index as u8))
}

fn read(file: &[u8]) -> Outcome {
    match SealedKey::read(file) {
        Err(fault) => {
            let SealedKeyFault::Damaged { offset, .. } = fault else {
                panic!("{fault:?} before it was opened")
            };
            assert!(offset <= file.len(), "{fault:?} of {} bytes", file.len());
            refused(fault, &[Class::Damaged, Class::NewerVersion])
        }
        Ok(key) => whole(file, &key),
    }
}

fn whole(file: &[u8], key: &SealedKey<'_>) -> Outcome {
    assert_eq!(key.plaintext_len(), file.len() - 204);
    assert!(SealedKey::read(&file[..file.len() - 1]).is_err(), "a byte less is whole too");
    assert!(SealedKey::read(&[file, b"\0"].concat()).is_err(), "a byte more is whole too");
    let mut out = vec![0xee; key.plaintext_len()];
    match key.open(&kek(), &mut out) {
        Ok(()) => {
            assert_same(&sealed_again(file, key, &out), file);
            Outcome::from("opened")
        }
        Err(fault) => {
            assert!(out.iter().all(|byte| *byte == 0), "{fault:?} and {out:x?}");
            assert_eq!(fault != SealedKeyFault::Forged, key.kek_id() != kek().id(), "{fault:?}");
            refused(fault, &[Class::WrongKey, Class::Tampered]);
            // Without the ids, which look like words when they repeat themselves.
            Outcome::from(if fault == SealedKeyFault::Forged { "forged" } else { "wrong KEK" })
        }
    }
}

/// What stands in place of the ciphertext, sealed as if it were a key: that always opens.
fn resealed(file: &[u8], key: &SealedKey<'_>) -> Outcome {
    let content = &file[156..156 + key.plaintext_len()];
    let again = sealed_again(file, key, content);
    let reread = SealedKey::read(&again).expect("what was sealed is whole");
    assert_eq!(reread.header(), key.header());
    let mut out = vec![0; content.len()];
    reread.open(&kek(), &mut out).expect("what was sealed opens");
    assert_same(&out, content);
    read(&again)
}

fn sealed_again(file: &[u8], key: &SealedKey<'_>, plaintext: &[u8]) -> Vec<u8> {
    let nonce = file[96..120].try_into().expect("the nonce has 24 bytes");
    seal(&kek(), key.header(), nonce, plaintext).expect("it is short enough")
}

fn refused(fault: SealedKeyFault, classes: &[Class]) -> Outcome {
    refusal::of_file(&Failure::from(fault), classes)
}

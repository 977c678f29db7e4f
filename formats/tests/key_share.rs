//! Shares of a key: the vectors of `docs/format/key-share.md`, every subset, what shares tell, every typing error, no secret in words.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use trstctl_formats::key_share::{Kind, Quorum, Secret, Share, ShareFault, TEXT_CHARACTERS, combine, split};
use trstctl_formats::{Class, Failure};

const DOCUMENT: &str = include_str!("../../docs/format/key-share.md");
/// KEK `000102…1e1f`, 3 of 5.
const KEK_SHARES: &str = include_str!("vectors/key-share/kek-3-of-5.txt");
/// The same 32 bytes as an age identity, 2 of 3.
const IDENTITY_SHARES: &str = include_str!("vectors/key-share/identity-2-of-3.txt");
const KEK_HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const KEK_ID: &str = "db315fd696322b39dd39e51f060f1354";

fn kek() -> Secret {
    Secret::new(Kind::Kek, &hex::decode(KEK_HEX).unwrap()).unwrap()
}

fn split_anew(secret: &Secret, shares: u8, threshold: u8) -> Vec<Share> {
    split(secret, Quorum::new(shares, threshold).unwrap(), &mut UnwrapErr(SysRng))
}

fn parsed(file: &str) -> Vec<Share> {
    file.lines().map(|line| Share::parse(line).unwrap()).collect()
}

/// Every subset of so many of five.
fn subsets(shares: &[Share], count: u32) -> Vec<Vec<Share>> {
    let chosen = |mask: &u32| mask.count_ones() == count;
    let of = |mask: u32| shares.iter().enumerate().filter(move |(at, _)| mask >> at & 1 == 1);
    (0..1 << shares.len())
        .filter(chosen)
        .map(|mask| of(mask).map(|(_, share)| share.clone()).collect())
        .collect()
}

#[test]
fn every_subset_of_threshold_size_recovers_and_no_smaller_one_does() {
    for threshold in 2..=5 {
        let shares = split_anew(&kek(), 5, threshold);
        for count in 1..=5 {
            for subset in subsets(&shares, count) {
                let recovered = combine(&subset);
                if count < u32::from(threshold) {
                    let (given, needed) = (count as usize, threshold.into());
                    assert_eq!(recovered.unwrap_err(), ShareFault::TooFew { given, needed });
                } else {
                    assert_eq!(hex::encode(&**recovered.unwrap().file()), KEK_HEX);
                }
            }
        }
    }
}

#[test]
fn fewer_shares_that_lie_about_the_threshold_give_no_secret() {
    let shares = split_anew(&kek(), 5, 3);
    let lying: Vec<Share> = shares[..2].iter().map(|share| forged(share, |bytes| bytes[13] = 2)).collect();
    assert_eq!(combine(&lying).unwrap_err(), ShareFault::WrongSecret);
}

#[test]
fn vectors_recover_and_are_those_of_the_page() {
    let secret = combine(&parsed(KEK_SHARES)).unwrap();
    assert_eq!((hex::encode(&**secret.file()).as_str(), secret.name().as_str()), (KEK_HEX, KEK_ID));
    let identity = combine(&parsed(IDENTITY_SHARES)).unwrap();
    assert!(identity.name().starts_with("age1"));
    for line in KEK_SHARES.lines().chain(IDENTITY_SHARES.lines()).chain([identity.name().as_str()]) {
        assert!(DOCUMENT.contains(line), "{line}");
    }
    for share in parsed(KEK_SHARES) {
        assert!(KEK_SHARES.contains(share.text().as_str()), "a share is written as it was read");
        assert_eq!((share.text().len(), share.threshold()), (TEXT_CHARACTERS, 3));
    }
}

#[test]
fn python_that_knows_nothing_of_this_crate_recovers_vectors_and_new_shares() {
    let new = split_anew(&kek(), 16, 7);
    let new: String = new[4..11].iter().map(|share| format!("{}\n", *share.grouped_text())).collect();
    for shares in [KEK_SHARES, IDENTITY_SHARES, &new] {
        assert_eq!(python(shares).trim(), KEK_HEX);
    }
}

fn python(shares: &str) -> String {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/format/recover_key.py");
    let mut child = Command::new("python3")
        .arg(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 runs");
    child.stdin.take().unwrap().write_all(shares.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// An older release of the crate never drew the coefficient 0, so that one byte value could not occur.
#[test]
fn shares_of_a_fixed_secret_are_uniform() {
    let mut counts = [[0u32; 256]; 2];
    let splits: u32 = 4000;
    for _ in 0..splits {
        let shares = split_anew(&kek(), 2, 2);
        for (counts, share) in counts.iter_mut().zip(&shares) {
            // Against its own byte of the secret: what leaks is a difference that is too rare.
            for (value, secret) in bytes_of(share)[15..].iter().zip(hex::decode(KEK_HEX).unwrap()) {
                counts[usize::from(value ^ secret)] += 1;
            }
        }
    }
    let expected = f64::from(splits * 32) / 256.0;
    for counts in counts {
        let chi_square: f64 =
            counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
        // 255 degrees of freedom: beyond 400 once in a hundred million runs. A value that never occurs adds 500.
        assert!(chi_square < 400.0, "{chi_square}");
    }
}

/// The 47 bytes of a share, by a decoder of the test's own.
fn bytes_of(share: &Share) -> Vec<u8> {
    bech32::decode(&share.text()).unwrap().1
}

fn forged(share: &Share, change: impl Fn(&mut Vec<u8>)) -> Share {
    Share::parse(&forged_text(share, change)).unwrap()
}

fn forged_text(share: &Share, change: impl Fn(&mut Vec<u8>)) -> String {
    let (hrp, mut bytes) = bech32::decode(&share.text()).unwrap();
    change(&mut bytes);
    bech32::encode_upper::<bech32::Bech32>(hrp, &bytes).unwrap()
}

#[test]
fn every_typing_error_in_one_character_is_found_at_its_place() {
    let text = parsed(KEK_SHARES)[0].text();
    for at in 3..TEXT_CHARACTERS {
        for letter in ["Q", "7", "B", "O"] {
            if &text[at..=at] != letter {
                let typed = [&text[..at], letter, &text[at + 1..]].concat();
                assert_eq!(Share::parse(&typed).unwrap_err(), ShareFault::Typing { character: Some(at + 1) });
            }
        }
    }
}

#[test]
fn swapped_characters_and_missing_ones_are_typing_errors() {
    let text = parsed(KEK_SHARES)[0].text();
    for at in 3..TEXT_CHARACTERS - 1 {
        let (one, two) = (&text[at..=at], &text[at + 1..at + 2]);
        if one != two {
            let typed = [&text[..at], two, one, &text[at + 2..]].concat();
            assert_eq!(Share::parse(&typed).unwrap_err(), ShareFault::Typing { character: None });
        }
    }
    assert_eq!(Share::parse(&text[..84]).unwrap_err(), ShareFault::Length { characters: 84 });
}

#[test]
fn spaces_hyphens_and_case_do_not_matter() {
    let share = &parsed(KEK_SHARES)[0];
    let typed = share.grouped_text().to_lowercase().replace(' ', " - ");
    assert_eq!(*Share::parse(&typed).unwrap().text(), *share.text());
}

#[test]
fn share_has_one_spelling_whatever_stands_in_the_bits_after_its_last_byte() {
    use bech32::primitives::iter::Fe32IterExt as _;
    let text = parsed(KEK_SHARES)[0].text();
    let letters: Vec<_> = text[3..79].chars().map(|c| bech32::Fe32::from_char(c).unwrap()).collect();
    for bit in [1, 2, 4, 8] {
        let mut letters = letters.clone();
        letters[75] = bech32::Fe32::try_from(letters[75].to_u8() ^ bit).unwrap();
        let hrp = bech32::Hrp::parse("TK").unwrap();
        let typed: String = letters.into_iter().with_checksum::<bech32::Bech32>(&hrp).chars().collect();
        assert_eq!(Share::parse(&typed).unwrap_err(), ShareFault::NotAShare);
    }
}

#[test]
fn shares_of_another_key_or_of_another_splitting_are_told_apart() {
    let (shares, again) = (split_anew(&kek(), 5, 3), split_anew(&kek(), 5, 3));
    let other = split_anew(&Secret::new(Kind::Kek, &[7; 32]).unwrap(), 5, 3);
    let mixed = |from: &[Share]| combine(&[shares[0].clone(), from[1].clone(), from[2].clone()]).unwrap_err();
    assert!(matches!(mixed(&again), ShareFault::OtherSet { index: 2, .. }));
    assert!(matches!(mixed(&other), ShareFault::OtherKey { index: 2, .. }));
}

#[test]
fn share_that_was_changed_with_its_checksum_is_never_believed() {
    let mut shares = split_anew(&kek(), 5, 3);
    shares[3] = forged(&shares[3], |bytes| bytes[20] ^= 1);
    assert_eq!(combine(&shares[1..4]).unwrap_err(), ShareFault::WrongSecret);
    assert_eq!(combine(&shares[..4]).unwrap_err(), ShareFault::WrongShare { index: 4 });
}

#[test]
fn share_given_twice_counts_once() {
    let shares = split_anew(&kek(), 5, 3);
    let twice = [shares[0].clone(), shares[0].clone(), shares[1].clone()];
    assert_eq!(combine(&twice).unwrap_err(), ShareFault::TooFew { given: 2, needed: 3 });
}

#[test]
fn newer_version_is_told_from_damage() {
    let newer = forged_text(&parsed(KEK_SHARES)[0], |bytes| bytes[0] = 2);
    assert_eq!(Share::parse(&newer).unwrap_err(), ShareFault::Version(2));
}

#[test]
fn faults_have_the_class_that_the_page_documents() {
    let class = |fault: ShareFault| Failure::from(fault).class;
    assert_eq!(class(ShareFault::None), Class::KeyMissing);
    assert_eq!(class(ShareFault::Typing { character: None }), Class::Damaged);
    assert_eq!(class(ShareFault::WrongSecret), Class::Tampered);
}

#[test]
fn identity_file_is_split_and_comes_back_as_age_reads_it() {
    let secret = combine(&parsed(IDENTITY_SHARES)).unwrap();
    let again = Secret::of_identity_file(&secret.file()).unwrap();
    assert_eq!((again.name(), again.kind()), (secret.name(), Kind::AgeIdentity));
    let two = [&secret.file()[..], &secret.file()[..]].concat();
    assert_eq!(Secret::of_identity_file(&two).unwrap_err(), ShareFault::NotOneIdentity);
}

#[test]
fn debug_shows_names_and_nothing_of_the_secret() {
    let share = &parsed(KEK_SHARES)[0];
    let words = format!("{share:?} {:?}", kek());
    assert!(
        words.contains(KEK_ID) && !words.contains(&share.text()[20..40]) && !words.contains(&KEK_HEX[..16])
    );
    let value = hex::encode(&bytes_of(share)[15..]);
    assert!(!words.contains(&value[..8]), "{words}");
}

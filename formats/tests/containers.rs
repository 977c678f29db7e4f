//! Every file of `tests/containers/` gets the verdict that its name begins with. The files were made by age, zstd and
//! other tools, not by this crate; `make.sh` beside them says how.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use trstctl_formats::Class;
use trstctl_formats::container::{
    self, Container, ContainerFault, Identity, KeyError, Recipient, parse_identities, parse_recipients,
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/containers")
}

fn key(name: &str) -> Vec<u8> {
    fs::read(folder().join("keys").join(name)).unwrap()
}

fn identities(names: &[&str]) -> Vec<Identity> {
    names.iter().flat_map(|name| parse_identities(&key(name)).unwrap()).collect()
}

fn our_identities() -> Vec<Identity> {
    identities(&["identity.key", "ssh_ed25519.key", "ssh_rsa.key"])
}

/// The plain stream, or the class of the failure.
fn read(path: &Path, identities: &[Identity]) -> Result<(Container, Vec<u8>), Class> {
    let file = File::open(path).unwrap();
    let (container, mut stream) = container::open(file, identities).map_err(|failure| failure.class)?;
    let mut plain = Vec::new();
    stream.read_to_end(&mut plain).map_err(|error| {
        ContainerFault::of(&error).expect("the container is at fault, not the disk").to_failure().class
    })?;
    Ok((container, plain))
}

/// The vectors by name, with the verdict that the name states.
fn vectors() -> BTreeMap<String, (PathBuf, String)> {
    let entries = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap());
    entries
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .filter(|(name, _)| !["plain.jsonl", "make.sh"].contains(&name.as_str()))
        .map(|(name, path)| {
            let verdict = name.split('-').next().unwrap().to_owned();
            (name, (path, verdict))
        })
        .collect()
}

#[test]
fn every_file_gets_the_verdict_that_its_name_states() {
    let plain = fs::read(folder().join("plain.jsonl")).unwrap();
    let identities = our_identities();
    let mut differences = Vec::new();
    for (name, (path, expected)) in vectors() {
        let found = match read(&path, &identities) {
            Ok((container, content)) if content == plain && name.ends_with(container.extension()) => "accept",
            Ok((container, _)) => panic!("{name} was read as {container:?}, with another content"),
            Err(class) => class.name(),
        };
        if found != expected {
            differences.push(format!("{name}: {found}"));
        }
    }
    assert!(differences.is_empty(), "{differences:#?}");
}

#[test]
fn there_are_files_for_every_verdict() {
    let mut counts = BTreeMap::new();
    for (_, verdict) in vectors().into_values() {
        *counts.entry(verdict).or_insert(0) += 1;
    }
    let verdicts: Vec<_> = counts.keys().map(String::as_str).collect();
    assert_eq!(verdicts, ["accept", "damaged", "inconsistent", "not_a_backup", "truncated", "wrong_key"]);
    assert!(counts.values().sum::<u32>() >= 45, "{counts:?}");
}

#[test]
fn one_identity_of_the_right_kind_is_enough() {
    for (file, name) in [
        ("accept-age-x25519.jsonl.age", "identity.key"),
        ("accept-age-ssh-ed25519.jsonl.age", "ssh_ed25519.key"),
        ("accept-age-ssh-rsa.jsonl.age", "ssh_rsa.key"),
        ("accept-age-three-recipients.jsonl.age", "other.key"),
        ("accept-age-three-recipients.jsonl.age", "ssh_rsa.key"),
        ("wrong_key-age-other-recipient.jsonl.age", "other.key"),
    ] {
        read(&folder().join(file), &identities(&[name])).unwrap_or_else(|class| panic!("{file}: {class:?}"));
    }
}

#[test]
fn an_encrypted_file_without_identity_is_key_missing() {
    for file in ["accept-age-x25519.jsonl.age", "accept-age-around-zstd.jsonl.zst.age"] {
        assert_eq!(read(&folder().join(file), &[]).unwrap_err(), Class::KeyMissing);
    }
}

#[test]
fn an_identity_of_another_kind_is_wrong_key() {
    let file = folder().join("accept-age-x25519.jsonl.age");
    assert_eq!(read(&file, &identities(&["ssh_rsa.key"])).unwrap_err(), Class::WrongKey);
}

#[test]
fn identities_under_a_passphrase_and_of_other_kinds_are_refused() {
    let error = |name| parse_identities(&key(name)).err().unwrap();
    assert_eq!(error("ssh_protected.key"), KeyError::Protected);
    assert_eq!(error("ssh_ecdsa.key"), KeyError::UnsupportedSshKey);
    assert!(matches!(error("ssh_ed25519.key.pub"), KeyError::AtLine { line: 1, .. }));
    let protected = fs::read(folder().join("not_a_backup-age-passphrase.jsonl.age")).unwrap();
    assert!(parse_identities(&protected).is_err());
    assert_eq!(parse_identities(b"# nothing\n").err(), Some(KeyError::Empty));
}

#[test]
fn a_line_that_is_no_identity_is_named_and_never_repeated() {
    let mut file = key("identity.key");
    let secret = String::from_utf8(file.clone()).unwrap().lines().last().unwrap().to_owned();
    file.extend_from_slice(&secret.as_bytes()[..secret.len() - 1]);
    let message = parse_identities(&file).err().unwrap().to_string();
    assert!(message.starts_with("line 4: "), "{message}");
    assert!(!message.contains(&secret[..20]));
}

#[test]
fn recipients_are_parsed_from_a_file_with_comments() {
    let text = [b"# backup hosts\n\n".to_vec(), key("ssh_ed25519.key.pub"), key("ssh_rsa.key.pub")].concat();
    let recipients = parse_recipients(std::str::from_utf8(&text).unwrap()).unwrap();
    let kinds: Vec<_> = recipients.iter().map(|recipient| recipient.to_string()[..7].to_owned()).collect();
    assert_eq!(kinds, ["ssh-ed2", "ssh-rsa"]);
}

#[test]
fn what_is_no_recipient_is_refused_by_line() {
    let refused = |text: &str| parse_recipients(text).unwrap_err();
    assert_eq!(refused(""), KeyError::Empty);
    let line = |line, error| KeyError::AtLine { line, error: Box::new(error) };
    assert_eq!(refused("# a\nage1nonsense"), line(2, KeyError::NoRecipient));
    let ecdsa = String::from_utf8(key("ssh_ecdsa.key.pub")).unwrap();
    assert_eq!(refused(&ecdsa), line(1, KeyError::NoRecipient));
}

#[test]
fn a_private_key_given_as_recipient_is_recognised_and_not_repeated() {
    let secret = String::from_utf8(key("identity.key")).unwrap().lines().last().unwrap().to_owned();
    for text in [secret.to_lowercase(), secret, "-----BEGIN OPENSSH PRIVATE KEY-----".into()] {
        let error = text.parse::<Recipient>().unwrap_err();
        assert_eq!(error, KeyError::PrivateKey);
        assert!(!error.to_string().contains(&text[..20]));
    }
}

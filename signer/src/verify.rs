//! The journal held against the key store beside it, and against CRLs that were published. No KEK is needed: a sealed file says in the clear
//! which key it holds.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use trstctl_formats::sealed_key::{KekId, SealedKey};

use crate::Fault;
use crate::args::Verify;
use crate::journal::{Access, Act, Facts, Journal, KeyFacts};
use crate::key_id::KeyId;
use crate::key_store::KeyStore;
use crate::x509::crl::{self, Published};

/// Generation of a key that was never sealed again.
const FIRST_GENERATION: u32 = 1;

/// Checks, and prints every finding.
pub(crate) fn run(args: &Verify) -> Result<ExitCode, Fault> {
    let mut journal = Journal::open(&args.keystore, Access::Read)?;
    // Locked, no key is in the making.
    let locked = journal.lock()?;
    let mut findings = against_store(&KeyStore::new(&args.keystore), locked.facts())?;
    drop(locked);
    let (entries, keys) = (journal.entries(), journal.facts().keys.len());
    let mut out = io::stdout().lock();
    writeln!(out, "The journal holds. Entries: {entries}; keys: {keys}; head: {}.", journal.head())?;
    if !args.crl.is_empty() {
        let known = crls(&mut journal)?;
        for path in &args.crl {
            match against_journal(path, &known, journal.facts()) {
                Ok(told) => writeln!(out, "{}: {told}", path.display())?,
                Err(finding) => findings.push(format!("{}: {finding}", path.display())),
            }
        }
    }
    findings.iter().for_each(|finding| eprintln!("trstctl-signer: {finding}"));
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every key of the journal must have its file, and every file its key.
fn against_store(store: &KeyStore, facts: &Facts) -> Result<Vec<String>, Fault> {
    let files = store.files()?;
    let strangers =
        files.iter().filter(|file| KeyStore::id_of(file).is_none_or(|id| !facts.keys.contains_key(&id)));
    let strangers = strangers.map(|file| {
        format!("the key store has a file {file}, and the journal knows no such key: restore both from the same backup, or let `trstctl-signer floor` adopt it")
    });
    let mut findings: Vec<String> = strangers.collect();
    for (id, known) in &facts.keys {
        let name = format!("{id}.key");
        findings.extend(match store.bytes(&name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Some(format!("the journal knows key {id}, and the key store has no file {name}"))
            }
            Err(error) => Some(format!("{name} cannot be read: {error}")),
            Ok(bytes) => difference(*id, &bytes, known, facts).map(|what| format!("{name} {what}")),
        });
    }
    Ok(findings)
}

/// What a sealed file says of itself that the journal does not.
fn difference(id: KeyId, bytes: &[u8], known: &KeyFacts, facts: &Facts) -> Option<String> {
    let sealed = match SealedKey::read(bytes) {
        Ok(sealed) => sealed,
        Err(fault) => return Some(format!("is no sealed key: {fault}")),
    };
    let header = sealed.header();
    let generation = known.sealing.map_or(FIRST_GENERATION, |sealing| sealing.generation);
    let is_of_kek = known.sealing.is_none_or(|sealing| KekId(sealing.kek_id) == sealed.kek_id());
    if header.key_id != id.bytes() {
        return Some("states another id than its name".into());
    }
    if Some(header.deployment_id) != facts.deployment_id {
        return Some("belongs to another deployment than the journal".into());
    }
    if header.public_key_sha256.0 != known.public_key_sha256 {
        return Some("is another key than the one that the journal knows under this id".into());
    }
    if (header.algorithm, header.purposes) != (known.algorithm as u8, known.purposes.bits()) {
        return Some("states another algorithm or other purposes than the journal".into());
    }
    if header.generation != generation || !is_of_kek {
        return Some(format!(
            "has generation {} and the KEK {}, and the journal knows generation {generation}: it is an older copy, or `trstctl-signer rewrap` was \
             interrupted, which then must run again",
            header.generation,
            sealed.kek_id()
        ));
    }
    None
}

/// A CRL that the journal knows: whose, and its number.
type Known = BTreeMap<String, (KeyId, u64)>;

/// All of them, by the digest of what was signed.
fn crls(journal: &mut Journal) -> Result<Known, Fault> {
    let mut known = Known::new();
    journal.each(|entry| {
        if let Act::CrlSigned { key_id, number, tbs_sha256, .. } = entry.act {
            known.insert(tbs_sha256, (key_id, number));
        }
        Ok::<(), Fault>(())
    })?;
    Ok(known)
}

/// What is to be said of a published CRL, or what is wrong about it.
fn against_journal(path: &Path, known: &Known, facts: &Facts) -> Result<String, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("it cannot be read: {error}"))?;
    let published = of_pem(&bytes).as_deref().map_or_else(|| crl::published(&bytes), crl::published);
    let Published { number, tbs_sha256 } = published.ok_or("this is no CRL with a number, in DER or PEM")?;
    let numbers = facts.authorities.values().filter_map(|authority| authority.last_crl_number());
    let last = numbers.max().unwrap_or(0);
    match known.get(&hex::encode(tbs_sha256)) {
        Some((key_id, number)) => {
            let last = facts.authorities.get(key_id).and_then(|authority| authority.last_crl_number());
            let last = last.map(|last| last.to_string()).unwrap_or_default();
            Ok(format!("CRL {number} of CA {key_id}, whose last has the number {last}."))
        }
        None if number > last => Err(format!(
            "the journal does not know this CRL, and its number, {number}, is above all that it knows: the journal is older than what was signed. State \
             that by `trstctl-signer floor`"
        )),
        None => Err(format!(
            "the journal does not know this CRL, of number {number}: it was signed before a floor, or by no key of this store, or the journal lost it"
        )),
    }
}

/// The one CRL of a PEM file.
fn of_pem(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (_, rest) = text.split_once("-----BEGIN X509 CRL-----")?;
    let (body, _) = rest.split_once("-----END X509 CRL-----")?;
    let body: String = body.split_whitespace().collect();
    BASE64_STANDARD.decode(body).ok()
}

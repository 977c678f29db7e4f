//! `--probe`: whether a KEK opens each key of a store, for somebody who must know before a restore, as one JSON object.
//!
//! It serves nobody and writes nothing: the store may be a copy that cannot be written, and its journal may be gone. The KEK is read
//! first, then the process gives up everything but reading in that folder. Keys are opened one after the other, and each must sign.

use std::io::{self, Write};
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use trstctl_formats::sealed_key::{Kek, SealedKey, SealedKeyFault};
use trstctl_signer_protocol::probe::{self, Authority, Key, Report, Verdict};
use trstctl_signer_protocol::probe_text;

use crate::Fault;
use crate::algorithm::{Algorithm, Purposes};
use crate::args::Serve;
use crate::journal::{self, Access, Facts, Journal, JournalFault};
use crate::key_id::KeyId;
use crate::key_store::{KeyFault, KeyStore, OpenKey, open};
use crate::private_key::random;
use crate::serial::Serial;
use crate::{hardening, kek_file, seccomp};

/// Exit code when the report stands, and not every key is open, or there is none.
const NOT_ALL_OPEN: u8 = 3;

/// Prints the report.
pub(crate) fn run(args: &Serve) -> Result<ExitCode, Fault> {
    let mut lacking = hardening::keep_memory_private()?;
    let kek = kek_file::read(&args.kek)?;
    lacking.extend(hardening::confine_to_reading(&args.keystore));
    lacking.extend(seccomp::forbid_other_calls());
    if args.require_hardening && !lacking.is_empty() {
        return Err(Fault::Unprotected(lacking));
    }
    let journal = Journal::open(&args.keystore, Access::Read);
    let report = report(&KeyStore::new(&args.keystore), &kek, &journal, &args.serial, lacking)?;
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &report).map_err(io::Error::from)?;
    writeln!(out)?;
    let all_open = report.keys.iter().all(|key| key.verdict == Verdict::Open);
    let is_good = all_open && !report.keys.is_empty() && report.missing.is_empty();
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::from(NOT_ALL_OPEN) })
}

fn report(
    store: &KeyStore,
    kek: &Kek,
    journal: &Result<Journal, JournalFault>,
    serials: &[Serial],
    lacking: Vec<String>,
) -> Result<Report, Fault> {
    let facts = journal.as_ref().ok().map(Journal::facts);
    let mut keys = Vec::new();
    let mut deployments = Vec::new();
    for file in store.files()? {
        let bytes = store.bytes(&file);
        let sealed = bytes.as_deref().ok().and_then(|bytes| SealedKey::read(bytes).ok());
        deployments.extend(sealed.as_ref().map(|sealed| sealed.header().deployment_id));
        keys.push(key(&file, &bytes, sealed.as_ref(), kek, facts));
    }
    deployments.dedup();
    let by_keys = deployments.first().copied().filter(|_| deployments.len() == 1);
    let deployment_id = facts.and_then(|facts| facts.deployment_id).or(by_keys);
    Ok(Report {
        version: probe::VERSION,
        deployment_id: deployment_id.map(hex::encode),
        kek_id: kek.id().to_string(),
        lacking,
        journal: state_of(journal),
        without_floor: facts.map(without_floor).unwrap_or_default(),
        missing: facts.map(|facts| missing(facts, &keys)).unwrap_or_default(),
        keys,
        authorities: facts.map(authorities).unwrap_or_default(),
        serials: facts
            .map(|facts| serials.iter().map(|serial| past_of(*serial, facts)).collect())
            .unwrap_or_default(),
    })
}

fn state_of(journal: &Result<Journal, JournalFault>) -> probe::Journal {
    match journal {
        Ok(journal) => probe::Journal::Holds { entries: journal.entries(), head: journal.head().to_string() },
        Err(fault @ JournalFault::Missing { .. }) => probe::Journal::Missing { what: fault.to_string() },
        Err(fault) => probe::Journal::Broken { what: fault.to_string() },
    }
}

/// One file: what it says of itself, and whether it opens.
fn key(
    file: &str,
    bytes: &io::Result<Vec<u8>>,
    sealed: Option<&SealedKey<'_>>,
    kek: &Kek,
    facts: Option<&Facts>,
) -> Key {
    let header = sealed.map(SealedKey::header);
    let named = KeyStore::id_of(file);
    let id = header.map(|header| KeyId::new(header.key_id)).or(named);
    let (verdict, what, opened) = match bytes {
        Ok(bytes) => look(file, bytes, id, kek, facts),
        Err(error) => (Verdict::Unreadable, format!("{file} cannot be read: {error}"), None),
    };
    Key {
        file: file.to_owned(),
        key_id: id.map(String::from),
        algorithm: header
            .and_then(|header| Algorithm::of(header.algorithm))
            .map(|algorithm| word(&algorithm)),
        purposes: header
            .and_then(|header| Purposes::of(header.purposes).ok())
            .map(|purposes| purposes.each().map(|purpose| word(&purpose)).collect())
            .unwrap_or_default(),
        generation: header.map(|header| header.generation),
        kek_id: sealed.map(|sealed| sealed.kek_id().to_string()),
        public_key_sha256: header.map(|header| header.public_key_sha256.to_string()),
        public_key: opened.map(|key| STANDARD.encode(key.public_key)),
        verdict,
        what,
    }
}

/// The word that stands for it in the journal.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        other => unreachable!("it is written as a word: {other:?}"),
    }
}

/// Opens the file and lets its key sign. `id` is that of the file, else of its name.
fn look(
    file: &str,
    bytes: &[u8],
    id: Option<KeyId>,
    kek: &Kek,
    facts: Option<&Facts>,
) -> (Verdict, String, Option<OpenKey>) {
    let by_name = KeyStore::id_of(file);
    // A damaged file with the name of no key is damaged all the same; its id is not used then.
    let id = by_name.or(id).unwrap_or(KeyId::new([0; 16]));
    let opened = open(id, bytes, kek).and_then(|key| {
        facts.map_or(Ok(()), |facts| key.check_against(id, facts))?;
        prove(id, &key)?;
        Ok(key)
    });
    match opened {
        Ok(key) if by_name.is_some() => (Verdict::Open, opened_words(facts).to_owned(), Some(key)),
        Ok(_) => {
            let what = format!(
                "it opens, and {file} names no key, so that no signer looks at it: rename it to {id}.key"
            );
            (Verdict::Mismatch, what, None)
        }
        Err(fault) => (verdict_of(&fault), fault.to_string(), None),
    }
}

fn opened_words(facts: Option<&Facts>) -> &'static str {
    match facts {
        Some(_) => "it opens, is the key that the journal knows, and signs",
        None => "it opens and signs; no journal was there to compare it with",
    }
}

fn verdict_of(fault: &KeyFault) -> Verdict {
    match fault {
        KeyFault::Sealed { fault: SealedKeyFault::WrongKek { .. }, .. } => Verdict::WrongKek,
        KeyFault::Sealed { fault: SealedKeyFault::Forged, .. } => Verdict::Forged,
        KeyFault::Sealed { .. } => Verdict::Damaged,
        KeyFault::Io { .. } => Verdict::Unreadable,
        _ => Verdict::Mismatch,
    }
}

/// Signs a challenge, and verifies it with the public half alone.
fn prove(id: KeyId, key: &OpenKey) -> Result<(), KeyFault> {
    let challenge = probe_text(&random::<32>()?);
    let signature = key.private.sign(&challenge)?;
    let what = "what its private half signs does not verify with its public half";
    key.public.verify_text(&challenge, &signature).map_err(|_| KeyFault::Mismatch { id, what })
}

fn missing(facts: &Facts, keys: &[Key]) -> Vec<String> {
    let has_file = |id: &KeyId| keys.iter().any(|key| KeyStore::id_of(&key.file) == Some(*id));
    facts.keys.keys().filter(|id| !has_file(id)).map(KeyId::to_string).collect()
}

fn without_floor(facts: &Facts) -> Vec<String> {
    facts.keys.keys().filter(|id| facts.is_known_of(**id).is_err()).map(KeyId::to_string).collect()
}

fn authorities(facts: &Facts) -> Vec<Authority> {
    let known = facts.authorities.iter();
    known
        .map(|(id, past)| Authority { key_id: id.to_string(), last_crl_number: past.last_crl_number() })
        .collect()
}

fn past_of(serial: Serial, facts: &Facts) -> probe::Serial {
    let of = |holds: fn(&journal::Authority, Serial) -> bool| {
        let keys = facts.authorities.iter().filter(|(_, past)| holds(past, serial));
        keys.map(|(id, _)| id.to_string()).collect()
    };
    probe::Serial {
        serial: serial.to_string(),
        signed_by: of(journal::Authority::has_signed),
        revoked_by: of(journal::Authority::has_revoked),
    }
}

//! What the journal says, as one JSON document: for evidence, and for whoever holds it against a control plane.
//!
//! It is written as it is read: the lists of a CA each take one pass over the journal, and none of them is held in memory.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use jiff::Timestamp;
use serde::Serialize;

use crate::Fault;
use crate::algorithm::{Algorithm, Purposes};
use crate::args::JournalArgs;
use crate::journal::{Access, Act, Authority, Entry, Journal};
use crate::key_id::KeyId;
use crate::serial::Serial;
use crate::tree_head::LogName;

/// Counts up when a reader could be misled by a change of the document.
const VERSION: u32 = 1;

/// Prints the document.
pub(crate) fn run(args: &JournalArgs) -> Result<ExitCode, Fault> {
    let mut journal = Journal::open(&args.keystore, Access::Read)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let facts = journal.facts();
    let deployment_id = facts.deployment_id.map(hex::encode).unwrap_or_default();
    let (entries, head, epoch) = (journal.entries(), journal.head(), facts.epoch);
    let allowed = facts.allowed_epoch.map_or_else(|| "null".into(), |epoch| epoch.to_string());
    write!(
        out,
        r#"{{"version":{VERSION},"deployment_id":"{deployment_id}","entries":{entries},"head":"{head}","epoch":{epoch},"allowed_epoch":{allowed},"tree_heads":"#
    )?;
    list(
        &mut out,
        facts.tree_heads.iter().map(|(log, head)| {
            let (tree_size, root) = (head.tree_size, hex::encode(head.root));
            HeadOf { log, tree_size, root }
        }),
    )?;
    let keys: Vec<KeyOf> = facts
        .keys
        .iter()
        .map(|(key_id, known)| KeyOf {
            key_id: *key_id,
            algorithm: known.algorithm,
            purposes: known.purposes,
            public_key_sha256: hex::encode(known.public_key_sha256),
            generation: known.sealing.map_or(1, |sealing| sealing.generation),
            is_adopted: known.is_adopted,
            has_floor: facts.authorities.get(key_id).is_some_and(|ca| ca.has_floor()),
            last_crl_number: facts.authorities.get(key_id).and_then(|ca| ca.last_crl_number()),
        })
        .collect();
    write!(out, r#","keys":["#)?;
    for (number, key) in keys.iter().enumerate() {
        write!(out, "{}", if number > 0 { "," } else { "" })?;
        write_key(&mut out, &mut journal, key)?;
    }
    write!(out, r#"],"statements":"#)?;
    pass(&mut out, &mut journal, |entry| {
        let is_statement = matches!(
            entry.act,
            Act::FloorSet { .. }
                | Act::LogFloorSet { .. }
                | Act::CrlNumberAllowed { .. }
                | Act::DroppedSerialAllowed { .. }
                | Act::TreeHeadAllowed { .. }
                | Act::EpochAllowed { .. }
        );
        is_statement.then_some(entry).into_iter().collect()
    })?;
    writeln!(out, "}}")?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Serialize)]
struct HeadOf<'a> {
    log: &'a LogName,
    tree_size: u64,
    root: String,
}

#[derive(Serialize)]
struct KeyOf {
    key_id: KeyId,
    algorithm: Algorithm,
    purposes: Purposes,
    public_key_sha256: String,
    generation: u32,
    is_adopted: bool,
    has_floor: bool,
    /// Of the last CRL, or a floor's.
    last_crl_number: Option<u64>,
}

#[derive(Serialize)]
struct CertificateOf {
    serial: Serial,
    not_after: Timestamp,
    tbs_sha256: String,
}

#[derive(Serialize)]
struct CrlOf {
    number: u64,
    this_update: Timestamp,
    next_update: Timestamp,
    tbs_sha256: String,
}

/// The key's own members, and then its lists.
fn write_key(out: &mut impl Write, journal: &mut Journal, key: &KeyOf) -> Result<(), Fault> {
    let whole = serde_json::to_string(key).map_err(io::Error::from)?;
    let members = whole.strip_suffix('}').unwrap_or(&whole);
    let id = key.key_id;
    write!(out, r#"{members},"certificates":"#)?;
    pass(out, journal, |entry| match entry.act {
        Act::CertificateSigned { key_id, serial, not_after, tbs_sha256, .. } if key_id == id => {
            vec![CertificateOf { serial, not_after, tbs_sha256 }]
        }
        _ => Vec::new(),
    })?;
    write!(out, r#","used":"#)?;
    pass(out, journal, |entry| match entry.act {
        Act::SerialsUsed { key_id, serials } if key_id == id => serials,
        _ => Vec::new(),
    })?;
    write!(out, r#","revoked":"#)?;
    list(out, journal.facts().authorities.get(&id).into_iter().flat_map(Authority::revoked_serials))?;
    write!(out, r#","crls":"#)?;
    pass(out, journal, |entry| match entry.act {
        Act::CrlSigned { key_id, number, this_update, next_update, tbs_sha256, .. } if key_id == id => {
            vec![CrlOf { number, this_update, next_update, tbs_sha256 }]
        }
        _ => Vec::new(),
    })?;
    Ok(write!(out, "}}")?)
}

/// A list of what each entry gives, in one pass.
fn pass<T: Serialize>(
    out: &mut impl Write,
    journal: &mut Journal,
    mut of: impl FnMut(Entry) -> Vec<T>,
) -> Result<(), Fault> {
    let mut before = "[";
    journal.each(|entry| {
        for item in of(entry) {
            write!(out, "{before}")?;
            serde_json::to_writer(&mut *out, &item).map_err(io::Error::from)?;
            before = ",";
        }
        Ok::<(), Fault>(())
    })?;
    Ok(write!(out, "{}]", if before == "[" { "[" } else { "" })?)
}

fn list<T: Serialize>(out: &mut impl Write, items: impl Iterator<Item = T>) -> Result<(), Fault> {
    let items: Vec<T> = items.collect();
    Ok(serde_json::to_writer(out, &items).map_err(io::Error::from)?)
}

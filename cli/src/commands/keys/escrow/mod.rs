//! `trstctl-dr keys escrow`: a key split for custodians. No share is printed but on request, to a terminal, and no key at all.

mod code;
mod folder;
mod screen;
mod sheet;

use std::path::Path;

use serde_json::json;
use trstctl_formats::Failure;
use trstctl_formats::key_share::{Quorum, Secret, Share};
use trstctl_recovery::escrow::{self, Expected};

use super::name_into;
use crate::args::Escrow;
use crate::outcome::Outcome;
use crate::text;

/// What a rehearsal showed.
struct Rehearsed {
    /// Sets of shares that gave the key.
    sets: usize,
    /// Sealed keys that name it.
    sealed_keys: Option<usize>,
}

/// `trstctl-dr keys escrow`
pub fn run(args: &Escrow) -> Result<Outcome, Failure> {
    if args.print {
        screen::is_there()?;
    }
    let quorum = Quorum::new(args.shares, args.threshold)?;
    let secret = match (&args.kek, &args.identity) {
        (Some(path), _) => escrow::read_kek(path)?,
        (None, Some(path)) => escrow::read_identity(path)?,
        (None, None) => unreachable!("clap asks for one"),
    };
    // Before a share exists: those of a key that opens nothing are worth nothing.
    let expected = Expected { keystore: args.keystore.clone(), name: None };
    let sealed_keys = escrow::compare(&secret, &expected)?.sealed_keys;
    let shares = escrow::split(&secret, quorum)?;
    if let Some(folder) = &args.output {
        folder::write(folder, &secret, &shares)?;
    }
    let sets = args.rehearse.then(|| rehearse(args, &secret, &shares)).transpose()?;
    if args.print {
        screen::show(&secret, &shares)?;
    }
    Ok(split(args, &secret, &shares, sets.map(|sets| Rehearsed { sets, sealed_keys })))
}

/// Rehearses from the files, as custodians would get them; where there are none, from what is about to be shown.
fn rehearse(args: &Escrow, secret: &Secret, shares: &[Share]) -> Result<usize, Failure> {
    let Some(folder) = &args.output else { return escrow::rehearse(secret, shares) };
    let files: Vec<_> = shares.iter().map(|share| folder::text_file(folder, share.index())).collect();
    escrow::read_shares(&files).and_then(|written| escrow::rehearse(secret, &written))
}

fn split(args: &Escrow, secret: &Secret, shares: &[Share], rehearsed: Option<Rehearsed>) -> Outcome {
    let set = shares[0].set();
    let mut words = format!("SPLIT {} {}\n", secret.kind(), secret.name());
    words.push_str(&text::field(
        "shares",
        format!("{}, of which {} give it back", args.shares, args.threshold),
    ));
    words.push_str(&text::field("set", set));
    if let Some(Rehearsed { sets, sealed_keys }) = &rehearsed {
        let sets = text::plural(*sets as u64, "set");
        words
            .push_str(&text::field("rehearsed", format!("{sets} of {}: each gives the key", args.threshold)));
        if let Some(count) = sealed_keys {
            let keys = text::plural(*count as u64, "sealed key");
            words.push_str(&text::field("opens", format!("{keys}: all in the folder name it")));
        }
    }
    if let Some(folder) = &args.output {
        words.push_str(&text::field("folder", folder.display()));
    }
    words.push_str(&text::wrap("  to do: ", to_do(args.output.as_deref())));
    let mut result = json!({
        "shares": args.shares,
        "threshold": args.threshold,
        "set": set.to_string(),
        "folder": args.output.as_ref().map(|folder| folder.display().to_string()),
        "rehearsed_sets": rehearsed.as_ref().map(|rehearsed| rehearsed.sets),
        "sealed_keys": rehearsed.and_then(|rehearsed| rehearsed.sealed_keys),
    });
    name_into(&mut result, secret);
    Outcome::new(words, result)
}

fn to_do(folder: Option<&Path>) -> &'static str {
    match folder {
        Some(_) => {
            "print each share-N.html for its custodian, rehearse with keys recover --check from paper, then destroy the folder: whoever has it has the key."
        }
        None => {
            "rehearse with keys recover --check from what the custodians wrote down, before the key is needed."
        }
    }
}

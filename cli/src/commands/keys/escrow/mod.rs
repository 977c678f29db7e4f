//! `trstctl-dr keys escrow`: a key split for custodians. No share and no key is printed.

mod folder;
mod sheet;

use serde_json::json;
use trstctl_formats::Failure;
use trstctl_formats::key_share::Quorum;
use trstctl_recovery::escrow;

use super::name_into;
use crate::args::Escrow;
use crate::outcome::Outcome;
use crate::text;

/// `trstctl-dr keys escrow`
pub fn run(args: &Escrow) -> Result<Outcome, Failure> {
    let quorum = Quorum::new(args.shares, args.threshold)?;
    let secret = match (&args.kek, &args.identity) {
        (Some(path), _) => escrow::read_kek(path)?,
        (None, Some(path)) => escrow::read_identity(path)?,
        (None, None) => unreachable!("clap asks for one"),
    };
    let shares = escrow::split(&secret, quorum)?;
    folder::write(&args.output, &secret, &shares)?;
    let set = shares[0].set();
    let mut words = format!("SPLIT {} {}\n", secret.kind(), secret.name());
    words.push_str(&text::field(
        "shares",
        format!("{}, of which {} give it back", args.shares, args.threshold),
    ));
    words.push_str(&text::field("set", set));
    words.push_str(&text::field("folder", args.output.display()));
    words.push_str(&text::wrap(
        "  to do: ",
        "print each share-N.html for its custodian, rehearse with keys recover --check from paper, then destroy the folder: whoever has it has the key.",
    ));
    let mut result = json!({ "shares": args.shares, "threshold": args.threshold, "set": set.to_string() });
    result["folder"] = json!(args.output.display().to_string());
    name_into(&mut result, &secret);
    Ok(Outcome::new(words, result))
}

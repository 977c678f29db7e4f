//! `trstctl-dr keys recover`: shares of a key put together again. No share and no key is printed.

use serde_json::json;
use trstctl_formats::key_share::{Secret, combine};
use trstctl_formats::{Failure, key_share};
use trstctl_recovery::escrow::{self, Compared, Expected, KeyFile};

use super::name_into;
use crate::args::Recover;
use crate::outcome::Outcome;
use crate::text;

/// `trstctl-dr keys recover`
pub fn run(args: &Recover) -> Result<Outcome, Failure> {
    let output = args.output.as_deref().map(KeyFile::create).transpose()?;
    let shares = escrow::read_shares(&args.files)?;
    let secret = combine(&shares)?;
    let expected = Expected { keystore: args.keystore.clone(), name: args.expect.clone() };
    let compared = escrow::compare(&secret, &expected)?;
    if let Some(output) = output {
        output.write(&secret)?;
    }
    Ok(recovered(args, &secret, &shares, &compared))
}

fn recovered(args: &Recover, secret: &Secret, shares: &[key_share::Share], compared: &Compared) -> Outcome {
    let verdict = if args.check { "PROVEN: the shares give the" } else { "RECOVERED" };
    let mut words = format!("{verdict} {} {}\n", secret.kind(), secret.name());
    let used = text::plural(shares.len() as u64, "share");
    words.push_str(&text::field("from", format!("{used}; {} are needed", shares[0].threshold())));
    words.push_str(&text::field("set", shares[0].set()));
    if let Some(count) = compared.sealed_keys {
        words.push_str(&text::field(
            "opens",
            format!("{}: all in the folder name it", text::plural(count as u64, "sealed key")),
        ));
    }
    match &args.output {
        Some(path) => words.push_str(&text::field("written", path.display())),
        None => words.push_str(&text::field("written", "nothing")),
    }
    if compared.sealed_keys.is_none() && !compared.name {
        words.push_str(&text::wrap(
            "  note: ",
            "it was compared with what its shares name, and with nothing else (--keystore, --expect).",
        ));
    }
    let mut result = json!({
        "shares_given": shares.len(),
        "threshold": shares[0].threshold(),
        "set": shares[0].set().to_string(),
        "sealed_keys": compared.sealed_keys,
        "expected": compared.name,
        "output": args.output.as_ref().map(|path| path.display().to_string()),
    });
    name_into(&mut result, secret);
    Outcome::new(words, result)
}

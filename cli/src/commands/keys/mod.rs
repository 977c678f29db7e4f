//! `trstctl-dr keys`.

mod escrow;
mod recover;

use serde_json::json;
use trstctl_formats::Failure;
use trstctl_formats::key_share::Secret;

use crate::args::Keys;
use crate::outcome::Outcome;

/// Runs one of them.
pub fn run(keys: Keys) -> Result<Outcome, Failure> {
    match keys {
        Keys::Escrow(args) => escrow::run(&args),
        Keys::Recover(args) => recover::run(&args),
    }
}

/// Says in a JSON object which secret it is about.
fn name_into(result: &mut serde_json::Value, secret: &Secret) {
    result["kind"] = json!(secret.kind().to_string());
    result["key"] = json!(secret.name());
}

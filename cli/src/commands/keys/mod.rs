//! `trstctl-dr keys`.

mod certificate;
mod check;
mod crl;
mod escrow;
mod generate;
mod list;
mod recover;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;
use trstctl_formats::key_share::Secret;
use trstctl_formats::{Class, Failure};
use trstctl_recovery::authority::Key;
use trstctl_recovery::output::{self, Existing, Output};
use trstctl_recovery::secret;

use super::Context;
use crate::args::{Keys, SignerArgs, SigningArgs};
use crate::outcome::Outcome;
use crate::text;

/// Runs one of them.
pub fn run(context: &Context, keys: Keys) -> Result<Outcome, Failure> {
    if let Some(lacking) = secret::keep_memory_private() {
        context.tell(&text::wrap("note: ", &lacking));
    }
    match keys {
        Keys::List(args) => list::run(context, &args),
        Keys::Generate(args) => generate::run(context, &args),
        Keys::Certificate(args) => certificate::run(context, &args),
        Keys::Crl(args) => crl::run(context, args),
        Keys::Escrow(args) => escrow::run(&args),
        Keys::Recover(args) => recover::run(&args),
        Keys::Check(args) => check::run(context, args),
    }
}

/// The signer of the same installation: beside this program, else whichever PATH has.
pub fn signer_program() -> PathBuf {
    let name = "trstctl-signer";
    let beside = std::env::current_exe().ok().map(|program| program.with_file_name(name));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| name.into())
}

/// Says in a JSON object which secret it is about.
fn name_into(result: &mut serde_json::Value, secret: &Secret) {
    result["kind"] = json!(secret.kind().to_string());
    result["key"] = json!(secret.name());
}

/// Where the signer listens: the flag, else the setting.
fn socket(context: &Context, args: &SignerArgs) -> Result<PathBuf, Failure> {
    let configured = || context.settings.path("TRSTCTL_SIGNER_SOCKET");
    args.socket.clone().or_else(configured).ok_or_else(|| {
        let hint = "Name it with --socket PATH, or set TRSTCTL_SIGNER_SOCKET; it is what trstctl-signer was started with.";
        Failure::new(Class::Usage, "nobody says on which socket the signer listens", hint)
    })
}

/// Where what the signer signs goes. Made before it is asked, so that nothing is signed in vain.
fn signed_output(path: &Path, args: &SigningArgs) -> Result<Output, Failure> {
    let existing = if args.force { Existing::Replace } else { Existing::Refuse };
    Output::create(path, existing)
}

/// Writes it, to disk.
fn write_signed(mut output: Output, path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    output.write_all(bytes).map_err(|error| output::failed(&path.display().to_string(), &error))?;
    output.publish().map(|_| ())
}

/// A key in a JSON object.
fn key_json(key: &Key) -> serde_json::Value {
    json!({
        "id": key.id.to_string(),
        "algorithm": key.algorithm.name(),
        "purposes": key.purposes.iter().map(|purpose| purpose.name()).collect::<Vec<_>>(),
        "generation": key.generation,
        "public_key_sha256": key.public_key_sha256().to_string(),
    })
}

//! `trstctl-dr keys generate`: the signer makes a key; its id is known before it is asked, so that asking again makes no second one.

use serde_json::json;
use trstctl_formats::Failure;
use trstctl_recovery::authority::{Key, Signer};
use uuid::Uuid;

use super::super::Context;
use super::{key_json, socket};
use crate::args::Generate;
use crate::outcome::Outcome;
use crate::text;

/// `trstctl-dr keys generate`
pub fn run(context: &Context, args: &Generate) -> Result<Outcome, Failure> {
    let socket = socket(context, &args.signer)?;
    let id = args.id.unwrap_or_else(|| {
        let id = Uuid::new_v4();
        context.tell(&format!("Asking for the key {id}\n"));
        id
    });
    let made = context.run(async {
        let mut signer = Signer::connect(&socket).await?;
        signer.generate(id, args.algorithm, &args.purpose).await
    });
    let key = made.map_err(|failure| to_be_asked_again(failure, id))?;
    Ok(Outcome::new(words(&key), json!({ "key": key_json(&key) })))
}

/// An id that nobody chose must not be lost with the answer.
fn to_be_asked_again(mut failure: Failure, id: Uuid) -> Failure {
    failure.hint.push_str(&format!(" Ask again with --id {id}: that never makes a second key."));
    failure
}

fn words(key: &Key) -> String {
    let mut words = format!("MADE the key {}\n", key.id);
    words.push_str(&text::field("algorithm", key.algorithm.name()));
    words.push_str(&text::field("purposes", key.purposes()));
    words.push_str(&text::field("SHA-256", key.public_key_sha256()));
    words.push_str(&text::wrap("  next: ", "back up the signer's folder: this key is in no other place."));
    words
}

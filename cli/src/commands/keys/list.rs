//! `trstctl-dr keys list`: what the signer holds, and how it is.

use std::path::Path;

use serde_json::json;
use trstctl_formats::Failure;
use trstctl_recovery::authority::{Health, Key, Signer};

use super::super::Context;
use super::{key_json, socket};
use crate::args::List;
use crate::outcome::Outcome;
use crate::text;

/// `trstctl-dr keys list`
pub fn run(context: &Context, args: &List) -> Result<Outcome, Failure> {
    let socket = socket(context, &args.signer)?;
    let (keys, health) = context.run(async {
        let mut signer = Signer::connect(&socket).await?;
        // Listing looks into the key store once more; Health tells what came of it.
        Ok((signer.keys().await?, signer.health().await?))
    })?;
    let result = json!({
        "keys": keys.iter().map(key_json).collect::<Vec<_>>(),
        "signer": health_json(&health),
    });
    Ok(Outcome::new(table(&keys) + &state(&socket, &health), result))
}

fn table(keys: &[Key]) -> String {
    if keys.is_empty() {
        return "The signer holds no key.\n".to_owned();
    }
    let mut words = row("ID", "ALGORITHM", "PURPOSES", "GENERATION");
    for key in keys {
        words.push_str(&row(
            &key.id.to_string(),
            key.algorithm.name(),
            &key.purposes(),
            &key.generation.to_string(),
        ));
        words.push_str(&format!("  SHA-256 {}\n", key.public_key_sha256()));
    }
    words
}

fn row(id: &str, algorithm: &str, purposes: &str, generation: &str) -> String {
    format!("{id:<36}  {algorithm:<9}  {purposes:<17}  {generation}\n")
}

fn state(socket: &Path, health: &Health) -> String {
    let mut words = text::wrap(
        "  signer      ",
        &format!("{} on {}", text::printable(&health.version), socket.display()),
    );
    words.push_str(&text::field("deployment", text::printable(&health.deployment_id)));
    words.push_str(&text::field("KEK", text::printable(&health.kek_id)));
    words
        .push_str(&text::field("entries", format!("{} in the journal", text::count(health.journal_entries))));
    if let Some(head) = health.journal_head {
        words.push_str(&text::field("their head", head));
    }
    words.push_str(&text::field("epoch", health.epoch));
    for sentence in &health.degraded {
        words.push_str(&text::wrap("  degraded    ", &text::printable(sentence)));
    }
    words
}

fn health_json(health: &Health) -> serde_json::Value {
    json!({
        "version": health.version,
        "deployment_id": health.deployment_id,
        "kek_id": health.kek_id,
        "keys": health.keys,
        "journal_entries": health.journal_entries,
        "journal_head": health.journal_head.map(|head| head.to_string()),
        "epoch": health.epoch,
        "degraded": health.degraded,
    })
}

//! What the result says in names and values: files, digests, sequences, times, notes.

use serde_json::Value;

use super::counts;
use super::html::{Pairs, code, escaped, instant, list_of, number, number_of, section, text_of};
use super::verdict;
use crate::text;

/// Each backup that was verified.
pub fn files(object: &Value) -> String {
    let files = list_of(object, "files");
    let numbered = files.iter().enumerate();
    numbered.map(|(at, file)| one_file(at, file, files.len() > 1)).collect()
}

fn one_file(at: usize, file: &Value, of_many: bool) -> String {
    // The failure of a single file stands above, with its name.
    if !of_many && !file["error"].is_null() {
        return String::new();
    }
    let mut html = backup_pairs(file);
    if of_many {
        html.push_str(&verdict::failure(&file["error"]));
    }
    html.push_str(&counts::of_backup(file));
    let name = text_of(file, "path").rsplit('/').next().unwrap_or_default();
    let verdict = match (of_many, file["error"].is_null()) {
        (false, _) => String::new(),
        (true, true) => " — whole".to_owned(),
        (true, false) => format!(" — {}", text_of(&file["error"], "class")),
    };
    section(&format!("file-{at}"), &format!("{name}{verdict}"), &html)
}

/// The backup that a restore or a demo has used.
pub fn backup(object: &Value) -> String {
    match object.get("backup") {
        Some(backup) if backup.is_object() => {
            section("backup", "The backup", &(backup_pairs(backup) + &counts::of_backup(backup)))
        }
        _ => String::new(),
    }
}

fn backup_pairs(file: &Value) -> String {
    let some = |key: &str| Some(text_of(file, key)).filter(|text| !text.is_empty());
    let mut pairs = Pairs::default();
    pairs.add_some("File", some("path").map(code));
    pairs.add_some("Format", number_of(file, "format_version").map(|version| format!("version {version}")));
    pairs.add_some("Made", some("created_at").map(instant));
    pairs.add_some("Deployment", some("deployment_id").map(code));
    pairs.add_some("Size, plain", number_of(file, "len_bytes").map(text::bytes));
    pairs.add_some("Events", number_of(file, "records").map(number));
    pairs.add_some("Sequences", sequences(file));
    let times = some("first_time").zip(some("last_time"));
    pairs.add_some("Stored", times.map(|(from, to)| format!("{} to {}", instant(from), instant(to))));
    pairs.add_some("Tenants", number_of(file, "tenants").map(number));
    pairs.add_some("SHA-256", some("sha256").map(code));
    pairs.add_some("Merkle root", some("merkle_root").map(code));
    pairs.add_some("Trust", number_of(file, "records").map(|_| trust(file).to_owned()));
    pairs.into_html("facts")
}

fn trust(file: &Value) -> &'static str {
    match (file["keyed"] == true, file["authenticated"] == true) {
        (true, true) => "authenticated by this host's key",
        (true, false) => "keyed, <strong>not checked</strong>: accepted on the checksum alone",
        (false, _) => "checksum only: detects damage, not tampering",
    }
}

fn sequences(object: &Value) -> Option<String> {
    let (first, last) = (number_of(object, "first_sequence")?, number_of(object, "last_sequence")?);
    let gaps = match number_of(object, "gaps") {
        Some(0) => ", none missing".to_owned(),
        Some(gaps) => format!(", {} of deleted ones", text::plural(gaps, "range")),
        None => String::new(),
    };
    Some(format!("{} to {}{gaps}", number(first), number(last)))
}

/// The damage that a demo has made, and its refusal.
pub fn refusal(object: &Value) -> String {
    match object.get("refused") {
        Some(refused) if refused.is_object() => section(
            "refused",
            "Refused: a copy with one flipped bit",
            &verdict::failure_pairs(refused, "facts"),
        ),
        _ => String::new(),
    }
}

/// The log as it was read back.
pub fn live_log(object: &Value) -> String {
    if text_of(object, "command") != "restore" || object.get("log").is_none() {
        return String::new();
    }
    let mut pairs = Pairs::default();
    pairs.add_some("Events", number_of(object, "records").map(number));
    pairs.add_some("Sequences", sequences(object));
    pairs.add("Merkle root", code(text_of(object, "merkle_root")));
    pairs.add(
        "Exact",
        if object["exact"] == true { "yes, bit for bit" } else { "<strong>no</strong>: see the notes" },
    );
    section("log", "The log, read back", &pairs.into_html("facts"))
}

/// The servers that hold what was restored.
pub fn servers(object: &Value) -> String {
    let rebuild = object.get("rebuild").unwrap_or(&Value::Null);
    let version = |of: &Value, key: &str| Some(escaped(text_of(of, key))).filter(|text| !text.is_empty());
    let mut pairs = Pairs::default();
    pairs.add_some("NATS", version(object, "nats_version"));
    pairs.add_some("PostgreSQL", version(rebuild, "postgres_version"));
    section("servers", "Servers", &pairs.into_html("facts"))
}

/// Digests of the tables, after a rebuild.
pub fn digests(object: &Value) -> String {
    let digests = object.get("rebuild").and_then(|rebuild| rebuild.get("digests")?.as_object());
    let mut pairs = Pairs::default();
    for (table, digest) in digests.into_iter().flatten() {
        pairs.add(table, code(digest.as_str().unwrap_or_default()));
    }
    section("digests", "State digests", &pairs.into_html("facts digests"))
}

/// Notes, dangling references.
pub fn notes(object: &Value) -> String {
    let rebuild = object.get("rebuild").unwrap_or(&Value::Null);
    let warnings =
        list_of(object, "warnings").iter().chain(list_of(rebuild, "warnings")).filter_map(Value::as_str);
    let mut items: Vec<String> = warnings.map(|note| format!("<li>{}</li>\n", escaped(note))).collect();
    items.dedup();
    for dangling in list_of(rebuild, "dangling") {
        let what = text::plural(number_of(dangling, "rows").unwrap_or_default(), "dangling reference");
        items.push(format!("<li>{what} in {}</li>\n", code(text_of(dangling, "reference"))));
    }
    if items.is_empty() {
        return String::new();
    }
    section("notes", "Notes", &format!("<ul>\n{}</ul>\n", items.concat()))
}

//! What was checked, and how anybody checks it again: with this program, with public tools, with the second reader.

use serde_json::Value;

use super::html::{command, escaped, list_of, number_of, section, shell_word, text_of};

/// The list of what was checked.
pub fn checked(object: &Value) -> String {
    let items: Vec<(bool, String)> = match text_of(object, "command") {
        "demo" => list_of(object, "checks")
            .iter()
            .map(|check| match (check["ok"] == true, text_of(check, "check")) {
                (true, what) => (true, what.to_owned()),
                (false, what) => (false, format!("This does not hold: {what}")),
            })
            .collect(),
        "restore" if object.get("log").is_some() => of_restore(object),
        "verify" if list_of(object, "files").iter().all(|file| file["error"].is_null()) => of_verify(object),
        _ => Vec::new(),
    };
    if items.is_empty() {
        return String::new();
    }
    let item = |(holds, what): &(bool, String)| {
        let class = if *holds { "holds" } else { "fails" };
        format!("<li class=\"{class}\">{}</li>\n", escaped(what))
    };
    let list: String = items.iter().map(item).collect();
    section("checked", "What was checked", &format!("<ul class=\"checks\">\n{list}</ul>\n"))
}

fn of_verify(object: &Value) -> Vec<(bool, String)> {
    let files = list_of(object, "files");
    let mut items = vec![
        "Each byte was read, from the first to the last.",
        "The SHA-256 of header and records is the one in the trailer.",
        "Each line follows the grammar of its version.",
        "Counts, order of sequences and cut agree between header, records and trailer.",
    ];
    if files.iter().any(|file| !file["merkle_root"].is_null()) {
        items.push("Each sequence is there or in the list of gaps.");
        items.push("The Merkle root of the file, and that of each tenant, were computed anew and agree.");
    }
    let mut items: Vec<_> = items.into_iter().map(|item| (true, item.to_owned())).collect();
    let authentic = files.iter().all(|file| file["authenticated"] == true);
    items.push(match authentic {
        true => (true, "The message authentication code holds under the key of this host.".to_owned()),
        false => {
            (false, "No message authentication code was checked: this cannot tell tampering.".to_owned())
        }
    });
    items
}

fn of_restore(object: &Value) -> Vec<(bool, String)> {
    let mut items = vec![
        (true, "The whole backup was verified before anything was written."),
        match object["authenticated"] == true {
            true => (true, "The backup is authenticated by the key of this host."),
            false => (false, "The backup was accepted on its checksum: this cannot tell tampering."),
        },
        (
            true,
            "The live log was read back completely: each sequence was delivered, or is confirmed deleted.",
        ),
        match object["exact"] == true {
            true => (
                true,
                "Sequence, subject, headers, payload and store time of each message are those of the backup.",
            ),
            false => (
                false,
                "Not all of sequence, subject, headers, payload and store time are those of the backup: see the notes.",
            ),
        },
    ];
    if let Some(rebuild) = object.get("rebuild").filter(|rebuild| rebuild.is_object()) {
        items.push(match number_of(rebuild, "faults") {
            Some(1..) => (
                false,
                "Some events could not be applied to the read model: see read_model.projection_faults.",
            ),
            _ => (true, "Every event could be applied to the read model."),
        });
        items.push(match list_of(rebuild, "dangling").is_empty() {
            true => (true, "Every reference of the read model leads to a row."),
            false => (false, "Some references of the read model lead to no row: see the notes."),
        });
    }
    items.into_iter().map(|(holds, what)| (holds, what.to_owned())).collect()
}

/// Commands that check it again.
pub fn again(object: &Value) -> String {
    let html = match text_of(object, "command") {
        "verify" => list_of(object, "files").iter().map(again_file).collect(),
        "restore" => again_restore(object),
        "demo" => command("Rehearse it again, on any machine:", &demo_line(object)),
        _ => String::new(),
    };
    section("again", "How to check it again", &html)
}

fn again_file(file: &Value) -> String {
    let path = text_of(file, "path");
    if matches!(path, "" | "-") {
        return String::new();
    }
    let word = shell_word(path);
    let mut html = command("With this program:", &format!("trstctl-dr verify {word}"));
    let sha256 = text_of(file, "sha256");
    if !sha256.is_empty() {
        let what = "With public tools alone: the checksum of everything before the last line. It must print the second line.";
        html.push_str(&command(what, &format!("{}head -n -1 | sha256sum\n{sha256}  -", unpack(path, &word))));
    }
    let what = "With the second reader, which shares no code with this program (docs/format/read_backup.py):";
    html.push_str(&command(what, &format!("python3 read_backup.py {word}")));
    html
}

/// The beginning of a pipe that unpacks the file, by its name.
fn unpack(path: &str, word: &str) -> String {
    match path {
        _ if path.ends_with(".zst.age") => format!("age -d -i IDENTITY {word} | zstd -dc | "),
        _ if path.ends_with(".age") => format!("age -d -i IDENTITY {word} | "),
        _ if path.ends_with(".zst") => format!("zstd -dc {word} | "),
        _ => format!("cat {word} | "),
    }
}

fn again_restore(object: &Value) -> String {
    let path = object.get("backup").map_or("", |backup| text_of(backup, "path"));
    if path.is_empty() {
        return String::new();
    }
    let word = shell_word(path);
    let mut html = command("The backup, without any server:", &format!("trstctl-dr verify {word}"));
    html.push_str(&command(
        "The log, until something is appended: the same command recognises it, and writes nothing.",
        &format!("trstctl-dr restore {word}"),
    ));
    let root = text_of(object, "merkle_root");
    let cut = number_of(object, "last_sequence");
    if let Some(cut) = cut.filter(|_| !root.is_empty() && object["exact"] == true) {
        html.push_str(&command(
            "The log, at any later time: a new backup of the same part has the same root.",
            &format!("trstctl-dr backup --through {cut} --output check.jsonl\n{root}"),
        ));
    }
    html.push_str(&command("The read model against the log:", "trstctl-dr diff"));
    html
}

fn demo_line(object: &Value) -> String {
    let (events, seed) =
        (number_of(object, "events").unwrap_or_default(), number_of(object, "seed").unwrap_or(1));
    format!("trstctl-dr demo --events {events} --seed {seed}")
}

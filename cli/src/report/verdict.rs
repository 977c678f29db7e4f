//! The verdict: the first thing on the page, in a few large words, with what it means and what to do.

use serde_json::Value;

use super::html::{Pairs, code, escaped, list_of, number, number_of, text_of};
use crate::text;

/// How the page looks at the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tone {
    Good,
    Caution,
    Bad,
}

/// A verdict in words.
struct Verdict {
    tone: Tone,
    headline: String,
    meaning: String,
}

/// The banner, and below it the failure if there is one.
pub fn banner(object: &Value) -> String {
    let verdict = Verdict::of(object);
    let (class, symbol, name) = match verdict.tone {
        Tone::Good => ("good", GOOD, "Good"),
        Tone::Caution => ("caution", CAUTION, "Needs attention"),
        Tone::Bad => ("bad", BAD, "Failed"),
    };
    format!(
        "<section class=\"verdict {class}\" aria-labelledby=\"verdict\">\n{}\n<div><h1 id=\"verdict\">{}</h1>\n<p>{}</p></div>\n</section>\n{}",
        symbol.replace("NAME", name),
        escaped(&verdict.headline),
        escaped(&verdict.meaning),
        // Of several files, each tells its own.
        if list_of(object, "files").len() > 1 { String::new() } else { failure(&object["error"]) }
    )
}

/// The headline alone, for the title of the page.
pub fn headline(object: &Value) -> String {
    Verdict::of(object).headline
}

impl Verdict {
    fn of(object: &Value) -> Self {
        let class = text_of(object.get("error").unwrap_or(&Value::Null), "class");
        match (text_of(object, "command"), class) {
            ("verify", _) => Self::of_files(list_of(object, "files"), class),
            ("restore", "" | "findings") if object.get("log").is_some() => Self::of_restore(object, class),
            ("demo", "") => Self::good(
                "Recovered, and equal",
                "The log and the read model were destroyed, restored from the backup, and are what they were.",
            ),
            _ => Self::of_class(class),
        }
    }

    fn of_files(files: &[Value], class: &str) -> Self {
        let whole = files.iter().filter(|file| file["error"].is_null()).count();
        if class.is_empty() && whole == files.len() {
            return Self::of_whole_files(files);
        }
        let mut verdict = Self::of_class(class);
        if files.len() > 1 {
            let first =
                files.iter().find(|file| !file["error"].is_null()).map_or("", |file| text_of(file, "path"));
            verdict.headline = format!("{whole} of {} backups are whole", files.len());
            verdict.meaning = format!("{first}: {}", verdict.meaning);
        }
        verdict
    }

    fn of_whole_files(files: &[Value]) -> Self {
        let all = |key: &str| files.iter().all(|file| file[key] == true);
        let many = if files.len() > 1 { "All backups are whole" } else { "The backup is whole" };
        if all("authenticated") {
            let meaning = "Every byte was read. Checksum, grammar, counts, sequences and Merkle roots hold, and the key of this host authenticates it.";
            return Self::good(&format!("{many} and authentic"), meaning);
        }
        let meaning = match all("keyed") {
            true => {
                "Every byte was read, and the checksum holds. The authentication was NOT checked: the key was not there."
            }
            false => {
                "Every byte was read, and the checksum holds. Without a key this detects damage, not tampering."
            }
        };
        Self { tone: Tone::Caution, headline: many.to_owned(), meaning: meaning.to_owned() }
    }

    fn of_restore(object: &Value, class: &str) -> Self {
        let headline = match text_of(object, "log") {
            "recognised" => "The log already holds this backup",
            _ => "Restored, and proven",
        };
        if class.is_empty() {
            return Self::good(
                headline,
                "The live log was read back: count, gaps and Merkle root are those of the backup.",
            );
        }
        let meaning =
            "The log was read back and compared with the backup. Something else needs a person: see below.";
        Self { tone: Tone::Caution, headline: headline.to_owned(), meaning: meaning.to_owned() }
    }

    fn good(headline: &str, meaning: &str) -> Self {
        Self { tone: Tone::Good, headline: headline.to_owned(), meaning: meaning.to_owned() }
    }

    fn of_class(class: &str) -> Self {
        let (tone, headline, meaning) = match class {
            "findings" => {
                (Tone::Caution, "Done, with findings", "The work was done, and something needs a person.")
            }
            "not_a_backup" => (Tone::Bad, "Not a backup", "The file is something else."),
            "newer_version" => {
                (Tone::Bad, "Made by a newer program", "This program cannot read it; a newer one can.")
            }
            "truncated" => (Tone::Bad, "Cut short", "The file ends too early. Do not rely on it."),
            "damaged" => (Tone::Bad, "Damaged", "The file is not what was written. Do not rely on it."),
            "malformed_record" | "inconsistent" => {
                (Tone::Bad, "Not consistent", "The checksum holds, but the content is not that of a backup.")
            }
            "readback_differs" => (
                Tone::Bad,
                "The log is NOT the backup",
                "The target was written, and holds something else. Start no server on it.",
            ),
            "tampered" => (
                Tone::Bad,
                "Tampered with",
                "The authentication does not hold: somebody has changed the file.",
            ),
            "key_missing" | "wrong_key" | "unkeyed" => {
                (Tone::Bad, "Not authenticated", "The bytes may be fine; this host cannot tell.")
            }
            "target_not_empty" | "target_differs" | "history_differs" => {
                (Tone::Bad, "Refused: the target holds something else", "Nothing was changed by this run.")
            }
            "interrupted" => (Tone::Caution, "Stopped", "The same command goes on where this one stopped."),
            "usage" => (Tone::Bad, "Not begun", "The command cannot be run as it was given."),
            _ => (Tone::Bad, "Failed", "The command did not come to its end."),
        };
        Self { tone, headline: headline.to_owned(), meaning: meaning.to_owned() }
    }
}

/// What went wrong, where, and what to do.
pub fn failure(error: &Value) -> String {
    if error.is_null() { String::new() } else { failure_pairs(error, "failure") }
}

/// The same as a list of this class of style.
pub fn failure_pairs(error: &Value, class: &str) -> String {
    let mut pairs = Pairs::default();
    pairs.add("Class", code(text_of(error, "class")));
    pairs.add("What", escaped(text_of(error, "message")));
    pairs.add_some("File", error.get("file").and_then(Value::as_str).map(code));
    let place: Vec<String> = [("line", "line"), ("offset", "byte"), ("sequence", "sequence")]
        .into_iter()
        .filter_map(|(key, word)| Some(format!("{word} {}", number(number_of(error, key)?))))
        .collect();
    pairs.add_some("Where", (!place.is_empty()).then(|| place.join(", ")));
    pairs.add_some("To do", Some(text_of(error, "hint")).filter(|hint| !hint.is_empty()).map(escaped));
    pairs.into_html(class)
}

/// The four or so figures that matter most.
pub fn figures(object: &Value) -> String {
    let mut pairs = Pairs::default();
    let files = list_of(object, "files");
    let one = if files.len() == 1 { &files[0] } else { object };
    let records = number_of(one, "records").or_else(|| {
        let all: Option<Vec<u64>> = files.iter().map(|file| number_of(file, "records")).collect();
        all.filter(|all| !all.is_empty()).map(|all| all.iter().sum())
    });
    pairs.add_some("Events", records.map(number));
    let backup = object.get("backup").unwrap_or(one);
    pairs.add_some("Tenants", number_of(backup, "tenants").map(number));
    pairs.add_some("Deleted sequences", number_of(one, "gaps").map(|gaps| text::plural(gaps, "range")));
    let rows = object.get("rebuild").and_then(|rebuild| rebuild.get("rows")?.as_object());
    pairs.add_some("Rows rebuilt", rows.map(|rows| number(rows.values().filter_map(Value::as_u64).sum())));
    let elapsed = std::time::Duration::from_millis(number_of(object, "elapsed_ms").unwrap_or_default());
    pairs.add("Took", escaped(&text::duration(elapsed)));
    pairs.into_html("figures")
}

const GOOD: &str = "<svg viewBox=\"0 0 48 48\" role=\"img\" aria-label=\"NAME\"><circle cx=\"24\" cy=\"24\" r=\"22\"/><path d=\"M14 25l7 7 14-16\"/></svg>";
const CAUTION: &str = "<svg viewBox=\"0 0 48 48\" role=\"img\" aria-label=\"NAME\"><circle cx=\"24\" cy=\"24\" r=\"22\"/><path d=\"M24 12v16M24 34v2\"/></svg>";
const BAD: &str = "<svg viewBox=\"0 0 48 48\" role=\"img\" aria-label=\"NAME\"><circle cx=\"24\" cy=\"24\" r=\"22\"/><path d=\"M16 16l16 16M32 16l-16 16\"/></svg>";

//! Writes what was measured into `docs/benchmarks.md`, between two comments, and into `docs/benchmarks.json` for machines.
//!
//! A run of some rows keeps the others, as long as they are of the same machine and sizes.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::machine::Fact;
use crate::row::Row;
use crate::rows;
use crate::setting::Setting;
use crate::table::sizes;

const BEGIN: &str = "<!-- begin of what `make bench` wrote -->\n";
const END: &str = "<!-- end of what `make bench` wrote -->\n";

/// All that is written.
#[derive(Serialize, Deserialize)]
struct Document {
    machine: Vec<Fact>,
    sizes: String,
    rows: Vec<Row>,
}

/// Replaces the measured rows in both files.
pub fn write(machine: Vec<Fact>, setting: &Setting, measured: Vec<Row>) {
    let mut document = Document { machine, sizes: sizes(setting), rows: measured };
    let json = docs("benchmarks.json");
    if let Some(earlier) = earlier(&json).filter(|earlier| is_comparable(earlier, &document)) {
        let is_new = |row: &Row| document.rows.iter().any(|new| new.name == row.name);
        let kept: Vec<Row> = earlier.rows.into_iter().filter(|row| !is_new(row)).collect();
        document.rows.extend(kept);
    }
    let place = |row: &Row| rows::ALL.iter().position(|entry| entry.name == row.name);
    document.rows.sort_by_key(place);
    let text = serde_json::to_string_pretty(&document).expect("figures can be written as JSON");
    fs::write(&json, text + "\n").expect("docs/benchmarks.json can be written");
    let path = docs("benchmarks.md");
    let old = fs::read_to_string(&path).expect("docs/benchmarks.md can be read");
    fs::write(&path, replaced(&old, &markdown(&document))).expect("docs/benchmarks.md can be written");
    println!("\nwritten to docs/benchmarks.md and docs/benchmarks.json");
}

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)
}

fn earlier(path: &Path) -> Option<Document> {
    serde_json::from_str(&fs::read_to_string(path).ok()?).ok()
}

fn is_comparable(earlier: &Document, now: &Document) -> bool {
    earlier.machine == now.machine && earlier.sizes == now.sizes
}

fn replaced(old: &str, part: &str) -> String {
    let (before, rest) = old.split_once(BEGIN).expect("docs/benchmarks.md marks the generated part");
    let (_, after) = rest.split_once(END).expect("docs/benchmarks.md marks the end of the generated part");
    format!("{before}{BEGIN}\n{part}\n{END}{after}")
}

fn markdown(document: &Document) -> String {
    let mut text = String::new();
    for (name, value) in document.machine.iter().chain([&(String::from("sizes"), document.sizes.clone())]) {
        let _ = writeln!(text, "- {name}: {value}");
    }
    text.push_str("\n| what | yardstick | ours | ratio | reach | |\n|---|---|---|---|---|---|\n");
    for row in &document.rows {
        text.push_str(&markdown_row(row));
    }
    text.push_str("\nWhat limits each:\n\n");
    for row in document.rows.iter().filter(|row| !row.limit.is_empty()) {
        let _ = writeln!(text, "- **{}**: {}", row.what, row.limit);
    }
    text
}

fn markdown_row(row: &Row) -> String {
    let yardstick = row.yardstick.as_ref();
    let yardstick = yardstick
        .map_or_else(|| String::from("–"), |yardstick| format!("{}: {}", yardstick.name, yardstick.figures));
    let ratio = row.ratio().map_or_else(|| String::from("–"), |ratio| format!("{ratio:.2}x"));
    let verdict = match row.is_reached() {
        Some(true) => "reached",
        Some(false) => "**not reached**",
        None => "",
    };
    format!("| {} | {yardstick} | {} | {ratio} | {} | {verdict} |\n", row.what, row.ours, row.bar())
}

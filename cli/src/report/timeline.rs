//! The phases, one after the other: a bar for when and how long, and the figures beside it.

use std::fmt::Write;
use std::time::Duration;

use serde_json::Value;

use super::html::{escaped, list_of, number_of, section, text_of};
use crate::text;

/// Width of the picture in its own units.
const WIDTH: f64 = 1000.0;
/// A bar is never narrower: it shall be seen.
const LEAST_WIDTH: f64 = 4.0;

/// The phases of the object.
pub fn timeline(object: &Value) -> String {
    let phases = list_of(object, "phases");
    let elapsed = |phase: &Value| number_of(phase, "elapsed_ms").unwrap_or_default();
    let total_ms = phases.iter().map(elapsed).sum::<u64>().max(1);
    let (mut rows, mut begun_ms) = (String::new(), 0);
    for phase in phases {
        let took_ms = elapsed(phase);
        let _ = writeln!(
            rows,
            "<tr><th scope=\"row\">{}</th><td class=\"bar\">{}</td><td class=\"number\">{}</td><td class=\"number wide\">{}</td><td class=\"number wide\">{}</td></tr>",
            escaped(text_of(phase, "name")),
            bar(begun_ms as f64 / total_ms as f64, took_ms as f64 / total_ms as f64),
            escaped(&text::duration(Duration::from_millis(took_ms))),
            escaped(&amount(phase)),
            escaped(&rate(phase, took_ms)),
        );
        begun_ms += took_ms;
    }
    if rows.is_empty() {
        return String::new();
    }
    let table = format!(
        "<table class=\"timeline\">\n<thead><tr><th scope=\"col\">Phase</th><th scope=\"col\">When</th><th scope=\"col\" class=\"number\">Took</th><th scope=\"col\" class=\"number wide\">Did</th><th scope=\"col\" class=\"number wide\">Rate</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n"
    );
    section("timeline", "Timeline", &table)
}

/// A bar from this fraction of the whole, for that fraction. A picture, so that it is printed as well.
fn bar(from: f64, width: f64) -> String {
    let width = (width * WIDTH).max(LEAST_WIDTH);
    let from = (from * WIDTH).min(WIDTH - width);
    format!(
        "<svg viewBox=\"0 0 1000 16\" preserveAspectRatio=\"none\" aria-hidden=\"true\" focusable=\"false\"><rect class=\"track\" width=\"1000\" height=\"16\" rx=\"3\"/><rect class=\"fill\" x=\"{from:.1}\" width=\"{width:.1}\" height=\"16\"/></svg>"
    )
}

fn amount(phase: &Value) -> String {
    let count = number_of(phase, "count").unwrap_or_default();
    match text_of(phase, "unit") {
        "events" => text::plural(count, "event"),
        "bytes" => text::bytes(count),
        _ => String::new(),
    }
}

fn rate(phase: &Value, took_ms: u64) -> String {
    let per_second =
        (number_of(phase, "count").unwrap_or_default() as f64 * 1000.0 / took_ms.max(1) as f64) as u64;
    match text_of(phase, "unit") {
        "events" => format!("{}/s", text::count(per_second)),
        "bytes" => format!("{}/s", text::bytes(per_second)),
        _ => String::new(),
    }
}

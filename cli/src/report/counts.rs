//! Counts: by tenant, by type of event, by table, each with a bar that compares them.

use std::fmt::Write;

use serde_json::Value;

use super::html::{code, escaped, instant, list_of, number, number_of, section, text_of};
use crate::text;

/// Rows of a table; the rest is summed up in a last one.
const SHOWN: usize = 40;

/// Tenants and types of a backup, where they were counted.
pub fn of_backup(backup: &Value) -> String {
    let tenants = named(&backup["by_tenant"]);
    let types = named(&backup["by_type"]);
    over_time(&backup["histogram"])
        + &table("By tenant", "Tenant", "Events", &tenants)
        + &table("By type of event", "Type", "Events", &types)
}

/// Columns over time, with their ends in words.
fn over_time(histogram: &Value) -> String {
    let bins = list_of(histogram, "bins");
    let counts: Vec<u64> = bins.iter().map(|bin| number_of(bin, "records").unwrap_or_default()).collect();
    let most = counts.iter().copied().max().unwrap_or_default();
    let (Some(first), Some(last)) = (bins.first(), bins.last()) else { return String::new() };
    if most == 0 {
        return String::new();
    }
    let step = 1000.0 / counts.len() as f64;
    let columns: String = counts
        .iter()
        .enumerate()
        .filter(|(_, count)| **count > 0)
        .map(|(at, count)| {
            let height = (*count as f64 / most as f64 * 100.0).max(1.0);
            let (x, width, y) = (at as f64 * step, (step - 4.0).max(1.0), 100.0 - height);
            format!(
                "<rect class=\"fill\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
            )
        })
        .collect();
    let width = text::duration(std::time::Duration::from_millis(
        number_of(histogram, "width_ms").unwrap_or_default(),
    ));
    let columns_words = text::plural(counts.len() as u64, "column");
    let label = format!("{columns_words} of {width}, at most {} in one", text::plural(most, "event"));
    format!(
        "<figure class=\"over-time\">\n<figcaption>Over time: {label}</figcaption>\n<svg viewBox=\"0 0 1000 100\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"Events over time, {label}\">{columns}</svg>\n<p>{} <span>{}</span></p>\n</figure>\n",
        instant(text_of(first, "from")),
        instant(text_of(last, "from")),
        label = escaped(&label)
    )
}

/// Tables of the rebuilt read model.
pub fn of_rebuild(rebuild: &Value) -> String {
    let counted = |key: &str| -> Vec<(String, u64)> {
        let object = rebuild.get(key).and_then(Value::as_object).into_iter().flatten();
        object.filter_map(|(name, rows)| Some((name.clone(), rows.as_u64()?))).collect()
    };
    let mut html = table("Rows of the read model", "Table", "Rows", &counted("rows"));
    html.push_str(&table("Events without rows", "Type", "Events", &counted("not_projected")));
    if html.is_empty() {
        return html;
    }
    let facts = format!(
        "<p>{} applied, {} not projected, {} in quarantine; the read model stands at sequence {}.</p>\n",
        number(number_of(rebuild, "projected").unwrap_or_default()),
        number(counted("not_projected").iter().map(|(_, rows)| rows).sum()),
        number(number_of(rebuild, "faults").unwrap_or_default()),
        number(number_of(rebuild, "checkpoint").unwrap_or_default()),
    );
    section("read-model", "Read model", &(facts + &html))
}

/// `{"counts": [{"name", "records"}], "other": {"records"}}`
fn named(tally: &Value) -> Vec<(String, u64)> {
    let mut all: Vec<_> = list_of(tally, "counts")
        .iter()
        .filter_map(|one| Some((text_of(one, "name").to_owned(), number_of(one, "records")?)))
        .collect();
    if let Some(other) =
        tally.get("other").and_then(|other| number_of(other, "records")).filter(|other| *other > 0)
    {
        all.push(("(others)".to_owned(), other));
    }
    all
}

fn table(caption: &str, what: &str, unit: &str, counted: &[(String, u64)]) -> String {
    if counted.is_empty() {
        return String::new();
    }
    let most = counted.iter().map(|(_, count)| *count).max().unwrap_or_default().max(1);
    let mut rows = String::new();
    for (name, count) in counted.iter().take(SHOWN) {
        let _ = writeln!(
            rows,
            "<tr><th scope=\"row\">{}</th><td class=\"bar\">{}</td><td class=\"number\">{}</td></tr>",
            name_cell(name),
            bar(*count as f64 / most as f64),
            number(*count)
        );
    }
    let rest = counted.iter().skip(SHOWN).map(|(_, count)| count).sum::<u64>();
    if counted.len() > SHOWN {
        let more = text::count((counted.len() - SHOWN) as u64);
        let _ = writeln!(
            rows,
            "<tr><th scope=\"row\">{more} more</th><td></td><td class=\"number\">{}</td></tr>",
            number(rest)
        );
    }
    format!(
        "<table class=\"counts\">\n<caption>{}</caption>\n<thead><tr><th scope=\"col\">{}</th><th scope=\"col\"><span class=\"unseen\">Compared</span></th><th scope=\"col\" class=\"number\">{}</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n",
        escaped(caption),
        escaped(what),
        escaped(unit)
    )
}

/// The group of messages that name no tenant has no name.
fn name_cell(name: &str) -> String {
    if name.is_empty() { "<em>no tenant</em>".to_owned() } else { code(name) }
}

fn bar(fraction: f64) -> String {
    let width = (fraction * 1000.0).max(4.0);
    format!(
        "<svg viewBox=\"0 0 1000 16\" preserveAspectRatio=\"none\" aria-hidden=\"true\" focusable=\"false\"><rect class=\"fill\" width=\"{width:.1}\" height=\"16\"/></svg>"
    )
}

//! The page: verdict first, then figures, time, what was found, what was checked, and how to check it again.

use serde_json::Value;

use super::html::{escaped, instant, text_of};
use super::{Circumstances, checked, counts, facts, timeline, verdict};

const STYLE: &str = include_str!("style.css");

/// The whole page of a finished command's JSON object.
pub fn page(object: &Value, circumstances: &Circumstances) -> String {
    let command = escaped(text_of(object, "command"));
    let started = circumstances.started.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let rebuild = object.get("rebuild").unwrap_or(&Value::Null);
    let parts = [
        verdict::banner(object),
        verdict::figures(object),
        timeline::timeline(object),
        checked::checked(object),
        facts::notes(object),
        facts::files(object),
        facts::backup(object),
        facts::refusal(object),
        facts::live_log(object),
        facts::servers(object),
        counts::of_rebuild(rebuild),
        facts::digests(object),
        checked::again(object),
    ];
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{title} – trstctl-dr {command}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header><p><strong>trstctl-dr {command}</strong> <span>{when}</span></p></header>\n<main>\n{body}</main>\n\
         <footer><p>Made by trstctl-dr {version}. All times are UTC. The same result for machines: <code>--json</code>.</p></footer>\n\
         </body>\n</html>\n",
        title = escaped(&verdict::headline(object)),
        when = instant(&started),
        body = parts.concat(),
        version = escaped(circumstances.program_version),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::html::escaped as spelled_out;
    use super::*;

    /// A verify of two files, one of them damaged, with everything that a report shows.
    fn verify() -> Value {
        json!({
            "command": "verify", "ok": false, "exit_code": 4, "elapsed_ms": 1234,
            "error": {"class": "damaged", "message": "m", "hint": "h", "file": "b.jsonl", "line": 3, "offset": 448, "sequence": 7},
            "files": [
                {"path": "/srv/a.jsonl.zst", "format_version": 2, "created_at": "2026-01-02T03:04:05.123456789Z", "deployment_id": "d",
                 "records": 3, "len_bytes": 2000, "sha256": "ab", "merkle_root": "cd", "first_sequence": 1, "last_sequence": 5, "gaps": 2,
                 "tenants": 2, "first_time": "2026-01-02T03:00:00Z", "last_time": "2026-01-02T03:00:02Z", "keyed": true,
                 "authenticated": true, "error": null,
                 "by_tenant": {"counts": [{"name": "t", "records": 2}, {"name": "", "records": 1}]},
                 "histogram": {"width_ms": 60000, "bins": [{"from": "2026-01-02T03:00:00Z", "records": 3}]},
                 "by_type": {"counts": [{"name": "owner.created", "records": 2}], "other": {"records": 1}}},
                {"path": "b.jsonl", "error": {"class": "damaged", "message": "m", "hint": "h", "file": "b.jsonl", "line": 3, "offset": 448, "sequence": 7}},
            ],
            "phases": [{"name": "verify", "unit": "bytes", "count": 2000, "elapsed_ms": 10}],
        })
    }

    fn restore() -> Value {
        json!({
            "command": "restore", "ok": true, "exit_code": 0, "elapsed_ms": 99, "error": null, "log": "restored", "records": 3, "nats_version": "2.9.10",
            "first_sequence": 1, "last_sequence": 5, "gaps": 2, "merkle_root": "cd", "exact": true, "authenticated": true,
            "warnings": ["w"], "backup": verify()["files"][0],
            "rebuild": {"checkpoint": 5, "projected": 2, "faults": 1, "rows": {"owners": 1}, "not_projected": {"x": 1},
                        "digests": {"owners": "ef"}, "dangling": [{"reference": "a.b -> c.d", "rows": 1}], "warnings": ["v"], "postgres_version": "15.18"},
            "phases": [{"name": "write the log", "unit": "events", "count": 3, "elapsed_ms": 10}],
        })
    }

    fn demo() -> Value {
        json!({
            "command": "demo", "ok": true, "exit_code": 0, "elapsed_ms": 99, "error": null, "events": 100, "seed": 7, "records": 98,
            "checks": [{"check": "c", "ok": true}, {"check": "e", "ok": false}], "backup": verify()["files"][0],
            "refused": {"class": "damaged", "message": "m", "hint": "h"}, "rebuild": restore()["rebuild"], "phases": [],
        })
    }

    fn shown(object: &Value) -> String {
        page(object, &Circumstances { started: jiff::Timestamp::UNIX_EPOCH, program_version: "1.2.3" })
    }

    /// Opening and closing tags, in order, without their attributes.
    fn tags(page: &str) -> Vec<&str> {
        page.split('<').skip(1).map(|rest| rest.split(['>', ' ', '\n']).next().unwrap_or_default()).collect()
    }

    #[test]
    fn every_element_is_closed_in_its_place() {
        for object in [verify(), restore(), demo(), json!({"command": "verify", "error": null})] {
            let page = shown(&object);
            let mut open = Vec::new();
            for tag in tags(&page)
                .into_iter()
                .filter(|tag| !matches!(*tag, "!DOCTYPE" | "meta" | "circle" | "path" | "rect"))
            {
                match tag.strip_prefix('/') {
                    Some(closed) => assert_eq!(open.pop(), Some(closed), "{page}"),
                    None => open.push(tag),
                }
            }
            assert!(open.is_empty(), "{open:?}");
        }
    }

    #[test]
    fn verdict_comes_first_and_every_section_has_a_heading() {
        for object in [verify(), restore(), demo()] {
            let page = shown(&object);
            assert!(page.contains("<html lang=\"en\">"));
            let main = page.split("<main>").nth(1).unwrap();
            assert!(main.trim_start().starts_with("<section class=\"verdict "), "{main}");
            assert_eq!(page.matches("<h1").count(), 1);
            let labelled = page.matches("<section").count();
            assert_eq!(labelled, page.matches("aria-labelledby=").count());
            for id in page.split("aria-labelledby=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
                assert_eq!(page.matches(&format!("id=\"{id}\"")).count(), 1, "{id}");
            }
            assert_eq!(
                page.matches("<th").count() - page.matches("<thead").count(),
                page.matches("<th scope=").count()
            );
        }
    }

    #[test]
    fn facts_of_the_object_are_on_the_page() {
        let verify = shown(&verify());
        for fact in [
            "1 of 2 backups are whole",
            "2026-01-02 03:04:05 UTC",
            "line 3, byte 448, sequence 7",
            "owner.created",
            "no tenant",
            "zstd -dc /srv/a.jsonl.zst | head -n -1 | sha256sum\nab  -",
            "python3 read_backup.py /srv/a.jsonl.zst",
            "2.0 kB",
            "1.2.3",
        ] {
            assert!(verify.contains(fact), "no {fact}");
        }
        let restore = shown(&restore());
        for fact in [
            "Restored, and proven",
            "write the log",
            "1 dangling reference in <code>a.b -&gt; c.d</code>",
            "<li>v</li>",
            "2.9.10",
            "15.18",
            "trstctl-dr backup --through 5 --output check.jsonl\ncd",
            "<li class=\"fails\">Some events could not be applied",
        ] {
            assert!(restore.contains(fact), "no {fact}");
        }
        assert!(shown(&demo()).contains("trstctl-dr demo --events 100 --seed 7"));
    }

    /// The same object with every text replaced, but for those that choose what is shown.
    fn with_texts(value: &mut Value, text: &str) {
        match value {
            Value::String(found) => *found = text.to_owned(),
            Value::Array(list) => list.iter_mut().for_each(|one| with_texts(one, text)),
            Value::Object(object) => {
                let keys: Vec<String> = object.keys().cloned().collect();
                for key in keys.iter().filter(|key| !matches!(key.as_str(), "command" | "log")) {
                    with_texts(&mut object[key], text);
                }
                for counted in ["rows", "not_projected", "digests"] {
                    if let Some(Value::Object(counted)) = object.get_mut(counted) {
                        let values: Vec<Value> =
                            std::mem::take(counted).into_iter().map(|(_, value)| value).collect();
                        counted.extend(values.into_iter().map(|value| (text.to_owned(), value)));
                    }
                }
            }
            _ => {}
        }
    }

    #[test]
    fn hostile_texts_are_shown_and_do_nothing_wherever_they_stand() {
        for hostile in [
            "</style><script>alert(1)</script>",
            "\"><img src=x onerror=alert(1)>",
            "'\u{202e}<b>&amp;",
            "\0\u{1b}[31m",
        ] {
            for object in [verify(), restore(), demo()] {
                let quiet = shown(&object);
                let mut object = object;
                with_texts(&mut object, hostile);
                let page = shown(&object);
                for tag in ["<script", "<img", "<b>", "</style><"] {
                    assert!(!page.contains(tag), "{tag} in {page}");
                }
                assert_eq!(page.matches("</style>").count(), 1);
                assert!(page.contains(&spelled_out(hostile)), "{hostile:?} is shown");
                assert!(!page.chars().any(|c| c.is_control() && c != '\n'), "no control character");
                let elements = |page: &str| tags(page).iter().filter(|tag| tag.starts_with('s')).count();
                assert!(elements(&page) <= elements(&quiet), "no element is added");
            }
        }
    }

    #[test]
    fn page_asks_for_nothing_outside_and_runs_nothing() {
        for object in [verify(), restore(), demo()] {
            let page = shown(&object);
            for outside in [
                "http:",
                "https:",
                "src=",
                "href=",
                "url(",
                "@import",
                "<script",
                "<link",
                "onload",
                "javascript:",
            ] {
                assert!(!page.contains(outside), "{outside}");
            }
            assert!(page.contains("default-src 'none'"));
        }
    }

    /// Relative luminance of `#rrggbb` (WCAG 2).
    fn luminance(color: &str) -> f64 {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&color[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    #[test]
    fn text_has_the_contrast_that_eyes_need_in_both_themes() {
        let themes: Vec<&str> =
            STYLE.split(":root {").skip(1).take(2).map(|rest| rest.split('}').next().unwrap()).collect();
        for theme in themes {
            let color = |name: &str| {
                let value = theme.split(&format!("--{name}: ")).nth(1).unwrap_or_else(|| panic!("no {name}"));
                luminance(&value[..7])
            };
            for (ink, paper) in [
                ("ink", "sheet"),
                ("ink", "page"),
                ("soft", "sheet"),
                ("soft", "page"),
                ("ink", "code-back"),
                ("good", "good-back"),
                ("caution", "caution-back"),
                ("bad", "bad-back"),
                ("ink", "good-back"),
                ("ink", "caution-back"),
                ("ink", "bad-back"),
                ("good", "sheet"),
                ("bad", "sheet"),
            ] {
                let (a, b) = (color(ink), color(paper));
                let ratio = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                assert!(ratio >= 4.5, "{ink} on {paper}: {ratio:.2}");
            }
        }
    }
}

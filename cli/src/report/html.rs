//! Text into HTML, and the few shapes that the page is made of. Nothing reaches the page unescaped but through here.

use std::fmt::Write;

use serde_json::Value;

use crate::text;

/// A text as HTML that shows exactly it. Characters that show nothing, or turn the direction of what follows, are spelled
/// out: a name must not look like another one.
pub fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c if is_deceiving(c) => {
                let _ = write!(html, "⟨U+{:04X}⟩", u32::from(c));
            }
            c => html.push(c),
        }
    }
    html
}

/// Controls, directional marks, invisible spaces, and the tags and fillers that hide text.
fn is_deceiving(c: char) -> bool {
    matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A word for a shell that means exactly this text.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | ':' | '+' | '=' | ',' | '@')
    };
    if !text.is_empty() && text.chars().all(plain) && !text.starts_with('-') {
        return text.to_owned();
    }
    // A name that begins with a hyphen would be read as an option.
    let text = if text.starts_with('-') { format!("./{text}") } else { text.to_owned() };
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A text of the object, "" when it is not there.
pub fn text_of<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A number of the object.
pub fn number_of(object: &Value, key: &str) -> Option<u64> {
    object.get(key).and_then(Value::as_u64)
}

/// A list of the object, empty when it is not there.
pub fn list_of<'a>(object: &'a Value, key: &str) -> &'a [Value] {
    object.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// An instant that is written as RFC 3339: to the second for people, whole for machines.
pub fn instant(text: &str) -> String {
    let whole = escaped(text);
    let shown = match (text.get(..10), text.get(10..11), text.get(11..19)) {
        (Some(date), Some("T"), Some(time)) if text.ends_with('Z') => escaped(&format!("{date} {time} UTC")),
        _ => whole.clone(),
    };
    format!("<time datetime=\"{whole}\" title=\"{whole}\">{shown}</time>")
}

/// A number with its thousands apart.
pub fn number(value: u64) -> String {
    text::count(value)
}

/// A digest, a path, an id: in a face that shows each character, broken anywhere.
pub fn code(text: &str) -> String {
    format!("<code>{}</code>", escaped(text))
}

/// Lines for a shell, with what each is for.
pub fn command(what: &str, lines: &str) -> String {
    format!("<p>{}</p>\n<pre><code>{}</code></pre>\n", escaped(what), escaped_lines(lines))
}

/// As [`escaped`], but line ends stay.
fn escaped_lines(lines: &str) -> String {
    lines.lines().map(escaped).collect::<Vec<_>>().join("\n")
}

/// A section with its heading; nothing when it has no content.
pub fn section(id: &str, heading: &str, content: &str) -> String {
    if content.is_empty() {
        return String::new();
    }
    format!(
        "<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{}</h2>\n{content}</section>\n",
        escaped(heading)
    )
}

/// Names and values; the values are HTML.
#[derive(Default)]
pub struct Pairs(String);

impl Pairs {
    /// Adds a pair.
    pub fn add(&mut self, name: &str, value: impl AsRef<str>) {
        let _ = writeln!(self.0, "<div><dt>{}</dt><dd>{}</dd></div>", escaped(name), value.as_ref());
    }

    /// Adds a pair unless there is no value.
    pub fn add_some(&mut self, name: &str, value: Option<String>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    /// The list; nothing when it is empty.
    pub fn into_html(self, class: &str) -> String {
        if self.0.is_empty() { String::new() } else { format!("<dl class=\"{class}\">\n{}</dl>\n", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_shows_itself_and_does_nothing() {
        assert_eq!(escaped("<script>\"&'"), "&lt;script&gt;&quot;&amp;&#39;");
        assert_eq!(escaped("a\u{202e}b\0\u{1b}[2J"), "a⟨U+202E⟩b⟨U+0000⟩⟨U+001B⟩[2J");
        assert_eq!(escaped("Ä ü 日本"), "Ä ü 日本");
        assert!(!instant("2026-01-02T03\" onclick=x>Z").contains("\" onclick"));
    }

    #[test]
    fn shell_words_mean_the_file_and_nothing_else() {
        assert_eq!(shell_word("/srv/a-1.jsonl"), "/srv/a-1.jsonl");
        assert_eq!(shell_word("a b"), "'a b'");
        assert_eq!(shell_word("a'$(rm)"), r"'a'\''$(rm)'");
        assert_eq!(shell_word("--force"), "'./--force'");
        assert_eq!(shell_word(""), "''");
    }

    #[test]
    fn instants_are_shown_in_utc_to_the_second() {
        assert!(instant("2026-01-02T03:04:05.123456789Z").contains(">2026-01-02 03:04:05 UTC<"));
        assert!(instant("soon").contains(">soon<"));
    }
}

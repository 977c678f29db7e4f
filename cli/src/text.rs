//! Paragraphs for people, in 80 columns, and the numbers in them.

pub use trstctl_recovery::words::{bytes, count, duration, plural};

/// Columns of a line.
const WIDTH: usize = 80;

/// `label` and `value` in two columns, a line.
pub fn field(label: &str, value: impl std::fmt::Display) -> String {
    format!("  {label:<12}{value}\n")
}

/// The same text without control characters: names and a server's words must not drive a terminal.
pub fn printable(words: &str) -> String {
    words.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A paragraph behind `lead`, wrapped at 80 columns and indented below it.
pub fn wrap(lead: &str, words: &str) -> String {
    let indent = " ".repeat(lead.chars().count());
    let mut lines = vec![lead.to_owned()];
    let mut empty = true;
    for word in words.split_whitespace() {
        let line = lines.last().map_or(0, |line| line.chars().count());
        if !empty && line + 1 + word.chars().count() > WIDTH {
            lines.push(indent.clone());
            empty = true;
        }
        if let Some(line) = lines.last_mut() {
            if !empty {
                line.push(' ');
            }
            line.push_str(word);
        }
        empty = false;
    }
    lines.join("\n") + "\n"
}

/// A paragraph in the column behind `lead`; a path that is wider than the column goes on in the next line.
pub fn column(lead: &str, words: &str) -> String {
    let width = WIDTH - lead.chars().count();
    let words: Vec<char> = printable(words).chars().collect();
    let cut = words.split(|c| c.is_whitespace()).flat_map(|word| word.chunks(width));
    wrap(lead, &cut.map(|part| part.iter().collect::<String>()).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_lines_stay_within_80_columns_and_keep_every_word() {
        let words = "word ".repeat(60);
        let wrapped = wrap("  to do: ", &words);
        assert!(wrapped.lines().all(|line| line.len() <= 80 && line.starts_with("  ")));
        assert_eq!(wrapped.matches("word").count(), 60);
    }
}

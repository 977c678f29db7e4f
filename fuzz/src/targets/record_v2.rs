//! A record line of version 2.

use trstctl_formats::StoredMessage;
use trstctl_formats::backup::{Leaves, Lines, one_line};
use trstctl_formats::merkle;

use super::{Outcome, assert_same, refusal};

/// A line that is accepted is the one line of its message.
pub fn record_v2(line: &[u8]) -> Outcome {
    // The lines of a file are cut at newlines before they are read.
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let Ok(text) = std::str::from_utf8(line) else { return Outcome::Borrowed("not UTF-8") };
    let message = match one_line::record_v2(text) {
        Ok(message) => message,
        Err(refused) => return refusal::of_line(line, refused),
    };
    let again = one_line::record_v2_line(&message, Lines::Exact);
    assert_same(&again, line);
    assert_eq!(Leaves::default().of(&message), merkle::leaf_hash(line));
    shape_of(&message, &again)
}

/// The shape of a message and its line.
pub fn shape_of(message: &StoredMessage, line: &[u8]) -> Outcome {
    let has = |word: &str| memchr::memmem::find(line, word.as_bytes()).is_some();
    let words = [
        ",\"raw_b64\":",
        ",\"headers",
        ",\"v\":",
        ",\"data\":",
        ",\"data_b64\":",
        ",\"actor\":",
        ",\"roles\":",
        "\\u",
    ];
    let of_words: String = words.iter().map(|word| if has(word) { '1' } else { '0' }).collect();
    Outcome::from(format!("{of_words} {} {}", message.subject.len().min(2), message.headers.len().min(20)))
}

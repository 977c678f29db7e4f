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
    if is_event_in_raw_form(line) {
        assert_eq!(one_line::record_v2(&String::from_utf8_lossy(&again)), Ok(message));
        return Outcome::Borrowed("the raw form of an event");
    }
    assert_same(&again, line);
    assert_eq!(Leaves::default().of(&message), merkle::leaf_hash(line));
    shape_of(&message, &again)
}

/// Whether a line has the raw form though its message has the event form: writers write none, and readers need not see it.
pub fn is_event_in_raw_form(line: &[u8]) -> bool {
    let before = b",\"raw_b64\":\"";
    let payload = memchr::memmem::rfind(line, before).map(|at| &line[at + before.len()..]);
    let is_raw = payload.and_then(|rest| rest.strip_suffix(b"\"}")).is_some_and(|text| !text.contains(&b'"'));
    let message = std::str::from_utf8(line).ok().and_then(|text| one_line::record_v2(text).ok());
    is_raw && message.is_some_and(|message| one_line::record_v2_line(&message, Lines::Exact) != line)
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

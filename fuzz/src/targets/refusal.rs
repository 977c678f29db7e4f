//! What every refusal must be: of a class that the reader can give, somewhere within the input, with words and a way on.

use trstctl_formats::backup::one_line::Refusal;
use trstctl_formats::{Class, Failure};

use super::Outcome;

/// A refusal of a line.
pub fn of_line(line: &[u8], refusal: Refusal) -> Outcome {
    assert!(refusal.at <= line.len(), "byte {} of a line of {}", refusal.at, line.len());
    assert!(!refusal.expected.is_empty());
    Outcome::from(format!("{}: {}", refusal.class.name(), refusal.expected))
}

/// A refusal of a whole file, whose class must be one of these.
pub fn of_file(failure: &Failure, classes: &[Class]) -> Outcome {
    assert!(classes.contains(&failure.class), "{:?}: {failure}", failure.class);
    assert!(!failure.message.is_empty() && !failure.hint.is_empty(), "{failure:?}");
    assert!(!failure.message.contains('\n'), "{failure:?}");
    Outcome::from(format!("{}: {}", failure.class.name(), shape_of(&failure.message)))
}

/// A refusal of a plain backup must point into it.
pub fn points_into(failure: &Failure, plain: &[u8]) {
    let place = &failure.place;
    let lines = memchr::memchr_iter(b'\n', plain).count() as u64 + 1;
    assert!(place.line.is_none_or(|line| (1..=lines).contains(&line)), "{failure:?} in {lines} lines");
    let offset = place.offset.unwrap_or_else(|| panic!("a refusal without a place: {failure:?}"));
    assert!(offset <= plain.len() as u64, "{failure:?} in {} bytes", plain.len());
    if let Some(line) = place.line {
        let before = &plain[..offset as usize];
        let line_there = memchr::memchr_iter(b'\n', before).count() as u64 + 1;
        // The end of a file after its last newline is counted to that line.
        let at_end = offset == plain.len() as u64;
        assert!(
            line == line_there || (at_end && line + 1 == line_there),
            "{failure:?}: byte {offset} is in line {line_there}"
        );
    }
}

/// The first words of a message, without numbers, names and what else is particular to the input.
pub fn shape_of(message: &str) -> String {
    let is_word = |word: &&str| {
        word.bytes()
            .all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'`' | b'.' | b',' | b':'))
    };
    message.split(' ').filter(is_word).take(16).collect::<Vec<_>>().join(" ")
}

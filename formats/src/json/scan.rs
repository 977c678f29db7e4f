//! Where a JSON value ends, or why it is none: RFC 8259 over bytes, with a limit on nesting.
//!
//! Bytes inside strings may be anything but control characters; whether they are UTF-8 is checked where it matters.

use super::specials::Specials;

/// Why a text is not of the form that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Byte in the text, from 0.
    pub(crate) at: usize,
    /// What would have been right there.
    pub(crate) expected: &'static str,
}

impl Fault {
    pub(crate) fn new(at: usize, expected: &'static str) -> Self {
        Self { at, expected }
    }
}

/// What a bracket opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    Object,
    Array,
}

/// The brackets open at one place: a bit each.
pub(crate) struct Nesting {
    top: u64,
    spilled: Vec<u64>,
    depth: u32,
    limit: u32,
}

impl Nesting {
    pub(crate) fn new(limit: u32) -> Self {
        Self { top: 0, spilled: Vec::new(), depth: 0, limit }
    }

    /// Opens a bracket; `false` when that is one too many.
    pub(crate) fn open(&mut self, opened: Opened) -> bool {
        if self.depth == self.limit {
            return false;
        }
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.spilled.push(self.top);
        }
        self.depth += 1;
        self.top = self.top << 1 | u64::from(opened == Opened::Object);
        true
    }

    pub(crate) fn close(&mut self) {
        self.depth -= 1;
        self.top >>= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.top = self.spilled.pop().expect("64 bits were spilled at this depth");
        }
    }

    pub(crate) fn innermost(&self) -> Option<Opened> {
        match (self.depth, self.top & 1) {
            (0, _) => None,
            (_, 1) => Some(Opened::Object),
            _ => Some(Opened::Array),
        }
    }
}

/// A text that is scanned, from left to right for the most part.
pub(crate) struct Scanner<'a> {
    text: &'a [u8],
    specials: Specials,
    /// Whether a CR or LF was skipped as white space: nowhere else does a value have one.
    seen_break: bool,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text, specials: Specials::new(), seen_break: false }
    }

    pub(crate) fn text(&self) -> &'a [u8] {
        self.text
    }

    /// Whether one of the values so far has a CR or LF.
    pub(crate) fn has_seen_break(&self) -> bool {
        self.seen_break
    }

    /// The end of the value that begins at `start`, of which at most `depth` brackets may be open at once.
    pub(crate) fn value_end(&mut self, start: usize, depth: u32) -> Result<usize, Fault> {
        let mut nesting = Nesting::new(depth);
        let mut at = start;
        loop {
            let (next, ended) = self.begin_value(at, &mut nesting)?;
            at = next;
            if ended {
                match self.end_value(at, &mut nesting)? {
                    Ended::Whole(end) => return Ok(end),
                    Ended::NextAt(next) => at = next,
                }
            }
        }
    }

    /// Reads a scalar, or an opening bracket and what leads to its first value. Says whether a value ended.
    #[inline]
    fn begin_value(&mut self, at: usize, nesting: &mut Nesting) -> Result<(usize, bool), Fault> {
        match self.text.get(at) {
            Some(b'"') => Ok((self.string_end(at + 1)?.0 + 1, true)),
            Some(b'{') => self.open(Opened::Object, at, nesting),
            Some(b'[') => self.open(Opened::Array, at, nesting),
            Some(b'-' | b'0'..=b'9') => Ok((number_end(self.text, at)?, true)),
            Some(b't') => literal(self.text, at, b"true"),
            Some(b'f') => literal(self.text, at, b"false"),
            Some(b'n') => literal(self.text, at, b"null"),
            _ => Err(Fault::new(at, "a JSON value")),
        }
    }

    fn open(&mut self, opened: Opened, at: usize, nesting: &mut Nesting) -> Result<(usize, bool), Fault> {
        if !nesting.open(opened) {
            return Err(Fault::new(at, "fewer brackets open at once"));
        }
        let next = self.skip_space(at + 1);
        match (opened, self.text.get(next)) {
            (Opened::Object, Some(b'}')) | (Opened::Array, Some(b']')) => {
                nesting.close();
                Ok((next + 1, true))
            }
            (Opened::Object, _) => Ok((self.key(next)?, false)),
            (Opened::Array, _) => Ok((next, false)),
        }
    }

    /// After a value: closes brackets, and finds the next value.
    #[inline]
    fn end_value(&mut self, mut at: usize, nesting: &mut Nesting) -> Result<Ended, Fault> {
        let text = self.text;
        while let Some(opened) = nesting.innermost() {
            at = self.skip_space(at);
            match (opened, text.get(at)) {
                (Opened::Object, Some(b',')) => {
                    let at = self.skip_space(at + 1);
                    return Ok(Ended::NextAt(self.key(at)?));
                }
                (Opened::Array, Some(b',')) => return Ok(Ended::NextAt(self.skip_space(at + 1))),
                (Opened::Object, Some(b'}')) | (Opened::Array, Some(b']')) => {
                    nesting.close();
                    at += 1;
                }
                (Opened::Object, _) => return Err(Fault::new(at, "`,` or `}`")),
                (Opened::Array, _) => return Err(Fault::new(at, "`,` or `]`")),
            }
        }
        Ok(Ended::Whole(at))
    }

    /// A key and its colon; where the value begins.
    #[inline]
    fn key(&mut self, at: usize) -> Result<usize, Fault> {
        if self.text.get(at) != Some(&b'"') {
            return Err(Fault::new(at, "a key in quotes"));
        }
        let end = self.string_end(at + 1)?.0 + 1;
        let colon = self.skip_space(end);
        if self.text.get(colon) != Some(&b':') {
            return Err(Fault::new(colon, "`:`"));
        }
        Ok(self.skip_space(colon + 1))
    }

    #[inline]
    fn skip_space(&mut self, at: usize) -> usize {
        let end = skip_space(self.text, at);
        self.seen_break |= self.text[at..end].iter().any(|space| matches!(space, b'\r' | b'\n'));
        end
    }

    /// The closing quote of the string whose first byte after the opening quote is at `at`, and whether it has escapes.
    #[inline]
    pub(crate) fn string_end(&mut self, mut at: usize) -> Result<(usize, bool), Fault> {
        let mut escaped = false;
        loop {
            at = self.specials.next(self.text, at);
            match self.text.get(at) {
                Some(b'"') => return Ok((at, escaped)),
                Some(b'\\') => at = escape_end(self.text, at + 1)?,
                Some(_) => return Err(Fault::new(at, "no control character in a string")),
                None => return Err(Fault::new(at, "the end of the string")),
            }
            escaped = true;
        }
    }
}

/// The end of the value that begins at `start`.
pub(crate) fn value_end(text: &[u8], start: usize, depth: u32) -> Result<usize, Fault> {
    Scanner::new(text).value_end(start, depth)
}

/// Whether the whole text is one value, without line breaks, and without white space around it.
pub(crate) fn is_on_one_line(text: &[u8], depth: u32) -> bool {
    let mut scanner = Scanner::new(text);
    scanner.value_end(0, depth) == Ok(text.len()) && !scanner.has_seen_break()
}

fn literal(text: &[u8], at: usize, word: &'static [u8]) -> Result<(usize, bool), Fault> {
    if text[at..].starts_with(word) {
        return Ok((at + word.len(), true));
    }
    Err(Fault::new(at, "true, false or null"))
}

enum Ended {
    /// The outermost value ended here.
    Whole(usize),
    /// Another value begins here.
    NextAt(usize),
}

/// Skips space, tab, CR and LF.
#[inline]
pub(crate) fn skip_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
        at += 1;
    }
    at
}

fn escape_end(text: &[u8], at: usize) -> Result<usize, Fault> {
    match text.get(at) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 1),
        Some(b'u') if text[at + 1..].iter().take(4).filter(|b| b.is_ascii_hexdigit()).count() == 4 => {
            Ok(at + 5)
        }
        _ => Err(Fault::new(at, "an escape of JSON")),
    }
}

/// The end of the number that begins at `at`.
#[inline]
pub(crate) fn number_end(text: &[u8], at: usize) -> Result<usize, Fault> {
    let start = at + usize::from(text.get(at) == Some(&b'-'));
    let whole = digits_end(text, start)?;
    if text[start] == b'0' && whole > start + 1 {
        return Err(Fault::new(start, "a number without leading zero"));
    }
    let mut end = whole;
    if text.get(end) == Some(&b'.') {
        end = digits_end(text, end + 1)?;
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
        end = digits_end(text, end + 1 + sign)?;
    }
    Ok(end)
}

#[inline]
fn digits_end(text: &[u8], at: usize) -> Result<usize, Fault> {
    let mut end = at;
    while matches!(text.get(end), Some(b'0'..=b'9')) {
        end += 1;
    }
    if end > at { Ok(end) } else { Err(Fault::new(at, "a digit")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_that_of_rfc_8259() {
        for good in [
            "0",
            "-0",
            "10.50e-07",
            "1E+2",
            "\"\"",
            r#""\u00e9\"\\\/\b\f\n\r\t""#,
            "[]",
            "{}",
            "[ 1 , [ ] ]",
            "{ \"a\" : { } , \"a\" : null }",
            "true",
            "false",
            "null",
            "\"\u{7f}\u{2028}\"",
            r#""\ud800""#,
        ] {
            assert!(is_on_one_line(good.as_bytes(), 10), "{good}");
            assert!(
                serde_json::from_str::<serde_json::Value>(good).is_ok() || good.contains("ud800"),
                "{good}"
            );
        }
        for bad in [
            "",
            " 1",
            "1 ",
            "01",
            "-",
            "+1",
            "1.",
            ".5",
            "1e",
            "NaN",
            "tru",
            "\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\\u12",
            "\"\n\"",
            "[1,]",
            "[,1]",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "[1 2]",
            "[1}",
            "{\"a\":1]",
            "\u{feff}1",
            "'a'",
            "[",
            "{",
            "]",
            "1,2",
        ] {
            assert!(!is_on_one_line(bad.as_bytes(), 10), "{bad}");
        }
    }

    #[test]
    fn breaks_are_seen_wherever_white_space_may_stand() {
        for place in [
            "[_1]",
            "[1_,2]",
            "[1,_2]",
            "[1_]",
            "{_}",
            "[_]",
            "{_\"a\":1}",
            "{\"a\"_:1}",
            "{\"a\":_1}",
            "{\"a\":1_}",
        ] {
            for (space, on_one_line) in [(" ", true), ("\t", true), ("\r", false), ("\n", false)] {
                let text = place.replace('_', space);
                assert_eq!(is_on_one_line(text.as_bytes(), 10), on_one_line, "{text:?}");
            }
        }
    }

    #[test]
    fn nesting_is_limited_and_remembers_each_bracket() {
        for depth in [1_usize, 63, 64, 65, 128, 129, 1000] {
            let arrays = "[".repeat(depth) + &"]".repeat(depth);
            let objects = "{\"a\":".repeat(depth - 1) + "{}" + &"}".repeat(depth - 1);
            for text in [arrays, objects] {
                let limit = u32::try_from(depth).unwrap();
                assert!(is_on_one_line(text.as_bytes(), limit));
                assert!(!is_on_one_line(text.as_bytes(), limit - 1));
                assert!(!is_on_one_line(text.replacen(['}', ']'], "", 1).as_bytes(), limit));
            }
        }
        assert!(is_on_one_line(format!("{}1{}", "[{\"a\":".repeat(100), "}]".repeat(100)).as_bytes(), 200));
        assert!(!is_on_one_line(format!("{}1{}", "[{\"a\":".repeat(100), "]}".repeat(100)).as_bytes(), 200));
    }
}

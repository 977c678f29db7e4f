//! Where a JSON value ends, or why it is none: RFC 8259 over bytes, with a limit on nesting.
//!
//! Bytes inside strings may be anything but control characters; whether they are UTF-8 is checked where it matters.

#[cfg(target_arch = "x86_64")]
use fearless_simd::prelude::*;

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

/// The end of the value that begins at `start`, of which at most `depth` brackets may be open at once.
pub(crate) fn skip_value(text: &[u8], start: usize, depth: u32) -> Result<usize, Fault> {
    let mut nesting = Nesting::new(depth);
    let mut at = start;
    loop {
        let (next, ended) = begin_value(text, at, &mut nesting)?;
        at = next;
        if ended {
            match end_value(text, at, &mut nesting)? {
                Ended::Whole(end) => return Ok(end),
                Ended::NextAt(next) => at = next,
            }
        }
    }
}

/// Whether the whole text is one value, without white space around it.
pub(crate) fn is_valid(text: &[u8], depth: u32) -> bool {
    skip_value(text, 0, depth) == Ok(text.len())
}

/// Reads a scalar, or an opening bracket and what leads to its first value. Says whether a value ended.
#[inline]
fn begin_value(text: &[u8], at: usize, nesting: &mut Nesting) -> Result<(usize, bool), Fault> {
    match text.get(at) {
        Some(b'"') => Ok((string_end(text, at + 1)?.0 + 1, true)),
        Some(b'{') => open_object(text, at, nesting),
        Some(b'[') => open_array(text, at, nesting),
        Some(b'-' | b'0'..=b'9') => Ok((number_end(text, at)?, true)),
        Some(b't') => literal(text, at, b"true"),
        Some(b'f') => literal(text, at, b"false"),
        Some(b'n') => literal(text, at, b"null"),
        _ => Err(Fault::new(at, "a JSON value")),
    }
}

fn literal(text: &[u8], at: usize, word: &'static [u8]) -> Result<(usize, bool), Fault> {
    if text[at..].starts_with(word) {
        return Ok((at + word.len(), true));
    }
    Err(Fault::new(at, "true, false or null"))
}

fn open_object(text: &[u8], at: usize, nesting: &mut Nesting) -> Result<(usize, bool), Fault> {
    open(nesting, Opened::Object, at)?;
    let next = skip_space(text, at + 1);
    if text.get(next) == Some(&b'}') {
        nesting.close();
        return Ok((next + 1, true));
    }
    Ok((key(text, next)?, false))
}

fn open_array(text: &[u8], at: usize, nesting: &mut Nesting) -> Result<(usize, bool), Fault> {
    open(nesting, Opened::Array, at)?;
    let next = skip_space(text, at + 1);
    if text.get(next) == Some(&b']') {
        nesting.close();
        return Ok((next + 1, true));
    }
    Ok((next, false))
}

fn open(nesting: &mut Nesting, opened: Opened, at: usize) -> Result<(), Fault> {
    if nesting.open(opened) { Ok(()) } else { Err(Fault::new(at, "fewer brackets open at once")) }
}

enum Ended {
    /// The outermost value ended here.
    Whole(usize),
    /// Another value begins here.
    NextAt(usize),
}

/// After a value: closes brackets, and finds the next value.
#[inline]
fn end_value(text: &[u8], mut at: usize, nesting: &mut Nesting) -> Result<Ended, Fault> {
    while let Some(opened) = nesting.innermost() {
        at = skip_space(text, at);
        match (opened, text.get(at)) {
            (Opened::Object, Some(b',')) => return Ok(Ended::NextAt(key(text, skip_space(text, at + 1))?)),
            (Opened::Array, Some(b',')) => return Ok(Ended::NextAt(skip_space(text, at + 1))),
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
fn key(text: &[u8], at: usize) -> Result<usize, Fault> {
    if text.get(at) != Some(&b'"') {
        return Err(Fault::new(at, "a key in quotes"));
    }
    let colon = skip_space(text, string_end(text, at + 1)?.0 + 1);
    if text.get(colon) != Some(&b':') {
        return Err(Fault::new(colon, "`:`"));
    }
    Ok(skip_space(text, colon + 1))
}

/// Skips space, tab, CR and LF.
#[inline]
pub(crate) fn skip_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
        at += 1;
    }
    at
}

/// The closing quote of the string whose first byte after the opening quote is at `at`, and whether it has escapes.
#[inline]
pub(crate) fn string_end(text: &[u8], mut at: usize) -> Result<(usize, bool), Fault> {
    let mut escaped = false;
    loop {
        at += plain_len(&text[at..]);
        match text.get(at) {
            Some(b'"') => return Ok((at, escaped)),
            Some(b'\\') => at = escape_end(text, at + 1)?,
            Some(_) => return Err(Fault::new(at, "no control character in a string")),
            None => return Err(Fault::new(at, "the end of the string")),
        }
        escaped = true;
    }
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

const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// How many bytes from the first on are neither quote, backslash nor control character: sixteen at a time, where every
/// processor can.
#[inline]
pub(super) fn plain_len(text: &[u8]) -> usize {
    #[cfg(target_arch = "x86_64")]
    if let Some(level) = fearless_simd::Level::baseline().as_sse2() {
        let (vectors, rest) = text.as_chunks::<16>();
        for (i, vector) in vectors.iter().enumerate() {
            let special = special_of_16(level, *vector);
            if special != 0 {
                return i * 16 + special.trailing_zeros() as usize;
            }
        }
        return vectors.len() * 16 + plain_len_by_words(rest);
    }
    plain_len_by_words(text)
}

#[cfg(target_arch = "x86_64")]
fearless_simd::kernel!(
    /// A bit for each byte that is special.
    #[inline]
    fn special_of_16(level: Sse2, bytes: [u8; 16]) -> i32 {
        use std::arch::x86_64::{
            _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
        };
        let vector = fearless_simd::u8x16::from_slice(level, &bytes).into();
        let quote = _mm_cmpeq_epi8(vector, _mm_set1_epi8(b'"'.cast_signed()));
        let backslash = _mm_cmpeq_epi8(vector, _mm_set1_epi8(b'\\'.cast_signed()));
        let control = _mm_cmpeq_epi8(_mm_min_epu8(vector, _mm_set1_epi8(0x1f)), vector);
        _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, backslash), control))
    }
);

/// The same, eight at a time.
#[inline]
fn plain_len_by_words(text: &[u8]) -> usize {
    let (words, rest) = text.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        let special = special_bytes(u64::from_le_bytes(*word));
        if special != 0 {
            return i * 8 + (special.trailing_zeros() / 8) as usize;
        }
    }
    let special = |b: &u8| matches!(b, b'"' | b'\\' | 0..0x20);
    words.len() * 8 + rest.iter().position(special).unwrap_or(rest.len())
}

/// Where the first of these bytes stands, eight at a time.
#[inline]
pub(super) fn position_of<const N: usize>(text: &[u8], needles: [u8; N]) -> Option<usize> {
    let (words, rest) = text.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let is_zero = |w: u64| w.wrapping_sub(LOW_BITS) & !w;
        let found =
            needles.iter().fold(0, |found, &needle| found | is_zero(word ^ (LOW_BITS * u64::from(needle))));
        if found & HIGH_BITS != 0 {
            return Some(i * 8 + ((found & HIGH_BITS).trailing_zeros() / 8) as usize);
        }
    }
    let at = rest.iter().position(|byte| needles.contains(byte))?;
    Some(words.len() * 8 + at)
}

/// Sets the high bit of the lowest byte that is special (and perhaps of bytes above it).
#[inline]
fn special_bytes(word: u64) -> u64 {
    let is_zero = |w: u64| w.wrapping_sub(LOW_BITS) & !w;
    let quote = is_zero(word ^ (LOW_BITS * b'"' as u64));
    let backslash = is_zero(word ^ (LOW_BITS * b'\\' as u64));
    let control = word.wrapping_sub(LOW_BITS * 0x20) & !word;
    (quote | backslash | control) & HIGH_BITS
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
            assert!(is_valid(good.as_bytes(), 10), "{good}");
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
            assert!(!is_valid(bad.as_bytes(), 10), "{bad}");
        }
    }

    #[test]
    fn nesting_is_limited_and_remembers_each_bracket() {
        for depth in [1_usize, 63, 64, 65, 128, 129, 1000] {
            let arrays = "[".repeat(depth) + &"]".repeat(depth);
            let objects = "{\"a\":".repeat(depth - 1) + "{}" + &"}".repeat(depth - 1);
            for text in [arrays, objects] {
                let limit = u32::try_from(depth).unwrap();
                assert!(is_valid(text.as_bytes(), limit));
                assert!(!is_valid(text.as_bytes(), limit - 1));
                assert!(!is_valid(text.replacen(['}', ']'], "", 1).as_bytes(), limit));
            }
        }
        assert!(is_valid(format!("{}1{}", "[{\"a\":".repeat(100), "}]".repeat(100)).as_bytes(), 200));
        assert!(!is_valid(format!("{}1{}", "[{\"a\":".repeat(100), "]}".repeat(100)).as_bytes(), 200));
    }

    #[test]
    fn every_byte_at_every_place_of_a_string_is_judged_alike() {
        for len in 0..40 {
            for place in 0..len {
                for byte in 0..=255 {
                    let mut text = vec![b'x'; len];
                    text[place] = byte;
                    let plain = if matches!(byte, b'"' | b'\\' | 0..0x20) { place } else { len };
                    assert_eq!(plain_len(&text), plain, "{byte} at {place} of {len}");
                }
            }
        }
    }
}

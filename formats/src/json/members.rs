//! Reads an object as Go's `encoding/json` does: white space anywhere, keys of any case, unknown keys, duplicates.

use std::borrow::Cow;

use super::scan::{Fault, Scanner, number_end, skip_space};
use super::text::decode_go;

/// A string's bytes between its quotes, as they stand in the text.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RawString<'a> {
    pub(crate) raw: &'a [u8],
    /// Whether there is a backslash.
    pub(crate) escaped: bool,
}

impl<'a> RawString<'a> {
    /// The string; what is no Unicode becomes U+FFFD as in Go.
    pub(crate) fn decoded(&self) -> Cow<'a, str> {
        decode_go(self.raw)
    }

    /// Whether Go takes this key for the field of that name (lower case ASCII): equal but for case, in which U+017F
    /// is an `s` and U+212A a `k`.
    #[inline]
    pub(crate) fn is_key(&self, name: &str) -> bool {
        if self.raw == name.as_bytes() {
            return true;
        }
        if !self.escaped && self.raw.is_ascii() {
            return self.raw.eq_ignore_ascii_case(name.as_bytes());
        }
        self.decoded().chars().map(folded).eq(name.chars())
    }
}

fn folded(c: char) -> char {
    match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        _ => c.to_ascii_lowercase(),
    }
}

/// A value, as it stands in the text.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Null,
    String(RawString<'a>),
    Number(&'a [u8]),
    Bool,
    Array(&'a [u8]),
    Object(&'a [u8]),
}

impl<'a> Value<'a> {
    /// The value that begins at `at`, and its end.
    #[inline]
    fn read(scanner: &mut Scanner<'a>, at: usize, depth: u32) -> Result<(Self, usize), Fault> {
        let text = scanner.text();
        match text.get(at) {
            Some(b'"') => {
                let (end, escaped) = scanner.string_end(at + 1)?;
                Ok((Value::String(RawString { raw: &text[at + 1..end], escaped }), end + 1))
            }
            Some(b'-' | b'0'..=b'9') => {
                let end = number_end(text, at)?;
                Ok((Value::Number(&text[at..end]), end))
            }
            first => {
                let end = scanner.value_end(at, depth)?;
                let span = &text[at..end];
                Ok((Self::of_span(first, span), end))
            }
        }
    }

    fn of_span(first: Option<&u8>, span: &'a [u8]) -> Self {
        match first {
            Some(b'{') => Value::Object(span),
            Some(b'[') => Value::Array(span),
            Some(b'n') => Value::Null,
            _ => Value::Bool,
        }
    }
}

/// A member of an object.
pub(crate) struct Member<'a> {
    pub(crate) key: RawString<'a>,
    pub(crate) value: Value<'a>,
    /// The value's text.
    pub(crate) span: &'a [u8],
    /// Where the value begins.
    pub(crate) at: usize,
}

/// The members of an object, or the elements of an array, one after the other.
pub(crate) struct Members<'a> {
    scanner: Scanner<'a>,
    at: usize,
    depth: u32,
    first: bool,
}

impl<'a> Members<'a> {
    /// Begins in front of `text`, whose nesting may be `depth` deep, its own brackets counted.
    pub(crate) fn object(text: &'a [u8], depth: u32) -> Result<Self, Fault> {
        Self::open(text, depth, b'{', "a JSON object")
    }

    /// The same for an array, whose elements [`Members::next_element`] gives.
    pub(crate) fn array(text: &'a [u8], depth: u32) -> Result<Self, Fault> {
        Self::open(text, depth, b'[', "a JSON array")
    }

    fn open(text: &'a [u8], depth: u32, bracket: u8, expected: &'static str) -> Result<Self, Fault> {
        let at = skip_space(text, 0);
        if text.get(at) != Some(&bracket) || depth == 0 {
            return Err(Fault::new(at, expected));
        }
        Ok(Self { scanner: Scanner::new(text), at: at + 1, depth: depth - 1, first: true })
    }

    fn text(&self) -> &'a [u8] {
        self.scanner.text()
    }

    /// The next member; `None` after the closing bracket.
    #[inline]
    pub(crate) fn next_member(&mut self) -> Result<Option<Member<'a>>, Fault> {
        if !self.advance(b'}')? {
            return Ok(None);
        }
        if self.text().get(self.at) != Some(&b'"') {
            return Err(Fault::new(self.at, "a key in quotes"));
        }
        let (end, escaped) = self.scanner.string_end(self.at + 1)?;
        let key = RawString { raw: &self.text()[self.at + 1..end], escaped };
        let colon = skip_space(self.text(), end + 1);
        if self.text().get(colon) != Some(&b':') {
            return Err(Fault::new(colon, "`:`"));
        }
        let at = skip_space(self.text(), colon + 1);
        let (value, end) = Value::read(&mut self.scanner, at, self.depth)?;
        self.at = end;
        Ok(Some(Member { key, value, span: &self.text()[at..end], at }))
    }

    /// The next element; `None` after the closing bracket.
    pub(crate) fn next_element(&mut self) -> Result<Option<Value<'a>>, Fault> {
        if !self.advance(b']')? {
            return Ok(None);
        }
        let (value, end) = Value::read(&mut self.scanner, self.at, self.depth)?;
        self.at = end;
        Ok(Some(value))
    }

    /// After the closing bracket only white space may follow.
    pub(crate) fn end(&self) -> Result<(), Fault> {
        let at = skip_space(self.text(), self.at);
        if at == self.text().len() { Ok(()) } else { Err(Fault::new(at, "the end of the line")) }
    }

    /// Moves in front of the next member; `false` when the bracket closed.
    #[inline]
    fn advance(&mut self, closing: u8) -> Result<bool, Fault> {
        self.at = skip_space(self.text(), self.at);
        let first = std::mem::replace(&mut self.first, false);
        match self.text().get(self.at) {
            Some(byte) if *byte == closing => {
                self.at += 1;
                Ok(false)
            }
            Some(b',') if !first => {
                self.at = skip_space(self.text(), self.at + 1);
                // A bracket after a comma is refused by whoever reads the member.
                Ok(true)
            }
            _ if first => Ok(true),
            _ => Err(Fault::new(self.at, "`,` or a closing bracket")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Result<Vec<String>, Fault> {
        let mut members = Members::object(text.as_bytes(), 3)?;
        let mut keys = Vec::new();
        while let Some(member) = members.next_member()? {
            keys.push(format!("{}={}", member.key.decoded(), String::from_utf8_lossy(member.span)));
        }
        members.end()?;
        Ok(keys)
    }

    #[test]
    fn white_space_duplicates_and_unknown_keys_are_read() {
        assert_eq!(keys(" { } \r").unwrap(), [""; 0]);
        assert_eq!(keys("\t{\"a\" : 1 ,\"a\":[ 2 ], \"\\u0062\":{} }").unwrap(), ["a=1", "a=[ 2 ]", "b={}"]);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for bad in
            ["", "null", "[]", "{", "{,}", "{\"a\":1,}", "{\"a\":1}}", "{\"a\":1 \"b\":2}", "{\"a\":[[[]]]}"]
        {
            assert!(keys(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_are_folded_as_go_does() {
        let key = |raw: &'static str| RawString { raw: raw.as_bytes(), escaped: raw.contains('\\') };
        assert!(key("sHA256").is_key("sha256"));
        assert!(key("\u{17f}ha256").is_key("sha256"));
        assert!(key("\\u017fha256").is_key("sha256"));
        assert!(key("\u{212a}ey").is_key("key"));
        assert!(!key("sha257").is_key("sha256"));
        assert!(!key("ıd").is_key("id"));
    }
}

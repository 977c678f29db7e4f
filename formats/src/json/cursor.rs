//! Takes text of one fixed spelling from left to right: version 2 lines, and stored events in canonical form.

use super::Fault;
use super::members::RawString;
use super::scan::Scanner;

/// A place in a text.
pub(crate) struct Cursor<'a> {
    scanner: Scanner<'a>,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { scanner: Scanner::new(text), at: 0 }
    }

    fn text(&self) -> &'a [u8] {
        self.scanner.text()
    }

    /// Takes `word` when it comes next.
    #[inline]
    pub(crate) fn take<const N: usize>(&mut self, word: &[u8; N]) -> bool {
        // The length is known to the compiler: a comparison of a few words.
        let taken = self.text()[self.at..].first_chunk::<N>() == Some(word);
        self.at += if taken { N } else { 0 };
        taken
    }

    /// Takes `word`, which must come next.
    #[inline]
    pub(crate) fn expect<const N: usize>(&mut self, word: &'static [u8; N]) -> Result<(), Fault> {
        if self.take(word) { Ok(()) } else { Err(self.fault(std::str::from_utf8(word).unwrap_or_default())) }
    }

    /// Takes a string's bytes and its closing quote; the opening one was taken.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<RawString<'a>, Fault> {
        let (end, escaped) = self.scanner.string_end(self.at)?;
        let raw = &self.text()[self.at..end];
        self.at = end + 1;
        Ok(RawString { raw, escaped })
    }

    /// Takes one JSON value verbatim, of which at most `depth` brackets are open at once.
    #[inline]
    pub(crate) fn value(&mut self, depth: u32) -> Result<&'a [u8], Fault> {
        let end = self.scanner.value_end(self.at, depth)?;
        let value = &self.text()[self.at..end];
        self.at = end;
        Ok(value)
    }

    /// Whether one of the values taken so far has a CR or LF.
    pub(crate) fn has_seen_break(&self) -> bool {
        self.scanner.has_seen_break()
    }

    /// Takes an integer without sign or leading zero, of at most 18 digits.
    #[inline]
    pub(crate) fn integer(&mut self) -> Result<u64, Fault> {
        let digits = self.text()[self.at..].iter().take_while(|b| b.is_ascii_digit()).count();
        let text = &self.text()[self.at..self.at + digits];
        if digits == 0 || digits > 18 || (digits > 1 && text[0] == b'0') {
            return Err(self.fault("an integer of 1 to 18 digits without leading zero"));
        }
        self.at += digits;
        Ok(text.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
    }

    /// The bytes taken since the place `from`.
    pub(crate) fn since(&self, from: usize) -> &'a [u8] {
        &self.text()[from..self.at]
    }

    pub(crate) fn place(&self) -> usize {
        self.at
    }

    /// Nothing may be left.
    pub(crate) fn end(&self) -> Result<(), Fault> {
        if self.at == self.text().len() { Ok(()) } else { Err(self.fault("the end of the line")) }
    }

    pub(crate) fn fault(&self, expected: &'static str) -> Fault {
        Fault::new(self.at, expected)
    }
}

//! JSON text as PostgreSQL's `jsonb` prints it, so that equal values are equal texts and equal digests.
//!
//! Keys are ordered by length, then by bytes; of duplicates the last wins; numbers are written out without exponent as
//! `numeric` prints them; `, ` and `: ` separate. What `jsonb` refuses is refused here with the reason: U+0000, lone
//! surrogates, numbers beyond `numeric`. Works without recursion, so that nesting costs no stack.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::record::Jsonb;

/// Deepest nesting, brackets open at once. PostgreSQL takes more under its default `max_stack_depth`; a version 1
/// backup does not.
pub(super) const MAX_DEPTH: usize = 10_000;

/// Longest canonical text, in bytes: numbers with exponents grow when written out, and PostgreSQL could not print it.
pub(super) const MAX_LEN_BYTES: usize = 64 << 20;

/// Most bytes moved to bring keys into order, over all levels: bounds the time for hostile nesting.
const MAX_MOVED_BYTES: usize = 16 * MAX_LEN_BYTES;

/// Digits that `numeric` holds before and after the point.
const MAX_WHOLE_DIGITS: i64 = 131_072;
const MAX_FRACTION_DIGITS: i64 = 16_383;

/// Exponents that `numeric` refuses whatever the digits.
const MAX_EXPONENT: i64 = (i32::MAX / 2) as i64;

/// Why `jsonb` does not hold a value, in words that go on from "it …".
pub(super) type Unfit = &'static str;

/// The canonical text of a value that was already found to be JSON.
pub(super) fn canonical(json: &RawValue) -> Result<Jsonb, Unfit> {
    let mut writer = Writer { rest: json.get(), ..Writer::default() };
    writer.out.reserve(json.get().len());
    while writer.step()? {}
    Ok(Jsonb(writer.out))
}

/// A text that PostgreSQL holds, from a JSON string with its quotes.
pub(super) fn decode_string(quoted: &str) -> Result<Cow<'_, str>, Unfit> {
    if !quoted.contains('\\') {
        // JSON allows no control character there.
        return Ok(Cow::Borrowed(quoted.trim_matches('"')));
    }
    let text: String = serde_json::from_str(quoted).map_err(|_| "holds a lone surrogate")?;
    match text.contains('\0') {
        true => Err("holds U+0000"),
        false => Ok(Cow::Owned(text)),
    }
}

#[derive(Default)]
struct Writer<'a> {
    rest: &'a str,
    out: String,
    open: Vec<Open>,
    moved_bytes: usize,
}

/// An array or object that is not closed yet.
enum Open {
    Array,
    Object { start: usize, entries: Vec<Entry> },
}

/// A pair in `out`, from the quote of its key to the separator.
struct Entry {
    key: String,
    start: usize,
    end: usize,
}

impl Writer<'_> {
    /// Takes one token; `false` at the end of the value.
    fn step(&mut self) -> Result<bool, Unfit> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
        let Some(first) = self.rest.bytes().next() else { return Ok(false) };
        match first {
            b'{' => self.open(Open::Object { start: self.out.len() + 1, entries: Vec::new() }, "{")?,
            b'[' => self.open(Open::Array, "[")?,
            b'}' => self.close("}")?,
            b']' => self.close("]")?,
            b',' => self.separate(),
            b':' => self.copy(1, ": "),
            b'"' => self.string()?,
            b'-' | b'0'..=b'9' => self.number()?,
            _ => self.word(),
        }
        match self.out.len() > MAX_LEN_BYTES {
            true => Err("is too long when written out"),
            false => Ok(true),
        }
    }

    fn copy(&mut self, len: usize, text: &str) {
        self.rest = &self.rest[len..];
        self.out.push_str(text);
    }

    fn open(&mut self, open: Open, bracket: &str) -> Result<(), Unfit> {
        self.copy(1, bracket);
        self.open.push(open);
        match self.open.len() > MAX_DEPTH {
            true => Err("is nested too deep"),
            false => Ok(()),
        }
    }

    fn close(&mut self, bracket: &str) -> Result<(), Unfit> {
        self.end_entry();
        if let Some(Open::Object { start, entries }) = self.open.pop() {
            self.arrange(start, entries)?;
        }
        self.copy(1, bracket);
        Ok(())
    }

    fn separate(&mut self) {
        self.end_entry();
        self.copy(1, ", ");
    }

    fn end_entry(&mut self) {
        if let Some(Open::Object { entries, .. }) = self.open.last_mut()
            && let Some(last) = entries.last_mut()
        {
            last.end = self.out.len();
        }
    }

    /// Orders the pairs of the object that begins at `start`, and drops all but the last of each key.
    fn arrange(&mut self, start: usize, mut entries: Vec<Entry>) -> Result<(), Unfit> {
        if entries.is_sorted_by(|a, b| order(a) < order(b)) {
            return Ok(());
        }
        self.moved_bytes += self.out.len() - start;
        if self.moved_bytes > MAX_MOVED_BYTES {
            return Err("holds too many levels of unordered keys");
        }
        entries.sort_by(|a, b| order(a).cmp(&order(b)).then(b.start.cmp(&a.start)));
        entries.dedup_by(|later, kept| later.key == kept.key);
        let written = self.out.split_off(start);
        for (position, entry) in entries.iter().enumerate() {
            self.out.push_str(if position == 0 { "" } else { ", " });
            self.out.push_str(&written[entry.start - start..entry.end - start]);
        }
        Ok(())
    }

    fn string(&mut self) -> Result<(), Unfit> {
        let len = string_len(self.rest);
        let start = self.out.len();
        let text = decode_string(&self.rest[..len])?;
        self.rest = &self.rest[len..];
        write_string(&mut self.out, &text);
        if self.rest.trim_start_matches([' ', '\t', '\n', '\r']).starts_with(':')
            && let Some(Open::Object { entries, .. }) = self.open.last_mut()
        {
            entries.push(Entry { key: text.into_owned(), start, end: start });
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Unfit> {
        let is_part = |b: u8| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E');
        let len = self.rest.bytes().take_while(|b| is_part(*b)).count();
        let (number, rest) = self.rest.split_at(len);
        self.rest = rest;
        write_number(&mut self.out, number)
    }

    /// `true`, `false` or `null`.
    fn word(&mut self) {
        let len = self.rest.bytes().take_while(u8::is_ascii_lowercase).count().max(1);
        let (word, rest) = self.rest.split_at(len);
        self.out.push_str(word);
        self.rest = rest;
    }
}

fn order(entry: &Entry) -> (usize, &str) {
    (entry.key.len(), &entry.key)
}

/// Length of the JSON string at the start of `text`, with both quotes.
fn string_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while let Some(found) = memchr::memchr2(b'"', b'\\', &bytes[at..]) {
        at += found;
        if bytes[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    text.len()
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\u{1f}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Writes a JSON number as `numeric` prints it: no exponent, no negative zero, the fraction's zeros kept.
fn write_number(out: &mut String, number: &str) -> Result<(), Unfit> {
    const BEYOND: Unfit = "holds a number beyond the range of numeric";
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let exponent: i64 = exponent.parse().map_err(|_| BEYOND)?;
    let unsigned = mantissa.trim_start_matches('-');
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0');

    // The point stands after so many digits of `significant`; negative: after zeros that are not written.
    let point = significant.len() as i64 - fraction.len() as i64 + exponent;
    let scale = (fraction.len() as i64 - exponent).max(0);
    let is_zero = significant.is_empty();
    if exponent.abs() >= MAX_EXPONENT || scale > MAX_FRACTION_DIGITS || (!is_zero && point > MAX_WHOLE_DIGITS)
    {
        return Err(BEYOND);
    }
    if mantissa.starts_with('-') && !is_zero {
        out.push('-');
    }
    write_digits(out, significant, if is_zero { 0 } else { point }, scale as usize);
    Ok(())
}

fn write_digits(out: &mut String, significant: &str, point: i64, scale: usize) {
    let zeros = |out: &mut String, count: usize| out.extend(std::iter::repeat_n('0', count));
    let whole_len = usize::try_from(point).unwrap_or(0);
    let (whole, fraction) = significant.split_at(whole_len.min(significant.len()));
    out.push_str(whole);
    zeros(out, whole_len - whole.len());
    if whole_len == 0 {
        out.push('0');
    }
    if scale > 0 {
        out.push('.');
        let leading = usize::try_from(-point).unwrap_or(0).min(scale);
        zeros(out, leading);
        out.push_str(fraction);
        zeros(out, scale - leading - fraction.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str) -> Result<String, Unfit> {
        let raw: &RawValue = serde_json::from_str(json).expect("valid JSON");
        canonical(raw).map(|j| j.0)
    }

    /// What PostgreSQL 15 answered to `select '…'::jsonb::text`.
    #[test]
    fn texts_are_those_that_postgresql_prints() {
        for (json, printed) in [
            (
                r#"{"bb":1,"a":2,"c":3,"a":4,"é":1,"\u00e9":5, "":9}"#,
                r#"{"": 9, "a": 4, "c": 3, "bb": 1, "é": 5}"#,
            ),
            (
                "[\"\\u007f\\u001f\\/\\b\\f\\n\\r\\t<\u{2028}\"]",
                "[\"\u{7f}\\u001f/\\b\\f\\n\\r\\t<\u{2028}\"]",
            ),
            (" [ ] ", "[]"),
            ("{ }", "{}"),
            ("[[],{},null,true,false,\"\"]", "[[], {}, null, true, false, \"\"]"),
            (
                r#"{"b":{"d":1,"c":[{"z":1,"y":2}]},"a":"\ud83d\ude00"}"#,
                r#"{"a": "😀", "b": {"c": [{"y": 2, "z": 1}], "d": 1}}"#,
            ),
            (r#"{"a" : ":" , "b":"}"}"#, r#"{"a": ":", "b": "}"}"#),
            (r#"{"a":1,"a":2,"b":3}"#, r#"{"a": 2, "b": 3}"#),
        ] {
            assert_eq!(text(json).as_deref(), Ok(printed));
        }
    }

    #[test]
    fn numbers_are_those_that_postgresql_prints() {
        for (json, printed) in [
            ("0", "0"),
            ("-0", "0"),
            ("-0.00", "0.00"),
            ("-0e5", "0"),
            ("1.5e1", "15"),
            ("1.50e1", "15.0"),
            ("1E+2", "100"),
            ("1.0e-2", "0.010"),
            ("123456e-3", "123.456"),
            ("0.000e3", "0"),
            ("0.0001e4", "1"),
            ("12.340e1", "123.40"),
            ("0e1073741822", "0"),
            ("-12.5", "-12.5"),
            ("1e-3", "0.001"),
            ("10e-1", "1.0"),
            ("12345678901234567890123.1", "12345678901234567890123.1"),
            ("0e-2", "0.00"),
            ("-1e0", "-1"),
        ] {
            assert_eq!(text(json).as_deref(), Ok(printed), "{json}");
        }
        for (json, len) in [
            ("1e131071", 131_072),
            ("1e-16383", 16_385),
            ("0e-16383", 16_385),
            ("0.5e131072", 131_072),
            ("0.05e131073", 131_072),
            ("9999e131068", 131_072),
        ] {
            assert_eq!(text(json).map(|t| t.len()), Ok(len), "{json}");
        }
    }

    #[test]
    fn what_postgresql_refuses_is_refused() {
        for json in [
            "1e131072",
            "1e-16384",
            "0e-16384",
            "0e1073741823",
            "0e-1073741823",
            "0e99999999999999999999",
            r#""\u0000""#,
            r#"{"\u0000":1}"#,
            r#""\ud800""#,
            r#""\udc00""#,
            r#""\ud800\u0041""#,
            r#"[{"a":"\ud800"}]"#,
        ] {
            assert!(text(json).is_err(), "{json}");
        }
    }

    #[test]
    fn depth_and_growth_are_bounded() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(text(&nested(MAX_DEPTH)), Ok(nested(MAX_DEPTH)));
        assert_eq!(text(&nested(MAX_DEPTH + 1)), Err("is nested too deep"));
        let growing = format!("[{}0]", "1e131071,".repeat(600));
        assert_eq!(text(&growing), Err("is too long when written out"));
    }

    #[test]
    fn a_text_is_as_long_as_the_limit_and_no_longer() {
        let quoted = |len| format!("\"{}\"", "x".repeat(len - 2));
        assert!(text(&quoted(MAX_LEN_BYTES)).is_ok());
        assert_eq!(text(&quoted(MAX_LEN_BYTES + 1)), Err("is too long when written out"));
    }

    /// Each level moves all that lies within it.
    #[test]
    fn what_is_moved_to_order_keys_is_bounded() {
        const DEPTH: usize = 8_000;
        let nested = |first: &str, second: &str, len_bytes| {
            let begin = format!("{{\"{first}\":0,\"{second}\":").repeat(DEPTH);
            format!("{begin}\"{}\"{}", "x".repeat(len_bytes), "}".repeat(DEPTH))
        };
        let enough = (1 << 30) / DEPTH;
        assert_eq!(text(&nested("b", "a", enough)), Err("holds too many levels of unordered keys"));
        // The brackets and keys of the levels within are moved too: half as much again.
        let within = text(&nested("b", "a", 40_000)).expect("less than a GiB may be moved");
        assert!(within.starts_with(r#"{"a": {"a": {"#) && within.ends_with(r#"}, "b": 0}, "b": 0}"#));
        assert!(text(&nested("a", "b", enough)).is_ok(), "keys in order are not moved");
    }

    #[test]
    fn a_canonical_text_is_its_own_canonical_text() {
        let once = text(r#"{"b":[1e2,{"y":"\u000b","x":-0.10}],"aa":{},"a":null,"b":[2]}"#).expect("fits");
        assert_eq!(text(&once).as_ref(), Ok(&once));
    }
}

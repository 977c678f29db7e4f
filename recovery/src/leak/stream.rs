//! Looks for secrets in bytes that come by, whatever pieces they come in.

use memchr::memmem::Finder;
use zeroize::Zeroize as _;

use super::sought::{Form, Sought};

/// One stream's search.
pub(super) struct Stream<'s> {
    wanted: Vec<Wanted<'s>>,
    raw: Vec<u8>,
    text: Vec<u8>,
    /// A piece ended in a backslash.
    is_escaped: bool,
    /// So much is kept for the next piece: what a form that began may still need.
    overlap: usize,
}

struct Wanted<'s> {
    raw: Vec<(&'static str, Finder<'s>)>,
    text: Vec<(&'static str, Finder<'s>)>,
    found: Option<&'static str>,
}

impl<'s> Stream<'s> {
    pub(super) fn new(sought: &'s [Sought]) -> Self {
        let finders =
            |forms: &'s [Form]| forms.iter().map(|form| (form.name, Finder::new(&form.bytes[..]))).collect();
        let wanted = sought.iter().map(|sought| Wanted {
            raw: finders(&sought.raw),
            text: finders(&sought.text),
            found: None,
        });
        let longest = sought.iter().map(Sought::longest).max().unwrap_or(0);
        Self {
            wanted: wanted.collect(),
            raw: Vec::new(),
            text: Vec::new(),
            is_escaped: false,
            overlap: longest.saturating_sub(1),
        }
    }

    /// The next piece.
    pub(super) fn feed(&mut self, piece: &[u8]) {
        self.raw.extend_from_slice(piece);
        for byte in piece {
            self.squeeze(*byte);
        }
        for wanted in self.wanted.iter_mut().filter(|wanted| wanted.found.is_none()) {
            wanted.found = first_in(&wanted.raw, &self.raw).or_else(|| first_in(&wanted.text, &self.text));
        }
        keep_end(&mut self.raw, self.overlap);
        keep_end(&mut self.text, self.overlap);
    }

    /// Drops what may stand between the digits of a secret in a text: spaces, line breaks, colons, the same escaped as in JSON, what
    /// makes an escape of each byte, and the zeros of UTF-16.
    fn squeeze(&mut self, byte: u8) {
        if byte == 0 {
            return;
        }
        let was_escaped = std::mem::replace(&mut self.is_escaped, byte == b'\\');
        match byte {
            b'\\' | b' ' | b'\t' | b'\r' | b'\n' | b':' => {}
            b'n' | b'r' | b't' | b'x' if was_escaped => {}
            _ => self.text.push(byte),
        }
    }

    /// What was found so far: which, and as what.
    pub(super) fn found(&self) -> impl Iterator<Item = (usize, &'static str)> {
        let wanted = self.wanted.iter().enumerate();
        wanted.filter_map(|(index, wanted)| Some((index, wanted.found?)))
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        self.raw.zeroize();
        self.text.zeroize();
    }
}

fn first_in(finders: &[(&'static str, Finder<'_>)], bytes: &[u8]) -> Option<&'static str> {
    finders.iter().find(|(_, finder)| finder.find(bytes).is_some()).map(|(name, _)| *name)
}

fn keep_end(bytes: &mut Vec<u8>, len: usize) {
    let gone = bytes.len().saturating_sub(len);
    bytes.copy_within(gone.., 0);
    bytes.truncate(bytes.len() - gone);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8; 32] = b"\x01a key of thirty-two bytes, no \xff";

    fn finds(pieces: &[&[u8]]) -> Option<&'static str> {
        let sought = [Sought::new(SECRET).unwrap()];
        let mut stream = Stream::new(&sought);
        pieces.iter().for_each(|piece| stream.feed(piece));
        stream.found().next().map(|(_, form)| form)
    }

    #[test]
    fn a_secret_is_found_wherever_a_piece_ends_inside_it() {
        let whole = [&[9; 100_000][..], SECRET, &[9; 10]].concat();
        for cut in 100_000..=100_032 {
            assert_eq!(finds(&[&whole[..cut], &whole[cut..]]), Some("raw"), "{cut}");
        }
        let one_by_one: Vec<&[u8]> = SECRET.chunks(1).collect();
        assert_eq!(finds(&one_by_one), Some("raw"));
        assert_eq!(finds(&[&SECRET[..31], b" ", &SECRET[31..]]), None);
    }

    #[test]
    fn digits_are_found_across_line_breaks_escaped_ones_and_colons() {
        let digits: Vec<String> = SECRET.iter().map(|byte| format!("{byte:02x}")).collect();
        let wide = |text: String| text.chars().flat_map(|character| [character, '\0']).collect::<String>();
        for text in [
            digits.join(":"),
            digits.join("\r\n  "),
            digits.join(r"\n"),
            digits.concat().to_uppercase(),
            format!(r"\x{}", digits.join(r"\x")),
            wide(digits.concat()),
            wide(format!(r"\x{}", digits.join(r"\x"))),
        ] {
            let (first, rest) = text.as_bytes().split_at(41);
            assert_eq!(finds(&[first, rest]), Some("hexadecimal"), "{text}");
        }
        assert_eq!(finds(&[digits.join("-").as_bytes()]), None);
    }
}

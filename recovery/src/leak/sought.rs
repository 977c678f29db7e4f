//! A secret in every form that it may lie around in.

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

/// What is shorter would be found by chance.
const MIN_BYTES: usize = 16;

/// A secret that is looked for. Its forms are wiped on drop.
pub struct Sought {
    /// Looked for as they are.
    pub(super) raw: Vec<Form>,
    /// Looked for in text from which line breaks, spaces and what escapes them were taken.
    pub(super) text: Vec<Form>,
}

/// One form.
pub(super) struct Form {
    pub(super) name: &'static str,
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

impl Sought {
    /// A secret of these bytes; `None` when they are too few to be told from chance.
    pub fn new(secret: &[u8]) -> Option<Self> {
        if secret.len() < MIN_BYTES {
            return None;
        }
        let mut sought = Self { raw: vec![Form::new("raw", secret)], text: Vec::new() };
        let hexadecimal = in_hex(secret);
        let upper = Zeroizing::new(hexadecimal.to_ascii_uppercase());
        // What is in base64 already is often encoded once more, as Kubernetes does.
        let base64 = Zeroizing::new(STANDARD_NO_PAD.encode(secret).into_bytes());
        sought.in_base64("base64", secret);
        sought.in_base64("base64 of hexadecimal", &hexadecimal);
        sought.in_base64("base64 of hexadecimal", &upper);
        sought.in_base64("base64 twice", &base64);
        sought.text.push(Form { name: "hexadecimal", bytes: hexadecimal });
        sought.text.push(Form { name: "hexadecimal", bytes: upper });
        Some(sought)
    }

    /// The same secret, also as this text, in either case.
    #[must_use]
    pub fn or_text(mut self, text: &str) -> Self {
        for text in [Zeroizing::new(text.to_ascii_uppercase()), Zeroizing::new(text.to_ascii_lowercase())] {
            self.in_base64("base64 of text", text.as_bytes());
            self.text.push(Form::new("text", text.as_bytes()));
        }
        self
    }

    /// Base64 of something that holds the bytes, wherever in it they begin.
    fn in_base64(&mut self, name: &'static str, bytes: &[u8]) {
        for alphabet in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            for before in 0..3 {
                let form = Form { name, bytes: aligned(alphabet, before, bytes) };
                if self.text.iter().all(|other| *other.bytes != *form.bytes) {
                    self.text.push(form);
                }
            }
        }
    }

    /// The longest form, in bytes.
    pub(super) fn longest(&self) -> usize {
        self.raw.iter().chain(&self.text).map(|form| form.bytes.len()).max().unwrap_or(0)
    }
}

impl Form {
    fn new(name: &'static str, bytes: &[u8]) -> Self {
        Self { name, bytes: Zeroizing::new(bytes.to_vec()) }
    }
}

fn in_hex(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits =
        bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    Zeroizing::new(digits.collect())
}

/// The characters that depend on these bytes alone, when so many others (modulo 3) stand before them.
fn aligned(alphabet: &GeneralPurpose, before: usize, bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let whole = Zeroizing::new([&[0; 2][..before], bytes].concat());
    let text = Zeroizing::new(alphabet.encode(&*whole).into_bytes());
    let (first, behind) = ((before * 8).div_ceil(6), whole.len() * 8 / 6);
    Zeroizing::new(text[first..behind].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_found_wherever_the_secret_begins_and_whatever_follows() {
        let secret: Vec<u8> = (200..232).collect();
        let sought = Sought::new(&secret).unwrap();
        for alphabet in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            for (before, behind) in (0..7).zip([3, 0, 1, 2, 0, 5, 1]) {
                let text = alphabet.encode([&vec![0x5a; before], &secret[..], &vec![0xa5; behind]].concat());
                let has = |form: &Form| {
                    text.as_bytes().windows(form.bytes.len()).any(|window| window == &form.bytes[..])
                };
                assert!(sought.text.iter().any(|form| form.name == "base64" && has(form)), "{before}");
            }
        }
    }

    #[test]
    fn a_secret_that_chance_would_find_is_not_sought() {
        assert!(Sought::new(&[1; 15]).is_none() && Sought::new(&[1; 16]).is_some());
    }
}

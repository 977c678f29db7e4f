//! Padded standard base64: one canonical spelling for what we write, Go's leniency for stored events.

use ::base64::Engine as _;
use ::base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};

/// Ignores the unused bits of the last character, as Go does.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &::base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Characters that are decoded at once where the whole is not kept.
const CHUNK_CHARS: usize = 4096;
const CHUNK_BYTES: usize = CHUNK_CHARS / 4 * 3;

/// Appends the text of `bytes`.
pub(crate) fn push(out: &mut Vec<u8>, bytes: &[u8]) {
    let from = out.len();
    out.resize(from + bytes.len().div_ceil(3) * 4, 0);
    STANDARD.encode_slice(bytes, &mut out[from..]).expect("there is room for the whole text");
}

/// Appends what canonical `text` stands for; `None` when it is not canonical.
pub(crate) fn decode_into(out: &mut Vec<u8>, text: &[u8]) -> Option<()> {
    base64_simd::STANDARD.decode_append(text, out).ok()
}

/// Decodes as Go does: line breaks are skipped, unused bits ignored.
pub(crate) fn decode_leniently(text: &[u8]) -> Option<Vec<u8>> {
    if let Ok(bytes) = base64_simd::STANDARD.decode_to_vec(text) {
        return Some(bytes);
    }
    let text: Vec<u8> = text.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect();
    LENIENT.decode(text).ok()
}

/// Decodes canonical text in small pieces; `None` in place of a piece that is not canonical, and then no more.
pub(crate) fn pieces(text: &[u8]) -> impl Iterator<Item = Option<Piece>> {
    let last = text.len().div_ceil(CHUNK_CHARS).saturating_sub(1);
    text.chunks(CHUNK_CHARS).enumerate().map(move |(i, chars)| {
        let mut piece = Piece { bytes: [0; CHUNK_BYTES], len: 0 };
        piece.len = STANDARD.decode_slice(chars, &mut piece.bytes).ok()?;
        // Padding inside the text would make a piece shorter.
        (i == last || piece.len == CHUNK_BYTES).then_some(piece)
    })
}

/// Some decoded bytes.
pub(crate) struct Piece {
    bytes: [u8; CHUNK_BYTES],
    len: usize,
}

impl Piece {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_spelling_is_canonical() {
        let decoded = |text: &str| {
            let mut out = Vec::new();
            decode_into(&mut out, text.as_bytes()).map(|()| out)
        };
        assert_eq!(decoded("QQ==").as_deref(), Some(&b"A"[..]));
        for text in ["QR==", "QUJ=", "QQ=", "QQ", "QQ==\n", "Q Q==", "QQ==QQ==", "Q-==", "=", "QUJDRA==="] {
            assert_eq!(decoded(text), None, "{text:?}");
        }
        let bytes: Vec<u8> = (0..=255).collect();
        let mut text = Vec::new();
        push(&mut text, &bytes);
        assert_eq!(decoded(std::str::from_utf8(&text).unwrap()), Some(bytes));
    }
}

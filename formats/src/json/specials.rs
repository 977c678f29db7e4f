//! Bytes that end a run of ordinary ones, found many at a time.
//!
//! In a string these are the quote, the backslash and the control characters. A line has many short strings: so what was
//! found out about sixty-four bytes is kept for all that lie in them ([`Specials`]).

#[cfg(target_arch = "x86_64")]
use fearless_simd::prelude::*;

/// Bytes looked at together.
const MANY: usize = 64;

/// The special bytes of a text.
#[derive(Debug)]
pub(super) struct Specials {
    /// Where the bytes begin of which `found` tells: a multiple of [`MANY`].
    begin: usize,
    /// A bit for each of them that is special, the first byte's the lowest.
    found: u64,
}

impl Specials {
    /// Nothing is known of the text yet.
    pub(super) fn new() -> Self {
        Self { begin: usize::MAX, found: 0 }
    }

    /// The first special byte from `at` on, or the end of the text, which must be the same at each call.
    #[inline]
    pub(super) fn next(&mut self, text: &[u8], at: usize) -> usize {
        let mut begin = at - at % MANY;
        let mut found = self.of(text, begin) & (u64::MAX << (at % MANY));
        // The end of the text is behind it in the last few bytes, as a special one.
        while found == 0 {
            begin += MANY;
            found = self.of(text, begin);
        }
        text.len().min(begin + found.trailing_zeros() as usize)
    }

    #[inline]
    fn of(&mut self, text: &[u8], begin: usize) -> u64 {
        if self.begin != begin {
            let rest = text.get(begin..).unwrap_or_default();
            self.found = rest.first_chunk().map_or_else(|| special_of_few(rest), special_of_many);
            self.begin = begin;
        }
        self.found
    }
}

/// As [`special_of_many`] of fewer bytes; what is behind them counts as special.
#[cold]
fn special_of_few(rest: &[u8]) -> u64 {
    let mut bytes = [0; MANY];
    bytes[..rest.len()].copy_from_slice(rest);
    special_of_many(&bytes)
}

/// A bit for each byte that is special.
#[inline]
fn special_of_many(bytes: &[u8; MANY]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if let Some(level) = fearless_simd::Level::baseline().as_sse2() {
        let vectors = bytes.as_chunks::<16>().0.iter().rev();
        return vectors.fold(0, |bits, vector| bits << 16 | u64::from(special_of_16(level, *vector)));
    }
    let words = bytes.as_chunks::<8>().0.iter().rev();
    words.fold(0, |bits, word| bits << 8 | gathered(special_bytes(u64::from_le_bytes(*word))))
}

/// How many bytes from the first on are not special: sixteen at a time, where every processor can.
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
    /// As [`special_of_many`].
    #[inline]
    fn special_of_16(level: Sse2, bytes: [u8; 16]) -> u16 {
        use std::arch::x86_64::{
            _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
        };
        let vector = fearless_simd::u8x16::from_slice(level, &bytes).into();
        let quote = _mm_cmpeq_epi8(vector, _mm_set1_epi8(b'"'.cast_signed()));
        let backslash = _mm_cmpeq_epi8(vector, _mm_set1_epi8(b'\\'.cast_signed()));
        let control = _mm_cmpeq_epi8(_mm_min_epu8(vector, _mm_set1_epi8(0x1f)), vector);
        _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, backslash), control)) as u16
    }
);

const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = LOW_BITS << 7;

/// As [`plain_len`], eight at a time.
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

/// The high bit of each byte that is special. No sum of seven bits reaches into the next byte.
#[inline]
fn special_bytes(word: u64) -> u64 {
    let low = !HIGH_BITS;
    let other_than = |byte: u8| {
        let differs = word ^ (LOW_BITS * u64::from(byte));
        ((differs & low) + low) | differs
    };
    let no_control = ((word & low) + LOW_BITS * 0x60) | word;
    !(other_than(b'"') & other_than(b'\\') & no_control) & HIGH_BITS
}

/// The high bits of eight bytes, the first byte's lowest.
fn gathered(high_bits: u64) -> u64 {
    (high_bits >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
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

#[cfg(test)]
mod tests {
    use super::*;

    fn is_special(byte: u8) -> bool {
        matches!(byte, b'"' | b'\\' | 0..0x20)
    }

    #[test]
    fn every_byte_at_every_place_of_a_string_is_judged_alike() {
        for len in 0..40 {
            for place in 0..len {
                for byte in 0..=255 {
                    let mut text = vec![b'x'; len];
                    text[place] = byte;
                    let plain = if is_special(byte) { place } else { len };
                    assert_eq!(plain_len(&text), plain, "{byte} at {place} of {len}");
                    assert_eq!(plain_len_by_words(&text), plain, "{byte} at {place} of {len}");
                }
            }
        }
    }

    #[test]
    fn of_many_bytes_each_is_judged_whatever_its_neighbours() {
        let bytes: [u8; MANY] = std::array::from_fn(|i| (i * 89 % 256) as u8);
        for step in 0..=255_u8 {
            let bytes = bytes.map(|byte| byte.wrapping_mul(step | 1).wrapping_add(step));
            let expected = (0..MANY).fold(0, |bits, i| bits | u64::from(is_special(bytes[i])) << i);
            assert_eq!(special_of_many(&bytes), expected);
            let words = bytes.as_chunks::<8>().0.iter().rev();
            let by_words =
                words.fold(0, |bits, word| bits << 8 | gathered(special_bytes(u64::from_le_bytes(*word))));
            assert_eq!(by_words, expected);
        }
    }

    #[test]
    fn the_next_special_byte_is_found_from_everywhere_to_the_end() {
        for len in [0, 1, 63, 64, 65, 127, 128, 129, 200] {
            for place in 0..=len {
                let mut text = vec![b'x'; len];
                text.iter_mut().skip(place).step_by(70).for_each(|byte| *byte = b'"');
                let mut specials = Specials::new();
                for at in (0..=len).chain((0..=len).rev()) {
                    let expected = (at..len).find(|at| text[*at] == b'"').unwrap_or(len);
                    assert_eq!(specials.next(&text, at), expected, "from {at} of {len}, first at {place}");
                }
            }
        }
    }
}

//! A share as text: 47 bytes in upper-case bech32, 85 characters, which fit into a QR code of version 5-Q.

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Hrp};
use zeroize::Zeroizing;

use super::{KeyTag, Kind, SetId, Share, ShareFault, TEXT_CHARACTERS, VERSION};

const BYTES: usize = 47;
/// Characters of a group on paper.
const GROUP: usize = 5;
const ALPHABET: &[u8; 32] = b"QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L";

impl Share {
    /// Its text, without spaces: what a QR code holds. Wiped on drop.
    pub fn text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(TEXT_CHARACTERS));
        let hrp = Hrp::parse_unchecked(self.kind.prefix());
        bech32::encode_upper_to_fmt::<Bech32, _>(&mut *text, hrp, &self.bytes()[..])
            .expect("47 bytes fit into a code of 90 characters");
        text
    }

    /// The same in groups of five characters, for paper.
    pub fn grouped_text(&self) -> Zeroizing<String> {
        let text = self.text();
        let mut grouped = Zeroizing::new(String::with_capacity(TEXT_CHARACTERS * 2));
        for (index, character) in text.chars().enumerate() {
            if index > 0 && index % GROUP == 0 {
                grouped.push(' ');
            }
            grouped.push(character);
        }
        grouped
    }

    /// Reads a share as it was typed or scanned: spaces, hyphens and the case of letters do not matter.
    ///
    /// # Errors
    /// [`ShareFault::NotAShare`], [`ShareFault::Typing`] when the checksum does not hold, [`ShareFault::Version`]. No error repeats
    /// what was typed.
    pub fn parse(typed: &str) -> Result<Self, ShareFault> {
        let text = without_spaces(typed);
        let kind = Kind::ALL.into_iter().find(|kind| begins(&text, *kind)).ok_or(ShareFault::NotAShare)?;
        if text.len() != TEXT_CHARACTERS {
            return Err(ShareFault::Length { characters: text.len() });
        }
        let Ok(decoded) = CheckedHrpstring::new::<Bech32>(&text) else {
            return Err(ShareFault::Typing { character: mistyped(&text) });
        };
        let mut bytes = Zeroizing::new([0; BYTES]);
        for (to, from) in bytes.iter_mut().zip(decoded.byte_iter()) {
            *to = from;
        }
        let share = Self::of_bytes(kind, &bytes)?;
        // The last character has four bits that hold nothing: one share, one spelling.
        if *share.text() == *text { Ok(share) } else { Err(ShareFault::NotAShare) }
    }

    fn bytes(&self) -> Zeroizing<[u8; BYTES]> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        bytes[0] = VERSION;
        bytes[1..9].copy_from_slice(&self.tag.0);
        bytes[9..13].copy_from_slice(&self.set.0);
        bytes[13] = self.threshold;
        bytes[14] = self.index;
        bytes[15..].copy_from_slice(&self.value[..]);
        bytes
    }

    fn of_bytes(kind: Kind, bytes: &[u8; BYTES]) -> Result<Self, ShareFault> {
        if bytes[0] != VERSION {
            return Err(ShareFault::Version(bytes[0]));
        }
        if bytes[13] < 2 || bytes[14] == 0 {
            return Err(ShareFault::NotAShare);
        }
        let mut share = Self {
            kind,
            tag: KeyTag([0; 8]),
            set: SetId([0; 4]),
            threshold: bytes[13],
            index: bytes[14],
            value: Zeroizing::new([0; 32]),
        };
        share.tag.0.copy_from_slice(&bytes[1..9]);
        share.set.0.copy_from_slice(&bytes[9..13]);
        share.value.copy_from_slice(&bytes[15..]);
        Ok(share)
    }
}

fn without_spaces(typed: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(typed.len()));
    text.extend(typed.chars().filter(|c| !c.is_whitespace() && *c != '-').map(|c| c.to_ascii_uppercase()));
    text
}

fn begins(text: &str, kind: Kind) -> bool {
    text.strip_prefix(&kind.prefix().to_ascii_uppercase()).is_some_and(|rest| rest.starts_with('1'))
}

/// Which character is wrong, from 1, when one alone is. The code corrects two, so there is only one such place.
fn mistyped(text: &str) -> Option<usize> {
    let mut tried = Zeroizing::new(text.as_bytes().to_vec());
    for at in 3..tried.len() {
        let typed = tried[at];
        for letter in ALPHABET {
            tried[at] = *letter;
            let text = std::str::from_utf8(&tried).ok()?;
            if CheckedHrpstring::new::<Bech32>(text).is_ok() {
                return Some(at + 1);
            }
        }
        tried[at] = typed;
    }
    None
}

//! The name of a key.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A UUID that whoever asks for a key chooses. Its text form, lower case with hyphens, is also the name of its file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId([u8; 16]);

/// A text that names no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key id is a UUID in lower case with hyphens, and not the nil one")]
pub struct BadKeyId;

impl KeyId {
    /// The id with these bytes.
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// As a sealed file states it.
    pub fn bytes(self) -> [u8; 16] {
        self.0
    }
}

impl FromStr for KeyId {
    type Err = BadKeyId;

    fn from_str(text: &str) -> Result<Self, BadKeyId> {
        let id = Uuid::try_parse(text).ok().filter(|id| !id.is_nil()).ok_or(BadKeyId)?;
        let id = Self(id.into_bytes());
        // One key, one spelling.
        if id.to_string() == text { Ok(id) } else { Err(BadKeyId) }
    }
}

impl TryFrom<String> for KeyId {
    type Error = BadKeyId;

    fn try_from(text: String) -> Result<Self, BadKeyId> {
        text.parse()
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_bytes(self.0).hyphenated().fmt(f)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_has_one_spelling() {
        let id = "0b0c0d0e-1111-4222-8333-444455556666";
        assert_eq!(id.parse::<KeyId>().map(|id| id.to_string()), Ok(id.to_owned()));
        for other in [
            "0B0C0D0E-1111-4222-8333-444455556666",
            "0b0c0d0e111142228333444455556666",
            "{0b0c0d0e-1111-4222-8333-444455556666}",
            "00000000-0000-0000-0000-000000000000",
            "../journal",
            "",
        ] {
            assert_eq!(other.parse::<KeyId>(), Err(BadKeyId), "{other}");
        }
    }
}

//! A certificate's serial number, as the journal and the facts hold it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Bytes of the longest serial (RFC 5280, 4.1.2.2), its sign included.
pub const MAX_SERIAL_BYTES: usize = 20;

/// A positive integer whose DER has at most 20 bytes. Its text form is lower-case hexadecimal, two digits a byte, no zero byte in front.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Serial([u8; MAX_SERIAL_BYTES]);

/// What is no serial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a serial is a positive integer of at most {MAX_SERIAL_BYTES} bytes in DER; as text, lower-case hexadecimal"
)]
pub struct BadSerial;

impl Serial {
    /// The serial with these content bytes of a DER INTEGER.
    ///
    /// # Errors
    /// [`BadSerial`] for zero, a negative or a longer one.
    pub fn of_der(content: &[u8]) -> Result<Self, BadSerial> {
        let is_negative = content.first().is_none_or(|first| first & 0x80 != 0);
        if is_negative || content.len() > MAX_SERIAL_BYTES || content.iter().all(|byte| *byte == 0) {
            return Err(BadSerial);
        }
        let mut bytes = [0; MAX_SERIAL_BYTES];
        bytes[MAX_SERIAL_BYTES - content.len()..].copy_from_slice(content);
        Ok(Self(bytes))
    }

    fn significant(&self) -> &[u8] {
        let zeros = self.0.iter().take_while(|byte| **byte == 0).count();
        &self.0[zeros..]
    }
}

impl FromStr for Serial {
    type Err = BadSerial;

    fn from_str(text: &str) -> Result<Self, BadSerial> {
        let bytes = hex::decode(text).map_err(|_| BadSerial)?;
        if bytes.len() > MAX_SERIAL_BYTES {
            return Err(BadSerial);
        }
        let mut padded = [0; MAX_SERIAL_BYTES];
        padded[MAX_SERIAL_BYTES - bytes.len()..].copy_from_slice(&bytes);
        let serial = Self::of_der(&padded)?;
        // One serial, one spelling.
        if serial.to_string() == text { Ok(serial) } else { Err(BadSerial) }
    }
}

impl TryFrom<String> for Serial {
    type Error = BadSerial;

    fn try_from(text: String) -> Result<Self, BadSerial> {
        text.parse()
    }
}

impl From<Serial> for String {
    fn from(serial: Serial) -> Self {
        serial.to_string()
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.significant()))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_serial_has_one_spelling() {
        for good in ["01", "80", "ff00", &format!("7f{}", "ff".repeat(19))] {
            assert_eq!(good.parse::<Serial>().map(|serial| serial.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "0", "00", "0001", "1", "FF", "0x01", &"80".repeat(20), &"01".repeat(21)] {
            assert_eq!(bad.parse::<Serial>(), Err(BadSerial), "{bad}");
        }
    }

    #[test]
    fn zero_negative_and_long_serials_are_none() {
        for bad in [&[][..], &[0], &[0x80], &[1; 21]] {
            assert_eq!(Serial::of_der(bad), Err(BadSerial), "{bad:?}");
        }
        assert_eq!(Serial::of_der(&[0, 0x80]), "80".parse());
    }
}

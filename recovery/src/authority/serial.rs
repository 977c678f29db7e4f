//! A certificate's serial, as it is typed and printed.

use std::fmt;
use std::str::FromStr;

use x509_cert::serial_number::SerialNumber;

/// Bytes of the longest serial (RFC 5280, 4.1.2.2), its sign included.
const MAX_BYTES: usize = 20;

/// A positive integer of at most 20 bytes in DER, big-endian, no zero byte in front. Its text form is hexadecimal, two digits a byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serial(Vec<u8>);

/// What is no serial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a serial is a positive number of at most {MAX_BYTES} bytes, in hexadecimal, as openssl x509 -serial prints it"
)]
pub struct BadSerial;

impl Serial {
    pub(super) fn of(serial: &SerialNumber) -> Self {
        Self::of_bytes(serial.as_bytes())
    }

    fn of_bytes(bytes: &[u8]) -> Self {
        Self(bytes.iter().copied().skip_while(|byte| *byte == 0).collect())
    }
}

impl PartialOrd for Serial {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// By value.
impl Ord for Serial {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0.len(), &self.0).cmp(&(other.0.len(), &other.0))
    }
}

impl TryFrom<&Serial> for SerialNumber {
    type Error = x509_cert::der::Error;

    fn try_from(serial: &Serial) -> Result<Self, Self::Error> {
        Self::new(&serial.0)
    }
}

impl FromStr for Serial {
    type Err = BadSerial;

    fn from_str(text: &str) -> Result<Self, BadSerial> {
        let serial = Self::of_bytes(&hex::decode(text).map_err(|_| BadSerial)?);
        // The crate knows the limit of 20 bytes, sign included.
        let is_serial = !serial.0.is_empty() && SerialNumber::try_from(&serial).is_ok();
        if is_serial { Ok(serial) } else { Err(BadSerial) }
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_is_read_as_openssl_prints_it_and_compared_by_value() {
        let serial = |text: &str| text.parse::<Serial>().unwrap();
        assert_eq!(serial("0A1F").to_string(), "0a1f");
        assert_eq!(serial("000A1F"), serial("0a1f"));
        assert!(serial("ff") < serial("0100") && serial("0100") < serial("0101"));
        for text in ["", "00", "xy", "1", &"7f".repeat(21), &"ff".repeat(20)] {
            assert_eq!(text.parse::<Serial>(), Err(BadSerial), "{text}");
        }
        serial(&"7f".repeat(20));
    }
}

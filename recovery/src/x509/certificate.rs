//! A certificate.

use std::path::Path;

use trstctl_formats::Failure;
use x509_cert::der::{Decode, Encode};

use super::file::{self, Kind};
use super::signature::Signed;

/// A certificate, as far as it is held against keys.
#[derive(Debug)]
pub struct Certificate {
    /// Its file, and its place there if there are several.
    pub name: String,
    /// Whose it is, in words (RFC 4514).
    pub subject: String,
    /// Who issued it, in words.
    pub issuer: String,
    /// Lower-case hexadecimal, without a zero byte in front.
    pub serial: String,
    /// Its public key: SPKI, DER.
    pub public_key: Vec<u8>,
    signed: Signed,
}

impl Certificate {
    /// Those in a file, PEM or DER.
    ///
    /// # Errors
    /// `usage` for a file that cannot be read, or holds anything else.
    pub fn read(path: &Path) -> Result<Vec<Self>, Failure> {
        file::read(path, Kind::Certificate, Self::of)
    }

    fn of(name: String, der: &[u8]) -> Option<Self> {
        let read = x509_cert::Certificate::from_der(der).ok()?;
        let tbs = read.tbs_certificate();
        let serial = tbs.serial_number().as_bytes();
        let zeros = serial.iter().take_while(|byte| **byte == 0).count();
        Some(Self {
            name,
            subject: tbs.subject().to_string(),
            issuer: tbs.issuer().to_string(),
            serial: serial[zeros..].iter().map(|byte| format!("{byte:02x}")).collect(),
            public_key: tbs.subject_public_key_info().to_der().ok()?,
            signed: Signed::read(der)?,
        })
    }

    /// Whether this key (SPKI, DER) signed it.
    pub fn is_by(&self, public_key: &[u8]) -> bool {
        self.signed.is_by(public_key)
    }
}

//! A certificate revocation list.

use std::path::Path;

use trstctl_formats::Failure;
use x509_cert::crl::CertificateList;
use x509_cert::der::Decode;
use x509_cert::der::asn1::UintRef;

use super::file::{self, Kind};
use super::signature::Signed;

/// The extension that holds the number (RFC 5280, 5.2.3).
const NUMBER: &str = "2.5.29.20";

/// A CRL, as far as it is held against keys.
#[derive(Debug)]
pub struct Crl {
    /// Its file, and its place there if there are several.
    pub name: String,
    /// Who issued it, in words (RFC 4514).
    pub issuer: String,
    /// Its number; `None` where it states none that a signer gives.
    pub number: Option<u64>,
    /// How many certificates it revokes.
    pub revoked: usize,
    signed: Signed,
}

impl Crl {
    /// Those in a file, PEM or DER.
    ///
    /// # Errors
    /// `usage` for a file that cannot be read, or holds anything else.
    pub fn read(path: &Path) -> Result<Vec<Self>, Failure> {
        file::read(path, Kind::Crl, Self::of)
    }

    fn of(name: String, der: &[u8]) -> Option<Self> {
        let read: CertificateList = CertificateList::from_der(der).ok()?;
        let tbs = read.tbs_cert_list;
        let mut extensions = tbs.crl_extensions.iter().flatten();
        let number = extensions.find(|extension| extension.extn_id.to_string() == NUMBER);
        Some(Self {
            name,
            issuer: tbs.issuer.to_string(),
            number: number.and_then(|number| self::number(number.extn_value.as_bytes())),
            revoked: tbs.revoked_certificates.map_or(0, |revoked| revoked.len()),
            signed: Signed::read(der)?,
        })
    }

    /// Whether this key (SPKI, DER) signed it.
    pub fn is_by(&self, public_key: &[u8]) -> bool {
        self.signed.is_by(public_key)
    }
}

fn number(der: &[u8]) -> Option<u64> {
    let number = UintRef::from_der(der).ok()?;
    let bytes = number.as_bytes();
    (bytes.len() <= 8).then(|| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

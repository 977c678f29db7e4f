//! What may be signed as a certificate or a CRL, decided before it is: parsed, written again, compared with the bytes, and held against
//! RFC 5280 and the issuer's certificate.
//!
//! `certificate` and `crl` hold the rules; `issuer` reads the CA's certificate, `der` reads and writes, `extensions` and `subject_key`
//! are the parts that have rules of their own, and `signed` puts the signature behind what was signed and checks it.

pub mod certificate;
pub mod crl;
mod der;
mod extensions;
mod issuer;
pub mod signed;
mod subject_key;

pub use issuer::LastIssuer;

use crate::algorithm::Algorithm;

/// The sealed key that is to sign, as far as the rules look at it.
#[derive(Clone, Copy)]
pub struct Signatory<'a> {
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// SubjectPublicKeyInfo, DER.
    pub public_key: &'a [u8],
    /// Its certificate, when it was read before.
    pub issuer: &'a LastIssuer,
}

/// Why something is not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Unfit {
    /// The rule.
    pub rule: Rule,
    /// What breaks it, for a person.
    pub what: &'static str,
}

/// The rules, by the words of `signer.proto`, which says at SignCertificate and SignCrl what each means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    BadEncoding,
    BadVersion,
    BadSerial,
    WrongAlgorithm,
    BadValidity,
    BadName,
    WrongIssuer,
    BadKey,
    BadExtension,
    WrongKeyIdentifier,
    WrongConstraints,
    WrongUsage,
    BadIssuer,
    BadNumber,
    BadEntry,
}

impl Rule {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::BadEncoding => "bad_encoding",
            Self::BadVersion => "bad_version",
            Self::BadSerial => "bad_serial",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::BadValidity => "bad_validity",
            Self::BadName => "bad_name",
            Self::WrongIssuer => "wrong_issuer",
            Self::BadKey => "bad_key",
            Self::BadExtension => "bad_extension",
            Self::WrongKeyIdentifier => "wrong_key_identifier",
            Self::WrongConstraints => "wrong_constraints",
            Self::WrongUsage => "wrong_usage",
            Self::BadIssuer => "bad_issuer",
            Self::BadNumber => "bad_number",
            Self::BadEntry => "bad_entry",
        }
    }

    /// Refuses when `is_broken`.
    fn refuse_if(self, is_broken: bool, what: &'static str) -> Result<(), Unfit> {
        if is_broken { Err(self.broken(what)) } else { Ok(()) }
    }

    fn broken(self, what: &'static str) -> Unfit {
        Unfit { rule: self, what }
    }
}

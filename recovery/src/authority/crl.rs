//! CRLs: complete ones, each of which goes on from the one before.
//!
//! An entry is never left out: whoever is revoked in the previous CRL is revoked in the next, with date and reason as they stand there.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};
use trstctl_formats::{Class, Digest, Failure};
use uuid::Uuid;
use x509_cert::Version;
use x509_cert::crl::{CertificateList, RevokedCert, TbsCertList};
use x509_cert::der::asn1::Uint;
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{self, Decode, Encode};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{CrlNumber, CrlReason};

use super::certificate::CaCertificate;
use super::document::{
    extension, instant, read, signature_algorithm, strict, time, to_pem, unusable, unwritable,
};
use super::key::Key;
use super::serial::Serial;
use super::signer::Signer;
use crate::x509::file::Kind;
use crate::x509::signature::Signed;

/// A complete CRL whose signature is the CA's.
#[derive(Clone, Debug)]
pub struct Crl {
    der: Vec<u8>,
    list: CertificateList,
    number: u64,
}

/// What the next CRL is to say.
#[derive(Debug)]
pub struct CrlOptions {
    /// The CRL that it goes on from.
    pub previous: Option<Crl>,
    /// What is revoked besides.
    pub revoke: Vec<Revocation>,
    /// Its number; without it, one more than the previous one's, and 1 of a first one.
    pub number: Option<u64>,
    /// When the next is due.
    pub lifetime_days: u32,
    /// Fencing number; without it the newest that the signer knows.
    pub epoch: Option<u64>,
}

/// A certificate to revoke. Its text form is `SERIAL` or `SERIAL:reason`, the reason as RFC 5280 (5.3.1) spells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Of the certificate.
    pub serial: Serial,
    /// Why; nothing is stated when nothing is said.
    pub reason: Option<Reason>,
}

/// Why a certificate is revoked, for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason(CrlReason);

/// The reasons by their names. The rest is stated by no reason, or can be undone.
const REASONS: [(&str, CrlReason); 7] = [
    ("keyCompromise", CrlReason::KeyCompromise),
    ("cACompromise", CrlReason::CaCompromise),
    ("affiliationChanged", CrlReason::AffiliationChanged),
    ("superseded", CrlReason::Superseded),
    ("cessationOfOperation", CrlReason::CessationOfOperation),
    ("privilegeWithdrawn", CrlReason::PrivilegeWithdrawn),
    ("aACompromise", CrlReason::AaCompromise),
];

impl FromStr for Revocation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (serial, reason) = match text.split_once(':') {
            Some((serial, reason)) => (serial, Some(reason)),
            None => (text, None),
        };
        let serial = serial.parse().map_err(|error: super::serial::BadSerial| error.to_string())?;
        Ok(Self { serial, reason: reason.map(Reason::of_name).transpose()? })
    }
}

impl Reason {
    fn of_name(name: &str) -> Result<Self, String> {
        let found = REASONS.iter().find(|(known, _)| *known == name);
        found.map(|(_, reason)| Self(*reason)).ok_or_else(|| {
            let names: Vec<_> = REASONS.iter().map(|(name, _)| *name).collect();
            format!("{name:?} is no reason to revoke for good: {}", names.join(", "))
        })
    }
}

impl Crl {
    /// The CRL in a file, PEM or DER, if this CA signed it.
    ///
    /// # Errors
    /// A file that cannot be read, or is no complete CRL with a number; `tampered` when it is not this CA's.
    pub fn read(path: &Path, issuer: &CaCertificate) -> Result<Self, Failure> {
        let crl = Self::of_der(read(path, Kind::Crl)?).ok_or_else(|| {
            unusable(path, "it is no complete CRL of version 2 with a number of at most 64 bits")
        })?;
        if crl.is_by(issuer)? {
            return Ok(crl);
        }
        let name = path.display().to_string();
        let message = format!("{name} is not signed by the CA {}", issuer.subject());
        let hint = "Name the newest CRL of this CA, and its own certificate with --issuer.";
        Err(Failure::new(Class::Tampered, message, hint).in_file(name))
    }

    /// One that is strict DER, has a number, and no critical extension: partial, delta and indirect CRLs have one.
    fn of_der(der: Vec<u8>) -> Option<Self> {
        let list: CertificateList = strict(&der)?;
        let tbs = &list.tbs_cert_list;
        let extensions = tbs.crl_extensions.as_deref()?;
        let is_complete =
            tbs.version == Version::V2 && !extensions.iter().any(|extension| extension.critical);
        let number = is_complete.then(|| number_of(extensions)).flatten()?;
        Some(Self { der, list, number })
    }

    fn is_by(&self, issuer: &CaCertificate) -> Result<bool, Failure> {
        let key = issuer.public_key()?;
        let is_signed = Signed::read(&self.der).is_some_and(|signed| signed.is_by(&key));
        Ok(is_signed && self.list.tbs_cert_list.issuer == *issuer.name())
    }

    /// As DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// As PEM.
    pub fn pem(&self) -> String {
        to_pem(Kind::Crl, &self.der)
    }

    /// SHA-256 of its DER.
    pub fn sha256(&self) -> Digest {
        Digest(Sha256::digest(&self.der).into())
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// How many certificates it revokes.
    pub fn revoked(&self) -> usize {
        self.entries().len()
    }

    /// When it begins, and when the next is due.
    pub fn validity(&self) -> (Timestamp, Option<Timestamp>) {
        let tbs = &self.list.tbs_cert_list;
        (instant(tbs.this_update), tbs.next_update.map(instant))
    }

    fn entries(&self) -> &[RevokedCert] {
        self.list.tbs_cert_list.revoked_certificates.as_deref().unwrap_or_default()
    }
}

fn number_of(extensions: &[Extension]) -> Option<u64> {
    let found = extensions.iter().find(|extension| extension.extn_id == CrlNumber::OID)?;
    let number = CrlNumber::from_der(found.extn_value.as_bytes()).ok()?;
    let bytes = number.0.as_bytes();
    (bytes.len() <= 8).then(|| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// Has the signer sign the next CRL of the CA whose key is `ca` and whose certificate is `issuer`.
///
/// # Errors
/// A revocation that stands already, a number that is not above the previous one's; no answer, a refusal, or an answer that is not
/// what was asked for.
pub async fn sign_crl(
    signer: &mut Signer,
    ca: Uuid,
    issuer: &CaCertificate,
    options: &CrlOptions,
    now: Timestamp,
) -> Result<Crl, Failure> {
    let entries = entries(options, now)?;
    let number = number(options)?;
    let by = signer.key(ca).await?;
    let tbs = tbs(&by, issuer, entries, number, (now, now + days(options.lifetime_days)))
        .and_then(|tbs| tbs.to_der())
        .map_err(|_| unwritable())?;
    let answer = signer.sign_crl(ca, &tbs, issuer.der(), options.epoch).await?;
    believed(answer, &tbs, issuer)
}

fn days(days: u32) -> SignedDuration {
    SignedDuration::from_hours(24 * i64::from(days))
}

fn number(options: &CrlOptions) -> Result<u64, Failure> {
    let last = options.previous.as_ref().map_or(0, Crl::number);
    match options.number {
        None => last.checked_add(1).ok_or_else(|| {
            Failure::new(
                Class::Usage,
                "the previous CRL has the last number that there is",
                "This CA can sign no further CRL: plan its successor.",
            )
        }),
        Some(number) if number <= last => {
            let message = format!("the number {number} is not above that of the previous CRL, {last}");
            Err(Failure::new(Class::Usage, message, "Leave out --number, or choose a greater one."))
        }
        Some(number) => Ok(number),
    }
}

/// Those of the previous CRL, and those that are revoked now, by serial.
fn entries(options: &CrlOptions, now: Timestamp) -> Result<Vec<RevokedCert>, Failure> {
    let previous = options.previous.iter().flat_map(Crl::entries);
    let mut entries: BTreeMap<Serial, RevokedCert> =
        previous.map(|entry| (Serial::of(&entry.serial_number), entry.clone())).collect();
    for revocation in &options.revoke {
        let entry = entry(revocation, now).map_err(|_| unwritable())?;
        if entries.insert(revocation.serial.clone(), entry).is_some() {
            let message = format!("the serial {} is revoked already, or named twice", revocation.serial);
            return Err(Failure::new(
                Class::Usage,
                message,
                "Leave out its --revoke: date and reason of a revocation stay as they are.",
            ));
        }
    }
    Ok(entries.into_values().collect())
}

fn entry(revocation: &Revocation, now: Timestamp) -> der::Result<RevokedCert> {
    let reason = revocation.reason.map(|reason| extension(&reason.0, false)).transpose()?;
    Ok(RevokedCert {
        serial_number: (&revocation.serial).try_into()?,
        revocation_date: time(now)?,
        crl_entry_extensions: reason.map(|reason| vec![reason]),
    })
}

fn tbs(
    by: &Key,
    issuer: &CaCertificate,
    entries: Vec<RevokedCert>,
    number: u64,
    (this_update, next_update): (Timestamp, Timestamp),
) -> der::Result<TbsCertList> {
    let number = CrlNumber(Uint::new(&number.to_be_bytes())?);
    Ok(TbsCertList {
        version: Version::V2,
        signature: signature_algorithm(by.algorithm),
        issuer: issuer.name().clone(),
        this_update: time(this_update)?,
        next_update: Some(time(next_update)?),
        // An empty list is left out (RFC 5280, 5.1.2.6).
        revoked_certificates: (!entries.is_empty()).then_some(entries),
        crl_extensions: Some(vec![extension(&issuer.authority(), false)?, extension(&number, false)?]),
    })
}

/// The CRL, if it is what was sent, signed by this CA.
fn believed(answer: Vec<u8>, tbs: &[u8], issuer: &CaCertificate) -> Result<Crl, Failure> {
    let refuse = || {
        let hint = "Do not use this signer: something is wrong with its host, or another program answers on the socket. Nothing was written.";
        Failure::new(
            Class::Tampered,
            "the signer's answer is not the CRL that was sent, signed by the CA's key",
            hint,
        )
    };
    let crl = Crl::of_der(answer).ok_or_else(refuse)?;
    let is_that = crl.list.tbs_cert_list.to_der().is_ok_and(|found| found == tbs) && crl.is_by(issuer)?;
    if is_that { Ok(crl) } else { Err(refuse()) }
}

#[cfg(test)]
mod tests {
    use super::super::certificate::tests::certificate_of;
    use super::super::fixture::Ca;
    use super::*;

    #[test]
    fn only_the_crl_that_was_sent_signed_by_the_ca_is_believed() {
        let (ca, other) = (Ca::new(), Ca::new());
        let issuer = certificate_of(&ca);
        let now = Timestamp::now();
        let crl = |number| tbs(&ca.key, &issuer, Vec::new(), number, (now, now + days(1))).unwrap();
        let sent = crl(1).to_der().unwrap();
        let refused = |answer: Vec<u8>| believed(answer, &sent, &issuer).unwrap_err().class;
        assert_eq!(believed(ca.sign(&sent), &sent, &issuer).unwrap().number(), 1);
        assert_eq!(refused(ca.sign(&crl(2).to_der().unwrap())), Class::Tampered, "another CRL");
        assert_eq!(refused(other.sign(&sent)), Class::Tampered, "by another key");
    }

    #[test]
    fn partial_crls_and_such_without_a_number_are_none_to_go_on_from() {
        let ca = Ca::new();
        let issuer = certificate_of(&ca);
        let now = Timestamp::now();
        let whole = tbs(&ca.key, &issuer, Vec::new(), 1, (now, now + days(1))).unwrap();
        let read = |tbs: &TbsCertList| Crl::of_der(ca.sign(&tbs.to_der().unwrap()));
        assert!(read(&whole).is_some());
        let mut partial = whole.clone();
        partial.crl_extensions.as_mut().unwrap()[0].critical = true;
        assert!(read(&partial).is_none());
        let mut unnumbered = whole.clone();
        unnumbered.crl_extensions.as_mut().unwrap().pop();
        assert!(read(&unnumbered).is_none());
        let number = CrlNumber(Uint::new(&[1; 9]).unwrap());
        unnumbered.crl_extensions.as_mut().unwrap().push(extension(&number, false).unwrap());
        assert!(read(&unnumbered).is_none(), "above 64 bits");
    }
}

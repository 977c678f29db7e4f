//! CA certificates: built, signed by the signer, and believed when they are what was sent.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};
use trstctl_formats::{Class, Digest, Failure};
use trstctl_signer_protocol::v1::CertificateKind;
use uuid::Uuid;
use x509_cert::der::asn1::{ContextSpecific, OctetString};
use x509_cert::der::{self, Decode, Encode, TagMode, TagNumber};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, KeyUsage, KeyUsages, SubjectKeyIdentifier,
};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::Validity;
use x509_cert::{Certificate, SubjectPublicKeyInfo, Version};

use super::document::{
    extension, instant, read, sequence, signature_algorithm, strict, time, to_pem, unusable, unwritable,
};
use super::key::Key;
use super::serial::Serial;
use super::signer::Signer;
use super::subject::Subject;
use crate::x509::file::Kind;
use crate::x509::signature::Signed;

/// How far a certificate begins before it is made: other hosts' clocks may be behind.
const BACKDATED: SignedDuration = SignedDuration::from_mins(5);

/// Days of a root without other words: 10 years.
const ROOT_DAYS: u32 = 3653;

/// Days of an intermediate, likewise: 5 years, or as long as its issuer.
const INTERMEDIATE_DAYS: u32 = 1826;

/// What a CA's certificate is to say.
#[derive(Clone, Debug)]
pub struct CaOptions {
    /// Its name.
    pub subject: Subject,
    /// How long it is valid; of an intermediate without it, at most as long as its issuer.
    pub lifetime_days: Option<u32>,
    /// How many CAs may follow it; of an intermediate without it none, of a root any number.
    pub path_len: Option<u8>,
    /// Fencing number; without it the newest that the signer knows.
    pub epoch: Option<u64>,
}

/// A CA's certificate.
#[derive(Clone, Debug)]
pub struct CaCertificate {
    der: Vec<u8>,
    certificate: Certificate,
    key_identifier: OctetString,
}

impl CaCertificate {
    /// The certificate in a file, PEM or DER.
    ///
    /// # Errors
    /// A file that cannot be read, or holds anything but one certificate with a subject key identifier.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        Self::of_der(read(path, Kind::Certificate)?)
            .ok_or_else(|| unusable(path, "it is no certificate of a CA with a subject key identifier"))
    }

    fn of_der(der: Vec<u8>) -> Option<Self> {
        let certificate: Certificate = strict(&der)?;
        let identifier = certificate.tbs_certificate().get_extension::<SubjectKeyIdentifier>().ok()??.1;
        Some(Self { der, key_identifier: identifier.0, certificate })
    }

    /// As DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// As PEM.
    pub fn pem(&self) -> String {
        to_pem(Kind::Certificate, &self.der)
    }

    /// Whether this key (SubjectPublicKeyInfo, DER) signed it.
    fn is_by(&self, public_key: &[u8]) -> bool {
        Signed::read(&self.der).is_some_and(|signed| signed.is_by(public_key))
    }

    /// SHA-256 of its DER.
    pub fn sha256(&self) -> Digest {
        Digest(Sha256::digest(&self.der).into())
    }

    /// Its serial.
    pub fn serial(&self) -> Serial {
        Serial::of(self.certificate.tbs_certificate().serial_number())
    }

    /// Its subject, as RFC 4514 writes it.
    pub fn subject(&self) -> String {
        self.name().to_string()
    }

    /// Its first and its last second.
    pub fn validity(&self) -> (Timestamp, Timestamp) {
        let validity = self.certificate.tbs_certificate().validity();
        (instant(validity.not_before), instant(validity.not_after))
    }

    /// SubjectPublicKeyInfo, DER.
    pub(super) fn public_key(&self) -> Result<Vec<u8>, Failure> {
        self.certificate.tbs_certificate().subject_public_key_info().to_der().map_err(|_| unwritable())
    }

    pub(super) fn name(&self) -> &Name {
        self.certificate.tbs_certificate().subject()
    }

    /// The extension by which what it signs names its key.
    pub(super) fn authority(&self) -> AuthorityKeyIdentifier {
        AuthorityKeyIdentifier {
            key_identifier: Some(self.key_identifier.clone()),
            authority_cert_issuer: None,
            authority_cert_serial_number: None,
        }
    }
}

/// Has the signer sign a root: the certificate of `ca`, by its own key.
///
/// # Errors
/// No answer, a refusal, or an answer that is not what was asked for.
pub async fn sign_root(
    signer: &mut Signer,
    ca: Uuid,
    options: &CaOptions,
    now: Timestamp,
) -> Result<CaCertificate, Failure> {
    let key = signer.key(ca).await?;
    let begins = now - BACKDATED;
    let ends = now + days(options.lifetime_days.unwrap_or(ROOT_DAYS));
    let path_len = options.path_len;
    let tbs = Tbs {
        by: &key,
        issuer: None,
        subject: &options.subject,
        key: &key,
        validity: (begins, ends),
        path_len,
    };
    sign(signer, &tbs, options.epoch).await
}

/// Has the signer sign an intermediate: the certificate of its key `subject`, by the CA whose key is `ca` and whose certificate is `issuer`.
///
/// # Errors
/// Those of [`sign_root`].
pub async fn sign_intermediate(
    signer: &mut Signer,
    ca: Uuid,
    issuer: &CaCertificate,
    subject: Uuid,
    options: &CaOptions,
    now: Timestamp,
) -> Result<CaCertificate, Failure> {
    let (by, key) = (signer.key(ca).await?, signer.key(subject).await?);
    let (first, last) = issuer.validity();
    let begins = (now - BACKDATED).max(first);
    let ends = match options.lifetime_days {
        Some(lifetime_days) => now + days(lifetime_days),
        None => (now + days(INTERMEDIATE_DAYS)).min(last),
    };
    let path_len = Some(options.path_len.unwrap_or(0));
    let tbs = Tbs {
        by: &by,
        issuer: Some(issuer),
        subject: &options.subject,
        key: &key,
        validity: (begins, ends),
        path_len,
    };
    sign(signer, &tbs, options.epoch).await
}

fn days(days: u32) -> SignedDuration {
    SignedDuration::from_hours(24 * i64::from(days))
}

/// A certificate to be signed.
struct Tbs<'a> {
    by: &'a Key,
    /// None of a root.
    issuer: Option<&'a CaCertificate>,
    subject: &'a Subject,
    key: &'a Key,
    validity: (Timestamp, Timestamp),
    path_len: Option<u8>,
}

impl Tbs<'_> {
    /// Its DER, under this serial.
    fn to_der(&self, serial: &[u8]) -> der::Result<Vec<u8>> {
        let version =
            ContextSpecific { tag_number: TagNumber(0), tag_mode: TagMode::Explicit, value: Version::V3 };
        let (begins, ends) = self.validity;
        let extensions = ContextSpecific {
            tag_number: TagNumber(3),
            tag_mode: TagMode::Explicit,
            value: self.extensions()?,
        };
        sequence(&[
            version.to_der()?,
            <SerialNumber>::new(serial)?.to_der()?,
            signature_algorithm(self.by.algorithm).to_der()?,
            self.issuer.map_or(self.subject.name(), CaCertificate::name).to_der()?,
            Validity::<x509_cert::certificate::Rfc5280>::new(time(begins)?, time(ends)?).to_der()?,
            self.subject.name().to_der()?,
            self.key.public_key.clone(),
            extensions.to_der()?,
        ])
    }

    fn extensions(&self) -> der::Result<Vec<x509_cert::ext::Extension>> {
        let constraints = BasicConstraints { ca: true, path_len_constraint: self.path_len };
        let usage = KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign);
        let mut extensions = vec![
            extension(&constraints, true)?,
            extension(&usage, true)?,
            extension(&SubjectKeyIdentifier(key_identifier(&self.key.public_key)?), false)?,
        ];
        if let Some(issuer) = self.issuer {
            extensions.push(extension(&issuer.authority(), false)?);
        }
        Ok(extensions)
    }
}

/// The first 20 bytes of the SHA-256 of the key's bits (RFC 7093, 2).
fn key_identifier(public_key: &[u8]) -> der::Result<OctetString> {
    let key = SubjectPublicKeyInfo::from_der(public_key)?;
    OctetString::new(&Sha256::digest(key.subject_public_key.raw_bytes())[..20])
}

/// 20 bytes, of which 158 bits are random: positive, and never shorter.
fn random_serial() -> Result<[u8; 20], Failure> {
    let mut bytes = [0; 20];
    getrandom::fill(&mut bytes).map_err(|_| crate::internal("the system gives no random bytes"))?;
    bytes[0] = bytes[0] & 0x3f | 0x40;
    Ok(bytes)
}

async fn sign(signer: &mut Signer, tbs: &Tbs<'_>, epoch: Option<u64>) -> Result<CaCertificate, Failure> {
    let der = tbs.to_der(&random_serial()?).map_err(|_| unwritable())?;
    let (kind, issuer) = match tbs.issuer {
        None => (CertificateKind::Root, &[][..]),
        Some(issuer) => (CertificateKind::Intermediate, issuer.der()),
    };
    let answer = signer.sign_certificate(tbs.by.id, kind, &der, issuer, epoch).await?;
    believed(answer, &der, &tbs.by.public_key)
}

/// The certificate, if it is what was sent, signed by this key.
fn believed(answer: Vec<u8>, tbs: &[u8], by: &[u8]) -> Result<CaCertificate, Failure> {
    let refuse = || {
        let hint = "Do not use this signer: something is wrong with its host, or another program answers on the socket. Nothing was written.";
        Failure::new(
            Class::Tampered,
            "the signer's answer is not the certificate that was sent, signed by the CA's key",
            hint,
        )
    };
    let answer = CaCertificate::of_der(answer).ok_or_else(refuse)?;
    let is_sent = answer.certificate.tbs_certificate().to_der().is_ok_and(|found| found == tbs);
    if is_sent && answer.is_by(by) { Ok(answer) } else { Err(refuse()) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::fixture::Ca;
    use super::*;

    /// The certificate of this CA.
    pub(in super::super) fn certificate_of(ca: &Ca) -> CaCertificate {
        CaCertificate::of_der(ca.sign(&root(ca, 1))).unwrap()
    }

    /// A root of this CA to be signed.
    fn root(ca: &Ca, serial: u8) -> Vec<u8> {
        let subject = "CN=Root".parse().unwrap();
        let now = Timestamp::now();
        let validity = (now, now + days(1));
        let tbs =
            Tbs { by: &ca.key, issuer: None, subject: &subject, key: &ca.key, validity, path_len: None };
        tbs.to_der(&[serial]).unwrap()
    }

    #[test]
    fn only_what_was_sent_with_a_signature_of_the_cas_key_is_believed() {
        let (ca, other) = (Ca::new(), Ca::new());
        let tbs = root(&ca, 1);
        let refused = |answer: Vec<u8>| believed(answer, &tbs, &ca.key.public_key).unwrap_err().class;
        assert_eq!(believed(ca.sign(&tbs), &tbs, &ca.key.public_key).unwrap().serial().to_string(), "01");
        assert_eq!(refused(ca.sign(&root(&ca, 2))), Class::Tampered, "another certificate");
        assert_eq!(refused(other.sign(&tbs)), Class::Tampered, "by another key");
        assert_eq!(refused(Vec::new()), Class::Tampered, "nothing");
        let mut flipped = ca.sign(&tbs);
        *flipped.last_mut().unwrap() ^= 1;
        assert_eq!(refused(flipped), Class::Tampered, "a bit flipped");
    }

    #[test]
    fn random_serials_have_20_bytes_and_differ() {
        let serials: std::collections::BTreeSet<_> = (0..1000).map(|_| random_serial().unwrap()).collect();
        assert_eq!(serials.len(), 1000);
        assert!(serials.iter().all(|serial| (0x40..0x80).contains(&serial[0])));
    }
}

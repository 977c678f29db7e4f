//! The rules for CRLs: complete ones, of all that a CA has revoked.

use der::Encode;
use der::asn1::{GeneralizedTime, ObjectIdentifier};
use der::oid::AssociatedOid;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use x509_cert::Version;
use x509_cert::crl::{CertificateList, RevokedCert, TbsCertList};
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, CrlNumber, CrlReason};
use x509_cert::time::Time;

use super::der::{in_right_form, seconds, signature_algorithm, strict, timestamp};
use super::extensions::{Extensions, names_authority};
use super::{Rule, Signatory, Unfit};
use crate::journal::CrlClaim;
use crate::serial::Serial;

/// How far a CRL may begin ahead of this host's clock, in seconds: one that begins later could leave out what has not expired yet.
const AHEAD_S: u64 = 3600;

/// What an entry may have besides a reason (RFC 5280, 5.3.2).
const INVALIDITY_DATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.24");

/// What the journal notes of a CRL that may be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fit {
    /// What the CA's past may forbid.
    pub claim: CrlClaim,
    /// When the next is due.
    pub next_update: Timestamp,
}

/// Checks a CRL against all rules but those of what was signed before.
///
/// # Errors
/// [`Unfit`], for the first rule that it breaks.
pub fn check(
    der: &[u8],
    issuer_certificate: &[u8],
    key: Signatory<'_>,
    now: Timestamp,
) -> Result<Fit, Unfit> {
    let issuer = key.issuer.read(issuer_certificate, key)?;
    Rule::BadIssuer
        .refuse_if(!issuer.usage.crl_sign(), "the issuer's certificate does not allow it to sign CRLs")?;
    let tbs: TbsCertList =
        strict(der).ok_or(Rule::BadEncoding.broken("this is no TBSCertList in its one DER encoding"))?;
    Rule::BadEncoding.refuse_if(tbs.version != Version::V2, "the CRL is not of version 2")?;
    let is_of_key = tbs.signature == signature_algorithm(key.algorithm);
    Rule::WrongAlgorithm.refuse_if(!is_of_key, "the signature algorithm is not the key's")?;
    Rule::WrongIssuer
        .refuse_if(tbs.issuer != issuer.name, "the issuer is not the subject of the issuer's certificate")?;
    let next_update = times(&tbs, now)?;
    let extensions = Extensions::of(tbs.crl_extensions.as_ref())?;
    let has_others = extensions.has_but(&[AuthorityKeyIdentifier::OID, CrlNumber::OID]);
    Rule::BadExtension
        .refuse_if(has_others, "the CRL has another extension than number and authority key identifier")?;
    names_authority(extensions.get::<AuthorityKeyIdentifier>()?.as_ref(), &issuer.key_identifier)?;
    let claim = CrlClaim {
        number: number(extensions)?,
        this_update: timestamp(tbs.this_update),
        tbs_sha256: Sha256::digest(der).into(),
        revoked: entries(&tbs)?,
    };
    Ok(Fit { claim, next_update })
}

/// What tells a CRL that was signed from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its number.
    pub number: u64,
    /// SHA-256 of what was signed.
    pub tbs_sha256: [u8; 32],
}

/// Reads a signed CRL, DER; `None` when it is none that a signer may have signed. The signature is not verified.
pub fn published(der: &[u8]) -> Option<Published> {
    let tbs = strict::<CertificateList>(der)?.tbs_cert_list;
    let extensions = Extensions::of(tbs.crl_extensions.as_ref()).ok()?;
    let number = number(extensions).ok()?;
    Some(Published { number, tbs_sha256: Sha256::digest(tbs.to_der().ok()?).into() })
}

fn times(tbs: &TbsCertList, now: Timestamp) -> Result<Timestamp, Unfit> {
    let rule = Rule::BadValidity;
    let next_update = tbs.next_update.ok_or(rule.broken("the CRL does not say when the next is due"))?;
    in_right_form(tbs.this_update)?;
    in_right_form(next_update)?;
    let begins = seconds(tbs.this_update);
    rule.refuse_if(begins >= seconds(next_update), "the next CRL is due before this one begins")?;
    let latest = u64::try_from(now.as_second()).unwrap_or(0) + AHEAD_S;
    rule.refuse_if(begins > latest, "the CRL begins more than an hour ahead of the signer's clock")?;
    Ok(timestamp(next_update))
}

fn number(extensions: Extensions<'_>) -> Result<u64, Unfit> {
    let rule = Rule::BadNumber;
    let found = extensions.get::<CrlNumber>()?.ok_or(rule.broken("the CRL has no number"))?;
    rule.refuse_if(found.is_critical, "the CRL's number is critical")?;
    let bytes = found.value.0.as_bytes();
    rule.refuse_if(bytes.len() > 8, "the CRL's number is above 2^64-1")?;
    Ok(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// The serials of all entries, ascending.
fn entries(tbs: &TbsCertList) -> Result<Vec<Serial>, Unfit> {
    let rule = Rule::BadEntry;
    let Some(entries) = &tbs.revoked_certificates else { return Ok(Vec::new()) };
    rule.refuse_if(entries.is_empty(), "an empty list of entries is there, and should not be")?;
    let serials = entries.iter().map(|entry| serial_of(entry, tbs.this_update));
    let mut serials = serials.collect::<Result<Vec<_>, _>>()?;
    serials.sort_unstable();
    let is_twice = serials.windows(2).any(|pair| pair[0] == pair[1]);
    rule.refuse_if(is_twice, "a serial is there twice")?;
    Ok(serials)
}

fn serial_of(entry: &RevokedCert, this_update: Time) -> Result<Serial, Unfit> {
    let rule = Rule::BadEntry;
    let serial = Serial::of_der(entry.serial_number.as_bytes());
    let serial =
        serial.map_err(|_| rule.broken("a revoked serial is not a positive integer of at most 20 bytes"))?;
    in_right_form(entry.revocation_date)?;
    let is_to_come = seconds(entry.revocation_date) > seconds(this_update);
    rule.refuse_if(is_to_come, "a certificate is revoked later than this update")?;
    let extensions = Extensions::of(entry.crl_entry_extensions.as_ref())?;
    let has_others =
        extensions.has_but(&[CrlReason::OID, INVALIDITY_DATE]) || extensions.has_critical_but(&[]);
    Rule::BadExtension.refuse_if(
        has_others,
        "an entry has another extension than reason and invalidity date, or a critical one",
    )?;
    extensions.get_as::<GeneralizedTime>(INVALIDITY_DATE)?;
    let reason = extensions.get::<CrlReason>()?.map(|found| found.value);
    let is_none = matches!(
        reason,
        Some(CrlReason::Unspecified | CrlReason::CertificateHold | CrlReason::RemoveFromCRL)
    );
    rule.refuse_if(is_none, "a reason is unspecified, which is stated by none, or one that can be undone")?;
    Ok(serial)
}

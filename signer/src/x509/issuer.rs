//! The certificate of the CA that is to sign.

use std::sync::{Arc, Mutex, PoisonError};

use der::Encode;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, SubjectKeyIdentifier};
use x509_cert::name::Name;
use x509_cert::{Certificate, Version};

use super::der::{seconds, strict};
use super::extensions::Extensions;
use super::{Rule, Signatory, Unfit};

/// What it says.
pub struct Issuer {
    pub(super) name: Name,
    pub(super) key_identifier: Vec<u8>,
    /// First and last second, since 1970.
    pub(super) validity_s: (u64, u64),
    /// How many CAs may follow it; any number when there is none.
    pub(super) path_len: Option<u8>,
    pub(super) usage: KeyUsage,
}

/// The certificate of a key as it was read last: a CA signs thousands in a row with the same.
#[derive(Default)]
pub struct LastIssuer(Mutex<Option<(Vec<u8>, Arc<Issuer>)>>);

impl LastIssuer {
    /// Reads the certificate of this key, unless it is the one that was read last.
    pub(super) fn read(&self, der: &[u8], key: Signatory<'_>) -> Result<Arc<Issuer>, Unfit> {
        let last = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, issuer)) = last().as_ref().filter(|(read, _)| read == der) {
            return Ok(Arc::clone(issuer));
        }
        let issuer = Arc::new(Issuer::read(der, key)?);
        *last() = Some((der.to_vec(), Arc::clone(&issuer)));
        Ok(issuer)
    }
}

impl Issuer {
    fn read(der: &[u8], key: Signatory<'_>) -> Result<Self, Unfit> {
        let rule = Rule::BadIssuer;
        rule.refuse_if(der.is_empty(), "the issuer's certificate is missing")?;
        let certificate: Certificate =
            strict(der).ok_or(rule.broken("the issuer's certificate is no certificate in DER"))?;
        let tbs = certificate.tbs_certificate();
        let is_signed = certificate.signature_algorithm() == tbs.signature()
            && certificate.signature().as_bytes().is_some();
        rule.refuse_if(!is_signed, "the signature of the issuer's certificate is malformed")?;
        rule.refuse_if(tbs.version() != Version::V3, "the issuer's certificate is not of version 3")?;
        let spki = tbs.subject_public_key_info().to_der();
        let is_of_key = spki.is_ok_and(|spki| spki == key.public_key);
        rule.refuse_if(
            !is_of_key,
            "the issuer's certificate states another public key than that of the sealed key",
        )?;
        rule.refuse_if(tbs.subject().is_empty(), "the issuer's certificate has no subject")?;
        let extensions = Extensions::of(tbs.extensions()).map_err(in_issuer)?;
        let constraints = extensions.get::<BasicConstraints>().map_err(in_issuer)?;
        let constraints = constraints.filter(|found| found.value.ca);
        let constraints =
            constraints.ok_or(rule.broken("the issuer's certificate is not that of a CA"))?.value;
        let usage = extensions.get::<KeyUsage>().map_err(in_issuer)?;
        let usage = usage.ok_or(rule.broken("the issuer's certificate states no key usage"))?.value;
        let identifier = extensions.get::<SubjectKeyIdentifier>().map_err(in_issuer)?;
        let identifier =
            identifier.ok_or(rule.broken("the issuer's certificate has no subject key identifier"))?.value;
        Ok(Self {
            name: tbs.subject().clone(),
            key_identifier: identifier.0.as_bytes().to_vec(),
            validity_s: (seconds(tbs.validity().not_before), seconds(tbs.validity().not_after)),
            path_len: constraints.path_len_constraint,
            usage,
        })
    }
}

fn in_issuer(_: Unfit) -> Unfit {
    Rule::BadIssuer.broken("an extension of the issuer's certificate is malformed or there twice")
}

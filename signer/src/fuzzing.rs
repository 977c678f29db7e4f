//! The readers of what comes from elsewhere, without a process around them: for the fuzz targets (`fuzz/`), and for nothing else.

use std::path::Path;

use jiff::Timestamp;
use tonic::Status;
use trstctl_signer_protocol::REFUSAL;
use trstctl_signer_protocol::v1::{
    self, GenerateKeyRequest, ProbeRequest, SignCertificateRequest, SignCrlRequest, SignTreeHeadRequest,
};

use crate::Fault;
use crate::algorithm::Algorithm;
use crate::journal::Journal;
use crate::service::{self, Wanted};
use crate::signing::{meaning, of_unfit};
use crate::tree_head;
use crate::x509::{LastIssuer, Signatory, certificate, crl};

/// A refusal, as the caller sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The word that names it.
    pub word: String,
    /// For a person.
    pub message: String,
}

/// What a CRL says that may be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crl {
    /// Its number.
    pub number: u64,
    /// What it revokes, hexadecimal.
    pub serials: Vec<String>,
}

/// Whether a certificate may be signed, but for what was signed before; its serial, hexadecimal.
///
/// # Errors
/// The refusal.
pub fn certificate(
    request: &SignCertificateRequest,
    algorithm: v1::Algorithm,
    public_key: &[u8],
) -> Result<String, Refused> {
    let issuer = LastIssuer::default();
    let key = signatory(algorithm, public_key, &issuer);
    let meaning = meaning(request).map_err(|status| refused(&status))?;
    let fit = certificate::check(&request.tbs, &request.issuer_certificate, key, &meaning);
    fit.map(|fit| fit.serial.to_string()).map_err(|unfit| refused(&of_unfit(unfit)))
}

/// Whether a CRL may be signed at this moment, but for what was signed before.
///
/// # Errors
/// The refusal.
pub fn crl(
    request: &SignCrlRequest,
    algorithm: v1::Algorithm,
    public_key: &[u8],
    now: Timestamp,
) -> Result<Crl, Refused> {
    let issuer = LastIssuer::default();
    let key = signatory(algorithm, public_key, &issuer);
    let fit = crl::check(&request.tbs, &request.issuer_certificate, key, now);
    let claim = fit.map_err(|unfit| refused(&of_unfit(unfit)))?.claim;
    Ok(Crl { number: claim.number, serials: claim.revoked.iter().map(ToString::to_string).collect() })
}

/// The key that may be made, but for those that were made before: its request again, in the one spelling.
///
/// # Errors
/// The refusal.
pub fn key(request: &GenerateKeyRequest) -> Result<GenerateKeyRequest, Refused> {
    let Wanted { id, algorithm, purposes } = service::wanted(request).map_err(|status| refused(&status))?;
    Ok(GenerateKeyRequest {
        key_id: id.to_string(),
        algorithm: v1::Algorithm::from(algorithm).into(),
        purposes: purposes.each().map(|purpose| v1::Purpose::from(purpose).into()).collect(),
    })
}

/// What is signed for a tree head, but for what was signed before.
///
/// # Errors
/// The refusal.
pub fn tree_head(request: &SignTreeHeadRequest) -> Result<Vec<u8>, Refused> {
    let (log, head) = service::head(request).map_err(|status| refused(&status))?;
    Ok(tree_head::text(&log, &head))
}

/// What is signed for a probe.
///
/// # Errors
/// The refusal.
pub fn probe(request: &ProbeRequest) -> Result<Vec<u8>, Refused> {
    service::challenge(request).map_err(|status| refused(&status))
}

/// The entries of the journal in this folder, as they stand there.
///
/// # Errors
/// What is wrong with it.
pub fn journal(folder: &Path) -> Result<Vec<u8>, Fault> {
    let mut entries = Vec::new();
    Journal::copy::<Fault>(folder, &mut entries)?;
    Ok(entries)
}

fn signatory<'a>(algorithm: v1::Algorithm, public_key: &'a [u8], issuer: &'a LastIssuer) -> Signatory<'a> {
    let number = u8::try_from(algorithm as i32).ok().and_then(Algorithm::of);
    Signatory { algorithm: number.expect("a target names a known algorithm"), public_key, issuer }
}

fn refused(status: &Status) -> Refused {
    let word = status.metadata().get(REFUSAL).and_then(|word| word.to_str().ok());
    Refused { word: word.expect("a refusal has a word").to_owned(), message: status.message().to_owned() }
}

//! SignCertificate and SignCrl, in the order that makes them safe: the rules, the journal, the signature, a check of the whole.

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tonic::{Code, Request, Response, Status};
use trstctl_signer_protocol::v1::crl_signer_server::CrlSigner;
use trstctl_signer_protocol::v1::{
    CertificateKind, LeafUsage, SignCertificateRequest, SignCertificateResponse, SignCrlRequest,
    SignCrlResponse,
};

use crate::algorithm::Purpose;
use crate::key_store::OpenKey;
use crate::keyring::KeyringFault;
use crate::note::What;
use crate::service::{Service, bad, may_sign, of_fault, refused};
use crate::x509::certificate::{self, Kind, Meaning, Usage};
use crate::x509::signed::BadSignature;
use crate::x509::{Unfit, crl};

impl Service {
    /// SignCertificate.
    pub(crate) async fn certificate(
        &self,
        request: SignCertificateRequest,
    ) -> Result<SignCertificateResponse, Status> {
        let meaning = meaning(&request)?;
        let key = self.key(&request.key_id).await?;
        may_sign(&key, Purpose::Certificates)?;
        let tbs = request.tbs;
        let fit = certificate::check(&tbs, &request.issuer_certificate, key.signatory(), &meaning);
        let certificate::Fit { serial, not_after } = fit.map_err(of_unfit)?;
        let tbs_sha256 = Sha256::digest(&tbs).into();
        self.note(&key, request.epoch, What::Certificate { serial, not_after, tbs_sha256 }).await?;
        let signature = sign(&key, &tbs)?;
        let certificate = key.public.verified(&tbs, &signature).map_err(of_bad_signature)?;
        Ok(SignCertificateResponse { certificate })
    }
}

#[tonic::async_trait]
impl CrlSigner for Service {
    async fn sign_crl(&self, request: Request<SignCrlRequest>) -> Result<Response<SignCrlResponse>, Status> {
        let request = request.into_inner();
        let key = self.key(&request.key_id).await?;
        may_sign(&key, Purpose::Crls)?;
        let tbs = request.tbs;
        let fit = crl::check(&tbs, &request.issuer_certificate, key.signatory(), Timestamp::now());
        let crl::Fit { claim, next_update } = fit.map_err(of_unfit)?;
        self.note(&key, request.epoch, What::Crl { claim, next_update }).await?;
        let signature = sign(&key, &tbs)?;
        let crl = key.public.verified(&tbs, &signature).map_err(of_bad_signature)?;
        Ok(Response::new(SignCrlResponse { crl }))
    }
}

fn sign(key: &OpenKey, tbs: &[u8]) -> Result<Vec<u8>, Status> {
    key.private.sign_x509(tbs).map_err(|error| of_fault(&KeyringFault::from(error)))
}

/// What the caller means.
pub(crate) fn meaning(request: &SignCertificateRequest) -> Result<Meaning, Status> {
    let kind = match CertificateKind::try_from(request.kind) {
        Ok(CertificateKind::Root) => Kind::Root,
        Ok(CertificateKind::Intermediate) => Kind::Intermediate,
        Ok(CertificateKind::Leaf) => Kind::Leaf,
        Ok(CertificateKind::Unspecified) | Err(_) => return Err(bad("the kind of certificate is unknown")),
    };
    let usages = request.usages.iter().map(|number| usage(*number)).collect::<Option<Vec<_>>>();
    Ok(Meaning { kind, usages: usages.ok_or_else(|| bad("an extended key usage is unknown"))? })
}

fn usage(number: i32) -> Option<Usage> {
    match LeafUsage::try_from(number).ok()? {
        LeafUsage::Unspecified => None,
        LeafUsage::ServerAuth => Some(Usage::ServerAuth),
        LeafUsage::ClientAuth => Some(Usage::ClientAuth),
        LeafUsage::CodeSigning => Some(Usage::CodeSigning),
        LeafUsage::EmailProtection => Some(Usage::EmailProtection),
        LeafUsage::TimeStamping => Some(Usage::TimeStamping),
        LeafUsage::OcspSigning => Some(Usage::OcspSigning),
    }
}

pub(crate) fn of_unfit(unfit: Unfit) -> Status {
    refused(Code::InvalidArgument, unfit.rule.word(), unfit.to_string())
}

pub(crate) fn of_bad_signature(bad: BadSignature) -> Status {
    refused(Code::Unavailable, "unavailable", bad.to_string())
}

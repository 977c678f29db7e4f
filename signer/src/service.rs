//! The calls of `signer.proto`.

use std::sync::Arc;

use tonic::{Code, Request, Response, Status};
use trstctl_signer_protocol::v1::signer_server::Signer;
use trstctl_signer_protocol::v1::{
    GenerateKeyRequest, HealthRequest, HealthResponse, Key, ListKeysRequest, ListKeysResponse, ProbeRequest,
    ProbeResponse, PublicKeyRequest, SignCertificateRequest, SignCertificateResponse, SignTreeHeadRequest,
    SignTreeHeadResponse,
};
use trstctl_signer_protocol::{REFUSAL, probe_text, v1};

use crate::algorithm::{Algorithm, BadPurposes, Purpose, Purposes};
use crate::journal::{Backwards, Contradiction, TreeHead};
use crate::key_id::KeyId;
use crate::key_store::{KeyFault, OpenKey};
use crate::keyring::{KeyringFault, Shared};
use crate::note::{Note, What};
use crate::signing::of_bad_signature;
use crate::tree_head::{self, LogName};
use crate::writer::{Busy, Writer};

/// Lengths of a nonce, in bytes.
const NONCE_BYTES: std::ops::RangeInclusive<usize> = 16..=64;

/// Answers the calls.
pub struct Service {
    writer: Writer,
    shared: Arc<Shared>,
    /// What this process lacks, a sentence each.
    degraded: Vec<String>,
}

impl Service {
    /// A service over these keys.
    pub fn new(writer: Writer, shared: Arc<Shared>, degraded: Vec<String>) -> Self {
        Self { writer, shared, degraded }
    }

    /// An open key; one that is unknown is looked for in the store once more.
    pub(crate) async fn key(&self, id: &str) -> Result<Arc<OpenKey>, Status> {
        let id = key_id(id)?;
        if let Some(key) = self.shared.key(id) {
            return Ok(key);
        }
        self.writer.look_again().await.map_err(|busy| of_busy(&busy))?.map_err(|fault| of_fault(&fault))?;
        self.shared.key(id).ok_or_else(|| match self.shared.why_unreadable(id) {
            Some(why) => refused(Code::FailedPrecondition, "unreadable_key", why),
            None => of_fault(&KeyFault::Unknown(id).into()),
        })
    }

    /// Notes in the journal what this key is about to sign. When this returns, the entry is durable.
    pub(crate) async fn note(&self, key: &OpenKey, epoch: u64, what: What) -> Result<(), Status> {
        let key_id = KeyId::new(key.header.key_id);
        let noted = self.writer.note(Note { key_id, epoch, what }).await;
        noted.map_err(|busy| of_busy(&busy))?.map_err(|fault| of_fault(&fault))
    }
}

#[tonic::async_trait]
impl Signer for Service {
    async fn generate_key(&self, request: Request<GenerateKeyRequest>) -> Result<Response<Key>, Status> {
        let Wanted { id, algorithm, purposes } = wanted(&request.into_inner())?;
        let made = self.writer.generate(id, algorithm, purposes).await.map_err(|busy| of_busy(&busy))?;
        Ok(Response::new(to_wire(&*made.map_err(|fault| of_fault(&fault))?)))
    }

    async fn public_key(&self, request: Request<PublicKeyRequest>) -> Result<Response<Key>, Status> {
        Ok(Response::new(to_wire(&*self.key(&request.into_inner().key_id).await?)))
    }

    async fn list_keys(&self, _: Request<ListKeysRequest>) -> Result<Response<ListKeysResponse>, Status> {
        self.writer.look_again().await.map_err(|busy| of_busy(&busy))?.map_err(|fault| of_fault(&fault))?;
        let keys = self.shared.keys().iter().map(|key| to_wire(key)).collect();
        Ok(Response::new(ListKeysResponse { keys }))
    }

    async fn sign_certificate(
        &self,
        request: Request<SignCertificateRequest>,
    ) -> Result<Response<SignCertificateResponse>, Status> {
        Ok(Response::new(self.certificate(request.into_inner()).await?))
    }

    async fn sign_tree_head(
        &self,
        request: Request<SignTreeHeadRequest>,
    ) -> Result<Response<SignTreeHeadResponse>, Status> {
        let request = request.into_inner();
        let (log, head) = head(&request)?;
        let key = self.key(&request.key_id).await?;
        may_sign(&key, Purpose::TreeHeads)?;
        let text = tree_head::text(&log, &head);
        self.note(&key, request.epoch, What::TreeHead(log, head)).await?;
        let signature = signature(&key, &text)?;
        Ok(Response::new(SignTreeHeadResponse { text, signature }))
    }

    async fn probe(&self, request: Request<ProbeRequest>) -> Result<Response<ProbeResponse>, Status> {
        let request = request.into_inner();
        let text = challenge(&request)?;
        let key = self.key(&request.key_id).await?;
        Ok(Response::new(ProbeResponse { signature: signature(&key, &text)? }))
    }

    async fn health(&self, _: Request<HealthRequest>) -> Result<Response<HealthResponse>, Status> {
        let summary = self.shared.summary();
        Ok(Response::new(HealthResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            deployment_id: summary.deployment_id,
            kek_id: summary.kek_id,
            keys: self.shared.keys().len() as u64,
            journal_entries: summary.journal_entries,
            epoch: summary.epoch,
            journal_head: summary.journal_head.map(|head| head.0.to_vec()).unwrap_or_default(),
            degraded: [self.degraded.clone(), self.shared.findings()].concat(),
        }))
    }
}

/// The key that GenerateKey asks for.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) id: KeyId,
    pub(crate) algorithm: Algorithm,
    pub(crate) purposes: Purposes,
}

pub(crate) fn wanted(request: &GenerateKeyRequest) -> Result<Wanted, Status> {
    let id = key_id(&request.key_id)?;
    let algorithm = u8::try_from(request.algorithm).ok().and_then(Algorithm::of);
    let algorithm = algorithm.ok_or_else(|| bad("the algorithm is unknown"))?;
    let purposes = purposes(request).map_err(|error| bad(&error.to_string()))?;
    if purposes.has(Purpose::TreeHeads) && algorithm != Algorithm::Ed25519 {
        return Err(bad("a key for tree heads is an Ed25519 key"));
    }
    Ok(Wanted { id, algorithm, purposes })
}

/// What SignTreeHead asks for.
pub(crate) fn head(request: &SignTreeHeadRequest) -> Result<(LogName, TreeHead), Status> {
    let log = request.log.parse().map_err(|error: tree_head::BadLogName| bad(&error.to_string()))?;
    let root = request.root.as_slice().try_into().map_err(|_| bad("a root has 32 bytes"))?;
    Ok((log, TreeHead { tree_size: request.tree_size, root }))
}

/// What a probe signs.
pub(crate) fn challenge(request: &ProbeRequest) -> Result<Vec<u8>, Status> {
    if !NONCE_BYTES.contains(&request.nonce.len()) {
        return Err(bad("a nonce has 16 to 64 bytes"));
    }
    Ok(probe_text(&request.nonce))
}

/// The signature of a text that is neither a certificate nor a CRL, verified.
fn signature(key: &OpenKey, text: &[u8]) -> Result<Vec<u8>, Status> {
    let signature = key.private.sign(text).map_err(|error| of_fault(&KeyringFault::from(error)))?;
    key.public.verify_text(text, &signature).map_err(of_bad_signature)?;
    Ok(signature)
}

fn key_id(text: &str) -> Result<KeyId, Status> {
    text.parse().map_err(|error: crate::key_id::BadKeyId| bad(&error.to_string()))
}

fn purposes(request: &GenerateKeyRequest) -> Result<Purposes, BadPurposes> {
    let named = request
        .purposes
        .iter()
        .map(|number| v1::Purpose::try_from(*number).map_err(|_| BadPurposes).and_then(Purpose::try_from));
    Purposes::try_from(named.collect::<Result<Vec<_>, _>>()?)
}

pub(crate) fn may_sign(key: &OpenKey, purpose: Purpose) -> Result<(), Status> {
    if key.purposes.has(purpose) {
        return Ok(());
    }
    let what = format!("the key is not for {purpose}");
    Err(refused(Code::PermissionDenied, "wrong_purpose", what))
}

fn to_wire(key: &OpenKey) -> Key {
    Key {
        key_id: KeyId::new(key.header.key_id).to_string(),
        algorithm: v1::Algorithm::from(key.algorithm).into(),
        purposes: key.purposes.each().map(|purpose| v1::Purpose::from(purpose).into()).collect(),
        generation: key.header.generation,
        public_key: key.public_key.clone(),
    }
}

pub(crate) fn bad(what: &str) -> Status {
    refused(Code::InvalidArgument, "bad_request", what.to_owned())
}

fn of_busy(busy: &Busy) -> Status {
    unavailable(busy.to_string())
}

/// It may go better later.
pub(crate) fn unavailable(why: String) -> Status {
    refused(Code::Unavailable, "unavailable", why)
}

pub(crate) fn of_fault(fault: &KeyringFault) -> Status {
    let (code, word) = match fault {
        KeyringFault::Key(KeyFault::Exists(_)) => (Code::AlreadyExists, "key_exists"),
        KeyringFault::Key(KeyFault::Unknown(_)) => (Code::NotFound, "unknown_key"),
        KeyringFault::Key(KeyFault::Sealed { .. } | KeyFault::Mismatch { .. }) => {
            (Code::FailedPrecondition, "unreadable_key")
        }
        KeyringFault::Key(KeyFault::WrongKek { .. }) => (Code::FailedPrecondition, "wrong_kek"),
        KeyringFault::Backwards(backwards) => (Code::FailedPrecondition, word_of(backwards)),
        KeyringFault::Key(KeyFault::Library(_) | KeyFault::Io { .. })
        | KeyringFault::Journal(_)
        | KeyringFault::Unfinished => (Code::Unavailable, "unavailable"),
    };
    refused(code, word, fault.to_string())
}

fn word_of(backwards: &Backwards) -> &'static str {
    match backwards {
        Backwards::Smaller { .. } => "smaller_tree_head",
        Backwards::OtherRoot { .. } => "other_root",
        Backwards::OlderEpoch { .. } => "older_epoch",
        Backwards::NoFloor(_) | Backwards::NoLogFloor { .. } => "no_floor",
        Backwards::Authority(Contradiction::SerialUsed(_)) => "serial_used",
        Backwards::Authority(Contradiction::CrlNumber { .. }) => "crl_number_not_above_last",
        Backwards::Authority(Contradiction::SerialDropped(_)) => "serial_dropped",
    }
}

/// A status whose metadata names the refusal.
pub(crate) fn refused(code: Code, word: &'static str, message: String) -> Status {
    let mut status = Status::new(code, message);
    status.metadata_mut().insert(REFUSAL, tonic::metadata::MetadataValue::from_static(word));
    status
}

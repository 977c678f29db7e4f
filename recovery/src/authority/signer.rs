//! The signer as an operator asks it: every call has a deadline, and what goes wrong says where and what to do.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tonic::{Response, Status};
use trstctl_formats::{Class, Digest, Failure};
use trstctl_signer_protocol::v1::{
    CertificateKind, GenerateKeyRequest, HealthRequest, HealthResponse, ListKeysRequest, PublicKeyRequest,
    SignCertificateRequest, SignCrlRequest,
};
use trstctl_signer_protocol::{self as protocol, Client, ConnectError, REFUSAL};
use uuid::Uuid;

use super::key::{Algorithm, Key, Purpose};

/// How long connecting may take.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// How long an answer may take: an RSA key of 4096 bits is made in seconds, on a busy host in many.
const ANSWER_TIME: Duration = Duration::from_secs(120);

/// A connection to the signer.
pub struct Signer {
    socket: PathBuf,
    client: Client,
}

/// How the signer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Its version.
    pub version: String,
    /// Of its key store.
    pub deployment_id: String,
    /// Of the KEK that it holds.
    pub kek_id: String,
    /// Keys that it can open.
    pub keys: u64,
    /// Entries of its journal.
    pub journal_entries: u64,
    /// SHA-256 of the last entry; none of an empty journal.
    pub journal_head: Option<Digest>,
    /// The newest epoch that anything was signed with.
    pub epoch: u64,
    /// What is not as it should be, a sentence each.
    pub degraded: Vec<String>,
}

impl Signer {
    /// Connects to the signer on this socket.
    ///
    /// # Errors
    /// Nobody answers there, or this user may not connect: `unreachable`.
    pub async fn connect(socket: &Path) -> Result<Self, Failure> {
        let client = connected(socket, protocol::connect(socket)).await?;
        Ok(Self { socket: socket.to_owned(), client })
    }

    /// How it is.
    ///
    /// # Errors
    /// No answer.
    pub async fn health(&mut self) -> Result<Health, Failure> {
        let health = answer(&self.socket, self.client.health(HealthRequest {})).await?;
        Ok(health.into())
    }

    /// All keys that it can open, by id.
    ///
    /// # Errors
    /// No answer, a refusal, or a key of a kind that this program does not know.
    pub async fn keys(&mut self) -> Result<Vec<Key>, Failure> {
        let keys = answer(&self.socket, self.client.list_keys(ListKeysRequest {})).await?.keys;
        keys.into_iter().map(Key::try_from).collect()
    }

    /// Has it make a key. Asked again with the same id it makes none.
    ///
    /// # Errors
    /// No answer, or a refusal: `key_exists` above all.
    pub async fn generate(
        &mut self,
        id: Uuid,
        algorithm: Algorithm,
        purposes: &[Purpose],
    ) -> Result<Key, Failure> {
        let request = GenerateKeyRequest {
            key_id: id.to_string(),
            algorithm: algorithm.wire().into(),
            purposes: purposes.iter().map(|purpose| purpose.wire().into()).collect(),
        };
        answer(&self.socket, self.client.generate_key(request)).await?.try_into()
    }
}

impl Signer {
    /// One key.
    pub(super) async fn key(&mut self, id: Uuid) -> Result<Key, Failure> {
        let request = PublicKeyRequest { key_id: id.to_string() };
        answer(&self.socket, self.client.public_key(request)).await?.try_into()
    }

    /// Has it sign a certificate with the key of this id. The answer is not checked.
    pub(super) async fn sign_certificate(
        &mut self,
        id: Uuid,
        kind: CertificateKind,
        tbs: &[u8],
        issuer: &[u8],
        epoch: Option<u64>,
    ) -> Result<Vec<u8>, Failure> {
        let request = SignCertificateRequest {
            key_id: id.to_string(),
            tbs: tbs.to_vec(),
            issuer_certificate: issuer.to_vec(),
            epoch: self.epoch(epoch).await?,
            kind: kind.into(),
            usages: Vec::new(),
        };
        Ok(answer(&self.socket, self.client.sign_certificate(request)).await?.certificate)
    }

    /// Has it sign a CRL with the key of this id. The answer is not checked.
    pub(super) async fn sign_crl(
        &mut self,
        id: Uuid,
        tbs: &[u8],
        issuer: &[u8],
        epoch: Option<u64>,
    ) -> Result<Vec<u8>, Failure> {
        let request = SignCrlRequest {
            key_id: id.to_string(),
            tbs: tbs.to_vec(),
            issuer_certificate: issuer.to_vec(),
            epoch: self.epoch(epoch).await?,
        };
        let mut client = connected(&self.socket, protocol::connect_for_crls(&self.socket)).await?;
        Ok(answer(&self.socket, client.sign_crl(request)).await?.crl)
    }

    /// The epoch that was chosen, else the newest that it knows: whoever asks by hand is no older leader.
    async fn epoch(&mut self, chosen: Option<u64>) -> Result<u64, Failure> {
        match chosen {
            Some(epoch) => Ok(epoch),
            None => Ok(self.health().await?.epoch),
        }
    }
}

impl From<HealthResponse> for Health {
    fn from(health: HealthResponse) -> Self {
        Self {
            version: health.version,
            deployment_id: health.deployment_id,
            kek_id: health.kek_id,
            keys: health.keys,
            journal_entries: health.journal_entries,
            journal_head: health.journal_head.try_into().ok().map(Digest),
            epoch: health.epoch,
            degraded: health.degraded,
        }
    }
}

/// A client, within the deadline.
async fn connected<T>(
    socket: &Path,
    connecting: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(CONNECT_TIME, connecting).await {
        Ok(client) => client.map_err(|error| not_connected(&error)),
        Err(_) => Err(silent(socket, CONNECT_TIME)),
    }
}

/// What the signer answers, within the deadline.
async fn answer<T>(
    socket: &Path,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(ANSWER_TIME, call).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(not_answered(socket, &status)),
        Err(_) => Err(silent(socket, ANSWER_TIME)),
    }
}

fn unreachable(socket: &Path, what: &str, hint: impl Into<String>) -> Failure {
    let name = socket.display().to_string();
    Failure::new(Class::Unreachable, format!("the signer cannot be reached on {name}: {what}"), hint)
        .in_file(name)
}

fn silent(socket: &Path, time: Duration) -> Failure {
    let what = format!("no answer within {} s", time.as_secs());
    let hint = "What was asked may have been done all the same: look with trstctl-dr keys list before you ask again. If that is silent too, restart the signer.";
    unreachable(socket, &what, hint)
}

fn not_connected(error: &ConnectError) -> Failure {
    let socket = &error.socket;
    let start = format!(
        "Start it: trstctl-signer --keystore DIR --kek FILE --socket {}; or name the socket of the one that runs (--socket, TRSTCTL_SIGNER_SOCKET).",
        socket.display()
    );
    // The signer may hang up while the client is still greeting.
    let Some(cause) = error.io_cause() else { return hung_up(socket, "no greeting") };
    match cause.kind() {
        io::ErrorKind::NotFound => unreachable(socket, "there is no such socket", start),
        io::ErrorKind::ConnectionRefused => {
            unreachable(socket, "the socket is there, and no signer listens on it", start)
        }
        io::ErrorKind::PermissionDenied => {
            let hint = format!(
                "Run this as the signer's user, or start the signer with --allow-uid {} and let that user into the socket's folder.",
                own_uid()
            );
            unreachable(socket, "this user may not open the socket", hint)
        }
        io::ErrorKind::WouldBlock => {
            let hint = "Run the same command again; if it stays, look at what keeps the signer busy, and at who connects to it.";
            unreachable(socket, "more clients wait than the signer has accepted", hint.to_owned())
        }
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => hung_up(socket, &cause.to_string()),
        _ => unreachable(socket, &cause.to_string(), start),
    }
}

fn not_answered(socket: &Path, status: &Status) -> Failure {
    let said: String = status.message().chars().filter(|c| !c.is_control()).collect();
    let word = status.metadata().get(REFUSAL).and_then(|word| word.to_str().ok());
    let Some(word) = word else { return hung_up(socket, &said) };
    let (class, hint) = advice(word);
    Failure::new(class, format!("the signer refuses ({word}): {said}"), hint)
}

fn hung_up(socket: &Path, said: &str) -> Failure {
    let hint = format!(
        "The signer hangs up on users that it was not told of: run this as its user, or start it with --allow-uid {}. Otherwise see what it says on its standard error.",
        own_uid()
    );
    unreachable(socket, &format!("it ended the connection without an answer ({said})"), hint)
}

/// What to do about a refusal, by its word (`signer.proto`).
fn advice(word: &str) -> (Class, &'static str) {
    match word {
        "key_exists" => (
            Class::Usage,
            "No second key was made. If an earlier request with this id had no answer, it has made this key: trstctl-dr keys list shows it.",
        ),
        "unknown_key" => (Class::Usage, "trstctl-dr keys list shows the keys that this signer has."),
        "wrong_purpose" => (
            Class::Usage,
            "trstctl-dr keys list shows what each key is for; that is decided when the key is made.",
        ),
        "bad_request" => (Class::Usage, "Correct what the message names."),
        "wrong_kek" => (
            Class::WrongKey,
            "Start the signer with the KEK that its key store is sealed under, or with another key store.",
        ),
        "unreadable_key" => (
            Class::Refused,
            "trstctl-signer --check says what is wrong with the sealed file; bring it back from its backup.",
        ),
        "unavailable" => (
            Class::Refused,
            "See what the signer says on its standard error: its disk may be full or not writable. Then ask again.",
        ),
        "older_epoch" => (
            Class::Refused,
            "Leave out --epoch: then the newest epoch that the signer knows is taken. A leader of the control plane that gets this must stop.",
        ),
        "crl_number_not_above_last" => (
            Class::Refused,
            "Name the newest CRL that was published with --previous. Where it is lost, or an earlier run had no answer, choose a --number above the last, and --revoke what was revoked since.",
        ),
        "serial_dropped" => (
            Class::Refused,
            "Name the newest CRL that was published with --previous; what it lacks, --revoke.",
        ),
        "no_floor" => (
            Class::Refused,
            "The journal was begun anew and does not know this CA's past: tell it with trstctl-signer floor --ca ID --crl-number N [--serials FILE].",
        ),
        "bad_entry" => (
            Class::Refused,
            "Correct what the message names. A revocation that is yet to come means that this host's clock is behind that of the previous CRL.",
        ),
        "bad_issuer" | "wrong_issuer" => (
            Class::Refused,
            "--issuer must be the certificate of the key that --ca names, and be allowed to sign this.",
        ),
        "bad_validity" => (
            Class::Refused,
            "Choose --days so that what is signed ends within its issuer's validity, and compare the clocks of this host and the signer's.",
        ),
        "bad_name" => (Class::Refused, "Choose another --subject: no CA has the name of its issuer."),
        "wrong_constraints" => (
            Class::Refused,
            "Choose a --path-len below that of the issuer's certificate; with 0 there, it issues no CA.",
        ),
        "serial_used" => (
            Class::Refused,
            "Run the same command again: it chooses another serial at random. Twice is no chance: find out what else signs with this key.",
        ),
        _ => (Class::Refused, "signer/protocol/signer.proto says what each word means."),
    }
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

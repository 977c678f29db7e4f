//! A real signer over a throw-away key store, with a root that signs certificates of servers.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use trstctl_signer_protocol::v1::{
    Algorithm, CertificateKind, GenerateKeyRequest, Key, LeafUsage, Purpose, SignCertificateRequest,
};
use trstctl_signer_protocol::{Client, connect};
use trstctl_tests::signer_binary;

use super::x509::Tbs;

/// A signer has so long to answer first.
const START: Duration = Duration::from_secs(60);

/// The certification authority, and the process that holds its key.
pub struct Authority {
    child: Child,
    folder: tempfile::TempDir,
    runtime: Runtime,
    algorithm: Algorithm,
    serials: Serials,
}

/// Requests that differ in their serial.
#[derive(Clone)]
pub struct Serials {
    last: Arc<AtomicU64>,
    template: Arc<(Tbs, SignCertificateRequest)>,
}

impl Authority {
    /// Starts a signer and makes a root with a key of this algorithm.
    pub fn start(algorithm: Algorithm) -> Self {
        // A socket's path has at most 107 bytes, wherever temporary files go otherwise.
        let folder = tempfile::tempdir_in("/tmp").expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("keystore")).expect("a folder");
        fs::write(path("kek"), [7; 32]).expect("a KEK file");
        fs::set_permissions(path("kek"), fs::Permissions::from_mode(0o400)).expect("its mode");
        let mut command = Command::new(signer_binary());
        command.arg("--keystore").arg(path("keystore")).arg("--kek").arg(path("kek"));
        command.arg("--socket").arg(path("run/signer.sock")).stdout(Stdio::null());
        let child = command.spawn().expect("trstctl-signer starts");
        // One thread: what the client takes of the cores is the signer's loss.
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let serials = runtime.block_on(async {
            let mut client = first_answer(&folder).await;
            root(&mut client, algorithm).await
        });
        Self { child, folder, runtime, algorithm, serials }
    }

    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub async fn clients(&self, number: usize) -> Vec<Client> {
        let mut clients = Vec::new();
        for _ in 0..number {
            clients.push(client(&self.folder).await.expect("the signer answers"));
        }
        clients
    }

    pub fn serials(&self) -> Serials {
        self.serials.clone()
    }

    pub fn request(&self) -> SignCertificateRequest {
        self.serials.request()
    }

    pub fn algorithm_name(&self) -> &'static str {
        match self.algorithm {
            Algorithm::P256 => "P-256",
            Algorithm::P384 => "P-384",
            Algorithm::Rsa3072 => "RSA-3072",
            other => other.as_str_name(),
        }
    }
}

impl Serials {
    /// The next one.
    pub fn request(&self) -> SignCertificateRequest {
        let (template, request) = self.template.as_ref();
        let serial = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        // Sixteen bytes, as a server gives them, the first neither zero nor negative.
        let serial = [&[0x40; 8][..], &serial.to_be_bytes()].concat();
        let tbs = Tbs { serial, ..template.clone() }.der();
        SignCertificateRequest { tbs, ..request.clone() }
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn client(folder: &tempfile::TempDir) -> Option<Client> {
    connect(&folder.path().join("run/signer.sock")).await.ok()
}

async fn first_answer(folder: &tempfile::TempDir) -> Client {
    let begun = Instant::now();
    loop {
        match client(folder).await {
            Some(client) => return client,
            None => assert!(begun.elapsed() < START, "the signer does not answer within {START:?}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn key(client: &mut Client, number: u32, algorithm: Algorithm) -> Key {
    let request = GenerateKeyRequest {
        key_id: format!("{number:08x}-0000-4000-8000-000000000001"),
        algorithm: algorithm.into(),
        purposes: vec![Purpose::Certificates.into()],
    };
    client.generate_key(request).await.expect("a key is made").into_inner()
}

async fn root(client: &mut Client, algorithm: Algorithm) -> Serials {
    let by = key(client, 1, algorithm).await;
    let subject = key(client, 2, Algorithm::P256).await;
    let request = SignCertificateRequest {
        key_id: by.key_id.clone(),
        tbs: Tbs::root(&by).der(),
        epoch: 1,
        kind: CertificateKind::Root.into(),
        ..SignCertificateRequest::default()
    };
    let root = client.sign_certificate(request.clone()).await.expect("a root is signed").into_inner();
    let request = SignCertificateRequest {
        tbs: Vec::new(),
        issuer_certificate: root.certificate,
        kind: CertificateKind::Leaf.into(),
        usages: vec![LeafUsage::ServerAuth.into()],
        ..request
    };
    let leaf = Tbs::leaf(0, "Root", &by, &subject.public_key);
    Serials { last: Arc::default(), template: Arc::new((leaf, request)) }
}

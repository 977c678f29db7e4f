//! A real signer process over a throw-away key store.
#![allow(dead_code, reason = "each test program uses its part")]

pub mod ca;
pub mod disk;
pub mod strace;
pub mod x509;

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use disk::Contents;
use tempfile::TempDir;
use tonic::Status;
use trstctl_signer_protocol::v1::{
    Algorithm, CertificateKind, GenerateKeyRequest, HealthRequest, Key, LeafUsage, PublicKeyRequest, Purpose,
    SignCertificateRequest, SignCrlRequest,
};
use trstctl_signer_protocol::{Client, CrlClient, REFUSAL, connect, connect_for_crls};

/// A key store, its KEK, and room for sockets.
pub struct Site {
    pub folder: TempDir,
}

impl Site {
    pub fn new() -> Self {
        // A socket's path has at most 107 bytes, wherever temporary files go otherwise.
        let site = Self { folder: TempDir::new_in("/tmp").unwrap() };
        std::fs::create_dir(site.keystore()).unwrap();
        site.put_kek(&[7; 32], 0o400);
        site
    }

    /// Another KEK file in place of the one that is there.
    pub fn put_kek(&self, bytes: &[u8], mode: u32) {
        let _ = std::fs::remove_file(self.kek());
        std::fs::write(self.kek(), bytes).unwrap();
        std::fs::set_permissions(self.kek(), Permissions::from_mode(mode)).unwrap();
    }

    /// Gives all of it to a user; only root can.
    pub fn give_to(&self, uid: u32) {
        for path in [self.folder.path().to_owned(), self.keystore(), self.kek()] {
            chown(path, Some(uid), Some(uid)).unwrap();
        }
    }

    pub fn keystore(&self) -> PathBuf {
        self.folder.path().join("keystore")
    }

    pub fn kek(&self) -> PathBuf {
        self.folder.path().join("kek")
    }

    pub fn socket(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("run-{name}")).join("s")
    }

    /// The signer's command for this store.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trstctl-signer"));
        command.arg("--keystore").arg(self.keystore()).arg("--kek").arg(self.kek());
        command
    }

    /// What `--check` says.
    pub fn check(&self) -> Output {
        self.command().arg("--check").output().unwrap()
    }

    /// `trstctl-signer floor` with these further words.
    pub fn floor(&self, words: &[&str]) -> Output {
        self.floor_command(words).output().unwrap()
    }

    pub fn floor_command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trstctl-signer"));
        command.arg("floor").arg("--keystore").arg(self.keystore()).arg("--kek").arg(self.kek());
        command.args(["--by", "Ada", "--reason", "the disk burnt"]).args(words);
        command
    }

    /// `trstctl-signer allow` with these further words.
    pub fn allow(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trstctl-signer"));
        command.arg("allow").args(words).arg("--keystore").arg(self.keystore());
        command.args(["--by", "Ada", "--reason", "rolled back on purpose"]).output().unwrap()
    }

    /// Takes the journal and its head out of the key store, as after a loss.
    pub fn lose_journal(&self) {
        for name in ["journal", "journal.head"] {
            std::fs::rename(self.keystore().join(name), self.folder.path().join(name)).unwrap();
        }
    }

    /// What the key store holds.
    pub fn contents(&self) -> Contents {
        let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        files_of(&self.keystore()).into_iter().map(|(path, bytes)| (name(path), bytes)).collect()
    }

    /// Lets the key store hold this, and nothing else.
    pub fn put_contents(&self, contents: &Contents) {
        std::fs::remove_dir_all(self.keystore()).unwrap();
        std::fs::create_dir(self.keystore()).unwrap();
        for (name, bytes) in contents {
            std::fs::write(self.keystore().join(name), bytes).unwrap();
        }
    }

    pub fn journal_verify(&self) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trstctl-signer"));
        command.args(["journal", "verify", "--keystore"]).arg(self.keystore()).output().unwrap()
    }

    /// Starts a signer and waits until it answers.
    pub async fn start(&self, name: &str) -> Signer {
        self.start_with(name, |_| ()).await
    }

    /// The same, with something about the process changed.
    pub async fn start_with(&self, name: &str, change: impl FnOnce(&mut Command)) -> Signer {
        let mut command = self.command();
        change(&mut command);
        command.arg("--socket");
        let mut signer = self.spawn(name, command);
        signer.answers().await;
        signer
    }

    /// Starts a command that ends in `--socket`, and does not wait.
    pub fn spawn(&self, name: &str, mut command: Command) -> Signer {
        let socket = self.socket(name);
        let child = command.arg(&socket).stderr(Stdio::inherit()).spawn().unwrap();
        Signer { child, socket }
    }
}

/// A running signer; killed on drop.
pub struct Signer {
    pub child: Child,
    pub socket: PathBuf,
}

impl Signer {
    async fn answers(&mut self) {
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while !self.is_healthy().await {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the signer ended with {status}");
            }
            assert!(std::time::Instant::now() < deadline, "the signer does not answer within a minute");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until somebody listens on the socket.
    pub async fn listens(&self) {
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while tokio::net::UnixStream::connect(&self.socket).await.is_err() {
            assert!(std::time::Instant::now() < deadline, "nobody listens within a minute");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn is_healthy(&self) -> bool {
        match connect(&self.socket).await {
            Ok(mut client) => client.health(HealthRequest {}).await.is_ok(),
            Err(_) => false,
        }
    }

    pub async fn client(&self) -> Client {
        connect(&self.socket).await.unwrap()
    }

    pub async fn crl_client(&self) -> CrlClient {
        connect_for_crls(&self.socket).await.unwrap()
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The id of the nth key of a test.
pub fn id(number: u32) -> String {
    format!("{number:08x}-0000-4000-8000-000000000001")
}

pub async fn generate(client: &mut Client, id: &str, algorithm: Algorithm) -> Result<Key, Status> {
    let purposes = vec![Purpose::Certificates.into(), Purpose::Crls.into()];
    let request = GenerateKeyRequest { key_id: id.to_owned(), algorithm: algorithm.into(), purposes };
    Ok(client.generate_key(request).await?.into_inner())
}

pub async fn public_key(client: &mut Client, id: &str) -> Result<Key, Status> {
    Ok(client.public_key(PublicKeyRequest { key_id: id.to_owned() }).await?.into_inner())
}

/// A request for a root.
pub fn root_request(key: &Key, tbs: Vec<u8>) -> SignCertificateRequest {
    let kind = CertificateKind::Root.into();
    SignCertificateRequest { key_id: key.key_id.clone(), tbs, kind, epoch: 1, ..Default::default() }
}

pub fn intermediate_request(key: &Key, issuer: &[u8], tbs: Vec<u8>) -> SignCertificateRequest {
    let kind = CertificateKind::Intermediate.into();
    SignCertificateRequest { kind, issuer_certificate: issuer.to_vec(), ..root_request(key, tbs) }
}

/// A request for a server's certificate.
pub fn leaf_request(key: &Key, issuer: &[u8], tbs: Vec<u8>) -> SignCertificateRequest {
    let (kind, usages) = (CertificateKind::Leaf.into(), vec![LeafUsage::ServerAuth.into()]);
    SignCertificateRequest { kind, usages, issuer_certificate: issuer.to_vec(), ..root_request(key, tbs) }
}

pub fn crl_request(key: &Key, issuer: &[u8], tbs: Vec<u8>) -> SignCrlRequest {
    SignCrlRequest { key_id: key.key_id.clone(), tbs, issuer_certificate: issuer.to_vec(), epoch: 1 }
}

pub async fn certificate(client: &mut Client, request: SignCertificateRequest) -> Result<Vec<u8>, Status> {
    Ok(client.sign_certificate(request).await?.into_inner().certificate)
}

pub async fn crl(client: &mut CrlClient, request: SignCrlRequest) -> Result<Vec<u8>, Status> {
    Ok(client.sign_crl(request).await?.into_inner().crl)
}

/// What a command printed.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// The word that names a refusal.
pub fn refusal(status: &Status) -> String {
    let word = status.metadata().get(REFUSAL).unwrap_or_else(|| panic!("no word names it: {status:?}"));
    word.to_str().unwrap().to_owned()
}

/// All files of a folder, with their bytes.
pub fn files_of(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
    files.sort();
    files
}

//! The demo's CA: the host of its signer is lost, and it goes on from the sealed key store and the KEK, brought from separate places.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};
use trstctl_formats::{Class, Failure};
use trstctl_recovery::authority::{
    Algorithm, CaCertificate, CaOptions, Crl, CrlOptions, Purpose, Revocation, Signer, sign_crl, sign_root,
};
use trstctl_recovery::match_matrix::{AtHand, Verdict, examine};
use trstctl_recovery::output;
use trstctl_recovery::progress::Phases;
use uuid::Uuid;

use crate::commands::Context;
use crate::commands::keys::signer_program;

/// The KEKs of the demo: the right one and another. The length of real ones, and no secret.
const KEK: [u8; 32] = *b"the KEK of a demo, and no secret";
const OTHER_KEK: [u8; 32] = *b"another KEK of a demo, no secret";

/// A serial that is revoked before the disaster.
const REVOKED: &str = "4242424242424242";

/// Names in the folder of a running signer.
const SOCKET: &str = "run/s";
const LOG: &str = "log";

/// A signer has so long to answer first.
const START: Duration = Duration::from_secs(30);

/// Between two looks whether it does.
const PAUSE: Duration = Duration::from_millis(10);

/// The CA, as far as the world knows it.
pub struct Authority {
    places: Places,
    key: Uuid,
    certificate: CaCertificate,
    crl: Crl,
}

/// Where its parts are.
struct Places {
    folder: PathBuf,
}

/// What the recovery has shown.
pub struct Recovered {
    /// What was said of the wrong KEK.
    pub wrong_kek: String,
    /// Whether nothing was written then.
    pub untouched: bool,
    /// Number of the last CRL before the disaster.
    pub last_number: u64,
    /// Number of the next one.
    pub next_number: u64,
    /// Whether the next one revokes what the last one did.
    pub keeps_revoked: bool,
}

impl Authority {
    /// Makes a CA that has published a CRL, backs its key store up, and loses it with its host.
    pub fn make_and_lose(context: &Context, folder: &Path) -> Result<Self, Failure> {
        let places = Places { folder: folder.join("ca") };
        places.make().map_err(|error| output::failed("the demo's key store", &error))?;
        let signer = Running::start(&places)?;
        let key = Uuid::new_v4();
        let (certificate, crl) = context.run(async {
            let mut signer = signer.connect().await?;
            signer.generate(key, Algorithm::P256, &[Purpose::Certificates, Purpose::Crls]).await?;
            let options = CaOptions {
                subject: "CN=Demo Root".parse()?,
                lifetime_days: None,
                path_len: None,
                epoch: None,
            };
            let certificate = sign_root(&mut signer, key, &options, Timestamp::now()).await?;
            let first = CrlOptions { revoke: vec![revoked()], ..next_after(None) };
            let crl = sign_crl(&mut signer, key, &certificate, &first, Timestamp::now()).await?;
            Ok((certificate, crl))
        })?;
        drop(signer);
        places.lose().map_err(|error| output::failed("the demo's key store", &error))?;
        Ok(Self { places, key, certificate, crl })
    }

    /// Brings it back: a wrong KEK first, then the right one, and the next CRL.
    pub fn recover(&self, context: &Context) -> Result<Recovered, Failure> {
        let failed = |error| output::failed("the demo's key store", &error);
        self.places.bring_back().map_err(failed)?;
        let before = self.places.content().map_err(failed)?;
        let wrong_kek = self.wrong_kek(context)?;
        let untouched = self.places.content().map_err(failed)? == before;
        let signer = Running::start(&self.places)?;
        let next = context.run(async {
            let options = next_after(Some(self.crl.clone()));
            let mut signer = signer.connect().await?;
            sign_crl(&mut signer, self.key, &self.certificate, &options, Timestamp::now()).await
        })?;
        Ok(Recovered {
            wrong_kek,
            untouched,
            last_number: self.crl.number(),
            next_number: next.number(),
            keeps_revoked: next.revoked() == self.crl.revoked(),
        })
    }

    /// What the match matrix says of the wrong KEK.
    fn wrong_kek(&self, context: &Context) -> Result<String, Failure> {
        let at_hand = AtHand {
            signer: signer_program(),
            keystore: self.places.keystore(),
            kek: self.places.path("other-kek"),
            ..AtHand::default()
        };
        let mut phases = Phases::new(context.progress.clone());
        let lines = examine(&at_hand, &mut phases)?.lines;
        let line = lines.into_iter().find(|line| line.verdict == Verdict::Failed);
        line.map(|line| format!("KEK {}: {}", line.subject, line.found)).ok_or_else(|| {
            let hint = "Do not use this program; report this.";
            Failure::new(Class::Internal, "a key store was taken for one under another KEK", hint)
        })
    }
}

impl Recovered {
    /// What must hold, and whether it does.
    pub fn checks(&self) -> [(String, bool); 2] {
        let continues = self.next_number == self.last_number + 1 && self.keeps_revoked;
        [
            (String::from("a wrong KEK was named before anything was written"), self.untouched),
            (
                format!(
                    "the CA came back: CRL {} follows CRL {}, and keeps what it revoked",
                    self.next_number, self.last_number
                ),
                continues,
            ),
        ]
    }

    /// The same for machines.
    pub fn json(&self) -> Value {
        json!({ "wrong_kek": self.wrong_kek, "last_crl_number": self.last_number, "next_crl_number": self.next_number })
    }
}

fn revoked() -> Revocation {
    REVOKED.parse().expect("a serial")
}

fn next_after(previous: Option<Crl>) -> CrlOptions {
    CrlOptions { previous, revoke: Vec::new(), number: None, lifetime_days: 7, epoch: None }
}

impl Places {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn keystore(&self) -> PathBuf {
        self.path("keystore")
    }

    fn make(&self) -> std::io::Result<()> {
        for folder in [self.folder.clone(), self.keystore(), self.path("saved")] {
            fs::create_dir(&folder)?;
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        }
        for (name, kek) in [("kek", KEK), ("other-kek", OTHER_KEK)] {
            fs::write(self.path(name), kek)?;
            fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o400))?;
        }
        Ok(())
    }

    fn lose(&self) -> std::io::Result<()> {
        copy(&self.keystore(), &self.path("saved"))?;
        fs::remove_dir_all(self.keystore())
    }

    fn bring_back(&self) -> std::io::Result<()> {
        fs::create_dir(self.keystore())?;
        copy(&self.path("saved"), &self.keystore())
    }

    /// All files of the key store, with their bytes.
    fn content(&self) -> std::io::Result<Vec<(PathBuf, Vec<u8>)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(self.keystore())? {
            let path = entry?.path();
            files.push((path.clone(), fs::read(path)?));
        }
        files.sort();
        Ok(files)
    }
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// A signer under way; ends with this program, and when dropped.
struct Running {
    child: Child,
    /// A socket's path has 107 bytes at most, wherever temporary files go.
    folder: tempfile::TempDir,
}

impl Running {
    fn start(places: &Places) -> Result<Self, Failure> {
        let folder = tempfile::tempdir_in("/tmp").map_err(|error| output::failed("/tmp", &error))?;
        let log = File::create(folder.path().join(LOG)).map_err(|error| output::failed("/tmp", &error))?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(signer_program());
        command.arg("--keystore").arg(places.keystore()).arg("--kek").arg(places.path("kek"));
        let command =
            command.arg("--socket").arg(folder.path().join(SOCKET)).stdin(Stdio::null()).stderr(log);
        let child = command.spawn().map_err(|error| no_answer(&error.to_string()))?;
        Ok(Self { child, folder })
    }

    async fn connect(&self) -> Result<Signer, Failure> {
        let begun = Instant::now();
        loop {
            match Signer::connect(&self.folder.path().join(SOCKET)).await {
                Ok(signer) => return Ok(signer),
                Err(_) if begun.elapsed() < START => tokio::time::sleep(PAUSE).await,
                Err(_) => {
                    let said = fs::read_to_string(self.folder.path().join(LOG)).unwrap_or_default();
                    return Err(no_answer(&said));
                }
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already, or ends now; nothing of it is needed any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn no_answer(said: &str) -> Failure {
    let hint = "Put trstctl-signer of the same release beside trstctl-dr, or into PATH.";
    let message = format!("the demo's signer does not answer: {}", said.trim());
    Failure::new(Class::Unreachable, message, hint)
}

//! A real `trstctl-signer` over a throw-away key store.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::program::{Run, program, signer_binary};
use crate::running::pause;

/// No signer takes longer to answer, on a machine however loaded.
const DEADLINE: Duration = Duration::from_secs(60);

/// A folder with a key store and its KEK, and the signer that runs over them; killed on drop.
pub struct Signer {
    folder: TempDir,
    child: Option<Child>,
}

impl Signer {
    /// Starts one over an empty key store.
    pub fn start() -> Self {
        // A socket's path has at most 107 bytes, wherever temporary files go otherwise.
        let folder = TempDir::new_in("/tmp").expect("a temporary folder");
        fs::create_dir(folder.path().join("keystore")).expect("a folder for keys");
        let kek = folder.path().join("kek");
        fs::write(&kek, [7; 32]).expect("a KEK is written");
        fs::set_permissions(&kek, Permissions::from_mode(0o400)).expect("its mode is set");
        let mut signer = Self { folder, child: None };
        signer.start_again();
        signer
    }

    /// Starts it over what the folder holds, and waits until it listens.
    pub fn start_again(&mut self) {
        self.stop();
        let mut command = self.command();
        command.arg("--kek").arg(self.path("kek")).arg("--socket").arg(self.socket());
        self.child = Some(command.stdin(Stdio::null()).spawn().expect("trstctl-signer starts"));
        let start = Instant::now();
        while UnixStream::connect(self.socket()).is_err() {
            assert!(start.elapsed() < DEADLINE, "no signer listens within {DEADLINE:?}");
            pause();
        }
    }

    /// Kills it.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let _ = child.kill();
        let _ = child.wait();
    }

    /// A signer's command for this key store.
    pub fn command(&self) -> Command {
        let mut command = Command::new(signer_binary());
        command.arg("--keystore").arg(self.path("keystore"));
        command
    }

    /// A path in its folder, which is also the one that runs of `trstctl-dr` begin in.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.path("run").join("s")
    }

    /// `trstctl-dr keys` with these arguments, told of the socket by the environment.
    pub fn keys(&self, arguments: &[&str]) -> Run {
        let mut command = program();
        command.current_dir(self.folder.path()).env("TRSTCTL_SIGNER_SOCKET", self.socket()).arg("keys");
        Run::of(command.args(arguments))
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        self.stop();
    }
}

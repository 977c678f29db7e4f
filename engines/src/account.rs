//! The unprivileged account that PostgreSQL runs as when we are root, because it refuses root.

use std::{os::unix::fs::chown, path::Path, process::Command};

use crate::EngineError;

/// Accounts tried, in this order; the Debian package creates the first.
const NAMES: [&str; 2] = ["postgres", "nobody"];

/// Who runs an engine: ourselves, or (for root only) another user.
#[derive(Debug, Clone)]
pub struct Account {
    other: Option<Other>,
}

#[derive(Debug, Clone)]
struct Other {
    name: String,
    uid: u32,
    gid: u32,
}

impl Account {
    /// The process's own account.
    pub fn own() -> Account {
        Account { other: None }
    }

    /// The process's own account, or for root an unprivileged one.
    pub fn unprivileged() -> Account {
        if !rustix::process::geteuid().is_root() {
            return Account::own();
        }
        Account { other: NAMES.iter().find_map(|name| Other::look_up(name)) }
    }

    /// Makes this account the owner of `path`.
    pub fn own_path(&self, path: &Path) -> Result<(), EngineError> {
        match &self.other {
            Some(other) => {
                chown(path, Some(other.uid), Some(other.gid)).map_err(EngineError::io("giving away", path))
            }
            None => Ok(()),
        }
    }

    /// Mode of a folder that is ours but that this account must be able to pass.
    pub fn passable_mode(&self) -> u32 {
        if self.other.is_some() { 0o711 } else { 0o700 }
    }

    /// The words that, put before a command, make `setpriv` run it as this account.
    pub fn setpriv_options(&self) -> Vec<String> {
        let Some(other) = &self.other else { return Vec::new() };
        ["--reuid", &other.uid.to_string(), "--regid", &other.gid.to_string(), "--clear-groups"]
            .map(String::from)
            .into()
    }

    /// `setpriv` that goes on to run, as this account, the command whose words are added.
    fn setpriv(&self) -> Command {
        let mut setpriv = Command::new("setpriv");
        setpriv.args(self.setpriv_options()).arg("--").current_dir("/");
        setpriv
    }

    /// Names the first folder on the way to `path` (itself included) that this account cannot enter.
    pub fn check_traversable(&self, path: &Path) -> Result<(), EngineError> {
        let Some(other) = &self.other else { return Ok(()) };
        let mut folders: Vec<&Path> = path.ancestors().collect();
        folders.reverse();
        for folder in folders {
            let enters = self.setpriv().args(["test", "-x"]).arg(folder).status();
            if !enters.map_err(EngineError::io("running", "setpriv"))?.success() {
                return Err(EngineError::Untraversable {
                    folder: folder.to_owned(),
                    account: other.name.clone(),
                });
            }
        }
        Ok(())
    }
}

impl Other {
    fn look_up(name: &str) -> Option<Other> {
        let id = |option| {
            let output = Command::new("id").args([option, name]).output().ok()?;
            String::from_utf8(output.stdout).ok()?.trim().parse().ok()
        };
        Some(Other { name: name.to_owned(), uid: id("-u")?, gid: id("-g")? })
    }
}

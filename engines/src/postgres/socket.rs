//! The Unix socket: in a short private folder, so that only its owner and root connect.

use std::{
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::SUPERUSER;
use crate::{EngineError, Version, account::Account, folder::Folder};

/// Longest path of a Unix socket, in bytes.
const PATH_MAX: usize = 107;

/// Where a server is reached, for another process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Address {
    pub socket_dir: PathBuf,
    pub port: u16,
    pub version: Version,
}

impl Address {
    pub fn dsn(&self, database: &str) -> String {
        format!("host={} port={} user={SUPERUSER} dbname={database}", self.socket_dir.display(), self.port)
    }

    pub fn socket(&self) -> PathBuf {
        self.socket_dir.join(format!(".s.PGSQL.{}", self.port))
    }
}

/// A short private folder for the socket, unless the engine's own folder is one.
pub fn folder(engine: &Folder, account: &Account) -> Result<Option<Folder>, EngineError> {
    if engine.is_throwaway() && fits(engine.path()) {
        return Ok(None);
    }
    let temporary = Folder::throwaway_in(&std::env::temp_dir(), account)?;
    match fits(temporary.path()) {
        true => Ok(Some(temporary)),
        false => Folder::throwaway_in(Path::new("/tmp"), account).map(Some),
    }
}

/// Short enough, and without characters that a connection string or a setting would need quotes for.
fn fits(folder: &Path) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-".contains(byte);
    let socket = folder.join(".s.PGSQL.65535").into_os_string().into_vec();
    socket.len() <= PATH_MAX && socket.iter().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_folder_is_short_and_needs_no_quotes() {
        assert!(fits(Path::new("/tmp/trstctl-engine-Ab_9")));
        assert!(!fits(Path::new("/tmp/with space")));
        let longest = "/".to_owned() + &"x".repeat(PATH_MAX - 1 - "/.s.PGSQL.65535".len());
        assert!(fits(Path::new(&longest)));
        assert!(!fits(Path::new(&(longest + "x"))));
    }
}

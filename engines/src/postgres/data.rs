//! Making PostgreSQL's data on first use, and recognising it later.
//!
//! initdb works in a folder beside, which gets its name when it is complete: one that was killed is begun again.

use std::{ffi::OsString, fs, io::ErrorKind, path::Path, time::Duration};

use super::{Postgres, SUPERUSER};
use crate::{EngineError, chance, folder};

const HBA: &str = "# The socket's folder is open to its owner (and root) only; the port asks for the generated password.\n\
                   local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";

impl Postgres {
    /// Makes the data unless it is there: UTF-8, locale C, and a random password for the port.
    pub(super) fn create_data(&self) -> Result<(), EngineError> {
        if self.cluster_dir().exists() {
            return Ok(());
        }
        folder::write_private(&self.password_path(), (chance::secret() + "\n").as_bytes())?;
        self.account.own_path(&self.password_path())?;
        let unfinished = self.folder.path().join("cluster.new");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).map_err(EngineError::io("removing", &unfinished))?;
        }
        fs::create_dir(&unfinished).map_err(EngineError::io("creating", &unfinished))?;
        self.account.own_path(&unfinished)?;
        self.initdb(&unfinished)?;
        let hba = unfinished.join("pg_hba.conf");
        fs::write(&hba, HBA).map_err(EngineError::io("writing", &hba))?;
        fs::rename(&unfinished, self.cluster_dir()).map_err(EngineError::io("renaming", &unfinished))
    }

    fn initdb(&self, into: &Path) -> Result<(), EngineError> {
        let mut command: Vec<OsString> = vec![self.program("initdb").into(), "-D".into(), into.into()];
        command.extend(["--pwfile".into(), self.password_path().into(), "-U".into(), SUPERUSER.into()]);
        command.extend(["--encoding=UTF8", "--locale=C", "--auth=scram-sha-256"].map(OsString::from));
        command.extend(self.folder.is_throwaway().then(|| "--no-sync".into()));
        let initdb = self.supervise("initdb", command)?;
        let end =
            initdb.wait_ready(self.options.ready_within.max(INITDB), || Err("it still runs".to_owned()));
        initdb.stop_and_keep();
        match end {
            Err(EngineError::Ended { tail, .. }) if tail.contains("Success.") => Ok(()),
            other => other,
        }
    }
}

/// Longest time that initdb takes: it syncs a thousand files, one after the other.
const INITDB: Duration = Duration::from_secs(300);

/// The major version that made the data in `cluster`, when there is any: no other can serve it.
pub fn existing_major(cluster: &Path) -> Result<Option<u32>, EngineError> {
    let path = cluster.join("PG_VERSION");
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim().parse().ok()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(EngineError::Io { what: "reading", path, source }),
    }
}

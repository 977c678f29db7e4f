//! The folder of one engine: throw-away or lasting, and locked.
//!
//! The lock is an flock on a file `lock` in the folder. It is handed on to the supervisor and to the engine (the same
//! open file), so it is free only when nobody is left who could write into the folder.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Once,
    time::{Duration, Instant},
};

use crate::{EngineError, account::Account};

const PREFIX: &str = "trstctl-engine-";
const LOCK: &str = "lock";
const POLL: Duration = Duration::from_millis(20);

/// Where an engine keeps its data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Data {
    /// In a new folder under the system's temporary folder, removed with the engine however that ends.
    #[default]
    Throwaway,
    /// In this folder, which is created if need be and stays.
    Dir(PathBuf),
}

/// A folder that we hold.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    lock: Lock,
    throwaway: bool,
}

impl Folder {
    /// Creates or opens the folder that `data` names, for `account` to work in, waiting up to `patience` for an engine in
    /// it that is just ending.
    pub fn open(data: &Data, account: &Account, patience: Duration) -> Result<Folder, EngineError> {
        match data {
            Data::Throwaway => Folder::throwaway_in(&std::env::temp_dir(), account),
            Data::Dir(path) => Folder::lasting(path, account, patience),
        }
    }

    /// A new folder of `account` under `parent`, to be removed by the supervisor of the engine in it.
    pub fn throwaway_in(parent: &Path, account: &Account) -> Result<Folder, EngineError> {
        sweep_once(parent);
        let private = fs::Permissions::from_mode(0o700);
        let create = tempfile::Builder::new().prefix(PREFIX).permissions(private).tempdir_in(parent);
        let path = create.map_err(EngineError::io("creating a folder in", parent))?.keep();
        // Locked before it has its name: a sweep never sees it free.
        let unnamed = path.join("lock.new");
        let lock = Lock::take(&unnamed, Duration::ZERO)?;
        fs::rename(&unnamed, path.join(LOCK)).map_err(EngineError::io("renaming", &unnamed))?;
        let folder = Folder { path, lock, throwaway: true };
        account.own_path(folder.path())?;
        account.check_traversable(folder.path())?;
        Ok(folder)
    }

    fn lasting(path: &Path, account: &Account, patience: Duration) -> Result<Folder, EngineError> {
        let path = create(path, account)?;
        let lock = Lock::take(&path.join(LOCK), patience)?;
        Ok(Folder { path, lock, throwaway: false })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn lock(&self) -> &Lock {
        &self.lock
    }

    /// What the supervisor is to remove at the end.
    pub fn to_remove(&self) -> Option<&Path> {
        self.throwaway.then_some(&self.path)
    }

    pub fn is_throwaway(&self) -> bool {
        self.throwaway
    }
}

impl Drop for Folder {
    /// Only what no supervisor has removed already: an engine that never started, or was stopped to be restarted.
    fn drop(&mut self) {
        if self.throwaway {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Creates `path` and its parents, if they are not there, for this user alone, but so that `account` can pass. Returns the
/// absolute path.
pub fn create(path: &Path, account: &Account) -> Result<PathBuf, EngineError> {
    let mut builder = DirBuilder::new();
    let created = builder.recursive(true).mode(account.passable_mode()).create(path);
    created.map_err(EngineError::io("creating", path))?;
    let path = path.canonicalize().map_err(EngineError::io("opening", path))?;
    account.check_traversable(&path)?;
    Ok(path)
}

/// Writes a file that only this user can read, whatever the file was before.
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), EngineError> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    let protected =
        file.and_then(|file| file.set_permissions(fs::Permissions::from_mode(0o600)).map(|()| file));
    protected.and_then(|mut file| file.write_all(content)).map_err(EngineError::io("writing", path))
}

/// A lock on a folder, held until every copy of it is closed.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Takes the lock at `path`, waiting up to `patience` for it.
    pub fn take(path: &Path, patience: Duration) -> Result<Lock, EngineError> {
        let start = Instant::now();
        loop {
            match Lock::try_take(path).map_err(EngineError::io("locking", path))? {
                Some(lock) => return Ok(lock),
                None if start.elapsed() >= patience => {
                    return Err(EngineError::Held { path: path.parent().unwrap_or(path).to_owned() });
                }
                None => crate::poll::pause(POLL),
            }
        }
    }

    /// Takes the lock at `path` unless another process holds it.
    pub fn try_take(path: &Path) -> io::Result<Option<Lock>> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// The same lock for a child process.
    pub fn inherit(&self) -> Result<Stdio, EngineError> {
        Ok(self.0.try_clone().map_err(EngineError::io("sharing the lock", LOCK))?.into())
    }
}

/// Removes, once in a process, throw-away folders that a killed supervisor or a crashed machine left behind.
fn sweep_once(parent: &Path) {
    static SWEPT: Once = Once::new();
    SWEPT.call_once(|| sweep(parent));
}

fn sweep(parent: &Path) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        let lock = entry.path().join(LOCK);
        if lock.exists() && matches!(Lock::try_take(&lock), Ok(Some(_))) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_removes_folders_whose_lock_is_free_and_no_others() {
        let parent = tempfile::tempdir().unwrap();
        let held = Folder::throwaway_in(parent.path(), &Account::own()).unwrap();
        let left_over = parent.path().join(format!("{PREFIX}left-over"));
        let just_created = parent.path().join(format!("{PREFIX}just-created"));
        let foreign = parent.path().join("foreign");
        for folder in [&left_over, &just_created, &foreign] {
            fs::create_dir(folder).unwrap();
        }
        assert_eq!(held.path().metadata().unwrap().permissions().mode() & 0o077, 0);
        fs::write(left_over.join(LOCK), "").unwrap();
        fs::write(foreign.join(LOCK), "").unwrap();
        sweep(parent.path());
        assert!(held.path().exists() && just_created.exists() && foreign.exists());
        assert!(!left_over.exists());
    }

    #[test]
    fn a_folder_is_held_as_long_as_a_child_process_has_its_lock() {
        let parent = tempfile::tempdir().unwrap();
        let data = Data::Dir(parent.path().join("data"));
        let folder = Folder::open(&data, &Account::own(), Duration::ZERO).unwrap();
        let command = std::process::Command::new("cat")
            .stdin(Stdio::piped())
            .stderr(folder.lock().inherit().unwrap())
            .spawn();
        let mut child = command.unwrap();
        drop(folder);
        let error = Folder::open(&data, &Account::own(), Duration::ZERO).unwrap_err();
        assert!(matches!(&error, EngineError::Held { path } if path.ends_with("data")), "{error}");
        drop(child.stdin.take());
        child.wait().unwrap();
        // A child that another test starts has it too, until it is a program of its own.
        Folder::open(&data, &Account::own(), Duration::from_secs(60)).unwrap();
    }

    #[test]
    fn a_folder_that_the_unprivileged_account_cannot_enter_is_named() {
        if !rustix::process::geteuid().is_root() {
            return; // The account is our own then, and enters what it can create.
        }
        let closed = tempfile::tempdir().unwrap();
        fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let data = Data::Dir(closed.path().join("a/b"));
        let error = Folder::open(&data, &Account::unprivileged(), Duration::ZERO).unwrap_err();
        assert!(
            matches!(&error, EngineError::Untraversable { folder, .. } if folder == closed.path()),
            "{error}"
        );
    }
}

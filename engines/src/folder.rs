//! The folder of one engine: throw-away or lasting, and locked.
//!
//! The lock is an flock on a file `lock` in the folder. It is handed on to the supervisor and to the engine (the same
//! open file), so it is free only when nobody is left who could write into the folder.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Once,
    time::{Duration, Instant},
};

use crate::EngineError;

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
    /// Creates or opens the folder that `data` names, waiting up to `patience` for an engine in it that is just ending.
    pub fn open(data: &Data, patience: Duration) -> Result<Folder, EngineError> {
        match data {
            Data::Throwaway => Folder::throwaway_in(&std::env::temp_dir()),
            Data::Dir(path) => Folder::lasting(path, patience),
        }
    }

    /// A new folder under `parent`, to be removed by the supervisor of the engine in it.
    pub fn throwaway_in(parent: &Path) -> Result<Folder, EngineError> {
        sweep_once(parent);
        let create = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent);
        let path = create.map_err(EngineError::io("creating a folder in", parent))?.keep();
        // Locked before it has its name: a sweep never sees it free.
        let unnamed = path.join("lock.new");
        let lock = Lock::take(&unnamed, Duration::ZERO)?;
        fs::rename(&unnamed, path.join(LOCK)).map_err(EngineError::io("renaming", &unnamed))?;
        Ok(Folder { path, lock, throwaway: true })
    }

    fn lasting(path: &Path, patience: Duration) -> Result<Folder, EngineError> {
        create_private(path)?;
        let path = path.canonicalize().map_err(EngineError::io("opening", path))?;
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

/// Creates `path` and its parents for this user alone, if they are not there.
pub fn create_private(path: &Path) -> Result<(), EngineError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(EngineError::io("creating", path))
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
                None => std::thread::sleep(POLL),
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

//! The inputs that a target starts from: the files of its folder, and for whole backups the vectors of the format.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::Target;

/// The folder of this crate.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Inputs with the names of their files, in the order of those.
pub struct Corpus {
    /// Path and content of each.
    pub inputs: Vec<(PathBuf, Vec<u8>)>,
}

impl Corpus {
    /// Reads all inputs of a target.
    ///
    /// # Errors
    /// When a folder or a file cannot be read.
    pub fn read(target: &Target) -> io::Result<Self> {
        let mut inputs = files_of(&folder().join("corpus").join(target.name))?;
        if let Some(version) = target.name.strip_prefix("whole_") {
            let vectors = files_of(&folder().join("../formats/tests/vectors"))?;
            let mark = format!("-{version}-");
            let fitting = |path: &Path| path.to_str().is_some_and(|name| name.contains(&mark));
            inputs.extend(vectors.into_iter().filter(|(path, _)| fitting(path)));
        }
        Ok(Self { inputs })
    }
}

fn files_of(folder: &Path) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| path.is_file());
    paths.sort();
    paths.into_iter().map(|path| fs::read(&path).map(|bytes| (path, bytes))).collect()
}

//! An input that a target failed on: saved, so that it can be repeated, mended and kept.

use std::path::PathBuf;
use std::{fmt, fs, io};

use sha2::{Digest as _, Sha256};

use crate::{Target, corpus};

/// An input that a target failed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The target's name.
    pub target: &'static str,
    /// The input.
    pub input: Vec<u8>,
    /// What the target said, or that it took too long.
    pub why: String,
}

impl Finding {
    pub(crate) fn new(target: &Target, input: &[u8], why: impl Into<String>) -> Self {
        Self { target: target.name, input: input.to_vec(), why: why.into() }
    }

    /// Saves the input below `artifacts/` and answers where.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self) -> io::Result<PathBuf> {
        let folder = corpus::folder().join("artifacts").join(self.target);
        fs::create_dir_all(&folder)?;
        let path = folder.join(hex::encode(&Sha256::digest(&self.input)[..8]));
        fs::write(&path, &self.input)?;
        Ok(path)
    }

    /// The finding for a person: what, where the input is, how to repeat it.
    pub fn report(&self) -> String {
        match self.save() {
            Ok(path) => format!(
                "{self}\nThe input is {path}; repeat it with\n  cargo run -p trstctl-fuzz -- {target} {path}\nMend the cause, then move \
                 the file to fuzz/corpus/{target}/ under a name that says what it shows.",
                path = path.display(),
                target = self.target
            ),
            Err(error) => {
                format!("{self}\nThe input could not be saved ({error}): {}", self.input.escape_ascii())
            }
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed on an input of {} bytes: {}", self.target, self.input.len(), self.why)
    }
}

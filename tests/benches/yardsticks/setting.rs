//! How large the measurements are, and where their files lie.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Sizes, from the environment, so that `make bench EVENTS=100000` is enough for a quick look.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Setting {
    /// Events of the rows about log and read model: `EVENTS`, 1,000,000 when not set.
    pub events: u64,
    /// Size in GB of the backup of the rows about speed of verify: `GB`, 2.
    pub gb: f64,
    /// Sizes in GB of the rows about memory: `SIZES`, separated by spaces, `0.1 1 10`.
    pub sizes_gb: Vec<f64>,
    /// Rounds in which yardstick and program take turns: `ROUNDS`, 5.
    pub rounds: usize,
    #[serde(skip)]
    folder: PathBuf,
}

impl Setting {
    pub fn from_environment() -> Self {
        let sizes = std::env::var("SIZES").unwrap_or_default();
        let sizes = if sizes.trim().is_empty() { "0.1 1 10" } else { &sizes };
        Self {
            events: number("EVENTS", 1_000_000.0) as u64,
            gb: number("GB", 2.0),
            sizes_gb: sizes.split_whitespace().map(|size| parsed("SIZES", size)).collect(),
            rounds: number("ROUNDS", 5.0) as usize,
            folder: Path::new(env!("CARGO_TARGET_TMPDIR")).join("yardsticks"),
        }
    }

    /// A file of this name, made when it is missing: it serves several rows, and the next run.
    pub fn file(&self, name: &str, make: impl FnOnce(&Path)) -> PathBuf {
        let path = self.folder.join(name);
        if !path.exists() {
            std::fs::create_dir_all(&self.folder).expect("a folder below target/");
            let partial = self.folder.join(format!("{name}.partial"));
            make(&partial);
            std::fs::rename(&partial, &path).expect("a rename within a folder");
        }
        path
    }
}

fn number(variable: &str, default: f64) -> f64 {
    match std::env::var(variable) {
        Ok(text) if !text.is_empty() => parsed(variable, &text),
        _ => default,
    }
}

fn parsed(variable: &str, text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("{variable}: {text:?} is no number"))
}

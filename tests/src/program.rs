//! Runs of `trstctl-dr` as its own process.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;

/// `trstctl-dr`.
pub fn binary() -> PathBuf {
    built().join("trstctl-dr")
}

/// `trstctl-signer`.
pub fn signer_binary() -> PathBuf {
    built().join("trstctl-signer")
}

/// `make test` says by this variable that its run has built the programs already, which it does with all tests.
const ARE_BUILT: &str = "TRSTCTL_PROGRAMS_ARE_BUILT";

/// The folder of both programs, which use each other: built once if the test run has not built them.
fn built() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        if std::env::var_os(ARE_BUILT).is_none() {
            build();
        }
        let test = std::env::current_exe().expect("a test has a path");
        // target/debug/deps/test-… lies two folders below the programs'.
        test.ancestors().nth(2).expect("a test lies in target/<profile>/deps").to_owned()
    })
}

fn build() {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--locked", "-p", "trstctl-dr", "-p", "trstctl-signer"]);
    // What cargo tells this test about its own package would make some dependencies build again, and once more after.
    let of_this_package = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_", "CARGO_PRIMARY_"];
    for (name, _) in std::env::vars_os() {
        if of_this_package.iter().any(|beginning| name.to_string_lossy().starts_with(beginning)) {
            build.env_remove(name);
        }
    }
    // Benchmarks measure the optimised programs.
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    assert!(build.status().expect("cargo runs").success(), "the programs do not build");
}

/// The program with an environment of its own: nothing of the developer's settings reaches it.
pub fn program() -> Command {
    let mut command = Command::new(binary());
    command.env_clear();
    for name in ["PATH", "HOME", "TMPDIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// What a run printed, and how it ended.
#[derive(Debug)]
pub struct Run {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Run {
    /// Runs the command to its end.
    pub fn of(command: &mut Command) -> Self {
        Self::from(command.output().expect("the program starts"))
    }

    /// The same, and it must succeed.
    #[track_caller]
    pub fn succeed(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// The same, and it must fail with this exit code and class.
    #[track_caller]
    pub fn fail(self, code: i32, class: &str) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        assert!(self.has_class(class), "no {class}: {}", self.stderr);
        self
    }

    /// Whether standard error names this class.
    pub fn has_class(&self, class: &str) -> bool {
        self.stderr.lines().any(|line| line.strip_prefix(class).is_some_and(|rest| rest.starts_with(": ")))
    }

    /// The object that `--json` printed.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.stdout, self.stderr))
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

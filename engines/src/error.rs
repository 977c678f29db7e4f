//! What can go wrong with an engine, said for the person who must mend it.

use std::{io, path::PathBuf};

/// Why an engine could not be started, reached or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// No such program on this machine.
    #[error(
        "{program} is not installed: install the Debian package {package} (apt-get install {package}), or set {variable} to where it is"
    )]
    Missing {
        /// Name of the program.
        program: &'static str,
        /// Debian package that holds it.
        package: &'static str,
        /// Environment variable that points to another place.
        variable: &'static str,
    },
    /// The program is there but does not run, or is not what it should be.
    #[error("{} cannot be used: {reason}", .path.display())]
    Unusable {
        /// The program.
        path: PathBuf,
        /// What it said or did.
        reason: String,
    },
    /// A file or folder of the engine cannot be read or written.
    #[error("{what} {} failed", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The unprivileged account that PostgreSQL runs as cannot pass a folder above its data.
    #[error("{} cannot be entered by the user {account}, as which PostgreSQL runs because it refuses root: allow it (chmod o+x), or choose another place (data directory, TMPDIR)", .folder.display())]
    Untraversable {
        /// The first folder that cannot be entered.
        folder: PathBuf,
        /// Name of the account.
        account: String,
    },
    /// Another process holds the data directory.
    #[error("the data directory {} is in use by another process: stop that one first, or choose another directory", .path.display())]
    Held {
        /// The data directory.
        path: PathBuf,
    },
    /// Another process holds the data directory, but its engines cannot be used.
    #[error("the data directory {} is in use by process {pid}, whose engines do not answer ({reason}): end that process, then try again", .path.display())]
    Unresponsive {
        /// The data directory.
        path: PathBuf,
        /// The process that started the engines; 0 when it has not said so yet.
        pid: u32,
        /// What the last attempt to connect said.
        reason: String,
    },
    /// The engine ended while starting.
    #[error("{engine} ended while starting; the last lines of {} are:\n{tail}", .log.display())]
    Ended {
        /// Which engine.
        engine: &'static str,
        /// Its log.
        log: PathBuf,
        /// End of the log.
        tail: String,
    },
    /// The engine did not become ready in time.
    #[error("{engine} was not ready after {waited_s} s ({reason}); the last lines of {} are:\n{tail}", .log.display())]
    NotReady {
        /// Which engine.
        engine: &'static str,
        /// How long was waited.
        waited_s: u64,
        /// What the last check said.
        reason: String,
        /// Its log.
        log: PathBuf,
        /// End of the log.
        tail: String,
    },
    /// A program of the engine (psql) refused.
    #[error("{program} failed: {output}")]
    Refused {
        /// Name of the program.
        program: &'static str,
        /// What it said.
        output: String,
    },
}

impl EngineError {
    /// For `map_err`: an error of the system while doing `what` with `path`.
    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> EngineError {
        let path = path.into();
        move |source| EngineError::Io { what, path, source }
    }
}

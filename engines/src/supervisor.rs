//! One running engine under a small supervising shell (`supervisor.sh`).
//!
//! The shell, not we, is the engine's parent. We hold the writing end of its standard input and nothing else has to
//! happen for a clean end: when we drop it or die, the shell reads end of file, stops the engine and removes a
//! throw-away folder. Should the shell itself be killed, the engine gets its stop signal from the kernel
//! (`setpriv --pdeathsig`; the shell has one thread, so the signal comes at its death and not before).

use std::{
    ffi::OsString,
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    EngineError,
    account::Account,
    folder::Lock,
    process::{self, Identity, Stat},
};

const POLL: Duration = Duration::from_millis(10);
/// How much of a log an error quotes.
const TAIL_LINES: usize = 15;
/// A log larger than this is set aside at the next start.
const LOG_MAX_BYTES: u64 = 16 << 20;

/// What to start and how to stop it.
pub struct Order<'a> {
    /// For messages.
    pub engine: &'static str,
    /// Program and arguments; no secrets among them.
    pub command: Vec<OsString>,
    /// Who runs it.
    pub account: &'a Account,
    /// Name of the signal that stops it: `TERM`, `INT`.
    pub stop_signal: &'static str,
    /// How long it may take to stop before it is killed.
    pub grace_s: u32,
    /// Where its output is appended.
    pub log: PathBuf,
    /// Held by the engine as long as it lives.
    pub lock: &'a Lock,
    /// Removed at the end, unless it is kept for a restart.
    pub remove: Option<&'a Path>,
}

/// An engine that was started. Dropping it stops the engine and waits for that.
#[derive(Debug)]
pub struct Supervised {
    shell: Child,
    pid: u32,
    engine: &'static str,
    log: PathBuf,
}

impl Supervised {
    /// Starts the engine; it is not ready yet.
    pub fn start(order: Order<'_>) -> Result<Supervised, EngineError> {
        set_aside_if_large(&order.log);
        let mut shell = process::clean_environment(&mut Command::new("/bin/sh"))
            .args(["-c", include_str!("supervisor.sh"), "trstctl-engine", order.stop_signal])
            .arg(order.grace_s.to_string())
            .arg(&order.log)
            .arg(order.remove.unwrap_or(Path::new("")))
            .args(["setpriv", "--pdeathsig", order.stop_signal])
            .args(order.account.setpriv_options())
            .arg("--")
            .args(order.command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(order.lock.inherit()?)
            .current_dir("/")
            .process_group(0) // Ctrl-C in a terminal is for us; the engine is stopped in order.
            .spawn()
            .map_err(EngineError::io("starting", "/bin/sh"))?;
        let pid = read_pid(&mut shell).map_err(EngineError::io("starting", "/bin/sh"))?;
        Ok(Supervised { shell, pid, engine: order.engine, log: order.log })
    }

    /// The engine's process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether the engine lives. Its parent is looked at too, since a process id may be given to another process.
    pub fn is_running(&self) -> bool {
        Stat::of(self.pid()).is_some_and(|stat| stat.parent == self.shell.id())
    }

    /// `kill -9` of the engine and its children (PostgreSQL's sessions), and waits until they are gone. The folder stays.
    pub fn kill_9(&mut self) {
        if !self.is_running() {
            return;
        }
        // Standing still, it starts no session that would outlive it.
        process::freeze(self.pid());
        let processes = process::with_children(self.pid());
        processes.iter().for_each(Identity::kill_9);
        while self.is_running() || processes.iter().any(Identity::is_alive) {
            crate::poll::pause(POLL);
        }
    }

    /// Waits until `check` says yes. An engine that ends, or is not ready in time, is an error with the end of its log.
    pub fn wait_ready(
        &self,
        deadline: Duration,
        mut check: impl FnMut() -> Result<(), String>,
    ) -> Result<(), EngineError> {
        let start = Instant::now();
        loop {
            let reason = match check() {
                Ok(()) => return Ok(()),
                Err(reason) => reason,
            };
            let (engine, log) = (self.engine, self.log.clone());
            if !self.is_running() {
                return Err(EngineError::Ended { engine, tail: tail(&log), log });
            }
            if start.elapsed() > deadline {
                return Err(EngineError::NotReady {
                    engine,
                    waited_s: deadline.as_secs(),
                    reason,
                    tail: tail(&log),
                    log,
                });
            }
            crate::poll::pause(POLL);
        }
    }

    /// Stops the engine but leaves its folder, for a restart.
    pub fn stop_and_keep(mut self) {
        if let Some(stdin) = &mut self.shell.stdin {
            // A shell that is gone already removes nothing.
            let _ = stdin.write_all(b"keep\n");
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

fn read_pid(shell: &mut Child) -> std::io::Result<u32> {
    let mut line = String::new();
    let stdout = shell.stdout.take().expect("standard output is piped");
    BufReader::new(stdout).read_line(&mut line)?;
    line.trim().parse().map_err(|_| std::io::Error::other("the supervising shell named no process id"))
}

/// Keeps one old log, so that logs of a lasting data directory stay bounded over many starts.
fn set_aside_if_large(log: &Path) {
    if fs::metadata(log).is_ok_and(|file| file.len() > LOG_MAX_BYTES) {
        // At worst the log goes on growing.
        let _ = fs::rename(log, log.with_extension("log.old"));
    }
}

/// The last lines of a log, for an error.
pub fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

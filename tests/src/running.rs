//! A run of the program that has not ended yet: to signal, to kill, or to wait for.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::program::Run;
use crate::scale::cases;

/// No run of a test takes longer, on a machine however loaded; whole forms verify bombs of 16 GiB.
fn deadline() -> Duration {
    Duration::from_secs(cases(180, 3_600))
}

const POLL: Duration = Duration::from_millis(1);

/// A process whose output is read as it comes.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<String>,
    lines: Receiver<String>,
    peak_memory_bytes: u64,
}

impl Running {
    /// Starts the command.
    pub fn start(command: &mut Command) -> Self {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().expect("the program starts");
        let (told, lines) = channel();
        let (stdout, stderr) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        Self {
            stdin: child.stdin.take(),
            stdout: thread::spawn(move || all_of(stdout)),
            stderr: thread::spawn(move || lines_of(stderr, &told)),
            child,
            lines,
            peak_memory_bytes: 0,
        }
    }

    /// Its standard input; closed when this is dropped.
    pub fn stdin(&mut self) -> ChildStdin {
        self.stdin.take().expect("standard input is taken once")
    }

    /// Waits until a line of standard error begins so; false when the program ended before it did.
    pub fn wait_for_line(&self, beginning: &str) -> bool {
        let (start, deadline) = (Instant::now(), deadline());
        loop {
            match self.lines.recv_timeout(deadline.saturating_sub(start.elapsed())) {
                Ok(line) if line.starts_with(beginning) => return true,
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => panic!("no {beginning:?} within {deadline:?}"),
            }
        }
    }

    /// Lets it run so long; answers earlier when it ends.
    pub fn run_for(&mut self, span: Duration) {
        let start = Instant::now();
        while start.elapsed() < span && !self.has_ended() {
            pause();
        }
    }

    /// Sends a signal, unless it has ended.
    pub fn signal(&mut self, signal: Signal) {
        // Not waited for yet, so the id is still this process's own.
        if !self.has_ended() {
            kill_process(Pid::from_child(&self.child), signal).expect("a signal to our own process");
        }
    }

    /// `kill -9`, and the end of it. Answers whether that is what ended it.
    pub fn kill_9(mut self) -> bool {
        self.signal(Signal::KILL);
        self.end().code.is_none()
    }

    /// Waits for its end.
    pub fn end(self) -> Run {
        self.end_measured().0
    }

    /// The same, with the most memory that it was seen to have resident, in bytes.
    pub fn end_measured(mut self) -> (Run, u64) {
        drop(self.stdin.take());
        let (start, deadline) = (Instant::now(), deadline());
        while !self.has_ended() {
            if start.elapsed() > deadline {
                let _ = self.child.kill();
                panic!("still running after {deadline:?}: {}", self.stderr.join().unwrap_or_default());
            }
            pause();
        }
        let status = self.child.wait().expect("a child is waited for");
        let run = Run {
            code: status.code(),
            stdout: self.stdout.join().expect("standard output was read"),
            stderr: self.stderr.join().expect("standard error was read"),
        };
        (run, self.peak_memory_bytes)
    }

    fn has_ended(&mut self) -> bool {
        self.peak_memory_bytes = self.peak_memory_bytes.max(high_water_mark_bytes(self.child.id()));
        self.child.try_wait().expect("a child is asked").is_some()
    }
}

/// The pause between two looks at a condition, within the caller's deadline.
#[expect(clippy::disallowed_methods, reason = "the pause between two looks, within a span or deadline")]
pub fn pause() {
    thread::sleep(POLL);
}

/// What the system says of a process that has not ended; 0 of one that has.
fn high_water_mark_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib =
        line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|kib| kib.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn all_of(mut source: impl Read) -> String {
    let mut bytes = Vec::new();
    source.read_to_end(&mut bytes).expect("a pipe is read");
    String::from_utf8_lossy(&bytes).into_owned()
}

fn lines_of(source: impl Read, told: &Sender<String>) -> String {
    let mut all = String::new();
    for line in BufReader::new(source).lines() {
        let line = line.expect("standard error is text");
        all.push_str(&line);
        all.push('\n');
        // Nobody may be waiting for lines any more.
        let _ = told.send(line);
    }
    all
}

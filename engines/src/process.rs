//! What Linux says about a process, so that a process id that was given to another process is never taken for the first;
//! and the environment of those that we start.

use std::{
    env, fs,
    process::{self, Command},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

/// The part of `/proc/PID/stat` that is needed here.
pub struct Stat {
    pub parent: u32,
    /// Clock ticks since boot; with the process id it names a process uniquely.
    pub started: u64,
    stands_still: bool,
}

impl Stat {
    /// `None` when there is no such process, or it has ended and only its exit status is left.
    pub fn of(pid: u32) -> Option<Stat> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the program's name in brackets, and may itself hold brackets and spaces.
        let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
        let stat = Stat {
            parent: fields.get(1)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
            stands_still: fields[0] == "T",
        };
        (!matches!(fields[0], "Z" | "X")).then_some(stat)
    }
}

/// A process that another one can recognise.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    pub pid: u32,
    started: u64,
}

impl Identity {
    /// This process.
    pub fn own() -> Identity {
        Identity::of(process::id()).expect("Linux always has /proc, and we live")
    }

    fn of(pid: u32) -> Option<Identity> {
        Stat::of(pid).map(|Stat { started, .. }| Identity { pid, started })
    }

    /// `kill -9`, unless it has ended.
    pub fn kill_9(&self) {
        if let Some(pid) = Pid::from_raw(self.pid.cast_signed()).filter(|_| self.is_alive()) {
            // It may end by itself just now, which is as good.
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    /// Whether that very process still lives.
    pub fn is_alive(&self) -> bool {
        Stat::of(self.pid).is_some_and(|stat| stat.started == self.started)
    }
}

/// Stops the process where it is, so that it starts no children; returns when it stands still, or is gone.
pub fn freeze(pid: u32) {
    let stopped = Pid::from_raw(pid.cast_signed()).map(|pid| kill_process(pid, Signal::STOP));
    while stopped == Some(Ok(())) && Stat::of(pid).is_some_and(|stat| !stat.stands_still) {
        crate::poll::pause(Duration::from_millis(1));
    }
}

/// A process and its children, the process first.
pub fn with_children(pid: u32) -> Vec<Identity> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let children = pids.filter(|child| Stat::of(*child).is_some_and(|stat| stat.parent == pid));
    std::iter::once(pid).chain(children).filter_map(Identity::of).collect()
}

/// What a child process may know of our environment; the rest may hold secrets, or settings for other servers (`PGDATA`).
const PASSED_ON: [&str; 3] = ["PATH", "LD_LIBRARY_PATH", "TZ"];

/// Leaves only what an engine needs; its messages, which are read by us, are in English.
pub fn clean_environment(command: &mut Command) -> &mut Command {
    let passed = PASSED_ON.into_iter().filter_map(|name| Some((name, env::var_os(name)?)));
    command.env_clear().envs(passed).env("LC_ALL", "C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start_too() {
        let own = Identity::own();
        assert!(own.is_alive());
        assert!(!Identity { started: own.started + 1, ..own }.is_alive());
    }

    #[test]
    fn a_process_that_has_ended_and_was_not_waited_for_is_not_alive() {
        let mut child = Command::new("true").stdout(process::Stdio::piped()).spawn().unwrap();
        let mut end = Vec::new();
        std::io::Read::read_to_end(child.stdout.as_mut().unwrap(), &mut end).unwrap();
        let start = std::time::Instant::now();
        while Stat::of(child.id()).is_some() {
            assert!(start.elapsed().as_secs() < 10);
        }
        assert!(std::path::Path::new(&format!("/proc/{}", child.id())).exists());
        child.wait().unwrap();
    }
}

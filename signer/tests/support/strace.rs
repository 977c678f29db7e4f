//! What a process does to the files of a folder, and says to others, as `strace` sees it: every act, also one that no code admits to.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::disk::Change;

/// The calls that change files, sync them, or say something.
const CALLS: &str = "openat,write,pwrite64,writev,ftruncate,fsync,fdatasync,lseek,link,linkat,rename,renameat,renameat2,unlink,\
    unlinkat,sendto,sendmsg";

/// What happened, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// To the folder.
    Changed(Change),
    /// These bytes left the process, by a socket, a pipe, or another file.
    Said(Vec<u8>),
}

/// Whether it works here.
pub fn is_there() -> bool {
    let tried =
        Command::new("strace").args(["-D", "-f", "-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

/// The same command under strace, which writes to this file; the process that is started is the command's own.
pub fn under(command: &Command, log: &Path) -> Command {
    let mut traced = Command::new("strace");
    traced.args(["-D", "-f", "-y", "-xx", "-s", "1000000", "-e", &format!("trace={CALLS}"), "-o"]).arg(log);
    traced.arg(command.get_program()).args(command.get_args());
    traced
}

/// What the process `pid`, which has ended, did to this folder.
pub fn events(log: &Path, pid: u32, folder: &Path) -> Vec<Event> {
    let lines = whole(&ended(log, pid));
    let mut reader = Reader { folder: folder.to_owned(), places: BTreeMap::new() };
    lines.iter().flat_map(|line| reader.events(line).unwrap_or_default()).collect()
}

/// The log, when the last of it is written.
fn ended(log: &Path, pid: u32) -> String {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let text = fs::read_to_string(log).unwrap_or_default();
        let is_end = |line: &str| line.split_whitespace().take(2).eq([pid.to_string().as_str(), "+++"]);
        if text.ends_with('\n') && text.lines().any(is_end) {
            return text;
        }
        assert!(Instant::now() < deadline, "strace did not see {pid} end: {}", log.display());
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// The calls, each in one line: of one that was interrupted in the log, both parts.
fn whole(log: &str) -> Vec<String> {
    let mut begun = BTreeMap::new();
    let mut calls = Vec::new();
    for line in log.lines() {
        let (pid, call) = line.split_once(' ').unwrap();
        let call = call.trim_start();
        if let Some(begin) = call.strip_suffix(" <unfinished ...>") {
            begun.insert(pid, begin);
        } else if let Some((_, end)) =
            call.strip_prefix("<... ").and_then(|call| call.split_once(" resumed>"))
        {
            calls.push(format!("{}{end}", begun.remove(pid).unwrap()));
        } else {
            calls.push(call.to_owned());
        }
    }
    calls
}

struct Reader {
    folder: PathBuf,
    /// Where the next `write` to a file goes, by its name; a file is opened once at a time.
    places: BTreeMap<String, usize>,
}

impl Reader {
    /// What one call did; `None` when that is nothing here.
    fn events(&mut self, line: &str) -> Option<Vec<Event>> {
        let (call, result) = line.rsplit_once(" = ")?;
        let (name, arguments) = call.split_once('(')?;
        // What failed changed nothing.
        let result: usize = result.trim().split(['<', ' ']).next()?.parse().ok()?;
        let strings: Vec<Vec<u8>> = arguments.split('"').skip(1).step_by(2).map(bytes).collect();
        let on = self.name_of(arguments.split(['<', '>']).nth(1).map(bytes));
        let paths: Vec<_> = strings.iter().map(|path| self.name_of(Some(path.clone()))).collect();
        let last_number = || {
            let last = arguments.trim_end().trim_end_matches(')').rsplit(", ").next();
            last.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{line}"))
        };
        let change = match (name, on, &paths[..]) {
            ("openat", _, [Some(file)]) => return Some(self.opened(file, arguments)),
            ("write", Some(file), _) => {
                let at = self.places[&file];
                self.places.insert(file.clone(), at + result);
                Change::Write(file, at, strings[0][..result].to_vec())
            }
            ("pwrite64", Some(file), _) => Change::Write(file, last_number(), strings[0][..result].to_vec()),
            ("lseek", Some(file), _) => {
                self.places.insert(file, result);
                return None;
            }
            ("ftruncate", Some(file), _) => Change::Truncate(file, last_number()),
            ("fsync" | "fdatasync", Some(file), _) if file.is_empty() => Change::SyncFolder,
            ("fsync" | "fdatasync", Some(file), _) => Change::Sync(file),
            ("link" | "linkat", _, [Some(from), Some(to)]) => Change::Link(from.clone(), to.clone()),
            ("rename" | "renameat" | "renameat2", _, [Some(from), Some(to)]) => {
                Change::Rename(from.clone(), to.clone())
            }
            ("unlink" | "unlinkat", _, [Some(file)]) => Change::Remove(file.clone()),
            ("write" | "writev" | "sendto" | "sendmsg", None, _) => {
                return Some(vec![Event::Said(strings.concat())]);
            }
            (_, None, paths) if paths.iter().all(Option::is_none) => return None,
            _ => panic!("not known what this does to the folder: {line}"),
        };
        Some(vec![Event::Changed(change)])
    }

    fn opened(&mut self, file: &str, flags: &str) -> Vec<Event> {
        self.places.insert(file.to_owned(), 0);
        let is_made = flags.contains("O_CREAT").then(|| Change::Create(file.to_owned()));
        let is_cut = flags.contains("O_TRUNC").then(|| Change::Truncate(file.to_owned(), 0));
        is_made.into_iter().chain(is_cut).map(Event::Changed).collect()
    }

    /// The name of a file in the folder; empty for the folder itself.
    fn name_of(&self, path: Option<Vec<u8>>) -> Option<String> {
        let path = PathBuf::from(String::from_utf8(path?).ok()?);
        Some(path.strip_prefix(&self.folder).ok()?.to_str()?.to_owned())
    }
}

/// What `\x41\x42` stands for, or the text itself.
fn bytes(text: &str) -> Vec<u8> {
    match text.strip_prefix("\\x") {
        Some(digits) => digits.split("\\x").map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect(),
        None => text.as_bytes().to_vec(),
    }
}

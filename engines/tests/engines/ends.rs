//! Engines end with the process that started them, however that ends, and leave nothing behind.
//!
//! The process to be killed is this test program itself, started again with only `holder` to run.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use trstctl_engines::{NatsOptions, NatsServer, Postgres, PostgresOptions};

use crate::wait_until;

const HOW: &str = "TRSTCTL_TEST_HOLDER_ENDS";

/// Not a test by itself: starts both engines, says where they are, and ends as it is told.
#[test]
#[ignore = "started by the tests of this file"]
fn holder() {
    let Ok(how) = env::var(HOW) else { return };
    let nats = NatsServer::start(NatsOptions::default()).unwrap();
    let postgres = Postgres::shared();
    println!("\nHELD {} {}", nats.pid().unwrap(), nats.data_dir().display());
    println!("HELD {} {}", postgres.pid().unwrap(), postgres.data_dir().display());
    println!("READY");
    match how.as_str() {
        "by exit" => std::process::exit(0),
        _ => loop {
            std::thread::park();
        },
    }
}

struct Held {
    pid: u32,
    folder: PathBuf,
}

impl Held {
    fn parse(line: &str) -> Option<Held> {
        let (pid, folder) = line.strip_prefix("HELD ")?.split_once(' ')?;
        Some(Held { pid: pid.parse().unwrap(), folder: folder.into() })
    }

    fn is_gone(&self) -> bool {
        !alive(self.pid) && !self.folder.exists()
    }
}

fn alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn parent_of(pid: u32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap()
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

fn start_holder(how: &str) -> (Child, Vec<Held>) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--ignored", "--exact", "ends::holder", "--nocapture"])
        .env(HOW, how)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let held: Vec<Held> =
        lines.take_while(|line| line != "READY").filter_map(|line| Held::parse(&line)).collect();
    assert_eq!(held.len(), 2);
    (child, held)
}

fn engines_are_gone_after(end: impl FnOnce(u32), how: &str) {
    let (mut child, held) = start_holder(how);
    end(child.id());
    child.wait().unwrap();
    wait_until("engines and their folders are gone", || held.iter().all(Held::is_gone));
}

#[test]
fn engines_end_when_their_starter_is_killed() {
    engines_are_gone_after(|pid| signal(pid, Signal::KILL), "by kill");
}

#[test]
fn engines_end_when_their_starter_is_terminated() {
    engines_are_gone_after(|pid| signal(pid, Signal::TERM), "by signal");
}

#[test]
fn engines_end_when_their_starter_is_interrupted() {
    engines_are_gone_after(|pid| signal(pid, Signal::INT), "by signal");
}

#[test]
fn engines_end_when_their_starter_exits_without_dropping_them() {
    engines_are_gone_after(|_| (), "by exit");
}

#[test]
fn engines_end_on_panic() {
    let mut held = Vec::new();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let nats = NatsServer::start(NatsOptions::default()).unwrap();
        let postgres = Postgres::start(PostgresOptions::default()).unwrap();
        held.push(Held { pid: nats.pid().unwrap(), folder: nats.data_dir().to_owned() });
        held.push(Held { pid: postgres.pid().unwrap(), folder: postgres.data_dir().to_owned() });
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    assert!(held.len() == 2 && held.iter().all(Held::is_gone));
}

#[test]
fn an_engine_ends_when_its_supervisor_is_killed() {
    let nats = NatsServer::start(NatsOptions::default()).unwrap();
    let postgres = Postgres::start(PostgresOptions::default()).unwrap();
    let pids = [nats.pid().unwrap(), postgres.pid().unwrap()];
    pids.iter().for_each(|pid| signal(parent_of(*pid), Signal::KILL));
    wait_until("engines are gone", || !pids.iter().any(|pid| alive(*pid)));
}

#[test]
fn a_supervisor_that_is_terminated_stops_its_engine_and_cleans_up() {
    let nats = NatsServer::start(NatsOptions::default()).unwrap();
    let held = Held { pid: nats.pid().unwrap(), folder: nats.data_dir().to_owned() };
    signal(parent_of(held.pid), Signal::TERM);
    wait_until("the engine and its folder are gone", || held.is_gone());
}

#[test]
fn an_engine_that_is_stopped_or_dropped_leaves_nothing() {
    let nats = NatsServer::start(NatsOptions::default()).unwrap();
    let held = Held { pid: nats.pid().unwrap(), folder: nats.data_dir().to_owned() };
    assert!(Path::new(&held.folder).exists());
    nats.stop();
    assert!(held.is_gone());
}

#[test]
fn an_engine_itself_holds_the_lock_of_its_folder() {
    let nats = NatsServer::start(NatsOptions::default()).unwrap();
    let postgres = Postgres::start(PostgresOptions::default()).unwrap();
    for (pid, folder) in [(nats.pid(), nats.data_dir()), (postgres.pid(), postgres.data_dir())] {
        let open =
            fs::read_dir(format!("/proc/{}/fd", pid.unwrap())).unwrap().map(|entry| entry.unwrap().path());
        let files: Vec<PathBuf> = open.filter_map(|descriptor| fs::read_link(descriptor).ok()).collect();
        assert!(files.contains(&folder.join("lock")), "{files:?}");
    }
}

#[test]
fn an_engine_is_not_told_what_else_stands_in_our_environment() {
    let nats = NatsServer::start(NatsOptions::default()).unwrap();
    let environment = fs::read(format!("/proc/{}/environ", nats.pid().unwrap())).unwrap();
    assert!(env::vars().any(|(name, _)| name.starts_with("CARGO") || name == "HOME"));
    let told = String::from_utf8_lossy(&environment);
    assert!(
        told.split('\0').all(|entry| !entry.starts_with("CARGO") && !entry.starts_with("HOME")),
        "{told}"
    );
}

//! Who would look into a running signer: a process of its own user, and root.
//!
//! `intruder/look.py` tries, since looking takes system calls that are unsafe to make.

mod support;

use std::fs;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, geteuid, getrlimit, kill_process, setrlimit};
use support::{Signer, Site, generate, id};
use trstctl_signer_protocol::v1::Algorithm;

/// A user that is neither root nor nobody.
const UNPRIVILEGED: u32 = 65533;

/// Where a mapping whose line contains `what` begins, in hexadecimal.
fn address(pid: u32, what: &str) -> Option<String> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let line = maps.lines().find(|line| line.contains(what) && line.contains(" r"))?;
    Some(line.split('-').next().unwrap().to_owned())
}

/// Where its stack begins, once it is the program that it was started as.
fn stack(pid: u32) -> String {
    let begun = Instant::now();
    loop {
        match address(pid, "[stack]") {
            Some(address) => return address,
            None => assert!(begun.elapsed() < Duration::from_secs(60), "{pid} has no stack"),
        }
    }
}

/// What was tried, and whether it was done.
fn look(pid: u32, addresses: &[String], as_user: impl FnOnce(&mut Command)) -> Vec<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/intruder/look.py");
    let mut command = Command::new("python3");
    // Not by its path: the user may have no way to the folder.
    command.arg("-c").arg(fs::read_to_string(script).unwrap()).arg(pid.to_string()).args(addresses);
    as_user(&mut command);
    let out = command.current_dir("/").output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// A signer of the unprivileged user, with a key.
async fn start(site: &Site) -> Signer {
    site.give_to(UNPRIVILEGED);
    let signer = site
        .start_with("a", |command| {
            command.uid(UNPRIVILEGED).gid(UNPRIVILEGED).args(["--allow-uid", "0"]);
            // Where it could leave a core: Landlock lets it make files nowhere else.
            command.current_dir(site.keystore());
        })
        .await;
    generate(&mut signer.client().await, &id(1), Algorithm::P256).await.unwrap();
    signer
}

#[tokio::test]
async fn a_process_of_the_same_user_has_no_way_into_a_signer_and_root_none_to_its_keys() {
    if !geteuid().is_root() {
        return println!("only root can start a signer of another user, and look as both");
    }
    let site = Site::new();
    let signer = start(&site).await;
    let pid = signer.child.id();
    let heap = address(pid, "[heap]").unwrap();
    let as_its_user = |command: &mut Command| {
        command.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
    };

    // The test sees what can be done: a process of the same user that gave nothing up.
    let mut open = Command::new("sleep");
    let mut open = open.arg("600").uid(UNPRIVILEGED).gid(UNPRIVILEGED).spawn().unwrap();
    let seen = look(open.id(), &[stack(open.id())], as_its_user);
    open.kill().unwrap();
    open.wait().unwrap();
    assert!(seen.iter().any(|act| act.ends_with(" done")), "{seen:?}");

    let seen = look(pid, std::slice::from_ref(&heap), as_its_user);
    assert!(seen.len() == 6 && seen.iter().all(|act| act.ends_with(" refused")), "{seen:?}");

    let Some(keys) = address(pid, "secretmem") else {
        return println!("this kernel has no memory that root cannot read");
    };
    let seen = look(pid, &[heap, keys], |_| ());
    let expected = [
        "process_vm_readv done",
        "/proc/PID/mem done",
        "process_vm_readv refused",
        "/proc/PID/mem refused",
        "ptrace done",
        "peek done",
        "peek refused",
    ];
    assert_eq!(seen[..expected.len()], expected);
}

#[tokio::test]
async fn a_signer_that_is_aborted_leaves_no_core_file() {
    if !geteuid().is_root() {
        return println!("only root can start a signer of another user");
    }
    let limit = getrlimit(Resource::Core);
    setrlimit(Resource::Core, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let site = Site::new();
    let mut signer = start(&site).await;

    // The test sees a core: a process of the same user, in the same folder, that gave nothing up.
    let mut open = Command::new("sleep");
    let open = open.arg("600").uid(UNPRIVILEGED).gid(UNPRIVILEGED).current_dir(site.keystore());
    if !aborted(&mut open.spawn().unwrap()).core_dumped() {
        return println!("this system writes no core files");
    }

    let ended = aborted(&mut signer.child);
    assert!(ended.signal() == Some(libc::SIGABRT) && !ended.core_dumped(), "{ended:?}");
}

fn aborted(child: &mut Child) -> ExitStatus {
    kill_process(Pid::from_child(child), Signal::ABORT).unwrap();
    child.wait().unwrap()
}

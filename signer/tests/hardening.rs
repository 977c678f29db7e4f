//! Every act that the signer gives up, tried in a real child process.
//!
//! The acts of a confined process are tried by this test program itself, started again for the one test that is ignored.

mod support;

use std::fs;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::Command;

use rustix::process::{Resource, Rlimit, setrlimit};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use support::{Signer, Site, generate, id};
use trstctl_signer_protocol::v1::{Algorithm, HealthRequest};

/// Names the folder of a child that is to confine itself.
const FOLDER: &str = "TRSTCTL_TEST_CONFINED_TO";

/// Names the act that a child is to try when other system calls are forbidden to it.
const ACT: &str = "TRSTCTL_TEST_FORBIDDEN_ACT";

/// In place of an act: the process ends as it would anyway.
const NOTHING: &str = "nothing";

/// Names what a child is to take away from the signer that it becomes.
const WITHOUT: &str = "TRSTCTL_TEST_WITHOUT";

/// The arguments of that signer, one a line.
const ARGS: &str = "TRSTCTL_TEST_ARGS";

/// An act, and how it is tried.
type Act = (&'static str, fn());

/// What ends a signer that tries it. (What a signer does, the other tests do: every signer of theirs runs so.)
const FORBIDDEN: &[Act] = &[
    ("run a program in another process", || drop(Command::new("/bin/true").status())),
    ("become another program", || drop(Command::new("/bin/true").exec())),
    ("start a thread", || drop(std::thread::spawn(|| ()).join())),
    ("connect by TCP", || drop(TcpStream::connect("127.0.0.1:1"))),
    ("listen by TCP", || drop(TcpListener::bind("127.0.0.1:0"))),
    ("send by UDP", || drop(UdpSocket::bind("127.0.0.1:0"))),
    ("connect to another Unix socket", || drop(UnixStream::connect("/run/other"))),
    ("listen on another Unix socket", || drop(UnixListener::bind("/nowhere/socket"))),
    ("send to a Unix socket", || drop(UnixDatagram::unbound())),
    ("make a pair of sockets", || drop(UnixStream::pair())),
    ("be readable again", || {
        let dumpable = rustix::process::DumpableBehavior::Dumpable;
        let _ = rustix::process::set_dumpable_behavior(dumpable);
    }),
    ("take hold of another process", || {
        let parent = rustix::process::getppid().unwrap();
        drop(rustix::process::pidfd_open(parent, rustix::process::PidfdFlags::empty()));
    }),
    ("signal another process", || {
        let itself = rustix::process::getpid();
        let _ = rustix::process::kill_process(itself, rustix::process::Signal::CONT);
    }),
    ("change permissions", || drop(fs::set_permissions("/nowhere", fs::Permissions::from_mode(0o777)))),
];

/// A user that is neither root nor nobody.
const UNPRIVILEGED: u32 = 20_000;

#[test]
fn a_confined_process_reaches_its_key_store_and_nothing_else() {
    let site = Site::new();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "acts_of_a_confined_process", "--nocapture"])
        .env(FOLDER, site.keystore())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&child.stderr)
    );
}

#[test]
#[ignore = "started by a_confined_process_reaches_its_key_store_and_nothing_else, in a process of its own"]
fn acts_of_a_confined_process() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let outside = folder.parent().unwrap().join("kek");
    let lacking = trstctl_signer::hardening::confine(&folder, &folder).join("; ");
    if lacking.contains("no Landlock") {
        return println!("nothing to test: {lacking}");
    }
    // What it may do.
    fs::write(folder.join("a"), b"a").unwrap();
    fs::hard_link(folder.join("a"), folder.join("b")).unwrap();
    fs::remove_file(folder.join("a")).unwrap();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    // What it may not.
    let refused = |act: &str, tried: std::io::Result<()>| {
        assert_eq!(tried.map_err(|error| error.kind()), Err(ErrorKind::PermissionDenied), "{act}");
    };
    refused("read", fs::read(&outside).map(drop));
    refused("read what all may read", fs::read("/etc/passwd").map(drop));
    refused("list", fs::read_dir("/").map(drop));
    refused("write", fs::write(&outside, b""));
    refused("remove", fs::remove_file(&outside));
    refused("link away", fs::hard_link(folder.join("b"), outside.with_file_name("c")));
    refused("make a folder", fs::create_dir(folder.join("d")));
    refused("run a program", Command::new("/bin/true").status().map(drop));
    // An older Landlock says that it does not cover these.
    if lacking.contains("in part only") {
        return println!("files alone were tested: {lacking}");
    }
    assert_eq!(lacking, "");
    refused("connect", TcpStream::connect(listener.local_addr().unwrap()).map(drop));
    refused("listen", TcpListener::bind("127.0.0.1:0").map(drop));
    let parent = rustix::process::getppid().unwrap();
    let signal = rustix::process::kill_process(parent, rustix::process::Signal::CONT);
    refused("signal another process", signal.map_err(Into::into));
}

#[test]
fn a_forbidden_act_ends_the_process() {
    for act in FORBIDDEN.iter().map(|(act, _)| *act).chain([NOTHING]) {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "an_act_of_a_process_with_few_calls", "--nocapture"])
            .env(ACT, act)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        if said.contains("this kernel does not restrict") {
            return println!("nothing to test: {said}");
        }
        assert!(said.contains("still runs"), "{act}: {said}");
        let signal = (act != NOTHING).then_some(libc::SIGSYS);
        assert_eq!(child.status.signal(), signal, "{act}: {said}");
    }
}

#[test]
#[ignore = "started by a_forbidden_act_ends_the_process, in a process of its own"]
fn an_act_of_a_process_with_few_calls() {
    let Ok(named) = std::env::var(ACT) else { return };
    let lacking = trstctl_signer::seccomp::forbid_other_calls();
    println!("still runs {lacking:?}");
    if named != NOTHING {
        FORBIDDEN.iter().find(|(act, _)| *act == named).unwrap().1();
    }
}

#[tokio::test]
async fn every_thread_of_a_signer_is_restricted_to_its_system_calls() {
    let site = Site::new();
    let signer = site.start("a").await;
    let health = signer.client().await.health(HealthRequest {}).await.unwrap().into_inner();
    if health.degraded.iter().any(|lacking| lacking.contains("seccomp")) {
        return println!("nothing to test: {:?}", health.degraded);
    }
    let threads = fs::read_dir(format!("/proc/{}/task", signer.child.id())).unwrap();
    let modes: Vec<_> = threads
        .map(|thread| fs::read_to_string(thread.unwrap().path().join("status")).unwrap())
        .map(|status| status.lines().find(|line| line.starts_with("Seccomp:")).unwrap().to_owned())
        .collect();
    assert!(modes.len() > 2 && modes.iter().all(|mode| mode == "Seccomp:\t2"), "{modes:?}");
}

#[tokio::test]
async fn nobody_but_root_reads_the_memory_of_a_signer_and_it_leaves_no_core() {
    let site = Site::new();
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        site.give_to(UNPRIVILEGED);
    }
    let as_signer = |command: &mut Command| {
        if is_root {
            command.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
        }
    };
    let signer = site
        .start_with("a", |command| {
            as_signer(command.args(["--allow-uid", &rustix::process::geteuid().as_raw().to_string()]))
        })
        .await;
    let pid = signer.child.id();
    for file in ["mem", "environ", "maps"] {
        let mut reader = Command::new("head");
        as_signer(reader.env("LC_ALL", "C").args(["-c", "1"]).arg(format!("/proc/{pid}/{file}")));
        let read = reader.output().unwrap();
        assert!(!read.status.success() && read.stdout.is_empty(), "{file} could be read");
        assert!(String::from_utf8_lossy(&read.stderr).contains("Permission denied"), "{read:?}");
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("NoNewPrivs:\t1\n"), "{status}");
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
}

/// The command of a signer that the kernel gives less than others: no memfd_secret(2), or nothing that is locked.
fn signer_without(what: &str, site: &Site, more: &[&str]) -> Command {
    let paths = [site.keystore(), site.kek(), site.socket("without")];
    let [keystore, kek, socket] = paths.map(|path| path.into_os_string().into_string().unwrap());
    let args = [&["--keystore", &keystore, "--kek", &kek, "--socket", &socket][..], more].concat();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "becomes_a_signer_without", "--nocapture"]);
    command.env(WITHOUT, what).env(ARGS, args.join("\n"));
    command
}

#[test]
#[ignore = "started by the tests that need a signer that the kernel gives less, in a process of its own"]
fn becomes_a_signer_without() {
    let Ok(what) = std::env::var(WITHOUT) else { return };
    let no_secret_memory = SeccompFilter::new(
        [(libc::SYS_memfd_secret, Vec::new())].into(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS as u32),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    apply_filter(&BpfProgram::try_from(no_secret_memory.unwrap()).unwrap()).unwrap();
    let mut signer = Command::new(env!("CARGO_BIN_EXE_trstctl-signer"));
    if what == "locked memory" {
        setrlimit(Resource::Memlock, Rlimit { current: Some(65_536), maximum: Some(65_536) }).unwrap();
        // Root may lock all the same.
        if rustix::process::geteuid().is_root() {
            signer.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
        }
    }
    panic!("{}", signer.args(std::env::var(ARGS).unwrap().lines()).exec());
}

#[tokio::test]
async fn without_memory_that_root_cannot_read_keys_are_locked_and_without_that_it_is_said() {
    for (what, says, is_locked) in
        [("memfd_secret", "root reads it", true), ("locked memory", "may be swapped out", false)]
    {
        let site = Site::new();
        if rustix::process::geteuid().is_root() && !is_locked {
            site.give_to(UNPRIVILEGED);
        }
        let own = rustix::process::geteuid().as_raw().to_string();
        let child = signer_without(what, &site, &["--allow-uid", &own]).spawn().unwrap();
        let signer = Signer { child, socket: site.socket("without") };
        signer.listens().await;
        let mut client = signer.client().await;
        generate(&mut client, &id(1), Algorithm::P256).await.unwrap();
        let degraded = client.health(HealthRequest {}).await.unwrap().into_inner().degraded;
        assert!(degraded.iter().any(|lacking| lacking.contains(says)), "{what}: {degraded:?}");
        let status = fs::read_to_string(format!("/proc/{}/status", signer.child.id())).unwrap();
        let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
        let locked: u64 = locked.trim().trim_end_matches(" kB").parse().unwrap();
        assert_eq!(locked >= 2 << 10, is_locked, "{what}: {locked} KiB");
        drop(signer);
        let refused = signer_without(what, &site, &["--require-hardening"]).output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains(says), "{what}: {said}");
    }
}

#[tokio::test]
async fn a_peer_of_another_user_is_not_answered_unless_it_was_named() {
    if !rustix::process::geteuid().is_root() {
        return println!("only root can start a signer of another user");
    }
    let site = Site::new();
    site.give_to(UNPRIVILEGED);
    for (name, named, is_answered) in [("a", UNPRIVILEGED + 1, false), ("b", 0, true)] {
        let mut command = site.command();
        command.uid(UNPRIVILEGED).gid(UNPRIVILEGED).args(["--allow-uid", &named.to_string(), "--socket"]);
        let signer = site.spawn(name, command);
        signer.listens().await;
        let client = trstctl_signer_protocol::connect(&signer.socket).await;
        let answered = match client {
            Ok(mut client) => client.health(HealthRequest {}).await.is_ok(),
            Err(_) => false,
        };
        assert_eq!(answered, is_answered, "{name}");
    }
    let ended =
        site.command().args(["--allow-uid", "65534", "--socket"]).arg(site.socket("c")).output().unwrap();
    assert!(!ended.status.success() && String::from_utf8_lossy(&ended.stderr).contains("65534"));
}

#[tokio::test]
async fn a_confined_signer_still_makes_keys_and_complains_only_of_its_kernel() {
    let site = Site::new();
    let signer = site.start("a").await;
    let mut client = signer.client().await;
    for (number, algorithm) in
        [(1, Algorithm::P256), (2, Algorithm::Rsa3072), (3, Algorithm::Rsa4096), (4, Algorithm::MlDsa65)]
    {
        generate(&mut client, &id(number), algorithm).await.unwrap();
    }
    let health = client.health(HealthRequest {}).await.unwrap().into_inner();
    assert_eq!(health.keys, 4);
    assert!(health.degraded.iter().all(|lacking| lacking.contains("kernel")), "{:?}", health.degraded);
    // Whoever asks for all of it gets it, or no signer.
    if health.degraded.is_empty() {
        site.start_with("b", |command| {
            command.arg("--require-hardening");
        })
        .await;
    } else {
        let mut command = site.command();
        let ended =
            command.arg("--require-hardening").arg("--socket").arg(site.socket("b")).output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(!ended.status.success() && said.contains("kernel"), "{said}");
    }
}

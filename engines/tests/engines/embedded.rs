//! Embedded mode: one pair of engines in a data directory, whoever opens it.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use trstctl_engines::{Embedded, EmbeddedOptions, EngineError, Role};

use crate::{client::Client, passable_folder};

const DATA: &str = "TRSTCTL_TEST_EMBEDDED_DATA";

/// Not a test by itself: holds the engines of a data directory until it is killed.
#[test]
#[ignore = "started by the tests of this file"]
fn holder() {
    let Some(data) = env::var_os(DATA) else { return };
    let embedded = Embedded::open(Path::new(&data)).unwrap();
    assert_eq!(embedded.role(), Role::Owner);
    println!("\nREADY");
    loop {
        std::thread::park();
    }
}

fn start_holder(data: &Path) -> Child {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--ignored", "--exact", "embedded::holder", "--nocapture"])
        .env(DATA, data)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == "READY"));
    child
}

#[test]
fn the_first_to_open_a_data_directory_starts_the_engines_and_others_connect() {
    let parent = passable_folder();
    let data = parent.path().join("data");
    let owner = Embedded::open(&data).unwrap();
    assert_eq!(owner.role(), Role::Owner);
    let guest = Embedded::open(&data).unwrap();
    assert_eq!(guest.role(), Role::Guest);
    assert_eq!((guest.nats_url(), guest.dsn("postgres")), (owner.nats_url(), owner.dsn("postgres")));
    Client::connect(&owner.nats_url()).create_stream("S", 1);
    Client::connect(&guest.nats_url()).publish("S", b"from a guest");
    drop(guest);
    assert_eq!(owner.check(), Ok(()));
    assert_eq!(Client::connect(&owner.nats_url()).last_sequence("S"), 1);
}

#[test]
fn a_data_directory_keeps_what_was_stored_through_kill_9_of_its_holder() {
    let parent = passable_folder();
    let data = parent.path().join("data");
    let mut holder = start_holder(&data);
    let guest = Embedded::open(&data).unwrap();
    assert_eq!(guest.role(), Role::Guest);
    Client::connect(&guest.nats_url()).create_stream("S", 1);
    Client::connect(&guest.nats_url()).publish("S", b"kept");
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(data.join("engines.json").exists(), "nobody was left to remove it");
    let owner = Embedded::open(&data).unwrap();
    assert_eq!(owner.role(), Role::Owner);
    assert_eq!(Client::connect(&owner.nats_url()).last_sequence("S"), 1);
    assert!(guest.check().is_err(), "the engines of the killed holder are gone");
}

#[test]
fn the_state_file_names_owner_processes_ports_and_socket() {
    let parent = passable_folder();
    let data = parent.path().join("data");
    let embedded = Embedded::open(&data).unwrap();
    let (nats, postgres) = embedded.engines().unwrap();
    let state: serde_json::Value =
        serde_json::from_slice(&fs::read(data.join("engines.json")).unwrap()).unwrap();
    assert_eq!(state["owner"]["pid"], std::process::id());
    assert_eq!(state["pids"]["nats"], nats.pid().unwrap());
    assert_eq!(state["pids"]["postgres"], postgres.pid().unwrap());
    assert_eq!(
        (&state["nats"]["port"], &state["postgres"]["port"]),
        (&nats.port().into(), &postgres.port().into())
    );
    let socket_dir = postgres.socket_dir().to_str().unwrap();
    assert!(state["postgres"].to_string().contains(socket_dir), "{state}");
}

#[test]
fn a_directory_that_is_locked_by_a_process_without_engines_is_refused() {
    let parent = passable_folder();
    let data = parent.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, PermissionsExt::from_mode(0o711)).unwrap();
    let lock = fs::File::create(data.join("lock")).unwrap();
    lock.lock().unwrap();
    fs::write(data.join("engines.json"), "half a sta").unwrap();
    let options = EmbeddedOptions { ready_within: Duration::ZERO, ..EmbeddedOptions::default() };
    let error = Embedded::open_with(&data, &options).unwrap_err();
    assert!(matches!(&error, EngineError::Unresponsive { path, .. } if path.ends_with("data")), "{error}");
}

#[test]
fn a_state_file_of_a_dead_process_is_stale_even_if_something_answers() {
    let parent = passable_folder();
    let [data, other] = ["data", "other"].map(|name| parent.path().join(name));
    let _engines = Embedded::open(&other).unwrap();
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, PermissionsExt::from_mode(0o711)).unwrap();
    let lock = fs::File::create(data.join("lock")).unwrap();
    lock.lock().unwrap();
    let mut state: serde_json::Value =
        serde_json::from_slice(&fs::read(other.join("engines.json")).unwrap()).unwrap();
    let write = |state: &serde_json::Value| fs::write(data.join("engines.json"), state.to_string()).unwrap();
    let options = EmbeddedOptions { ready_within: Duration::ZERO, ..EmbeddedOptions::default() };
    write(&state);
    assert_eq!(Embedded::open_with(&data, &options).unwrap().role(), Role::Guest);
    state["owner"]["started"] = 1.into();
    write(&state);
    let error = Embedded::open_with(&data, &options).unwrap_err();
    assert!(error.to_string().contains("is gone"), "{error}");
}

#[test]
fn nobody_else_can_read_the_secrets_of_a_data_directory() {
    let parent = passable_folder();
    let data = parent.path().join("data");
    let embedded = Embedded::open(&data).unwrap();
    let (_, postgres) = embedded.engines().unwrap();
    let socket_dir = postgres.socket_dir().to_owned();
    let secret = [data.join("engines.json"), data.join("nats/nats.conf"), data.join("postgres/password")];
    for path in secret.iter().chain([&data.join("postgres/cluster"), &socket_dir]) {
        let mode = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
    }
    drop(embedded);
    assert!(!socket_dir.exists() && !data.join("engines.json").exists());
}

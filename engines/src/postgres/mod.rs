//! A `postgres` of our own: initdb on first use, a Unix socket in a private folder, a loopback port.
//!
//! Nobody else gets in: the socket's folder is 0700, and the port asks for a random password (SCRAM). PostgreSQL
//! refuses root, so for root it runs as an unprivileged user, who owns the folder.
//!
//! Ready means: `postmaster.pid` names the process that we started and says `ready`.

mod data;
mod socket;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
    time::Duration,
};

pub(crate) use socket::Address;

use crate::{
    Binary, Data, EngineError, Version,
    account::Account,
    binaries, chance,
    folder::Folder,
    process,
    supervisor::{Order, Supervised},
};

/// A checkpoint of much unwritten data takes its time.
const GRACE_S: u32 = 30;
/// Name of PostgreSQL's own data directory (its "database cluster") in the engine's folder.
const CLUSTER: &str = "cluster";
/// The superuser's name.
pub const SUPERUSER: &str = "postgres";

/// How a `postgres` is started.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Where its data is.
    pub data: Data,
    /// More server settings, `name=value` each.
    pub settings: Vec<String>,
    /// How long the start may take; recovery after a crash is part of it.
    pub ready_within: Duration,
}

impl Default for PostgresOptions {
    fn default() -> PostgresOptions {
        PostgresOptions { data: Data::Throwaway, settings: Vec::new(), ready_within: Duration::from_secs(60) }
    }
}

/// A running `postgres`, stopped on drop.
#[derive(Debug)]
pub struct Postgres {
    running: Option<Supervised>,
    folder: Folder,
    /// The socket's folder, unless that is `folder` itself.
    socket_folder: Option<Folder>,
    binary: Binary,
    account: Account,
    port: u16,
    options: PostgresOptions,
}

impl Postgres {
    /// Starts a server, creating its data on first use, and waits until it is ready.
    ///
    /// # Errors
    /// PostgreSQL is missing or unusable, the folder is held, not writable or (for root) cannot be entered by the
    /// unprivileged user, or the server ends or is late.
    pub fn start(options: PostgresOptions) -> Result<Postgres, EngineError> {
        chance::another_port_if_taken(|| {
            let mut postgres = Postgres::prepare(options.clone())?;
            postgres.create_data()?;
            postgres.launch_and_wait()?;
            Ok(postgres)
        })
    }

    /// One throw-away server for the whole process, started on first use and stopped when the process ends. For tests:
    /// each takes a database of its own with [`Postgres::create_database`].
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn shared() -> &'static Postgres {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| match Postgres::start(PostgresOptions::default()) {
            Ok(postgres) => postgres,
            Err(error) => panic!("tests need PostgreSQL: {error}"),
        })
    }

    /// Everything but data and process.
    fn prepare(options: PostgresOptions) -> Result<Postgres, EngineError> {
        let account = Account::unprivileged();
        let folder = Folder::open(&options.data, &account, Duration::from_secs(u64::from(GRACE_S) + 5))?;
        let binary = binaries::postgres(data::existing_major(&folder.path().join(CLUSTER))?)?;
        let socket_folder = socket::folder(&folder, &account)?;
        let [port] = chance::free_ports();
        Ok(Postgres { running: None, folder, socket_folder, binary, account, port, options })
    }

    fn launch_and_wait(&mut self) -> Result<(), EngineError> {
        let running = self.supervise("postgres", self.command())?;
        let running = self.running.insert(running);
        let (pid, file) = (running.pid(), self.folder.path().join(CLUSTER).join("postmaster.pid"));
        running.wait_ready(self.options.ready_within, || says_ready(&file, pid))
    }

    fn supervise(&self, engine: &'static str, command: Vec<OsString>) -> Result<Supervised, EngineError> {
        Supervised::start(Order {
            engine,
            command,
            account: &self.account,
            stop_signal: "INT",
            grace_s: GRACE_S,
            log: self.log_path(),
            lock: self.folder.lock(),
            remove: self.folder.to_remove().or(self.socket_folder.as_ref().and_then(Folder::to_remove)),
        })
    }

    fn command(&self) -> Vec<OsString> {
        let mut command: Vec<OsString> =
            vec![self.binary.path.clone().into(), "-D".into(), self.cluster_dir().into()];
        let mut set = |setting: String| command.extend(["-c".into(), setting.into()]);
        set("listen_addresses=127.0.0.1".into());
        set(format!("port={}", self.port));
        set(format!("unix_socket_directories={}", self.socket_dir().display()));
        set("unix_socket_permissions=0700".into());
        // All tests of a program may meet on one server, as many at once as there are processors.
        set(format!("max_connections={}", if self.folder.is_throwaway() { 500 } else { 200 }));
        if self.folder.is_throwaway() {
            // Survives kill -9 of the server (commits reach the system), not of the machine.
            ["fsync=off", "full_page_writes=off"].into_iter().for_each(|s| set(s.into()));
        }
        self.options.settings.iter().cloned().for_each(&mut set);
        command
    }

    /// Creates an empty database with a name of its own and returns its connection string (see [`Postgres::dsn`]).
    ///
    /// # Errors
    /// The server refused, or is not running.
    pub fn create_database(&self) -> Result<String, EngineError> {
        let name = format!("db_{}", chance::name());
        self.execute(SUPERUSER, &format!("CREATE DATABASE {name}"))?;
        Ok(self.dsn(&name))
    }

    /// Runs SQL in a database as the superuser, by `psql`.
    ///
    /// # Errors
    /// The first statement that failed.
    pub fn execute(&self, database: &str, sql: &str) -> Result<String, EngineError> {
        let psql = self.program("psql");
        let mut command = Command::new(&psql);
        process::clean_environment(&mut command)
            .args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d"])
            .arg(self.dsn(database))
            .args(["-c", sql]);
        succeeded("psql", command.output().map_err(EngineError::io("running", psql))?)
    }

    /// Connection string of a database by the socket, as the superuser; it holds no secret.
    pub fn dsn(&self, database: &str) -> String {
        self.address().dsn(database)
    }

    /// What another process needs to connect.
    pub(crate) fn address(&self) -> Address {
        Address { socket_dir: self.socket_dir().to_owned(), port: self.port, version: self.binary.version }
    }

    /// Connection string of a database by the loopback port, as the superuser. It holds the password.
    ///
    /// # Errors
    /// The password file cannot be read.
    pub fn tcp_dsn(&self, database: &str) -> Result<String, EngineError> {
        let path = self.password_path();
        let password = fs::read_to_string(&path).map_err(EngineError::io("reading", path))?;
        let (port, password) = (self.port, password.trim());
        Ok(format!("host=127.0.0.1 port={port} user={SUPERUSER} password={password} dbname={database}"))
    }

    /// The port on 127.0.0.1, also part of the socket's name.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id; `None` after [`Postgres::kill_9`].
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().filter(|running| running.is_running()).map(Supervised::pid)
    }

    /// The version of the program.
    pub fn version(&self) -> Version {
        self.binary.version
    }

    /// The engine's folder: data below `cluster`, log, password.
    pub fn data_dir(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of the socket.
    pub fn socket_dir(&self) -> &Path {
        self.socket_folder.as_ref().unwrap_or(&self.folder).path()
    }

    /// The server's log.
    pub fn log_path(&self) -> PathBuf {
        self.folder.path().join("postgres.log")
    }

    /// The superuser's password for the port, 0600.
    pub fn password_path(&self) -> PathBuf {
        self.folder.path().join("password")
    }

    fn cluster_dir(&self) -> PathBuf {
        self.folder.path().join(CLUSTER)
    }

    /// A program that belongs to the server, such as `psql`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.binary.path.with_file_name(name)
    }

    /// Kills the server and its sessions as a power cut would (but what they wrote is kept by the system), and waits until
    /// they are gone.
    pub fn kill_9(&mut self) {
        if let Some(running) = &mut self.running {
            running.kill_9();
        }
    }

    /// Stops the server in order and keeps its data, also in a throw-away folder, for [`Postgres::restart`].
    pub fn pause(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop_and_keep();
        }
    }

    /// Starts the server again, whether it was killed, paused or still runs, on the same port with the same data.
    ///
    /// # Errors
    /// As [`Postgres::start`]; also when somebody else has taken the port meanwhile.
    pub fn restart(&mut self) -> Result<(), EngineError> {
        self.pause();
        self.launch_and_wait()
    }

    /// Stops the server and removes its folder if that is throw-away, as dropping it does.
    pub fn stop(self) {}
}

/// The file has the server's process id in the first line and its state in the eighth.
fn says_ready(postmaster_pid: &Path, pid: u32) -> Result<(), String> {
    let text = fs::read_to_string(postmaster_pid).map_err(|error| error.to_string())?;
    let mut lines = text.lines();
    let first = lines.next().map(str::trim);
    let state = lines.nth(6).map_or("starting", str::trim);
    match first == Some(&pid.to_string()) && state == "ready" {
        true => Ok(()),
        false => Err(format!("it says that it is {state}")),
    }
}

fn succeeded(program: &'static str, output: Output) -> Result<String, EngineError> {
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.success() {
        true => Ok(said(&output.stdout)),
        false => Err(EngineError::Refused { program, output: said(&output.stderr) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_ready_when_its_own_file_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("postmaster.pid");
        let write = |pid, state| {
            fs::write(&file, format!("{pid}\n/d\n1\n5432\n/s\n127.0.0.1\n 1 2\n{state}\n")).unwrap()
        };
        assert!(says_ready(&file, 7).is_err());
        write(7, "starting");
        assert!(says_ready(&file, 7).is_err());
        write(8, "ready   ");
        assert!(says_ready(&file, 7).is_err(), "left by another server");
        write(7, "ready   ");
        assert_eq!(says_ready(&file, 7), Ok(()));
    }
}

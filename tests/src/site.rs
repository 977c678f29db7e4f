//! A site: one log server, a database, a folder with a key.

use std::fs::{self, File, Permissions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use trstctl_engines::{Binary, NatsOptions, NatsServer, Postgres};
use trstctl_ledger::history::History;
use trstctl_ledger::log::{STREAM, StreamConfig, seed};
use trstctl_ledger::wire::{ConnectOptions, Connection};

use crate::backup::records_without_times;
use crate::program::{Run, program};
use crate::running::pause;

const ANSWER: Duration = Duration::from_secs(10);
/// Longest time until servers have elected a leader.
const ELECTIONS: Duration = Duration::from_secs(300);

/// Real engines and the settings that lead to them.
pub struct Site {
    /// The log's server.
    pub nats: NatsServer,
    dsn: String,
    folder: TempDir,
    runtime: tokio::runtime::Runtime,
}

impl Site {
    /// The newest nats-server, and a database of its own.
    pub fn start() -> Self {
        Self::with(NatsOptions::default())
    }

    /// The same with this nats-server.
    pub fn on(server: &Binary) -> Self {
        Self::with(NatsOptions { binary: Some(server.path.clone()), ..NatsOptions::default() })
    }

    /// The same with these options.
    pub fn with(options: NatsOptions) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        write_secret(&folder.path().join("audit.key"), "a key of the tests\n");
        Self {
            nats: NatsServer::start(options).expect("nats-server starts"),
            dsn: Postgres::shared().create_database().expect("a database"),
            folder,
            runtime: tokio::runtime::Runtime::new().expect("a runtime"),
        }
    }

    /// A path in the site's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file that only its owner may read.
    pub fn write_secret(&self, name: &str, text: &str) {
        write_secret(&self.path(name), text);
    }

    /// Names of the files in the site's folder that a run under way makes.
    pub fn partial_files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).expect("the folder can be read").flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.ends_with(".partial")).collect()
    }

    /// Runs SQL in the database as its superuser.
    pub fn sql(&self, statement: &str) -> String {
        let (_, database) = self.dsn.rsplit_once("dbname=").expect("the DSN names its database");
        Postgres::shared().execute(database, statement).expect("the statement succeeds")
    }

    /// Where the database is.
    pub fn dsn(&self) -> &str {
        &self.dsn
    }

    /// Destroys the log's server with its data, and starts an empty one.
    pub fn lose_log(&mut self, options: NatsOptions) {
        self.nats = NatsServer::start(options).expect("nats-server starts");
    }

    /// Leaves the database behind, for an empty one.
    pub fn lose_database(&mut self) {
        self.dsn = Postgres::shared().create_database().expect("a database");
    }

    /// Creates the log and writes this history into it.
    pub fn seed(&self, history: History) {
        self.block_on(seed_at(&self.nats.url(), 1, history));
    }

    /// Runs async work of a test.
    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// The program with the site's settings.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program();
        command
            .args(arguments)
            .env("TRSTCTL_NATS_URL", self.nats.url())
            .env("TRSTCTL_NATS_REPLICAS", "1")
            .env("TRSTCTL_NATS_ALLOW_SINGLE_REPLICA", "true")
            .env("TRSTCTL_POSTGRES_DSN", &self.dsn)
            .env("TRSTCTL_AUDIT_SIGNING_KEY_FILE", self.path("audit.key"))
            .current_dir(self.folder.path());
        command
    }

    /// The same with the log of three replicas on these servers.
    pub fn on_cluster(&self, url: &str, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command
            .env("TRSTCTL_NATS_URL", url)
            .env("TRSTCTL_NATS_REPLICAS", "3")
            .env_remove("TRSTCTL_NATS_ALLOW_SINGLE_REPLICA");
        command
    }

    /// Name of the server that leads the log on these servers; one is waited for.
    pub fn leader(&self, url: &str) -> String {
        let start = Instant::now();
        loop {
            let info = self.block_on(async {
                let connection =
                    Connection::connect(&ConnectOptions::new(url)).await.expect("a server answers");
                connection.api_get::<Value>(&format!("STREAM.INFO.{STREAM}"), ANSWER).await
            });
            match info.as_ref().map(|info| info["cluster"]["leader"].as_str()) {
                Ok(Some(leader)) => return leader.to_owned(),
                _ => assert!(start.elapsed() < ELECTIONS, "{info:?}"),
            }
            pause();
        }
    }

    /// The log is absent, carries the mark of an unfinished restore, or holds these records (store times left out).
    #[track_caller]
    pub fn assert_log_is_not_taken_for_another(&self, whole: &[Value]) {
        let run = self.dr(&["backup", "--force", "--new-history", "a test", "--output", "seen.jsonl"]);
        if run.code == Some(0) {
            assert_eq!(records_without_times(&self.path("seen.jsonl")), whole);
        } else {
            let refused = run.has_class("no_stream") || run.stderr.contains("restore");
            assert!(refused, "{}", run.stderr);
        }
    }

    /// Digests of the read model, which must be the fold of the log.
    #[track_caller]
    pub fn digests(&self) -> Value {
        self.dr(&["diff", "--json"]).succeed().json()["digests"].clone()
    }

    /// Runs the program in the site's folder.
    pub fn dr(&self, arguments: &[&str]) -> Run {
        Run::of(&mut self.command(arguments))
    }
}

/// Creates the log on these servers and writes this history into it.
pub async fn seed_at(url: &str, replicas: u32, history: History) {
    let connection = Connection::connect(&ConnectOptions::new(url)).await.expect("the server answers");
    let config = StreamConfig::new(STREAM, "events.>", replicas);
    seed(&connection, &config, history, |_| {}).await.expect("the log is written");
}

/// Flips one bit of the byte at this place.
pub fn flip_byte(path: &Path, offset: u64) {
    let mut file = File::options().read(true).write(true).open(path).expect("the file opens");
    let mut byte = [0];
    file.seek(SeekFrom::Start(offset)).expect("the offset is in the file");
    file.read_exact(&mut byte).expect("the byte is there");
    byte[0] ^= 1;
    file.seek(SeekFrom::Start(offset)).and_then(|_| file.write_all(&byte)).expect("the byte is written");
}

fn write_secret(path: &Path, text: &str) {
    fs::write(path, text).expect("a secret file");
    fs::set_permissions(path, Permissions::from_mode(0o600)).expect("a private file");
}

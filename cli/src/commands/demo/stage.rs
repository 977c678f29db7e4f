//! Throw-away engines of the demo: gone, data and all, when dropped.

use trstctl_engines::{NatsOptions, NatsServer, Postgres, PostgresOptions};
use trstctl_formats::Failure;
use trstctl_ledger::history::History;
use trstctl_ledger::log::{JetStreamLog, STREAM, StreamConfig, seed};
use trstctl_ledger::read_model::Additions;
use trstctl_ledger::wire::{ConnectOptions, Connection};
use trstctl_migrations::connect::Target;
use trstctl_recovery::rebuild::{Database, Migrate};

use crate::args::Memory;
use crate::connections::engine_failure;

/// One nats-server and one PostgreSQL.
pub struct Stage {
    nats: NatsServer,
    _postgres: Postgres,
    dsn: String,
}

impl Stage {
    /// Starts both.
    pub fn start() -> Result<Self, Failure> {
        let nats = NatsServer::start(NatsOptions::default()).map_err(engine_failure)?;
        let postgres = Postgres::start(PostgresOptions::default()).map_err(engine_failure)?;
        let dsn = postgres.create_database().map_err(engine_failure)?;
        Ok(Self { nats, _postgres: postgres, dsn })
    }

    /// How to reach the log's server.
    pub fn nats(&self) -> ConnectOptions {
        ConnectOptions::new(self.nats.url())
    }

    /// The log.
    pub async fn log(&self) -> Result<JetStreamLog, Failure> {
        Ok(JetStreamLog::open(Connection::connect(&self.nats()).await?, STREAM).await?)
    }

    /// Creates the log and fills it.
    pub async fn seed(&self, history: History, progress: impl Fn(u64)) -> Result<JetStreamLog, Failure> {
        let connection = Connection::connect(&self.nats()).await?;
        let config = StreamConfig::new(STREAM, "events.>", 1);
        seed(&connection, &config, history, progress).await
    }

    /// The database.
    pub fn database(&self, memory: &Memory) -> Result<Database, Failure> {
        Ok(Database {
            target: Target::from_dsn(&self.dsn)?,
            migrate: Migrate::Auto,
            memory_bytes: memory.bytes(),
            additions: Additions::Keep,
        })
    }
}

//! Starts, checks and stops real `nats-server` and `postgres` processes: embedded mode, demos, drills, tests.
//!
//! Three rules hold for every engine started here:
//! 1. It ends with the process that started it, however that ends. A small supervising shell holds one end of a
//!    pipe; when the other end closes (drop, panic, exit, SIGTERM, `kill -9`) it stops the engine and removes a
//!    throw-away folder (`supervisor.sh`).
//! 2. Whoever can write into an engine's folder holds the folder's lock: the starter, the supervisor and the engine
//!    itself. Two servers never open the same store, and a folder whose lock is free is left over.
//! 3. Engines listen on loopback and on a socket in a private folder, and let no other local user in.

mod account;
mod binaries;
mod chance;
mod embedded;
mod error;
mod folder;
mod nats;
mod poll;
mod postgres;
mod process;
mod supervisor;

pub use binaries::{
    Binary, Version, installed_nats_servers, installed_postgres, nats_server, postgres as postgres_server,
};
pub use embedded::{Embedded, EmbeddedOptions, Role};
pub use error::EngineError;
pub use folder::Data;
pub use nats::{Monitoring, NatsAuth, NatsCluster, NatsOptions, NatsServer, SyncInterval};
pub use postgres::{Postgres, PostgresOptions};

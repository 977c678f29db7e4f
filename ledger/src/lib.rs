//! The event log and everything derived from it: reading it whole, restoring it, projecting it into the read model.
//!
//! `wire` is a small NATS connection that hands out bytes as they are; `log` is the event log on JetStream or in
//! memory; `restore` puts a verified backup into an empty log; `projection` folds events to rows and knows neither
//! SQL nor NATS; `read_model` keeps those rows in PostgreSQL; `history` invents realistic logs for demos and tests.

pub mod history;
pub mod log;
pub mod projection;
pub mod read_model;
pub mod restore;
pub mod wire;

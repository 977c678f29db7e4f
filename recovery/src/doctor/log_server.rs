//! The server of the log: reachable, new enough, JetStream on, room for the account, its clock.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use trstctl_formats::{Class, Failure};
use trstctl_ledger::log::LogError;
use trstctl_ledger::wire::Connection;

use super::clock::{self, Reading};
use super::{Check, LogFacts, Site, permissions, settings, stream};
use crate::words;

/// Longest wait for one answer.
pub(super) const ANSWER: Duration = Duration::from_secs(5);

/// Checks that need the server, by name: what is said when it does not answer.
const DEPENDENT: [&str; 9] = [
    "jetstream",
    "log storage",
    "log server clock",
    "stream",
    "stream settings",
    "replicas",
    "power loss",
    "other streams",
    "permissions to read",
];

/// Every check of the log, and what the others want to know of it.
pub(super) async fn examine(site: &Site) -> (Vec<Check>, LogFacts) {
    match connect(site).await {
        Ok(connection) => {
            let mut checks = vec![version(&connection)];
            let (more, facts) = examine_on(&connection, site).await;
            checks.extend(more);
            (checks, facts)
        }
        Err(failure) => {
            let mut checks = vec![Check::failed("nats", &failure)];
            let dependent = DEPENDENT.into_iter().chain(["permissions to restore"]);
            checks.extend(dependent.map(|name| Check::not_checked(name, "NATS cannot be reached")));
            (checks, LogFacts::default())
        }
    }
}

async fn connect(site: &Site) -> Result<Connection, Failure> {
    let options = site.nats.as_ref().map_err(Clone::clone)?;
    Ok(Connection::connect(options).await?)
}

async fn examine_on(connection: &Connection, site: &Site) -> (Vec<Check>, LogFacts) {
    let mut checks = Vec::new();
    match account(connection).await {
        Ok(account) => {
            checks.push(Check::ok("jetstream", "enabled for this account"));
            checks.push(account.storage_check());
        }
        Err(failure) => {
            checks.push(Check::failed("jetstream", &failure));
            checks.push(Check::not_checked("log storage", "JetStream does not answer"));
        }
    }
    let looked = stream::look(connection, site).await;
    checks.push(server_clock(&looked));
    checks.push(stream::existence(&looked));
    match &looked.info {
        Ok(info) => {
            checks.push(settings::examine(info, &site.stream));
            let settled = stream::settled(connection, &site.stream, info).await;
            checks.push(stream::replicas(&settled, &site.replicas));
            checks.push(stream::power_loss(info, connection.server().version, site.flush));
        }
        Err(_) => {
            let of_stream = ["stream settings", "replicas", "power loss"];
            checks.extend(of_stream.map(|name| Check::not_checked(name, "the stream cannot be looked at")));
        }
    }
    checks.push(stream::others(connection, &site.stream).await);
    checks.extend(permissions::examine(connection, &site.stream).await);
    let state = looked.info.as_ref().ok().map(|info| info.state.log_state());
    let facts = LogFacts {
        last_sequence: state.map(|state| state.last_sequence),
        len_bytes: state.map(|state| state.len_bytes),
    };
    (checks, facts)
}

fn version(connection: &Connection) -> Check {
    let server = connection.server();
    let found = format!("{} at {}", server.version, connection.url());
    if server.version.is_at_least(2, 9) {
        return Check::ok("nats", found);
    }
    Check::problem("nats", found, "Only NATS 2.9 and newer is supported: upgrade the server.")
}

fn server_clock(looked: &stream::Looked) -> Check {
    let name = "log server clock";
    match looked.server_time {
        Some(server) => clock::compare(name, &Reading { before: looked.before, server, after: looked.after }),
        None => Check::not_checked(name, "the server does not tell its time (NATS 2.10 and newer do)"),
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Account {
    storage: u64,
    limits: Limits,
}

#[derive(Deserialize)]
#[serde(default)]
struct Limits {
    max_storage: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_storage: -1 }
    }
}

impl Account {
    fn storage_check(&self) -> Check {
        let name = "log storage";
        let used = words::bytes(self.storage);
        let Some(most) = u64::try_from(self.limits.max_storage).ok().filter(|most| *most > 0) else {
            return Check::ok(
                name,
                format!("{used} used, the account has no limit; NATS does not tell what is free on disk"),
            );
        };
        let found = format!("{used} of {} used", words::bytes(most));
        let to_do = "Raise the account's JetStream storage limit: a full log takes no event.";
        match self.storage.saturating_mul(100) / most {
            0..80 => Check::ok(name, found),
            80..95 => Check::warning(name, found, to_do),
            _ => Check::problem(name, found, to_do),
        }
    }
}

async fn account(connection: &Connection) -> Result<Account, Failure> {
    let answer = connection.api_get::<Value>("INFO", ANSWER).await.map_err(LogError::from)?;
    serde_json::from_value(answer).map_err(|error| {
        let message = format!("the server's account information cannot be read: {error}");
        Failure::new(Class::Refused, message, "Check that the NATS server's version is supported.")
    })
}

/// A time as the server writes it.
pub(super) fn time_of(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn account_near_its_limit_is_told_before_it_is_full() {
        let state =
            |storage, max_storage| Account { storage, limits: Limits { max_storage } }.storage_check().state;
        assert_eq!(state(79, 100), State::Ok);
        assert_eq!(state(80, 100), State::Warning);
        assert_eq!(state(95, 100), State::Problem);
        assert_eq!(state(1 << 40, -1), State::Ok);
        assert_eq!(state(5, 0), State::Ok, "0 means none");
    }
}

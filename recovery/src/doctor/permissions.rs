//! What this login may publish to, command by command, tried without writing.
//!
//! Each subject gets a request that the server must refuse, because it is no JSON or names a consumer that is not there: any
//! answer shows the permission. Never tried are the deletion of the stream, which `restore` needs to take up its own killed work,
//! and the log's own subjects, to which `restore --method publish` writes.

use futures_util::future::join_all;
use trstctl_ledger::log::LogError;
use trstctl_ledger::wire::Connection;

use super::Check;
use super::log_server::ANSWER;

/// No JSON: the server refuses it before it does anything.
const REFUSED: &[u8] = b"trstctl-dr doctor";
/// A consumer that nobody has.
const NOBODY: &str = "trstctl-dr-doctor";

/// A request to try.
struct Probe {
    subject: String,
    body: &'static [u8],
}

pub(super) async fn examine(connection: &Connection, stream: &str) -> [Check; 2] {
    let reading = examine_one(connection, reading(connection, stream)).await;
    let restoring = examine_one(connection, restoring(connection, stream)).await;
    [read_check(&reading), restore_check(&reading, &restoring)]
}

/// What `backup`, `rebuild` and `diff` need.
fn reading(connection: &Connection, stream: &str) -> Vec<Probe> {
    vec![
        probe(connection, "INFO".into(), b""),
        probe(connection, format!("STREAM.INFO.{stream}"), b""),
        probe(connection, format!("STREAM.MSG.GET.{stream}"), REFUSED),
        probe(connection, format!("CONSUMER.CREATE.{stream}"), REFUSED),
        probe(connection, format!("CONSUMER.MSG.NEXT.{stream}.{NOBODY}"), REFUSED),
        probe(connection, format!("CONSUMER.DELETE.{stream}.{NOBODY}"), b""),
    ]
}

/// What `restore` needs besides.
fn restoring(connection: &Connection, stream: &str) -> Vec<Probe> {
    let archive = Probe { subject: format!("$JS.SNAPSHOT.RESTORE.{stream}.{NOBODY}"), body: b"" };
    vec![
        probe(connection, "STREAM.NAMES".into(), b""),
        probe(connection, format!("STREAM.CREATE.{stream}"), REFUSED),
        probe(connection, format!("STREAM.UPDATE.{stream}"), REFUSED),
        probe(connection, format!("STREAM.RESTORE.{stream}"), REFUSED),
        archive,
    ]
}

fn probe(connection: &Connection, endpoint: String, body: &'static [u8]) -> Probe {
    Probe { subject: connection.api_subject(&endpoint), body }
}

/// What became of the probes of one command.
#[derive(Default)]
struct Tried {
    allowed: usize,
    denied: Vec<String>,
    unanswered: Vec<String>,
}

async fn examine_one(connection: &Connection, probes: Vec<Probe>) -> Tried {
    let asked = probes.iter().map(|probe| connection.request(&probe.subject, probe.body, ANSWER));
    let mut tried = Tried::default();
    let is_old = !connection.server().version.is_at_least(2, 10);
    for (probe, answer) in probes.iter().zip(join_all(asked).await) {
        match answer {
            Ok(_) | Err(LogError::NoResponders { .. }) => tried.allowed += 1,
            Err(LogError::Refused { .. }) => tried.denied.push(probe.subject.clone()),
            // Servers before 2.10 say nothing to a pull from a consumer that is not there; a denied one they refuse.
            Err(_) if probe.subject.contains(".MSG.NEXT.") && is_old => tried.allowed += 1,
            Err(_) => tried.unanswered.push(probe.subject.clone()),
        }
    }
    tried
}

fn read_check(reading: &Tried) -> Check {
    let name = "permissions to read";
    if !reading.denied.is_empty() {
        let found = format!("backup, rebuild and diff may not publish to {}", reading.denied.join(" "));
        return Check::problem(name, found, TO_DO);
    }
    if !reading.unanswered.is_empty() {
        return Check::problem(name, format!("no answer from {}", reading.unanswered.join(" ")), SILENT);
    }
    Check::ok(name, format!("backup, rebuild, diff: all {} subjects", reading.allowed))
}

/// On a host that only backs up, a login that cannot restore is a good one: a warning.
fn restore_check(reading: &Tried, restoring: &Tried) -> Check {
    let name = "permissions to restore";
    let denied: Vec<_> = reading.denied.iter().chain(&restoring.denied).cloned().collect();
    if !denied.is_empty() {
        let found = format!("this login cannot restore: it may not publish to {}", denied.join(" "));
        let to_do = "Right on a host that only backs up. Where a restore is to run, give the login the subjects in docs/operations.md.";
        return Check::warning(name, found, to_do);
    }
    if !restoring.unanswered.is_empty() {
        return Check::warning(name, format!("no answer from {}", restoring.unanswered.join(" ")), SILENT);
    }
    let found = format!(
        "all {} subjects that can be tried; not tried are STREAM.DELETE, and events.> for --method publish",
        restoring.allowed
    );
    Check::ok(name, found)
}

const TO_DO: &str =
    "Give this NATS user the subjects in docs/operations.md, and the subscription to its inbox.";
const SILENT: &str = "Wait until JetStream has a leader; else allow the subscription to _INBOX.> (or TRSTCTL_NATS_INBOX_PREFIX).";

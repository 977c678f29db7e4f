//! The database: reachable, new enough, writable, its clock, its migrations, and how far the read model has come.

use jiff::Timestamp;
use postgres::Client;
use trstctl_formats::Failure;
use trstctl_migrations::audit::{Catalog, audit, embedded_files};
use trstctl_migrations::connect::Target;
use trstctl_migrations::{Error, MIN_SERVER_VERSION, Manifest, Runner};

use super::clock::{self, Reading};
use super::{Check, State, database_disk, roles};
use crate::rebuild::Migrate;
use crate::words;

/// A model this much behind the log is merely busy.
const USUAL_LAG: u64 = 1_000;
/// Findings of the audit that are shown.
const SHOWN_FINDINGS: usize = 3;

/// Checks that need the database.
const DEPENDENT: [&str; 11] = [
    "database clock",
    "database mode",
    "database power loss",
    "database space",
    "roles",
    "row-level security",
    "inherited roles",
    "migrations",
    "recovery classes",
    "quarantine",
    PROJECTION,
];

const PROJECTION: &str = "projection";

/// Every check of the database, on a blocking thread, but for the last one: that compares the checkpoint, which is answered where
/// it could be read, with the log.
pub(super) fn examine(
    target: Result<Target, Failure>,
    migrate: Migrate,
    clock: fn() -> Timestamp,
) -> (Vec<Check>, Option<u64>) {
    let opened = target.and_then(|target| Ok((target.open()?, target.place())));
    let (mut client, place) = match opened {
        Ok(opened) => opened,
        Err(failure) => return (unreachable_database(&failure), None),
    };
    let client = &mut client;
    let mut checks = vec![
        check("postgres", version(client, &place)),
        check("database clock", server_clock(client, clock)),
        check("database mode", mode(client)),
        check("database power loss", database_disk::power_loss(client)),
        check("database space", database_disk::space(client)),
    ];
    checks.push(roles::missing(client));
    checks.push(roles::row_security(client));
    checks.push(roles::inherited(client));
    // The owner, if it can be become by now, sees the rest.
    checks.push(migrations(client, migrate));
    checks.push(check("recovery classes", classes(client)));
    checks.push(check("quarantine", quarantine(client)));
    match checkpoint(client) {
        Ok(checkpoint) => (checks, Some(checkpoint)),
        Err(error) => {
            checks.push(check(PROJECTION, Err(error)));
            (checks, None)
        }
    }
}

/// When there is no session, or its answers stay away.
pub(super) fn unreachable_database(failure: &Failure) -> Vec<Check> {
    let mut checks = vec![Check::failed("postgres", failure)];
    checks.extend(DEPENDENT.map(|name| Check::not_checked(name, "PostgreSQL cannot be reached")));
    checks
}

/// A statement that fails is a problem of its check, and of no other.
pub(super) fn check(name: &'static str, outcome: Result<Check, postgres::Error>) -> Check {
    outcome.unwrap_or_else(|error| {
        let failure = Failure::from(Error::from_statement("it cannot be looked at", &error));
        Check { state: State::NotChecked, ..Check::failed(name, &failure) }
    })
}

fn version(client: &mut Client, place: &str) -> Result<Check, postgres::Error> {
    let sql = "SELECT current_setting('server_version'), current_setting('server_version_num')::int";
    let row = client.query_one(sql, &[])?;
    let words: String = row.get(0);
    let found = format!("{} at {place}", words.split_whitespace().next().unwrap_or_default());
    Ok(match row.get::<_, i32>(1) >= MIN_SERVER_VERSION {
        true => Check::ok("postgres", found),
        false => Check::problem("postgres", found, "Only PostgreSQL 15 and newer is supported: upgrade it."),
    })
}

fn server_clock(client: &mut Client, now: fn() -> Timestamp) -> Result<Check, postgres::Error> {
    let before = now();
    let server: std::time::SystemTime = client.query_one("SELECT clock_timestamp()", &[])?.get(0);
    let after = now();
    Ok(match Timestamp::try_from(server) {
        Ok(server) => clock::compare("database clock", &Reading { before, server, after }),
        Err(error) => Check::not_checked("database clock", format!("its time cannot be read: {error}")),
    })
}

fn mode(client: &mut Client) -> Result<Check, postgres::Error> {
    let sql = "SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only') = 'on'";
    let row = client.query_one(sql, &[])?;
    let name = "database mode";
    Ok(match (row.get(0), row.get(1)) {
        (true, _) => {
            Check::problem(name, "a standby: nothing can be rebuilt here", "Point the DSN at the primary.")
        }
        (_, true) => Check::problem(
            name,
            "transactions are read-only by default",
            "Unset default_transaction_read_only for this login and database.",
        ),
        _ => Check::ok(name, "takes writes"),
    })
}

fn migrations(client: &mut Client, migrate: Migrate) -> Check {
    let name = "migrations";
    let status = match Runner::default().status(client) {
        Ok(status) => status,
        Err(error) => return Check::failed(name, &error.into()),
    };
    let applied = words::plural(status.applied.len() as u64, "migration");
    let Some(first) = status.pending.first() else {
        return Check::ok(name, format!("{applied}, none pending"));
    };
    let pending = status.pending.len() as u64;
    let found = format!("{} pending, from {} on", words::plural(pending, "migration"), first.name);
    match migrate {
        Migrate::Auto => Check::warning(
            name,
            found,
            "trstctl-server --migrate, rebuild, or restore --rebuild applies them.",
        ),
        Migrate::Refuse => Check::problem(
            name,
            format!("{found}, and TRSTCTL_MIGRATE_AUTO is false: restore --rebuild refuses"),
            "Run trstctl-server --migrate, or unset TRSTCTL_MIGRATE_AUTO.",
        ),
    }
}

/// Every table has one recovery class: else a backup plan leaves something out.
fn classes(client: &mut Client) -> Result<Check, postgres::Error> {
    let name = "recovery classes";
    let catalog = match Catalog::read(client) {
        Ok(catalog) => catalog,
        Err(error) => return Ok(Check::failed(name, &error.into())),
    };
    let mut findings = audit(&embedded_files(), &Manifest::embedded(), Some(&catalog));
    // Told by a check of its own.
    findings.retain(|finding| finding.code() != "inheriting_login");
    if findings.is_empty() {
        return Ok(Check::ok(name, format!("{} tables, each has one", catalog.tables.len())));
    }
    let shown: Vec<String> = findings
        .iter()
        .take(SHOWN_FINDINGS)
        .map(|finding| format!("{} {}", finding.code(), finding.subject()))
        .collect();
    let found = format!("{}: {}", words::plural(findings.len() as u64, "finding"), shown.join(", "));
    Ok(Check::problem(name, found, "See trstctl-dr manifest audit --database."))
}

fn checkpoint(client: &mut Client) -> Result<u64, postgres::Error> {
    let row = client.query_opt("SELECT sequence FROM public.projection_checkpoint", &[])?;
    Ok(row.map_or(0, |row| u64::try_from(row.get::<_, i64>(0)).unwrap_or_default()))
}

/// How far the model was, beside a log that was read later.
pub(super) fn projection(checkpoint: u64, last_sequence: Option<u64>) -> Check {
    let name = PROJECTION;
    let at = format!("at sequence {}", words::count(checkpoint));
    let Some(last) = last_sequence else {
        return Check::not_checked(name, format!("{at}; the log's end is not known"));
    };
    match (checkpoint.checked_sub(last), last.saturating_sub(checkpoint)) {
        (Some(1..), _) => Check::problem(
            name,
            format!("{at}, beyond the log's end at {}: new events would be skipped", words::count(last)),
            "One of the two was restored without the other, or belongs to another deployment. If the log is the right one, run trstctl-dr rebuild.",
        ),
        (_, 0) => Check::ok(name, format!("{at}, the end of the log")),
        (_, lag @ 0..=USUAL_LAG) if checkpoint > 0 => {
            Check::ok(name, format!("{at}, {} behind the log", words::count(lag)))
        }
        (_, lag) => Check::warning(
            name,
            format!("{at}, {} behind the log", words::count(lag)),
            "Is the server running? trstctl-dr rebuild brings the read model to the end of the log.",
        ),
    }
}

fn quarantine(client: &mut Client) -> Result<Check, postgres::Error> {
    let name = "quarantine";
    let row = client.query_one("SELECT count(*), min(sequence) FROM read_model.projection_faults", &[])?;
    let faults = u64::try_from(row.get::<_, i64>(0)).unwrap_or_default();
    Ok(match row.get::<_, Option<i64>>(1) {
        None => Check::ok(name, "no event is in quarantine"),
        Some(first) => Check::warning(
            name,
            format!("{} could not be applied, the first at sequence {first}", words::plural(faults, "event")),
            "Look at read_model.projection_faults: each names its reason. A recovery brings the same ones back.",
        ),
    })
}

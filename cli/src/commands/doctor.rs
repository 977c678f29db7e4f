//! `trstctl-dr doctor`: the checks of this host's settings, engines, keys and backups, as a table.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use trstctl_engines::{Embedded, EngineError, SyncInterval, nats_server, postgres_server};
use trstctl_formats::{Class, Failure};
use trstctl_ledger::log::STREAM;
use trstctl_ledger::wire::ConnectOptions;
use trstctl_migrations::connect::Target;
use trstctl_recovery::doctor::{Check, Flush, SecretFile, Site, State, examine};
use trstctl_recovery::rebuild::Migrate;

use super::Context;
use crate::args::{Doctor, TrustArgs};
use crate::connections::{self, SECRET_FILES};
use crate::outcome::Outcome;
use crate::settings::Settings;
use crate::text;

pub fn run(context: &Context, args: &Doctor) -> Result<Outcome, Failure> {
    let max_age = max_age(&args.max_age)?;
    let mut checks =
        vec![program("nats-server program", nats_server().map(|binary| (binary.path, binary.version)))];
    checks
        .push(program("postgres program", postgres_server(None).map(|binary| (binary.path, binary.version))));
    let site = site(context, max_age);
    checks.extend(context.run(async { Ok(examine(site).await) })?);
    Ok(outcome(&checks))
}

fn max_age(text: &str) -> Result<Duration, Failure> {
    let span: Option<SignedDuration> = text.parse().ok();
    span.and_then(|span| Duration::try_from(span).ok()).filter(|age| !age.is_zero()).ok_or_else(|| {
        Failure::new(Class::Usage, format!("--max-age is {text:?}"), "Use a duration such as 25h or 90m.")
    })
}

/// What the demo and embedded mode start.
fn program(
    name: &'static str,
    found: Result<(std::path::PathBuf, trstctl_engines::Version), EngineError>,
) -> Check {
    match found {
        Ok((path, version)) => Check::ok(name, format!("{version} at {}", path.display())),
        Err(error) => Check::warning(
            name,
            error.to_string(),
            "Only the demo and embedded engines need it: trstctl-dr demo cannot rehearse a recovery on this host.",
        ),
    }
}

fn site(context: &Context, max_age: Duration) -> Site {
    let settings = &context.settings;
    let embedded = settings.path("TRSTCTL_DATA_DIR").and_then(|folder| Embedded::running(&folder));
    let migrate = match settings.flag("TRSTCTL_MIGRATE_AUTO") {
        Ok(false) => Migrate::Refuse,
        _ => Migrate::Auto,
    };
    Site {
        nats: nats(settings, embedded.as_ref()),
        stream: STREAM.to_owned(),
        replicas: connections::replicas(settings),
        flush: flush(settings, embedded.as_ref()),
        database: database(settings, embedded.as_ref()),
        migrate,
        secrets: secrets(settings),
        recipients_file: settings.path("TRSTCTL_BACKUP_RECIPIENTS_FILE"),
        backup_dir: settings.path("TRSTCTL_BACKUP_DIR"),
        max_age,
        trust: context.trust(&TrustArgs::default()),
        clock: Timestamp::now,
    }
}

/// Embedded engines are looked at while they run; a check starts none.
fn not_running() -> Failure {
    Failure::new(
        Class::Unreachable,
        "embedded engines are not running, and this command starts none",
        "Start what runs them (the server, or another command), then run this again.",
    )
}

fn nats(settings: &Settings, embedded: Option<&Embedded>) -> Result<ConnectOptions, Failure> {
    match connections::nats_is_embedded(settings)? {
        true => embedded.map(|embedded| ConnectOptions::new(embedded.nats_url())).ok_or_else(not_running),
        false => connections::external_nats(settings),
    }
}

fn database(settings: &Settings, embedded: Option<&Embedded>) -> Result<Target, Failure> {
    let dsn = match connections::postgres_is_embedded(settings)? {
        true => embedded.map(|embedded| embedded.dsn("postgres")).ok_or_else(not_running)?,
        false => settings
            .get("TRSTCTL_POSTGRES_DSN")
            .map(ToOwned::to_owned)
            .ok_or_else(connections::no_database)?,
    };
    Ok(Target::from_dsn(&dsn)?)
}

fn flush(settings: &Settings, embedded: Option<&Embedded>) -> Flush {
    if !connections::nats_is_embedded(settings).unwrap_or(false) {
        return Flush::Unknown;
    }
    match embedded.and_then(Embedded::sync_interval) {
        Some(SyncInterval::Always) => Flush::Always,
        Some(SyncInterval::Every(span)) => Flush::Within(span),
        None => Flush::Unknown,
    }
}

fn secrets(settings: &Settings) -> Vec<SecretFile> {
    let key = ("audit key", "TRSTCTL_AUDIT_SIGNING_KEY_FILE", "audit signing key");
    let identity = ("identity file", "TRSTCTL_BACKUP_IDENTITY_FILE", "backup identity");
    let of_nats = SECRET_FILES.iter().map(|(name, what)| ("nats login file", *name, *what));
    // Of the several ways to log in, those that are not used are no news.
    let of_nats = of_nats.filter(|(_, name, _)| settings.path(name).is_some());
    let all = [key, identity].into_iter().chain(of_nats);
    all.map(|(name, setting, what)| SecretFile { name, what, path: settings.path(setting) }).collect()
}

fn outcome(checks: &[Check]) -> Outcome {
    let count = |state| checks.iter().filter(|check| check.state == state).count() as u64;
    let problems: Vec<_> =
        checks.iter().filter(|check| check.state == State::Problem).map(|check| check.name).collect();
    let mut words: String = checks.iter().map(line).collect();
    words.push_str(&format!(
        "{} ok, {}, {}, {} not checked\n",
        count(State::Ok),
        text::plural(count(State::Warning), "warning"),
        text::plural(problems.len() as u64, "problem"),
        count(State::NotChecked)
    ));
    let result = json!({
        "checks": checks,
        "ok_checks": count(State::Ok),
        "warnings": count(State::Warning),
        "problems": problems.len(),
        "not_checked": count(State::NotChecked),
    });
    Outcome::new(words, result).with_error(failure(&problems))
}

fn failure(problems: &[&str]) -> Option<Failure> {
    (!problems.is_empty()).then(|| {
        let message = format!("{}: {}", text::plural(problems.len() as u64, "problem"), problems.join(", "));
        Failure::new(Class::Findings, message, "Each line above that says PROBLEM ends with what to do.")
    })
}

/// Columns of state and name.
const STATE_WIDTH: usize = 11;
const NAME_WIDTH: usize = 24;

/// A check in lines of at most 80 columns: state, name, what was found, and below it what to do.
fn line(check: &Check) -> String {
    let state = match check.state {
        State::Ok => "ok",
        State::Warning => "warning",
        State::Problem => "PROBLEM",
        State::NotChecked => "not checked",
    };
    let lead = format!("{state:<STATE_WIDTH$} {:<NAME_WIDTH$}", check.name);
    let mut words = text::column(&lead, &check.found);
    if !check.to_do.is_empty() {
        let lead = format!("{:>width$}", "to do: ", width = STATE_WIDTH + 1 + NAME_WIDTH);
        words.push_str(&text::column(&lead, &check.to_do));
    }
    words
}

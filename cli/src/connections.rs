//! The engines that a command talks to: those of the settings, or embedded ones in the data directory.

use std::time::Duration;

use trstctl_engines::{Embedded, EmbeddedOptions, EngineError, SyncInterval};
use trstctl_formats::{Class, Failure};
use trstctl_ledger::wire::{ConnectOptions, Connection};

use trstctl_recovery::secret;

use crate::settings::Settings;

const MODES: &[&str] = &["external", "embedded"];

/// Where the log and the read model are. Embedded engines that this command started end with this value.
pub struct Engines {
    embedded: Option<Embedded>,
    nats: ConnectOptions,
    dsn: Option<String>,
}

/// What a command works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// The log alone.
    Log,
    /// The log and the database.
    LogAndReadModel,
}

impl Needs {
    /// Of a restore, with or without a rebuild.
    pub fn of(rebuild: bool) -> Self {
        if rebuild { Needs::LogAndReadModel } else { Needs::Log }
    }
}

impl Engines {
    /// Looks the engines up, and starts embedded ones that are needed. Connects to nothing else.
    pub fn open(settings: &Settings, needs: Needs) -> Result<Self, Failure> {
        let nats_embedded = nats_is_embedded(settings)?;
        let postgres_embedded = postgres_is_embedded(settings)?;
        let needed = nats_embedded || (postgres_embedded && needs == Needs::LogAndReadModel);
        let embedded = needed.then(|| start(settings)).transpose()?;
        let nats = match &embedded {
            Some(embedded) if nats_embedded => ConnectOptions::new(embedded.nats_url()),
            _ => external_nats(settings)?,
        };
        let dsn = match &embedded {
            Some(embedded) if postgres_embedded => Some(embedded.dsn("postgres")),
            _ => settings.get("TRSTCTL_POSTGRES_DSN").map(ToOwned::to_owned),
        };
        Ok(Self { embedded, nats, dsn })
    }

    /// Whether embedded engines were started, rather than found running.
    pub fn were_started(&self) -> bool {
        self.embedded.as_ref().is_some_and(|embedded| embedded.engines().is_some())
    }

    /// Says, of an embedded server that cannot be told when to flush (NATS before 2.10), what a power loss may cost.
    pub fn late_flush(&self) -> Option<&'static str> {
        let is_late = self.embedded.as_ref().is_some_and(|embedded| embedded.sync_interval().is_none());
        is_late.then_some(
            "this nats-server is older than 2.10 and cannot be told when to flush: a power loss may cost \
             the last two minutes of events",
        )
    }

    /// How to reach the log's server.
    pub fn nats(&self) -> &ConnectOptions {
        &self.nats
    }

    /// Connects to the log's server.
    pub async fn connect(&self) -> Result<Connection, Failure> {
        Ok(Connection::connect(&self.nats).await?)
    }

    /// The database of the read model.
    pub fn dsn(&self) -> Result<&str, Failure> {
        self.dsn.as_deref().ok_or_else(no_database)
    }
}

/// Whether the log's server is an embedded one.
pub fn nats_is_embedded(settings: &Settings) -> Result<bool, Failure> {
    Ok(settings.word("TRSTCTL_NATS_MODE", MODES)? == "embedded")
}

/// Whether the database is an embedded one.
pub fn postgres_is_embedded(settings: &Settings) -> Result<bool, Failure> {
    Ok(settings.word("TRSTCTL_POSTGRES_MODE", MODES)? == "embedded")
}

/// There is no setting that leads to a database.
pub fn no_database() -> Failure {
    Failure::new(
        Class::Usage,
        "no database is configured",
        "Set TRSTCTL_POSTGRES_DSN, or TRSTCTL_POSTGRES_MODE=embedded.",
    )
}

/// Replicas for a stream that restore creates: never lowered silently. An embedded server is a single one.
pub fn replicas(settings: &Settings) -> Result<u32, Failure> {
    if nats_is_embedded(settings)? {
        return Ok(1);
    }
    let replicas = settings.number("TRSTCTL_NATS_REPLICAS")?;
    if replicas == 1 && !settings.flag("TRSTCTL_NATS_ALLOW_SINGLE_REPLICA")? {
        return Err(Failure::new(
            Class::Usage,
            "TRSTCTL_NATS_REPLICAS is 1: a power loss may cost acknowledged events",
            "Use 3 replicas, or set TRSTCTL_NATS_ALLOW_SINGLE_REPLICA=true.",
        ));
    }
    Ok(replicas)
}

/// Files that hold a secret of the login to NATS, and what they are.
pub const SECRET_FILES: &[(&str, &str)] = &[
    ("TRSTCTL_NATS_CREDS_FILE", "NATS creds"),
    ("TRSTCTL_NATS_NKEY_FILE", "NATS NKey"),
    ("TRSTCTL_NATS_PASSWORD_FILE", "NATS password"),
    ("TRSTCTL_NATS_TOKEN_FILE", "NATS token"),
    ("TRSTCTL_NATS_KEY_FILE", "NATS client key"),
];

/// How to reach the server of the settings; its secret files are read once, to be refused early.
pub fn external_nats(settings: &Settings) -> Result<ConnectOptions, Failure> {
    for (name, what) in SECRET_FILES {
        settings.path(name).map(|path| secret::read(&path, what)).transpose()?;
    }
    Ok(ConnectOptions {
        creds_file: settings.path("TRSTCTL_NATS_CREDS_FILE"),
        nkey_file: settings.path("TRSTCTL_NATS_NKEY_FILE"),
        user: settings.get("TRSTCTL_NATS_USER").map(ToOwned::to_owned),
        password_file: settings.path("TRSTCTL_NATS_PASSWORD_FILE"),
        token_file: settings.path("TRSTCTL_NATS_TOKEN_FILE"),
        ca_file: settings.path("TRSTCTL_NATS_CA_FILE"),
        cert_file: settings.path("TRSTCTL_NATS_CERT_FILE"),
        key_file: settings.path("TRSTCTL_NATS_KEY_FILE"),
        domain: settings.get("TRSTCTL_NATS_DOMAIN").map(ToOwned::to_owned),
        inbox_prefix: settings.get("TRSTCTL_NATS_INBOX_PREFIX").map(ToOwned::to_owned),
        ..ConnectOptions::new(settings.get("TRSTCTL_NATS_URL").unwrap_or_default())
    })
}

fn start(settings: &Settings) -> Result<Embedded, Failure> {
    let folder = settings.path("TRSTCTL_DATA_DIR").ok_or_else(|| {
        Failure::new(Class::Usage, "embedded mode needs a data directory", "Set TRSTCTL_DATA_DIR.")
    })?;
    let options = EmbeddedOptions { sync_interval: sync_interval(settings)?, ..EmbeddedOptions::default() };
    Embedded::open_with(&folder, &options).map_err(engine_failure)
}

fn sync_interval(settings: &Settings) -> Result<SyncInterval, Failure> {
    let text = settings.get("TRSTCTL_NATS_SYNC_INTERVAL").unwrap_or_default();
    if text == "always" {
        return Ok(SyncInterval::Always);
    }
    let span: Option<jiff::SignedDuration> = text.parse().ok();
    let duration = span.and_then(|span| Duration::try_from(span).ok()).filter(|duration| !duration.is_zero());
    duration.map(SyncInterval::Every).ok_or_else(|| {
        Failure::new(
            Class::Usage,
            format!("TRSTCTL_NATS_SYNC_INTERVAL is {text:?}"),
            "Use a duration such as 1s, or always.",
        )
    })
}

/// An engine that does not start, with the whole chain of causes.
pub fn engine_failure(error: EngineError) -> Failure {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        message.push_str(&format!(": {error}"));
        cause = error.source();
    }
    Failure::new(Class::Unreachable, message, "See above; `make setup` installs what embedded engines need.")
}

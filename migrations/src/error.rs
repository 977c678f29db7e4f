//! Why the database could not be used, for the person on call. Passwords never appear.

use trstctl_formats::{Class, Failure};

/// What can go wrong with PostgreSQL here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The DSN, a PG* variable or a file that they name is wrong.
    #[error("{what}")]
    Settings {
        /// What is wrong with it.
        what: String,
        /// What to do.
        hint: String,
    },
    /// No connection, or it was lost.
    #[error("PostgreSQL at {place} cannot be reached: {reason}")]
    Unreachable {
        /// Host and port, or the socket.
        place: String,
        /// What happened.
        reason: String,
    },
    /// An open connection was lost.
    #[error("{what}: the connection to PostgreSQL was lost ({reason})")]
    Lost {
        /// What was being done.
        what: String,
        /// What happened.
        reason: String,
    },
    /// The server answers, and refuses.
    #[error("{what}: {reason}")]
    Refused {
        /// What was being done.
        what: String,
        /// The server's words, or ours.
        reason: String,
        /// SQLSTATE; empty when the refusal is ours.
        code: String,
        /// What to do.
        hint: String,
    },
}

impl Error {
    /// A refusal of ours.
    pub fn refused(what: impl Into<String>, reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Error::Refused { what: what.into(), reason: reason.into(), code: String::new(), hint: hint.into() }
    }

    /// The server's SQLSTATE, if it refused.
    pub fn code(&self) -> Option<&str> {
        match self {
            Error::Refused { code, .. } if !code.is_empty() => Some(code),
            _ => None,
        }
    }

    /// What a failed statement means: the server's refusal, or a lost connection.
    pub fn from_statement(what: &str, error: &postgres::Error) -> Self {
        match error.as_db_error() {
            Some(db) if is_shutdown(db.code()) => {
                Error::Lost { what: what.into(), reason: db.message().to_owned() }
            }
            Some(db) => Error::Refused {
                what: what.into(),
                reason: describe(db),
                code: db.code().code().to_owned(),
                hint: hint_for(db.code()),
            },
            None => Error::Lost { what: what.into(), reason: chain(error) },
        }
    }
}

/// The message of a database error with what says where.
fn describe(db: &postgres::error::DbError) -> String {
    let mut text = format!("{} ({})", db.message(), db.code().code());
    for extra in [db.detail(), db.hint()].into_iter().flatten() {
        text.push_str("; ");
        text.push_str(extra);
    }
    text
}

fn is_shutdown(code: &postgres::error::SqlState) -> bool {
    // Class 57P: the server ended the session or does not take any.
    code.code().starts_with("57P")
}

/// What usually helps for this class of SQLSTATE.
pub fn hint_for(code: &postgres::error::SqlState) -> String {
    match code.code() {
        "25006" => "This server is read-only (a standby?): point the DSN at the primary.",
        "42501" => {
            "The login, or the role trstctl_owner that it works as, lacks a right on what is named above. `trstctl-dr rebuild` looks for missing roles and grants first and prints the statements that an administrator must run; a table that belongs to somebody else needs ALTER TABLE … OWNER TO trstctl_owner."
        }
        "53300" => {
            "The server has no connection left: raise max_connections or stop a client, then run the same command again."
        }
        "53100" => "The server's disk is full: make room, then run the same command again.",
        "53200" => "The server is out of memory: make room, then run the same command again.",
        "55P03" => "Somebody else holds the lock: wait for that run to end, then run the same command again.",
        "28P01" | "28000" => {
            "Check user and password (PGPASSWORD or the file of PGPASSFILE) and the server's pg_hba.conf."
        }
        "3D000" => "Check the database name in the DSN, or create it.",
        "3F000" | "42P01" => "The schema is not there or is older: run the migrations first.",
        _ => "Look at the server's log for the whole story.",
    }
    .to_owned()
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let message = error.to_string();
        match error {
            Error::Settings { hint, .. } => Failure::new(Class::Usage, message, hint),
            Error::Unreachable { .. } | Error::Lost { .. } => Failure::new(
                Class::Unreachable,
                message,
                "Check TRSTCTL_POSTGRES_DSN, that the server runs, and the network between; then run the same command again.",
            ),
            Error::Refused { hint, .. } => Failure::new(Class::Refused, message, hint),
        }
    }
}

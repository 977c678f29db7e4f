//! A database of its own for each test, and logins of every kind on the one shared server.
#![allow(dead_code)]

use std::sync::atomic::{AtomicU32, Ordering};

use postgres::Client;
use trstctl_engines::{Postgres, PostgresOptions};
use trstctl_migrations::Error;
use trstctl_migrations::connect::connect;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A fresh database of the shared server, as its superuser.
pub fn superuser_dsn() -> String {
    Postgres::shared().create_database().expect("a database")
}

/// A session as superuser in a fresh database.
pub fn superuser() -> Client {
    connect(&superuser_dsn()).expect("a session")
}

/// A server of its own, for tests of what belongs to a whole server: its roles.
pub fn own_server() -> Postgres {
    Postgres::start(PostgresOptions::default()).expect("a server")
}

/// A name that no other test uses.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The database's name in a DSN of the engines.
pub fn database_of(dsn: &str) -> &str {
    dsn.rsplit("dbname=").next().expect("a database in the DSN")
}

/// A new database owned by a new login with these attributes; the DSN of that login.
pub fn dsn_of_plain_login(server: &Postgres, attributes: &str) -> String {
    let dsn = server.create_database().expect("a database");
    let (login, database) = (unique("login"), database_of(&dsn));
    server
        .execute("postgres", &format!("CREATE ROLE {login} LOGIN NOSUPERUSER {attributes}"))
        .and_then(|_| server.execute("postgres", &format!("ALTER DATABASE {database} OWNER TO {login}")))
        .expect("a login");
    dsn.replace("user=postgres", &format!("user={login}"))
}

/// The text of a refusal with its hint.
pub fn refusal(error: Error) -> String {
    match &error {
        Error::Refused { hint, .. } => format!("{error} | {hint}"),
        other => panic!("not a refusal: {other}"),
    }
}

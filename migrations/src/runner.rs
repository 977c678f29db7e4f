//! Applies the migrations: forward only, one run at a time, each file with its ledger row in one transaction.
//!
//! Order: the server's fitness, the advisory lock, then in one transaction the roles and schemas and the look into the
//! ledger (which only the owner role may read), then the pending files. Whatever fails, nothing of that step stays.

use std::time::SystemTime;

use postgres::{Client, GenericClient, Transaction};

use crate::additions::{self, Addition};
use crate::files::{MIGRATIONS, Migration};
use crate::{Error, MIN_SERVER_VERSION, OWNER_ROLE, PUBLIC, lock_keys, roles};

/// A run that finds its role or grant just made by another run tries again this often.
const COLLISION_ATTEMPTS: u32 = 20;
/// How long a run waits for another one to end.
const LOCK_WAIT: &str = "60s";
/// How long making roles and a rehearsal wait for any other lock: whoever queues behind them must not wait longer.
const STATEMENT_LOCK_WAIT: &str = "5s";
/// How long a killed rebuild may still hold its lock.
const REBUILD_LOCK_WAIT: &str = "15s";
/// SQLSTATE of a lock that was not given in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Applies migrations and says which there are.
#[derive(Clone, Debug)]
pub struct Runner {
    migrations: Vec<Migration>,
}

/// A migration that the database has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Its number.
    pub number: i32,
    /// Its file's name.
    pub name: String,
    /// SHA-256 of the text that was applied.
    pub sha256: String,
    /// When.
    pub applied_at: SystemTime,
}

/// What a run would do.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// Statements for roles, grants and schemas that are missing, in order.
    pub roles: Vec<String>,
    /// Migrations to be applied, in order.
    pub pending: Vec<Migration>,
    /// What hangs on the read model and is none of ours: a rebuild that made the schema anew would lose it.
    pub additions: Vec<Addition>,
}

/// Which migrations the database has, and which it lacks.
#[derive(Clone, Debug)]
pub struct Status {
    /// Applied, in order.
    pub applied: Vec<Applied>,
    /// To be applied, in order.
    pub pending: Vec<Migration>,
}

impl Default for Runner {
    fn default() -> Self {
        Self::new(MIGRATIONS.to_vec())
    }
}

impl Runner {
    /// A runner of these migrations; [`Runner::default`] has those of this program.
    pub fn new(migrations: Vec<Migration>) -> Self {
        Self { migrations }
    }

    /// What is applied and what is pending; changes nothing.
    ///
    /// # Errors
    /// Refused when the database has a migration that is unknown here, or one whose file was edited since; and, with the
    /// statements that mend it, when the login may not become the owner, who alone reads the ledger.
    pub fn status(&self, client: &mut Client) -> Result<Status, Error> {
        check_fitness(client)?;
        let missing = roles::missing(client)?;
        let failed = |error| Error::from_statement("the ledger of migrations cannot be read", &error);
        let mut transaction = client.transaction().map_err(failed)?;
        let applied = applied(&mut transaction).map_err(|error| with_statements(error, &missing))?;
        transaction.rollback().map_err(failed)?;
        self.compare(applied)
    }

    /// The migrations that are pending; changes nothing.
    pub fn pending(&self, client: &mut Client) -> Result<Vec<Migration>, Error> {
        Ok(self.status(client)?.pending)
    }

    /// Statements that a run would need for roles and schemas; empty when all is there. Changes nothing.
    pub fn missing_roles(&self, client: &mut Client) -> Result<Vec<String>, Error> {
        roles::missing(client)
    }

    /// Does in one transaction what [`Runner::run`] would do, proves that the owner would see every row of the tables
    /// that no rebuild makes anew, and takes it all back: what would be done, or why it would be refused, before
    /// anything else is written.
    pub fn rehearse(&self, client: &mut Client) -> Result<Rehearsal, Error> {
        let (roles, (pending, additions)) = locked(client, |client| {
            with_roles(client, Ending::Rollback, |transaction| {
                let pending = self.compare(applied(transaction)?)?.pending;
                pending.iter().try_for_each(|migration| rehearse_one(transaction, migration))?;
                roles::become_owner_of(transaction, &[PUBLIC])?;
                Ok((pending, additions::additions(transaction)?))
            })
        })?;
        Ok(Rehearsal { roles, pending, additions })
    }

    /// Whether no rebuild or diff holds its lock. Asked for some seconds, since the server notices within one that a killed
    /// run is gone. Changes nothing.
    pub fn rebuild_may_begin(&self, client: &mut Client) -> Result<bool, Error> {
        let sql = format!(
            "SET lock_timeout = '{REBUILD_LOCK_WAIT}'; SELECT pg_advisory_lock({key}); \
             SELECT pg_advisory_unlock({key}); RESET lock_timeout",
            key = lock_keys::REBUILD
        );
        match client.batch_execute(&sql) {
            Ok(()) => Ok(true),
            Err(error) if error.code().is_some_and(|code| code.code() == LOCK_NOT_AVAILABLE) => {
                client
                    .batch_execute("RESET lock_timeout")
                    .map_err(|error| Error::from_statement("the session cannot be used again", &error))?;
                Ok(false)
            }
            Err(error) => Err(Error::from_statement("the rebuild lock cannot be asked for", &error)),
        }
    }

    /// Applies what is pending and returns it.
    pub fn run(&self, client: &mut Client) -> Result<Vec<Migration>, Error> {
        locked(client, |client| {
            let (_, status) =
                with_roles(client, Ending::Commit, |transaction| self.compare(applied(transaction)?))?;
            for migration in &status.pending {
                apply(client, migration)?;
            }
            Ok(status.pending)
        })
    }

    /// The applied ones must be the first of ours, text for text.
    fn compare(&self, applied: Vec<Applied>) -> Result<Status, Error> {
        for (position, row) in applied.iter().enumerate() {
            match self.migrations.get(position) {
                None => return Err(newer(row)),
                Some(ours) if ours.number != row.number || ours.sha256() != row.sha256 => {
                    return Err(edited(ours, row));
                }
                Some(_) => {}
            }
        }
        let pending = self.migrations[applied.len()..].to_vec();
        Ok(Status { applied, pending })
    }
}

fn newer(row: &Applied) -> Error {
    Error::refused(
        "the database is newer than this program",
        format!("it has migration {} ({}), which is unknown here", row.number, row.name),
        "Use the release that made it, or a later one.",
    )
}

fn edited(ours: &Migration, row: &Applied) -> Error {
    Error::refused(
        "the database was made from other migration files",
        format!(
            "migration {} is {} with SHA-256 {} there, and {} with {} here",
            row.number,
            row.name,
            row.sha256,
            ours.name,
            ours.sha256()
        ),
        "Released migrations are never edited: use a build of a release.",
    )
}

fn check_fitness(client: &mut Client) -> Result<(), Error> {
    let row = client
        .query_one(
            "SELECT current_setting('server_version_num')::int, current_setting('server_encoding')",
            &[],
        )
        .map_err(|error| Error::from_statement("the server's version cannot be read", &error))?;
    let (version, encoding): (i32, String) = (row.get(0), row.get(1));
    if version < MIN_SERVER_VERSION {
        return Err(Error::refused(
            "this PostgreSQL is too old",
            format!("it is version {}, and 15 is the oldest supported", version / 10_000),
            "Use PostgreSQL 15 or newer.",
        ));
    }
    if encoding != "UTF8" {
        return Err(Error::refused(
            "this database cannot hold every name",
            format!("its encoding is {encoding}, and not UTF8"),
            "Make a database for it: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0.",
        ));
    }
    Ok(())
}

fn check_writable(client: &mut Client) -> Result<(), Error> {
    let row = client
        .query_one("SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'", &[])
        .map_err(|error| Error::from_statement("the server's state cannot be read", &error))?;
    if row.get(0) {
        return Err(Error::refused(
            "the migrations cannot run",
            "this server is read-only (a standby, or default_transaction_read_only)",
            "Point the DSN at the primary.",
        ));
    }
    Ok(())
}

/// Works under the migration lock, on a server that is fit for it.
fn locked<T>(client: &mut Client, work: impl FnOnce(&mut Client) -> Result<T, Error>) -> Result<T, Error> {
    check_fitness(client)?;
    check_writable(client)?;
    lock(client)?;
    let outcome = work(client);
    let unlocked = client.execute("SELECT pg_advisory_unlock($1)", &[&lock_keys::MIGRATIONS]);
    let value = outcome?;
    unlocked.map_err(|error| Error::from_statement("the migration lock cannot be released", &error))?;
    Ok(value)
}

fn lock(client: &mut Client) -> Result<(), Error> {
    let sql = format!(
        "SET lock_timeout = '{LOCK_WAIT}'; SELECT pg_advisory_lock({}); RESET lock_timeout",
        lock_keys::MIGRATIONS
    );
    client
        .batch_execute(&sql)
        .map_err(|error| Error::from_statement("another migration run holds the lock", &error))
}

/// What the ledger table holds; nothing where there is none yet. The transaction's role is the login's again afterwards.
fn applied(transaction: &mut Transaction<'_>) -> Result<Vec<Applied>, Error> {
    let failed = |error| Error::from_statement("the ledger of migrations cannot be read", &error);
    let exists = transaction
        .query_one(
            "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                            WHERE n.nspname = 'public' AND c.relname = 'schema_migrations')",
            &[],
        )
        .map_err(failed)?;
    if !exists.get::<_, bool>(0) {
        return Ok(Vec::new());
    }
    transaction.batch_execute(&format!("SET LOCAL ROLE {OWNER_ROLE}")).map_err(failed)?;
    let rows = transaction
        .query("SELECT number, name, sha256, applied_at FROM public.schema_migrations ORDER BY number", &[])
        .map_err(failed)?;
    transaction.batch_execute("RESET ROLE").map_err(failed)?;
    let applied = rows.iter().map(|row| Applied {
        number: row.get(0),
        name: row.get(1),
        sha256: row.get(2),
        applied_at: row.get(3),
    });
    Ok(applied.collect())
}

/// How a transaction ends when all in it went well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Commit,
    Rollback,
}

/// In one transaction: makes roles, grants and schemas that are missing, and does `work`. Returns the statements too.
fn with_roles<T>(
    client: &mut Client,
    ending: Ending,
    work: impl Fn(&mut Transaction<'_>) -> Result<T, Error>,
) -> Result<(Vec<String>, T), Error> {
    let failed = |error| Error::from_statement("roles and schemas cannot be made", &error);
    for _ in 0..COLLISION_ATTEMPTS {
        let statements = roles::missing(client)?;
        let mut transaction = client.transaction().map_err(failed)?;
        match make_roles(&mut transaction, &statements) {
            Ok(()) => {
                refuse_missing(&roles::missing(&mut transaction)?)?;
                let done = work(&mut transaction)?;
                match ending {
                    Ending::Commit => transaction.commit(),
                    Ending::Rollback => transaction.rollback(),
                }
                .map_err(failed)?;
                return Ok((statements, done));
            }
            Err(error) if is_collision(&error, &statements) => {}
            Err(error) => return Err(with_statements(failed(error), &statements)),
        }
    }
    Err(Error::refused(
        "roles and schemas cannot be made",
        "other sessions change the same roles again and again",
        "Wait until they are done, then run the same command again.",
    ))
}

fn make_roles(transaction: &mut impl GenericClient, statements: &[String]) -> Result<(), postgres::Error> {
    transaction.batch_execute(&format!("SET LOCAL lock_timeout = '{STATEMENT_LOCK_WAIT}'"))?;
    statements.iter().try_for_each(|statement| transaction.batch_execute(statement))
}

/// PostgreSQL answers a GRANT by somebody who may not grant with a warning.
fn refuse_missing(statements: &[String]) -> Result<(), Error> {
    if statements.is_empty() {
        return Ok(());
    }
    let (what, reason) = ("roles and schemas cannot be made", "this login may not grant what is missing");
    Err(with_statements(Error::refused(what, reason, ""), statements))
}

/// Another run, in another database of this server, made the same role or grant at this moment.
fn is_collision(error: &postgres::Error, statements: &[String]) -> bool {
    // A rehearsal holds the role that it has made until it takes it back.
    let makes_role = statements.iter().any(|statement| statement.contains("CREATE ROLE"));
    if makes_role && error.code().is_some_and(|code| code.code() == LOCK_NOT_AVAILABLE) {
        return true;
    }
    // XX000 is "tuple concurrently updated".
    error.code().is_some_and(|code| matches!(code.code(), "23505" | "42710" | "XX000" | "40P01"))
}

/// A refusal with the statements that an administrator has to run, where there are any.
fn with_statements(error: Error, statements: &[String]) -> Error {
    match error {
        Error::Refused { what, reason, code, .. } if !statements.is_empty() && code != LOCK_NOT_AVAILABLE => {
            let hint = format!(
                "Nothing was written. Have an administrator run in this database, then run the same command again: {};",
                statements.join("; ")
            );
            Error::Refused { what, reason, code, hint }
        }
        error => error,
    }
}

fn rehearse_one(transaction: &mut Transaction<'_>, migration: &Migration) -> Result<(), Error> {
    apply_in(transaction, migration)
        .and_then(|()| transaction.batch_execute("RESET ROLE"))
        .map_err(|error| Error::from_statement(&format!("migration {} would fail", migration.name), &error))
}

fn apply(client: &mut Client, migration: &Migration) -> Result<(), Error> {
    let failed = |error| Error::from_statement(&format!("migration {} failed", migration.name), &error);
    let mut transaction = client.transaction().map_err(failed)?;
    apply_in(&mut transaction, migration).map_err(failed)?;
    transaction.commit().map_err(failed)
}

fn apply_in(transaction: &mut Transaction<'_>, migration: &Migration) -> Result<(), postgres::Error> {
    transaction.batch_execute(&format!(
        "SET LOCAL ROLE {OWNER_ROLE}; SET LOCAL search_path = {}",
        migration.schema()
    ))?;
    transaction.batch_execute(migration.sql)?;
    transaction.execute(
        "INSERT INTO public.schema_migrations (number, name, sha256) VALUES ($1, $2, $3)",
        &[&migration.number, &migration.name, &migration.sha256()],
    )?;
    Ok(())
}

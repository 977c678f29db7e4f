//! Applies the migrations: forward only, one run at a time, each file with its ledger row in one transaction.
//!
//! Order: the advisory lock, the server's fitness, the roles and schemas (all or none), the ledger against the files,
//! then the pending files. Whatever fails, nothing of that step stays.

use std::time::SystemTime;

use postgres::{Client, Transaction};

use crate::files::{MIGRATIONS, Migration};
use crate::{Error, MIN_SERVER_VERSION, OWNER_ROLE, lock_keys, roles};

/// A run that finds its role or grant just made by another run tries again this often.
const COLLISION_ATTEMPTS: u32 = 20;
/// How long a run waits for another one to end.
const LOCK_WAIT: &str = "60s";

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
    /// Refused when the database has a migration that is unknown here, or one whose file was edited since.
    pub fn status(&self, client: &mut Client) -> Result<Status, Error> {
        check_version(client)?;
        let applied = applied(client)?;
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

    /// Does in one transaction what [`Runner::run`] would do, and takes it back: what is pending, or why it would be
    /// refused, before anything else is written.
    pub fn rehearse(&self, client: &mut Client) -> Result<Vec<Migration>, Error> {
        let pending = self.status(client)?.pending;
        check_writable(client)?;
        let roles = roles::missing(client)?;
        let failed =
            |error: postgres::Error| Error::from_statement("the migrations cannot be rehearsed", &error);
        let mut transaction = client.transaction().map_err(failed)?;
        for statement in &roles {
            match transaction.batch_execute(statement) {
                Ok(()) => {}
                // Another run is making them at this moment: it proves that they can be made.
                Err(error) if is_collision(&error) => return Ok(pending),
                Err(error) => return Err(roles_refused(&roles, &error)),
            }
        }
        for migration in &pending {
            apply_in(&mut transaction, migration).map_err(|error| {
                Error::from_statement(&format!("migration {} would fail", migration.name), &error)
            })?;
        }
        transaction.rollback().map_err(failed)?;
        Ok(pending)
    }

    /// Applies what is pending and returns it.
    pub fn run(&self, client: &mut Client) -> Result<Vec<Migration>, Error> {
        check_version(client)?;
        check_writable(client)?;
        lock(client)?;
        let outcome = self.run_locked(client);
        let unlocked = client.execute("SELECT pg_advisory_unlock($1)", &[&lock_keys::MIGRATIONS]);
        let applied = outcome?;
        unlocked.map_err(|error| Error::from_statement("the migration lock cannot be released", &error))?;
        Ok(applied)
    }

    fn run_locked(&self, client: &mut Client) -> Result<Vec<Migration>, Error> {
        let status = self.compare(applied(client)?)?;
        prepare(client)?;
        for migration in &status.pending {
            apply(client, migration)?;
        }
        Ok(status.pending)
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

fn check_version(client: &mut Client) -> Result<(), Error> {
    let version: i32 = client
        .query_one("SELECT current_setting('server_version_num')::int", &[])
        .map_err(|error| Error::from_statement("the server's version cannot be read", &error))?
        .get(0);
    if version < MIN_SERVER_VERSION {
        return Err(Error::refused(
            "this PostgreSQL is too old",
            format!("it is version {}, and 15 is the oldest supported", version / 10_000),
            "Use PostgreSQL 15 or newer.",
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

fn lock(client: &mut Client) -> Result<(), Error> {
    let sql = format!(
        "SET lock_timeout = '{LOCK_WAIT}'; SELECT pg_advisory_lock({}); RESET lock_timeout",
        lock_keys::MIGRATIONS
    );
    client
        .batch_execute(&sql)
        .map_err(|error| Error::from_statement("another migration run holds the lock", &error))
}

/// What the ledger table holds; nothing where there is none yet.
fn applied(client: &mut Client) -> Result<Vec<Applied>, Error> {
    let failed = |error| Error::from_statement("the ledger of migrations cannot be read", &error);
    let exists = client
        .query_one(
            "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                            WHERE n.nspname = 'public' AND c.relname = 'schema_migrations')",
            &[],
        )
        .map_err(failed)?;
    if !exists.get::<_, bool>(0) {
        return Ok(Vec::new());
    }
    let mut transaction = client.transaction().map_err(failed)?;
    transaction.batch_execute(&format!("SET LOCAL ROLE {OWNER_ROLE}")).map_err(failed)?;
    let rows = transaction
        .query("SELECT number, name, sha256, applied_at FROM public.schema_migrations ORDER BY number", &[])
        .map_err(failed)?;
    transaction.commit().map_err(failed)?;
    let applied = rows.iter().map(|row| Applied {
        number: row.get(0),
        name: row.get(1),
        sha256: row.get(2),
        applied_at: row.get(3),
    });
    Ok(applied.collect())
}

/// Makes roles, grants and schemas that are missing, all in one transaction.
fn prepare(client: &mut Client) -> Result<(), Error> {
    for _ in 0..COLLISION_ATTEMPTS {
        let statements = roles::missing(client)?;
        if statements.is_empty() {
            return Ok(());
        }
        match in_one_transaction(client, &statements) {
            Err(error) if !is_collision(&error) => return Err(roles_refused(&statements, &error)),
            Ok(()) | Err(_) => {}
        }
    }
    Err(Error::refused(
        "roles and schemas cannot be made",
        "other sessions change the same roles again and again",
        "Wait until they are done, then run the same command again.",
    ))
}

fn in_one_transaction(client: &mut Client, statements: &[String]) -> Result<(), postgres::Error> {
    let mut transaction = client.transaction()?;
    for statement in statements {
        transaction.batch_execute(statement)?;
    }
    transaction.commit()
}

/// Another run, in another database of this server, made the same role or grant at this moment.
fn is_collision(error: &postgres::Error) -> bool {
    // XX000 is "tuple concurrently updated".
    error.code().is_some_and(|code| matches!(code.code(), "23505" | "42710" | "XX000" | "40P01"))
}

fn roles_refused(statements: &[String], error: &postgres::Error) -> Error {
    let cause = Error::from_statement("roles and schemas cannot be made", error);
    let Error::Refused { what, reason, code, .. } = cause else { return cause };
    let hint = format!(
        "Nothing was written. Have an administrator run in this database, then run the same command again: {};",
        statements.join("; ")
    );
    Error::Refused { what, reason, code, hint }
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

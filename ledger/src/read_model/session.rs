//! A session that acts as the owner role, proven before anything trusts what it sees (trap 7).

use std::collections::HashMap;

use tokio::task::JoinHandle;
use tokio_postgres::{Client, IsolationLevel, NoTls, Statement, Transaction};
use trstctl_migrations::connect::{NOTICE_A_LOST_CLIENT, Target, WITHOUT_TIMEOUTS};
use trstctl_migrations::{OWNER_ROLE, PUBLIC, roles};

use super::error::{During, ReadModelError};

/// A connection whose current role is the owner. Ends when dropped.
#[derive(Debug)]
pub(super) struct Session {
    client: Client,
    statements: Statements,
    connection: JoinHandle<()>,
}

impl Session {
    /// Proves the owner for `public`; whoever works on a read model proves it for that schema.
    pub(super) async fn open(target: &Target) -> Result<Self, ReadModelError> {
        let session = Self::open_unproven(target).await?;
        let what = "preparing a session";
        let pid = session.client.query_one("SELECT pg_backend_pid()", &[]).await.during(what)?;
        target.note_session(pid.get(0));
        session.become_owner().await?;
        Ok(session)
    }

    /// One of the login itself, which [`super::Watch`] does not look after.
    pub(super) async fn open_unproven(target: &Target) -> Result<Self, ReadModelError> {
        let (client, connection) = tokio::time::timeout(target.login_timeout, connect(target))
            .await
            .map_err(|_| target.silent())??;
        let session = Self { client, statements: Statements::default(), connection };
        session.client.batch_execute(WITHOUT_TIMEOUTS).await.during("preparing a session")?;
        // Not every platform's server can do it.
        let _ = session.client.batch_execute(NOTICE_A_LOST_CLIENT).await;
        Ok(session)
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Begins a transaction; the prepared statements go along with it.
    pub(super) async fn begin(&mut self) -> Result<(Transaction<'_>, &mut Statements), ReadModelError> {
        let transaction = self.client.transaction().await.during("beginning a transaction")?;
        Ok((transaction, &mut self.statements))
    }

    /// Begins a transaction that sees one state of the database throughout and changes nothing.
    pub(super) async fn begin_snapshot(&mut self) -> Result<Transaction<'_>, ReadModelError> {
        let builder = self.client.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
        builder.read_only(true).start().await.during("beginning a transaction")
    }

    async fn become_owner(&self) -> Result<(), ReadModelError> {
        let what = "becoming the owner role";
        self.client.batch_execute(roles::BECOME_OWNER).await.during(what)?;
        let user: String = self.client.query_one("SELECT current_user::text", &[]).await.during(what)?.get(0);
        if user != OWNER_ROLE {
            return Err(roles::not_the_owner(&user).into());
        }
        self.prove_owner_of(PUBLIC).await
    }

    /// Proves that the owner's policy shows every row of the tables of a schema.
    pub(super) async fn prove_owner_of(&self, schema: &str) -> Result<(), ReadModelError> {
        let rows = self.client.query(roles::TABLES_WITHOUT_OWNER_POLICY, &[&[schema].as_slice()]).await;
        let rows = rows.during("proving the owner role")?;
        let tables: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        if tables.is_empty() { Ok(()) } else { Err(roles::owner_not_proven(&tables).into()) }
    }
}

impl Drop for Session {
    /// The server must not go on with a statement that nobody waits for.
    fn drop(&mut self) {
        self.connection.abort();
    }
}

async fn connect(target: &Target) -> Result<(Client, JoinHandle<()>), ReadModelError> {
    // What ends a connection is reported by the statement that meets it.
    let (client, connection) = match &target.tls {
        None => {
            let (client, connection) =
                target.config.connect(NoTls).await.map_err(|error| target.connect_error(&error))?;
            (client, tokio::spawn(async move { drop(connection.await) }))
        }
        Some(tls) => {
            let (client, connection) =
                target.config.connect(tls.clone()).await.map_err(|error| target.connect_error(&error))?;
            (client, tokio::spawn(async move { drop(connection.await) }))
        }
    };
    Ok((client, connection))
}

/// Prepared statements of a session by their text.
#[derive(Debug, Default)]
pub(super) struct Statements(HashMap<String, Statement>);

impl Statements {
    pub(super) async fn prepare(
        &mut self,
        transaction: &Transaction<'_>,
        sql: &str,
    ) -> Result<Statement, tokio_postgres::Error> {
        if let Some(statement) = self.0.get(sql) {
            return Ok(statement.clone());
        }
        let statement = transaction.prepare(sql).await?;
        self.0.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

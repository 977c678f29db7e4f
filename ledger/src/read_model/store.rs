//! Rows of a read model, read and written set-wise inside one transaction.
//!
//! Every statement is made from the table's description. Live tables are under row-level security, where PostgreSQL
//! takes no COPY: rows are copied into a temporary table and merged from there. Bare shadow tables take them directly.

use tokio_postgres::Transaction;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::binary::{self, Array, Raw};
use super::copy::{Copy, all_taken};
use super::error::{During, ReadModelError};
use super::schema::Schema;
use super::session::Statements;
use crate::projection::{Changes, ForeignRow, Kind, Lookups, Row, Rows, Table, TableChanges, Value};

/// A read model within a transaction.
pub(super) struct Store<'a> {
    transaction: &'a Transaction<'a>,
    schema: &'a Schema,
    statements: &'a mut Statements,
}

impl<'a> Store<'a> {
    pub(super) fn new(
        transaction: &'a Transaction<'a>,
        schema: &'a Schema,
        statements: &'a mut Statements,
    ) -> Self {
        Self { transaction, schema, statements }
    }

    /// The stored rows that a fold asks for.
    pub(super) async fn look_up(&mut self, lookups: &Lookups) -> Result<Vec<(Table, Row)>, ReadModelError> {
        let mut rows = Vec::new();
        for table in Table::ALL {
            let keys: Vec<&Row> = lookups.keys_of(table).collect();
            self.select(table, table.key(), &keys, &mut rows).await?;
            if let Some(columns) = table.lookup() {
                let named: Vec<&Row> = lookups.named_of(table).collect();
                self.select(table, columns, &named, &mut rows).await?;
            }
        }
        Ok(rows)
    }

    /// The stored rows of these keys.
    pub(super) async fn rows_of(&mut self, table: Table, keys: &[&Row]) -> Result<Vec<Row>, ReadModelError> {
        let mut rows = Vec::new();
        self.select(table, table.key(), keys, &mut rows).await?;
        Ok(rows.into_iter().map(|(_, row)| row).collect())
    }

    async fn select(
        &mut self,
        table: Table,
        by: &[&str],
        keys: &[&Row],
        found: &mut Vec<(Table, Row)>,
    ) -> Result<(), ReadModelError> {
        if keys.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "SELECT {} FROM {} t JOIN {}",
            columns(table, "t."),
            self.schema.table(table),
            keys_of_parameters(table, by)
        );
        let parameters = key_parameters(table, by, keys);
        let statement = self.statements.prepare(self.transaction, &sql).await.during("reading rows")?;
        let rows = self.transaction.query(&statement, &as_parameters(&parameters)).await;
        for row in rows.during("reading rows")? {
            let row = binary::get_row(table, |at| row.try_get::<_, Raw<'_>>(at).ok());
            found.push((table, row.ok_or(ForeignRow { table })?));
        }
        Ok(())
    }

    /// Writes what a fold made, whatever is stored.
    pub(super) async fn merge(&mut self, changes: Changes) -> Result<(), ReadModelError> {
        for table in Table::ALL {
            self.delete_tenants(table, &changes.offboarded).await?;
        }
        for (table, TableChanges { upserts, deletes }) in changes.tables {
            self.delete(table, &deletes).await?;
            self.upsert(table, upserts).await?;
        }
        Ok(())
    }

    /// Deletes every row of these tenants.
    pub(super) async fn delete_tenants(
        &mut self,
        table: Table,
        tenants: &[Uuid],
    ) -> Result<(), ReadModelError> {
        let keys: Vec<Row> = tenants.iter().map(|tenant| vec![Value::Uuid(*tenant)]).collect();
        self.delete_by(table, &["tenant_id"], &keys).await
    }

    /// Deletes the rows of these keys.
    pub(super) async fn delete(&mut self, table: Table, keys: &[Row]) -> Result<(), ReadModelError> {
        self.delete_by(table, table.key(), keys).await
    }

    async fn delete_by(&mut self, table: Table, by: &[&str], keys: &[Row]) -> Result<(), ReadModelError> {
        if keys.is_empty() {
            return Ok(());
        }
        let keys: Vec<&Row> = keys.iter().collect();
        let (keyed, fits) = (unnest(table, by), equal("t", "k", by));
        let sql = format!("DELETE FROM {} t USING {keyed} WHERE {fits}", self.schema.table(table));
        let parameters = key_parameters(table, by, &keys);
        let statement = self.statements.prepare(self.transaction, &sql).await.during("deleting rows")?;
        self.transaction.execute(&statement, &as_parameters(&parameters)).await.during("deleting rows")?;
        Ok(())
    }

    /// Each row replaces the one of its key, or is added.
    pub(super) async fn upsert(
        &mut self,
        table: Table,
        rows: impl IntoIterator<Item = Row>,
    ) -> Result<(), ReadModelError> {
        let mut rows = rows.into_iter().peekable();
        if rows.peek().is_none() {
            return Ok(());
        }
        let staging = staging(table);
        self.make_staging(table).await?;
        let sent = copy(Copy::begin(self.transaction, table, &staging).await?, rows).await?;
        let sql = merge_sql(table, &staging, &self.schema.table(table));
        let statement = self.statements.prepare(self.transaction, &sql).await.during("merging rows")?;
        let taken = self.transaction.execute(&statement, &[]).await.during("merging rows")?;
        all_taken(table, sent, taken)
    }

    async fn make_staging(&self, table: Table) -> Result<(), ReadModelError> {
        let make = format!(
            "CREATE TEMP TABLE IF NOT EXISTS trstctl_{} (LIKE {}) ON COMMIT DELETE ROWS",
            table.name(),
            self.schema.table(table)
        );
        self.transaction.batch_execute(&make).await.during("making a temporary table")
    }

    /// For a transaction that merges a table a second time, as when it works on two schemas.
    pub(super) async fn empty_staging(&self, table: Table) -> Result<(), ReadModelError> {
        self.make_staging(table).await?;
        let sql = format!("TRUNCATE {}", staging(table));
        self.transaction.batch_execute(&sql).await.during("emptying a temporary table")
    }

    /// Makes these the rows of a bare table that is empty and that nobody reads yet.
    pub(super) async fn fill(&mut self, table: Table, rows: Rows) -> Result<(), ReadModelError> {
        let mut rows = rows.peekable();
        if rows.peek().is_none() {
            return Ok(());
        }
        copy(Copy::begin_frozen(self.transaction, table, &self.schema.table(table)).await?, rows).await?;
        Ok(())
    }
}

async fn copy(mut copy: Copy, rows: impl Iterator<Item = Row>) -> Result<u64, ReadModelError> {
    for row in rows {
        copy.put(&row).await?;
    }
    copy.finish().await
}

/// Where rows wait to be merged.
fn staging(table: Table) -> String {
    format!("pg_temp.trstctl_{}", table.name())
}

/// The table's columns with commas between.
pub(super) fn columns(table: Table, prefix: &str) -> String {
    let names: Vec<_> = table.columns().iter().map(|column| format!("{prefix}{}", column.name)).collect();
    names.join(", ")
}

fn kind_of(table: Table, column: &str) -> Kind {
    let position = table.position(column).expect("keys and lookups name columns of their table");
    table.columns()[position].kind
}

/// `unnest($1::uuid[], …) AS k(tenant_id, …)`
pub(super) fn unnest(table: Table, by: &[&str]) -> String {
    let arrays = by
        .iter()
        .enumerate()
        .map(|(at, column)| format!("${}::{}[]", at + 1, binary::type_of(kind_of(table, column)).name()));
    format!("unnest({}) AS k({})", arrays.collect::<Vec<_>>().join(", "), by.join(", "))
}

/// `a.tenant_id = b.tenant_id AND …`
pub(super) fn equal(a: &str, b: &str, by: &[&str]) -> String {
    by.iter().map(|column| format!("{a}.{column} = {b}.{column}")).collect::<Vec<_>>().join(" AND ")
}

fn keys_of_parameters(table: Table, by: &[&str]) -> String {
    format!("{} ON {}", unnest(table, by), equal("t", "k", by))
}

pub(super) fn key_parameters<'k>(table: Table, by: &[&str], keys: &[&'k Row]) -> Vec<Array<'k>> {
    by.iter().enumerate().map(|(at, column)| Array::column(kind_of(table, column), keys, at)).collect()
}

pub(super) fn as_parameters<'p>(arrays: &'p [Array<'_>]) -> Vec<&'p (dyn ToSql + Sync)> {
    arrays.iter().map(|array| array as &(dyn ToSql + Sync)).collect()
}

/// Every row of the staging table replaces the row of its key.
fn merge_sql(table: Table, staging: &str, target: &str) -> String {
    let (all, key) = (columns(table, ""), table.key());
    let others = table.columns().iter().filter(|column| !key.contains(&column.name));
    let set: Vec<_> = others.map(|column| format!("{0} = EXCLUDED.{0}", column.name)).collect();
    format!(
        "INSERT INTO {target} AS t ({all}) SELECT {all} FROM {staging} ON CONFLICT ({}) DO UPDATE SET {}",
        key.join(", "),
        set.join(", ")
    )
}

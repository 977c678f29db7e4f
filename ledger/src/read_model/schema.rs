//! A schema that holds a read model: the live one, a shadow being built, or one just replaced.
//!
//! All are made from the same migration files, which name no schema.

use std::collections::BTreeMap;
use std::fmt;

use tokio_postgres::{Client, Transaction};
use trstctl_migrations::files::{Phase, create_schema_sql, phase_sql, read_model_sql};
use trstctl_migrations::{READ_MODEL, RETIRED_PREFIX, SHADOW_PREFIX};
use uuid::Uuid;

use super::error::{During, ReadModelError};
use crate::projection::{Kind, Table};

/// The name of a schema; needs no quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Schema(String);

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Schema {
    /// What readers read.
    pub(super) fn live() -> Self {
        Self(READ_MODEL.into())
    }

    /// A new shadow.
    pub(super) fn shadow() -> Self {
        Self(format!("{SHADOW_PREFIX}{}", Uuid::new_v4().simple()))
    }

    /// What the live schema is called once this shadow has taken its place.
    pub(super) fn retired(&self) -> Self {
        Self(self.0.replacen(SHADOW_PREFIX, RETIRED_PREFIX, 1))
    }

    /// A shadow is ours alone.
    pub(super) fn is_shadow(&self) -> bool {
        self.0.starts_with(SHADOW_PREFIX)
    }

    /// Its name.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The qualified name of a table.
    pub(super) fn table(&self, table: Table) -> String {
        format!("{self}.{}", table.name())
    }

    /// Makes the schema with its bare tables.
    pub(super) async fn create(&self, client: &Client) -> Result<(), ReadModelError> {
        let sql =
            format!("BEGIN; {} {} COMMIT", create_schema_sql(&self.0), phase_sql(&self.0, Phase::Tables));
        client.batch_execute(&sql).await.during("making the shadow tables")
    }

    /// Makes what a phase adds to the bare tables.
    pub(super) async fn add(&self, client: &Client, phase: Phase) -> Result<(), ReadModelError> {
        let sql = format!("BEGIN; {} COMMIT", phase_sql(&self.0, phase));
        client.batch_execute(&sql).await.during("making keys and access of the shadow tables")
    }

    /// Makes the keys of one table.
    pub(super) async fn add_keys(&self, client: &Client, table: Table) -> Result<(), ReadModelError> {
        let statements: Vec<_> = keys_of(table).collect();
        let sql = format!("BEGIN; SET LOCAL search_path = {self}; {}; COMMIT", statements.join("; "));
        client.batch_execute(&sql).await.during("making the keys of a shadow table")
    }

    /// Takes its place as the live schema; what was live, if anything was and whatever it held, is called
    /// [`Schema::retired`] then.
    pub(super) async fn become_live(
        &self,
        transaction: &Transaction<'_>,
    ) -> Result<(), tokio_postgres::Error> {
        let sql = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)";
        if transaction.query_one(sql, &[&READ_MODEL]).await?.get(0) {
            let retire = format!("ALTER SCHEMA {READ_MODEL} RENAME TO {}", self.retired());
            transaction.batch_execute(&retire).await?;
        }
        transaction.batch_execute(&format!("ALTER SCHEMA {self} RENAME TO {READ_MODEL}")).await
    }

    /// Drops it with the tables that are ours; of others', what `additions` says. All or nothing.
    pub(super) async fn drop(
        &self,
        client: &Client,
        additions: Additions,
    ) -> Result<(), tokio_postgres::Error> {
        let sql = match additions {
            Additions::Keep => {
                let tables = Table::ALL.map(|table| self.table(table)).join(", ");
                format!("DROP TABLE IF EXISTS {tables}; DROP SCHEMA IF EXISTS {self}")
            }
            Additions::Drop => format!("DROP SCHEMA IF EXISTS {self} CASCADE"),
        };
        client.batch_execute(&sql).await
    }
}

/// What becomes of what others have hung on a model that is replaced: views, foreign keys, tables of theirs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Additions {
    /// The old model stays, under another name, where somebody needs it.
    #[default]
    Keep,
    /// They go with it.
    Drop,
}

/// The statements that make the keys of one table.
fn keys_of(table: Table) -> impl Iterator<Item = &'static str> {
    let names = move |statement: &&str| {
        statement.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| word == table.name())
    };
    read_model_sql(Phase::Keys).flat_map(|text| text.split(';')).filter(names)
}

/// Shadow and replaced schemas that killed runs left, by the whole form of their names: what somebody keeps under a name that
/// begins so is not ours. Only who holds the rebuild lock may drop them.
pub(super) async fn leftovers(client: &Client) -> Result<Vec<Schema>, ReadModelError> {
    let rows = client
        .query(
            "SELECT nspname::text FROM pg_namespace
             WHERE nspname::text ~ concat('^(', $1::text, '|', $2::text, ')[0-9a-f]{32}$')
             ORDER BY 1",
            &[&SHADOW_PREFIX, &RETIRED_PREFIX],
        )
        .await
        .during("looking for leftover schemas")?;
    Ok(rows.iter().map(|row| Schema(row.get(0))).collect())
}

/// Compares the columns of a schema's tables with the description that the projection gives.
pub(super) async fn check_columns(client: &Client, schema: &Schema) -> Result<(), ReadModelError> {
    let rows = client
        .query(
            "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
             WHERE n.nspname = $1 AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped",
            &[&schema.0],
        )
        .await
        .during("reading the catalog")?;
    let mut live: BTreeMap<String, BTreeMap<String, (String, bool)>> = BTreeMap::new();
    for row in &rows {
        live.entry(row.get(0)).or_default().insert(row.get(1), (row.get(2), row.get(3)));
    }
    let differences = Table::ALL.into_iter().filter_map(|table| difference(table, live.get(table.name())));
    match differences.into_iter().next() {
        None => Ok(()),
        Some(difference) => Err(ReadModelError::OtherTables { difference }),
    }
}

fn difference(table: Table, live: Option<&BTreeMap<String, (String, bool)>>) -> Option<String> {
    let name = table.name();
    let Some(live) = live else { return Some(format!("{name} is missing")) };
    for column in table.columns() {
        let expected = (sql_type(column.kind).to_owned(), column.nullable);
        match live.get(column.name) {
            None => return Some(format!("{name}.{} is missing", column.name)),
            Some(found) if *found != expected => {
                let (kind, null) = (&found.0, if found.1 { "NULL" } else { "NOT NULL" });
                return Some(format!("{name}.{} is {kind} {null}", column.name));
            }
            Some(_) => {}
        }
    }
    let unknown = live.keys().find(|column| table.position(column).is_none())?;
    Some(format!("{name}.{unknown} is unknown"))
}

/// The type of a column as the catalog spells it.
fn sql_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Uuid => "uuid",
        Kind::Text => "text",
        Kind::TextArray => "text[]",
        Kind::Int => "bigint",
        Kind::Bool => "boolean",
        Kind::Time => "timestamp with time zone",
        Kind::Json => "jsonb",
        Kind::Bytes => "bytea",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_statement_of_the_keys_belongs_to_one_table() {
        for statement in read_model_sql(Phase::Keys).flat_map(|text| text.split(';')) {
            let is_statement =
                statement.lines().any(|line| !line.trim().is_empty() && !line.starts_with("--"));
            let owners = Table::ALL.iter().filter(|table| keys_of(**table).any(|other| other == statement));
            assert_eq!(owners.count(), usize::from(is_statement), "{statement}");
        }
    }
}

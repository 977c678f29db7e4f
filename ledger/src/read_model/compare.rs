//! Where the rows of two schemas differ: all of a table, or those of some keys.
//!
//! A row is the same when every column is; `jsonb` is compared as text, since equal numbers may be written differently.

use tokio_postgres::Transaction;
use uuid::Uuid;

use super::binary::{Raw, get_value};
use super::drift::{DriftedRow, Kind};
use super::error::{During, ReadModelError};
use super::schema::Schema;
use super::session::Statements;
use super::store::{as_parameters, equal, key_parameters, unnest};
use crate::projection::{Kind as ColumnKind, Row, Table, Value};

/// Kind, columns that differ, tenant, key: of every row that is not the same in both, by key.
pub(super) fn all_sql(table: Table, live: &str, shadow: &str) -> String {
    in_order(table, &unordered_sql(table, live, shadow))
}

fn in_order(table: Table, sql: &str) -> String {
    let order: Vec<_> = (0..table.key().len()).map(|at| format!("key_{at}")).collect();
    format!("{sql} ORDER BY {}", order.join(", "))
}

/// Only the keys, numbered from 1 in their order.
pub(super) fn numbered_keys_sql(table: Table, live: &str, shadow: &str) -> String {
    let keys = (0..table.key().len()).map(|at| format!("key_{at}")).collect::<Vec<_>>().join(", ");
    let differing = unordered_sql(table, live, shadow);
    format!("SELECT row_number() OVER (ORDER BY {keys}), {keys} FROM ({differing}) AS differing")
}

fn unordered_sql(table: Table, live: &str, shadow: &str) -> String {
    let key: Vec<_> = table.key().iter().map(|column| format!("COALESCE(l.{column}, s.{column})")).collect();
    let joined = equal("l", "s", table.key());
    pairs_sql(table, &key, &format!("{live} l FULL JOIN {shadow} s ON {joined}"))
}

/// The same for the keys in the parameters.
fn of_keys_sql(table: Table, live: &str, shadow: &str) -> String {
    let by = table.key();
    let key: Vec<_> = by.iter().map(|column| format!("k.{column}")).collect();
    let (keys, in_live, in_shadow) = (unnest(table, by), equal("l", "k", by), equal("s", "k", by));
    pairs_sql(
        table,
        &key,
        &format!("{keys} LEFT JOIN {live} l ON {in_live} LEFT JOIN {shadow} s ON {in_shadow}"),
    )
}

fn pairs_sql(table: Table, key: &[String], pairs: &str) -> String {
    let last = table.key().last().expect("every table has a key");
    let differs: Vec<_> = table
        .columns()
        .iter()
        .map(|column| {
            let name = column.name;
            let cast = if column.kind == ColumnKind::Json { "::text" } else { "" };
            format!("CASE WHEN l.{name}{cast} IS DISTINCT FROM s.{name}{cast} THEN '{name}' END")
        })
        .collect();
    let key: Vec<_> = key.iter().enumerate().map(|(at, key)| format!("{key} AS key_{at}")).collect();
    format!(
        "SELECT * FROM (
             SELECT CASE WHEN l.{last} IS NULL THEN 'missing' WHEN s.{last} IS NULL THEN 'extra' ELSE 'changed' END,
                    array_remove(ARRAY[{differs}], NULL) AS differing, COALESCE(l.tenant_id, s.tenant_id), {key}
             FROM {pairs}
         ) AS pairs WHERE differing <> '{{}}'",
        differs = differs.join(", "),
        key = key.join(", "),
    )
}

/// Those of these keys whose rows differ, as this transaction sees them.
pub(super) async fn of_keys(
    transaction: &Transaction<'_>,
    statements: &mut Statements,
    table: Table,
    (live, shadow): (&Schema, &Schema),
    keys: &[Row],
) -> Result<Vec<DriftedRow>, ReadModelError> {
    let what = "comparing rows";
    let sql = in_order(table, &of_keys_sql(table, &live.table(table), &shadow.table(table)));
    let statement = statements.prepare(transaction, &sql).await.during(what)?;
    let keys: Vec<&Row> = keys.iter().collect();
    let parameters = key_parameters(table, table.key(), &keys);
    let rows = transaction.query(&statement, &as_parameters(&parameters)).await.during(what)?;
    Ok(rows.iter().map(|row| drifted(table, row)).collect())
}

/// A row of the answer.
pub(super) fn drifted(table: Table, row: &tokio_postgres::Row) -> DriftedRow {
    let kind = match row.get(0) {
        "missing" => Kind::Missing,
        "extra" => Kind::Extra,
        _ => Kind::Changed,
    };
    let columns = if kind == Kind::Changed { row.get(1) } else { Vec::new() };
    DriftedRow { table, tenant: tenant(row), key: key(table, row, 3), kind, columns }
}

fn tenant(row: &tokio_postgres::Row) -> Option<Uuid> {
    let raw: Raw<'_> = row.try_get(2).ok()?;
    match get_value(ColumnKind::Uuid, raw.0) {
        Some(Value::Uuid(tenant)) => Some(tenant),
        _ => None,
    }
}

/// The key whose columns begin at `first`.
pub(super) fn key(table: Table, row: &tokio_postgres::Row, first: usize) -> Row {
    let value = |(at, column): (usize, &&str)| {
        let position = table.position(column)?;
        let raw: Raw<'_> = row.try_get(first + at).ok()?;
        get_value(table.columns()[position].kind, raw.0)
    };
    table.key().iter().enumerate().filter_map(value).collect()
}

//! References to rows that are not there, found set-wise: nothing enforces them (design decision 8), so somebody has to
//! look.

use tokio_postgres::Transaction;

use super::binary::{Raw, get_value};
use super::error::{During, ReadModelError};
use super::report::DanglingCount;
use super::schema::Schema;
use crate::projection::{REFERENCES, Reference, Row};

/// Keys shown of each reference.
const EXAMPLES: usize = 5;

/// Every reference that dangles somewhere, with its number and some keys.
pub(super) async fn dangling(
    transaction: &Transaction<'_>,
    schema: &Schema,
) -> Result<Vec<DanglingCount>, ReadModelError> {
    let mut found = Vec::new();
    for reference in REFERENCES {
        let rows = transaction
            .query(&sql(reference, schema), &[])
            .await
            .during("looking for dangling references")?;
        if let Some(first) = rows.first() {
            let rows_count = u64::try_from(first.get::<_, i64>(0)).unwrap_or_default();
            let examples = rows.iter().map(|row| key(reference, row)).collect();
            found.push(DanglingCount { reference, rows: rows_count, examples });
        }
    }
    Ok(found)
}

/// The number of all, beside the keys of the first.
fn sql(reference: &Reference, schema: &Schema) -> String {
    let (child, parent) = (schema.table(reference.child), schema.table(reference.parent));
    let keys: Vec<_> = reference.child.key().iter().map(|column| format!("c.{column}")).collect();
    format!(
        "SELECT count(*) OVER (), {keys} FROM {child} c
         WHERE c.{column} IS NOT NULL AND NOT EXISTS
             (SELECT FROM {parent} p WHERE p.tenant_id = c.tenant_id AND p.{parent_column} = c.{column})
         ORDER BY {keys} LIMIT {EXAMPLES}",
        keys = keys.join(", "),
        column = reference.column,
        parent_column = reference.parent_column,
    )
}

fn key(reference: &Reference, row: &tokio_postgres::Row) -> Row {
    let kinds = reference.child.key().iter().filter_map(|column| {
        let position = reference.child.position(column)?;
        Some(reference.child.columns()[position].kind)
    });
    let values = kinds.enumerate().filter_map(|(at, kind)| {
        let raw: Raw<'_> = row.try_get(at + 1).ok()?;
        get_value(kind, raw.0)
    });
    values.collect()
}

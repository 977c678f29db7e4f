//! State digests: every row read back from PostgreSQL, hashed as the projection defines it.

use futures_util::TryStreamExt;
use tokio_postgres::Transaction;
use tokio_postgres::binary_copy::BinaryCopyOutStream;

use super::ReadModel;
use super::apply::read_checkpoint;
use super::binary::{Raw, get_row, type_of};
use super::error::{During, ReadModelError};
use super::schema::Schema;
use super::store::columns;
use crate::projection::{ForeignRow, ModelDigest, Table};

impl ReadModel {
    /// The digests of the whole model, by table and tenant, and the checkpoint that they belong to.
    pub async fn digests(&mut self) -> Result<(u64, ModelDigest), ReadModelError> {
        let schema = self.schema.clone();
        let snapshot = self.session.begin_snapshot().await?;
        let checkpoint = read_checkpoint(&snapshot).await?;
        Ok((checkpoint, digest(&snapshot, &schema).await?))
    }
}

/// The digests of a schema as a transaction sees it. Memory: one row.
pub(super) async fn digest(
    transaction: &Transaction<'_>,
    schema: &Schema,
) -> Result<ModelDigest, ReadModelError> {
    let mut digest = ModelDigest::default();
    for table in Table::ALL {
        add_table(transaction, schema, table, &mut digest).await?;
    }
    Ok(digest)
}

async fn add_table(
    transaction: &Transaction<'_>,
    schema: &Schema,
    table: Table,
    digest: &mut ModelDigest,
) -> Result<(), ReadModelError> {
    let what = "reading rows back";
    // A query, since a table under row-level security is read by one anyway.
    let sql = format!(
        "COPY (SELECT {} FROM {}) TO STDOUT (FORMAT binary)",
        columns(table, ""),
        schema.table(table)
    );
    let types: Vec<_> = table.columns().iter().map(|column| type_of(column.kind)).collect();
    let rows = BinaryCopyOutStream::new(transaction.copy_out(&sql).await.during(what)?, &types);
    futures_util::pin_mut!(rows);
    while let Some(row) = rows.try_next().await.during(what)? {
        let row = get_row(table, |at| row.try_get::<Raw<'_>>(at).ok());
        digest.add(table, &row.ok_or(ForeignRow { table })?);
    }
    Ok(())
}

//! Rows on their way into a table by COPY BINARY.

use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures_util::SinkExt;
use tokio_postgres::{CopyInSink, Transaction};

use super::binary;
use super::error::{During, ReadModelError};
use super::store::columns;
use crate::projection::{Row, Table};

/// Bytes of rows handed to the connection at once.
const CHUNK_BYTES: usize = 256 * 1024;
const DURING: &str = "copying rows";

/// A server may keep rows back and call it success, by a trigger or an extension.
pub(super) fn all_taken(table: Table, sent: u64, taken: u64) -> Result<(), ReadModelError> {
    match taken == sent {
        true => Ok(()),
        false => Err(ReadModelError::RowsLost { table: table.name(), sent, taken }),
    }
}

/// A COPY under way. Dropped before its end, it copies nothing.
pub(super) struct Copy {
    sink: Pin<Box<CopyInSink<Bytes>>>,
    chunk: BytesMut,
    table: Table,
    rows: u64,
}

impl Copy {
    /// Begins to copy rows of this table into `target`, which has its columns.
    pub(super) async fn begin(
        transaction: &Transaction<'_>,
        table: Table,
        target: &str,
    ) -> Result<Self, ReadModelError> {
        Self::begin_with(transaction, table, target, "").await
    }

    /// The same into a table that nobody reads yet and that is empty: its rows are frozen from the start, so that neither the
    /// first reader nor a later vacuum writes them once more.
    pub(super) async fn begin_frozen(
        transaction: &Transaction<'_>,
        table: Table,
        target: &str,
    ) -> Result<Self, ReadModelError> {
        // PostgreSQL freezes rows of a table that the same transaction has made or emptied.
        transaction.batch_execute(&format!("TRUNCATE {target}")).await.during(DURING)?;
        Self::begin_with(transaction, table, target, ", FREEZE").await
    }

    async fn begin_with(
        transaction: &Transaction<'_>,
        table: Table,
        target: &str,
        options: &str,
    ) -> Result<Self, ReadModelError> {
        let sql = format!("COPY {target} ({}) FROM STDIN (FORMAT binary{options})", columns(table, ""));
        let sink = Box::pin(transaction.copy_in(&sql).await.during(DURING)?);
        let mut chunk = BytesMut::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4);
        binary::put_copy_header(&mut chunk);
        Ok(Self { sink, chunk, table, rows: 0 })
    }

    pub(super) async fn put(&mut self, row: &Row) -> Result<(), ReadModelError> {
        binary::put_copy_row(&mut self.chunk, row);
        self.rows += 1;
        if self.chunk.len() >= CHUNK_BYTES {
            self.sink.feed(self.chunk.split().freeze()).await.during(DURING)?;
            self.chunk.reserve(CHUNK_BYTES + CHUNK_BYTES / 4);
        }
        Ok(())
    }

    /// Hands over the rest, waits until the server has taken all, and answers how many rows that were.
    pub(super) async fn finish(mut self) -> Result<u64, ReadModelError> {
        binary::put_copy_trailer(&mut self.chunk);
        self.sink.feed(self.chunk.freeze()).await.during(DURING)?;
        let taken = self.sink.as_mut().finish().await.during(DURING)?;
        all_taken(self.table, self.rows, taken)?;
        Ok(taken)
    }
}

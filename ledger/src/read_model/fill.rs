//! Writes a fold into the tables of a shadow, table by table, on several connections at once.

use std::collections::BTreeMap;
use std::sync::Mutex;

use tokio::sync::mpsc;
use uuid::Uuid;

use super::copy::Copy;
use super::error::{During, ReadModelError};
use super::schema::Schema;
use super::session::Session;
use super::store::{Store, as_parameters, key_parameters, unnest};
use crate::projection::{Drained, Fold, Row, Table, Value};

/// The table whose rows are final as soon as they are folded ([`Fold::take_final_rows`]).
const FINAL: Table = Table::IdentityTransitions;

/// All others; first those that are usually the largest, so that no connection is left with one of them at the end.
const FOLDED: [Table; 10] = [
    Table::Certificates,
    Table::CaIssuedCerts,
    Table::Identities,
    Table::CaCrls,
    Table::ProjectionFaults,
    Table::CertificateProfiles,
    Table::Owners,
    Table::Issuers,
    Table::CaAuthorities,
    Table::Tenants,
];

/// What the tables of the shadow that are folded are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tables {
    /// Without rows and keys.
    Bare,
    /// With rows and keys.
    Keyed,
}

/// The tables of a fold that nobody has begun to write.
pub(super) struct Remaining<'a> {
    schema: &'a Schema,
    tables: Tables,
    offboarded: Vec<Uuid>,
    waiting: Mutex<Waiting>,
}

struct Waiting {
    fold: Fold,
    tables: std::array::IntoIter<Table, 10>,
}

impl<'a> Remaining<'a> {
    pub(super) fn new(schema: &'a Schema, tables: Tables, fold: Fold) -> Self {
        let offboarded = fold.offboarded().keys().copied().collect();
        let waiting = Mutex::new(Waiting { fold, tables: FOLDED.into_iter() });
        Self { schema, tables, offboarded, waiting }
    }

    /// Writes one table after the other until none is left. Several connections may share the work.
    pub(super) async fn write(&self, session: &mut Session) -> Result<(), ReadModelError> {
        while let Some((table, drained)) = self.next() {
            self.write_table(session, table, drained).await?;
        }
        Ok(())
    }

    fn next(&self) -> Option<(Table, Drained)> {
        let mut waiting = self.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let table = waiting.tables.next()?;
        Some((table, waiting.fold.drain(table)))
    }

    async fn write_table(
        &self,
        session: &mut Session,
        table: Table,
        Drained { deletes, upserts }: Drained,
    ) -> Result<(), ReadModelError> {
        let (transaction, statements) = session.begin().await?;
        let mut store = Store::new(&transaction, self.schema, statements);
        match self.tables {
            Tables::Bare => store.fill(table, upserts).await?,
            Tables::Keyed => {
                store.delete_tenants(table, &self.offboarded).await?;
                store.delete(table, &deletes).await?;
                store.upsert(table, upserts).await?;
            }
        }
        transaction.commit().await.during("writing rows")?;
        match self.tables {
            Tables::Bare => self.schema.add_keys(session.client(), table).await,
            Tables::Keyed => Ok(()),
        }
    }
}

/// Copies final rows as they come into their bare table.
pub(super) async fn copy_final_rows(
    session: &mut Session,
    schema: &Schema,
    mut rows: mpsc::Receiver<Vec<Row>>,
) -> Result<(), ReadModelError> {
    let (transaction, _) = session.begin().await?;
    let mut copy = Copy::begin_frozen(&transaction, FINAL, &schema.table(FINAL)).await?;
    while let Some(rows) = rows.recv().await {
        for row in rows {
            copy.put(&row).await?;
        }
    }
    copy.finish().await?;
    transaction.commit().await.during("copying rows")
}

/// Makes the table's key, and deletes the final rows that offboardings took after they were copied: in this order, since a table
/// that is published, as one FOR ALL TABLES is, takes no DELETE without a key.
pub(super) async fn end_final_rows(
    session: &Session,
    schema: &Schema,
    offboarded: &BTreeMap<Uuid, u64>,
) -> Result<(), ReadModelError> {
    schema.add_keys(session.client(), FINAL).await?;
    match offboarded.is_empty() {
        true => Ok(()),
        false => delete_before(session, schema, offboarded).await,
    }
}

/// Deletes the final rows of each tenant that stood in the log before its sequence.
async fn delete_before(
    session: &Session,
    schema: &Schema,
    ends: &BTreeMap<Uuid, u64>,
) -> Result<(), ReadModelError> {
    const BY: &[&str] = &["tenant_id", "sequence"];
    let end = |(tenant, sequence): (&Uuid, &u64)| {
        vec![Value::Uuid(*tenant), Value::Int(i64::try_from(*sequence).unwrap_or(i64::MAX))]
    };
    let ends: Vec<Row> = ends.iter().map(end).collect();
    let parameters = key_parameters(FINAL, BY, &ends.iter().collect::<Vec<_>>());
    let sql = format!(
        "DELETE FROM {} t USING {} WHERE t.tenant_id = k.tenant_id AND t.sequence < k.sequence",
        schema.table(FINAL),
        unnest(FINAL, BY)
    );
    session.client().execute(&sql, &as_parameters(&parameters)).await.during("deleting rows")?;
    Ok(())
}

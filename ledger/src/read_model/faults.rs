//! The events that could not be applied, for the person who has to look at them.

use super::ReadModel;
use super::error::{During, ReadModelError};

/// Events in quarantine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// How many there are.
    pub total: u64,
    /// The first of them, by sequence.
    pub first: Vec<Fault>,
}

/// An event in quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its sequence in the log.
    pub sequence: u64,
    /// Its tenant, where it names one.
    pub tenant_id: Option<String>,
    /// Its id, where it has one.
    pub event_id: Option<String>,
    /// Its type, where it has one.
    pub event_type: Option<String>,
    /// Why it could not be applied.
    pub reason: String,
}

impl ReadModel {
    /// The number of faults, and the first `limit` of them.
    pub async fn faults(&self, limit: u32) -> Result<Faults, ReadModelError> {
        let sql = "SELECT count(*) OVER (), sequence, tenant_id::text, event_id, event_type, reason
                   FROM read_model.projection_faults ORDER BY sequence LIMIT $1";
        // One row at least, for the count.
        let rows = self.session.client().query(sql, &[&i64::from(limit.max(1))]).await;
        let rows = rows.during("reading faults")?;
        let unsigned = |value: i64| u64::try_from(value).unwrap_or_default();
        let first = rows.iter().take(limit as usize).map(|row| Fault {
            sequence: unsigned(row.get(1)),
            tenant_id: row.get(2),
            event_id: row.get(3),
            event_type: row.get(4),
            reason: row.get(5),
        });
        Ok(Faults { total: rows.first().map_or(0, |row| unsigned(row.get(0))), first: first.collect() })
    }
}

//! The fold: a batch of the log becomes the final row of each key.
//!
//! One fold takes steps in log order, in chunks:
//! 1. [`Fold::missing`] names the stored rows that the chunk looks at and the fold does not know;
//! 2. whoever keeps rows reads them, all of them, and gives them to [`Fold::load`];
//! 3. [`Fold::apply`] folds the chunk, step by step.
//!
//! [`Fold::into_changes`] ends it. Chunks and folds may be cut anywhere: the rows are the same. A fold that begins from
//! an empty model ([`Fold::of_empty_model`]) never misses anything, for the whole log if memory allows.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::effect::Effect;
use super::keyed::Rows;
use super::record::tenant_of;
use super::step::{Outcome, Refusal, Step};
use super::table::{Row, Table};
use super::tenant::{Stored, TenantRows};

/// Types counted by name among the events that are not projected; further ones are counted under [`OTHER_TYPES`].
const MAX_COUNTED_TYPES: usize = 1_000;

/// The name under which not projected types are counted when there are too many to name.
pub const OTHER_TYPES: &str = "(other types)";

/// Folds steps to changes of rows.
#[derive(Debug)]
pub struct Fold {
    tenants: BTreeMap<Option<Uuid>, TenantRows>,
    offboarded: BTreeMap<Uuid, u64>,
    counts: Counts,
    model: Stored,
    len_bytes: usize,
}

/// Stored rows that a chunk looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lookups {
    keys: BTreeMap<Table, BTreeSet<Row>>,
    named: BTreeMap<Table, BTreeSet<Row>>,
}

/// What a fold makes of the model, to be written in one transaction, in this order: every row of the tenants in
/// `offboarded` is deleted from every table; then, in any order of tables, `deletes` and `upserts`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Tenants whose stored rows go, from every table, `projection_faults` included; sorted.
    pub offboarded: Vec<Uuid>,
    /// Changes of rows; tables without changes may be missing.
    pub tables: BTreeMap<Table, TableChanges>,
    /// What became of the events.
    pub counts: Counts,
}

/// Changes of the rows of one table. No key is in both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableChanges {
    /// Whole rows, new or to replace the row of the same key; sorted by tenant, then by key.
    pub upserts: Vec<Row>,
    /// Keys whose row goes, if it is stored; sorted by tenant, then by key.
    pub deletes: Vec<Row>,
}

/// Changes of the rows of one table, moved out of a fold. No key is in both.
pub struct Drained {
    /// Keys whose row goes, if it is stored; sorted by tenant, then by key.
    pub deletes: Vec<Row>,
    /// Whole rows, new or to replace the row of the same key; sorted by tenant, then by key.
    pub upserts: Rows,
}

/// What became of the events of a fold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that were applied, also those that changed nothing.
    pub projected: u64,
    /// Events without rows, by type.
    pub not_projected: BTreeMap<String, u64>,
    /// Messages that went to `projection_faults`.
    pub quarantined: u64,
}

/// A row that does not fit its table's description: the read model was written by another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored row of {} does not fit the columns that this program knows; rebuild the read model", .table.name())]
pub struct ForeignRow {
    /// The table.
    pub table: Table,
}

impl Default for Fold {
    fn default() -> Self {
        Self::new()
    }
}

impl Fold {
    /// A fold over a model that may hold rows.
    pub fn new() -> Self {
        Self::over(Stored::Perhaps)
    }

    /// A fold over a model without any row.
    pub fn of_empty_model() -> Self {
        Self::over(Stored::Nothing)
    }

    fn over(model: Stored) -> Self {
        let (tenants, offboarded) = (BTreeMap::new(), BTreeMap::new());
        Self { tenants, offboarded, counts: Counts::default(), model, len_bytes: 0 }
    }

    /// The stored rows that these steps, applied next, look at and the fold does not know.
    pub fn missing<'a>(&self, steps: impl IntoIterator<Item = &'a Step>) -> Lookups {
        let (mut lookups, unknown) = (Lookups::default(), TenantRows::new(self.model));
        if self.model == Stored::Perhaps {
            for step in steps {
                if let Outcome::Apply(tenant, effect) = &step.outcome {
                    let rows = self.tenants.get(&Some(*tenant)).unwrap_or(&unknown);
                    rows.needs(*tenant, effect, &mut lookups);
                }
            }
        }
        lookups
    }

    /// Takes the stored rows that were asked for with `lookups`: all that there are, in any order, also twice.
    pub fn load(
        &mut self,
        lookups: &Lookups,
        rows: impl IntoIterator<Item = (Table, Row)>,
    ) -> Result<(), ForeignRow> {
        for (table, row) in rows {
            let tenant = row.first().cloned().and_then(tenant_of).ok_or(ForeignRow { table })?;
            self.with(tenant, |t| t.load(table, row)).ok_or(ForeignRow { table })?;
        }
        for (table, key) in lookups.keys() {
            self.with(tenant_in(key), |t| t.looked_up(table, key));
        }
        for (table, values) in lookups.named() {
            self.with(tenant_in(values), |t| t.looked_up_named(table, values));
        }
        Ok(())
    }

    /// Folds the next step of the log. The rows that it looks at must have been loaded.
    pub fn apply(&mut self, mut step: Step) {
        let outcome = std::mem::replace(&mut step.outcome, Outcome::NotProjected);
        match outcome {
            Outcome::NotProjected => self.counts.skip(step.kind.unwrap_or_default()),
            Outcome::Quarantine(reason) => self.quarantine(step, &reason),
            Outcome::Apply(tenant, effect) => {
                if matches!(effect, Effect::Offboard) {
                    self.offboarded.insert(tenant, step.sequence);
                }
                match self.with(Some(tenant), |t| t.apply(effect)) {
                    Ok(()) => self.counts.projected += 1,
                    Err(reason) => self.quarantine(step, &reason),
                }
            }
        }
    }

    /// Estimate of the memory that the fold and its changes take, in bytes.
    pub fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    /// What became of the events so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Ends the fold.
    pub fn into_changes(mut self) -> Changes {
        let drained = Table::ALL.map(|table| {
            let Drained { deletes, upserts } = self.drain(table);
            (table, TableChanges { upserts: upserts.collect(), deletes })
        });
        let tables = drained.into_iter().filter(|(_, changes)| !changes.is_empty()).collect();
        let offboarded = match self.model {
            Stored::Perhaps => self.offboarded.into_keys().collect(),
            Stored::Nothing => Vec::new(),
        };
        Changes { offboarded, tables, counts: self.counts }
    }

    /// Moves the changes of one table out, for who writes table by table. To be asked for each table once, at the end.
    pub fn drain(&mut self, table: Table) -> Drained {
        let (mut deletes, mut upserts) = (Vec::new(), Vec::new());
        for (tenant, rows) in &mut self.tenants {
            let rows = rows.drain(table);
            deletes.extend(rows.deletes(*tenant));
            upserts.push(rows.upserts(*tenant));
        }
        Drained { deletes, upserts: Box::new(upserts.into_iter().flatten()) }
    }

    /// Moves out the rows that no later event changes, those of [`Table::IdentityTransitions`], so that they can be written
    /// while the fold goes on. Who takes them deletes, at the end, those that an offboarding took: see [`Fold::offboarded`].
    pub fn take_final_rows(&mut self) -> Vec<Row> {
        let mut taken = Vec::new();
        for (tenant, rows) in &mut self.tenants {
            self.len_bytes -= rows.transitions_bytes();
            taken.extend(rows.drain(Table::IdentityTransitions).upserts(*tenant));
        }
        taken
    }

    /// Tenants that were offboarded, with the sequence at which each was last: its rows of before are gone.
    pub fn offboarded(&self) -> &BTreeMap<Uuid, u64> {
        &self.offboarded
    }

    fn quarantine(&mut self, step: Step, reason: &Refusal) {
        self.counts.quarantined += 1;
        self.with(step.tenant, |t| t.faults.put(step.fault(reason)));
    }

    fn with<T>(&mut self, tenant: Option<Uuid>, work: impl FnOnce(&mut TenantRows) -> T) -> T {
        let rows = self.tenants.entry(tenant).or_insert_with(|| TenantRows::new(self.model));
        let before = rows.len_bytes();
        let result = work(rows);
        self.len_bytes = self.len_bytes + rows.len_bytes() - before;
        result
    }
}

fn tenant_in(key: &Row) -> Option<Uuid> {
    key.first().cloned().and_then(tenant_of).flatten()
}

impl Lookups {
    /// Keys whose rows are needed: values of [`Table::key`].
    pub fn keys(&self) -> impl Iterator<Item = (Table, &Row)> {
        self.keys.iter().flat_map(|(table, rows)| rows.iter().map(|row| (*table, row)))
    }

    /// Values of [`Table::lookup`] all of whose rows are needed.
    pub fn named(&self) -> impl Iterator<Item = (Table, &Row)> {
        self.named.iter().flat_map(|(table, rows)| rows.iter().map(|row| (*table, row)))
    }

    /// The same as [`Lookups::keys`], of one table, sorted.
    pub fn keys_of(&self, table: Table) -> impl Iterator<Item = &Row> {
        self.keys.get(&table).into_iter().flatten()
    }

    /// The same as [`Lookups::named`], of one table, sorted.
    pub fn named_of(&self, table: Table) -> impl Iterator<Item = &Row> {
        self.named.get(&table).into_iter().flatten()
    }

    /// Nothing needs to be read.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.named.is_empty()
    }

    pub(super) fn add_key(&mut self, table: Table, key: Row) {
        self.keys.entry(table).or_default().insert(key);
    }

    pub(super) fn add_named(&mut self, table: Table, values: Row) {
        self.named.entry(table).or_default().insert(values);
    }
}

impl Changes {
    /// Nothing needs to be written.
    pub fn is_empty(&self) -> bool {
        self.offboarded.is_empty() && self.tables.values().all(TableChanges::is_empty)
    }
}

impl TableChanges {
    fn is_empty(&self) -> bool {
        self.upserts.is_empty() && self.deletes.is_empty()
    }
}

impl Counts {
    /// Adds the counts of a later fold.
    pub fn add(&mut self, later: &Counts) {
        self.projected += later.projected;
        self.quarantined += later.quarantined;
        for (kind, count) in &later.not_projected {
            self.skip_many(kind.clone(), *count);
        }
    }

    /// Messages that were seen.
    pub fn total(&self) -> u64 {
        self.projected + self.quarantined + self.not_projected.values().sum::<u64>()
    }

    fn skip(&mut self, kind: String) {
        self.skip_many(kind, 1);
    }

    fn skip_many(&mut self, kind: String, count: u64) {
        let is_full =
            self.not_projected.len() >= MAX_COUNTED_TYPES && !self.not_projected.contains_key(&kind);
        let name = if is_full { OTHER_TYPES.to_owned() } else { kind };
        *self.not_projected.entry(name).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_beyond_the_limit_are_counted_together() {
        let mut counts = Counts { projected: 3, quarantined: 4, ..Counts::default() };
        (0..MAX_COUNTED_TYPES).for_each(|n| counts.skip(format!("type {n}")));
        ["type 0", "one more", "another"].into_iter().for_each(|kind| counts.skip(kind.to_owned()));
        let of = |counts: &Counts, kind: &str| counts.not_projected[kind];
        assert_eq!((of(&counts, "type 0"), of(&counts, "type 1"), of(&counts, OTHER_TYPES)), (2, 1, 2));
        assert_eq!(counts.not_projected.len(), MAX_COUNTED_TYPES + 1);
        assert_eq!(counts.total(), 3 + 4 + MAX_COUNTED_TYPES as u64 + 3);
        let mut twice = counts.clone();
        twice.add(&counts);
        assert_eq!((twice.projected, twice.quarantined, twice.total()), (6, 8, 2 * counts.total()));
        assert_eq!((of(&twice, "type 0"), of(&twice, OTHER_TYPES)), (4, 4));
    }
}

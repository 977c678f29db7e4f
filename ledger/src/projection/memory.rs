//! The whole read model in memory: the same fold, the same lookups, rows in sorted maps instead of PostgreSQL.
//!
//! It is the reference for every other keeper of rows, and what `diff` and tests compare with.

use std::collections::{BTreeMap, BTreeSet};

use trstctl_formats::StoredMessage;

use super::digest::ModelDigest;
use super::fold::{Changes, Counts, Fold, ForeignRow, Lookups};
use super::step::Step;
use super::table::{REFERENCES, Reference, Row, Table, Value};

/// A read model in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryModel {
    checkpoint: u64,
    rows: BTreeMap<Table, BTreeMap<Row, Row>>,
    /// Values of [`Table::lookup`] to keys.
    named: BTreeMap<Table, BTreeMap<Row, BTreeSet<Row>>>,
}

/// A reference whose row is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dangling {
    /// The reference.
    pub reference: &'static Reference,
    /// Key of the row that refers.
    pub key: Row,
    /// What it refers to.
    pub value: Value,
}

impl MemoryModel {
    /// A model without rows, before the first sequence.
    pub fn new() -> Self {
        Self::default()
    }

    /// The last sequence that was applied.
    pub fn checkpoint(&self) -> u64 {
        self.checkpoint
    }

    /// Applies a batch of the log. Messages at or below the checkpoint are skipped, so that applying again is harmless.
    pub fn apply(&mut self, messages: &[StoredMessage]) -> Result<Counts, ForeignRow> {
        self.apply_steps(messages.iter().map(Step::read).collect())
    }

    /// The same for messages that were read already, in log order.
    pub fn apply_steps(&mut self, mut steps: Vec<Step>) -> Result<Counts, ForeignRow> {
        steps.retain(|step| step.sequence() > self.checkpoint);
        let Some(last) = steps.last().map(Step::sequence) else { return Ok(Counts::default()) };
        let mut fold = Fold::new();
        let lookups = fold.missing(&steps);
        fold.load(&lookups, self.look_up(&lookups))?;
        steps.into_iter().for_each(|step| fold.apply(step));
        let changes = fold.into_changes();
        let counts = changes.counts.clone();
        self.write(changes);
        self.checkpoint = last;
        Ok(counts)
    }

    /// The rows of a table, sorted by key.
    pub fn rows(&self, table: Table) -> impl Iterator<Item = &Row> {
        self.rows.get(&table).into_iter().flat_map(BTreeMap::values)
    }

    /// The row of a key.
    pub fn row(&self, table: Table, key: &Row) -> Option<&Row> {
        self.rows.get(&table)?.get(key)
    }

    /// The stored rows that lookups ask for; one row may come twice.
    pub fn look_up(&self, lookups: &Lookups) -> Vec<(Table, Row)> {
        let by_key = lookups.keys().filter_map(|(table, key)| Some((table, self.row(table, key)?)));
        let by_name = lookups.named().flat_map(|(table, values)| {
            let keys = self.named.get(&table).and_then(|names| names.get(values));
            keys.into_iter().flatten().filter_map(move |key| Some((table, self.row(table, key)?)))
        });
        by_key.chain(by_name).map(|(table, row)| (table, row.clone())).collect()
    }

    /// Writes what a fold made.
    pub fn write(&mut self, changes: Changes) {
        let gone: BTreeSet<Value> = changes.offboarded.into_iter().map(Value::Uuid).collect();
        if !gone.is_empty() {
            Table::ALL.into_iter().for_each(|table| self.remove_tenants(table, &gone));
        }
        for (table, changes) in changes.tables {
            changes.deletes.iter().for_each(|key| self.remove(table, key));
            changes.upserts.into_iter().for_each(|row| self.put(table, row));
        }
    }

    /// Digests of every table, by tenant.
    pub fn digest(&self) -> ModelDigest {
        let mut digest = ModelDigest::default();
        for table in Table::ALL {
            self.rows(table).for_each(|row| digest.add(table, row));
        }
        digest
    }

    /// Every reference to a row that is not there, in the order of [`REFERENCES`] and keys.
    pub fn dangling(&self) -> Vec<Dangling> {
        REFERENCES.iter().flat_map(|reference| self.dangling_of(reference)).collect()
    }

    fn dangling_of(&self, reference: &'static Reference) -> impl Iterator<Item = Dangling> {
        let column = reference.child.position(reference.column);
        self.rows(reference.child).filter_map(move |row| {
            let value = row.get(column?)?;
            let parent = match reference.parent {
                Table::Tenants => vec![value.clone()],
                _ => vec![row.first()?.clone(), value.clone()],
            };
            let dangles = *value != Value::Null && self.row(reference.parent, &parent).is_none();
            dangles.then(|| Dangling { reference, key: reference.child.key_of(row), value: value.clone() })
        })
    }

    fn remove_tenants(&mut self, table: Table, tenants: &BTreeSet<Value>) {
        let of_tenants = self.rows(table).filter(|row| row.first().is_some_and(|t| tenants.contains(t)));
        let keys: Vec<Row> = of_tenants.map(|row| table.key_of(row)).collect();
        keys.iter().for_each(|key| self.remove(table, key));
    }

    fn put(&mut self, table: Table, row: Row) {
        let key = table.key_of(&row);
        self.remove(table, &key);
        if let Some(columns) = table.lookup() {
            let names = self.named.entry(table).or_default();
            names.entry(table.values_of(&row, columns)).or_default().insert(key.clone());
        }
        self.rows.entry(table).or_default().insert(key, row);
    }

    fn remove(&mut self, table: Table, key: &Row) {
        let Some(row) = self.rows.get_mut(&table).and_then(|rows| rows.remove(key)) else { return };
        if let Some(columns) = table.lookup()
            && let Some(keys) =
                self.named.get_mut(&table).and_then(|n| n.get_mut(&table.values_of(&row, columns)))
        {
            keys.remove(key);
        }
    }
}

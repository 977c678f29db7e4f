//! The rows of one table and one tenant that a fold knows, and what became of them.
//!
//! Three states of a key: unknown (no slot; the row may or may not be stored), known absent, known present. Putting a
//! row that is there already is no change, so that an event that says nothing new writes nothing.

use std::collections::{BTreeSet, HashMap, HashSet};

use uuid::Uuid;

use super::record::{Micros, Record, allocated};
use super::table::Row;

/// Memory of an entry of a hash table of these, on average: a table is between seven sixteenths and seven eighths full.
const fn entry_bytes<T>() -> usize {
    size_of::<T>() * 3 / 2
}

/// Rows by key.
#[derive(Debug)]
pub(super) struct Keyed<R: Record> {
    slots: HashMap<R::Key, Slot<R>>,
    len_bytes: usize,
}

#[derive(Debug)]
struct Slot<R> {
    /// On the heap: a hash table moves its entries when it grows, and is never full.
    row: Option<Box<R>>,
    write: Write,
}

/// Whether the slot differs from what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Write {
    Nothing,
    Changed,
}

impl<R: Record> Default for Keyed<R> {
    fn default() -> Self {
        Self { slots: HashMap::new(), len_bytes: 0 }
    }
}

impl<R: Record + PartialEq> Keyed<R> {
    pub(super) fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    pub(super) fn knows(&self, key: &R::Key) -> bool {
        self.slots.contains_key(key)
    }

    pub(super) fn get(&self, key: &R::Key) -> Option<&R> {
        self.slots.get(key)?.row.as_deref()
    }

    /// Replaces or adds the row of this key.
    pub(super) fn put(&mut self, record: R) {
        self.set(record.key(), Some(Box::new(record)));
    }

    pub(super) fn remove(&mut self, key: R::Key) {
        self.set(key, None);
    }

    /// Changes the row of this key in place, if it is there. Its key must stay.
    pub(super) fn change(&mut self, key: &R::Key, change: impl FnOnce(&mut R)) {
        if let Some(Slot { row: Some(row), write }) = self.slots.get_mut(key) {
            self.len_bytes -= row.len_bytes();
            change(row);
            self.len_bytes += row.len_bytes();
            *write = Write::Changed;
        }
    }

    /// Takes a row that is stored, unless the fold knows better.
    pub(super) fn load(&mut self, record: R) {
        self.know(record.key(), Some(Box::new(record)));
    }

    /// Takes note that no row of this key is stored, unless the fold knows better.
    pub(super) fn load_absent(&mut self, key: R::Key) {
        self.know(key, None);
    }

    /// Rows that changed, in the order of their keys.
    fn into_upserts(self, tenant: Option<Uuid>) -> impl Iterator<Item = Row> {
        let changed = self.slots.into_iter().filter(|(_, slot)| slot.write == Write::Changed);
        let mut changed: Vec<_> = changed.filter_map(|(key, slot)| Some((key, slot.row?))).collect();
        changed.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        changed.into_iter().map(move |(_, record)| record.into_row(tenant))
    }

    fn set(&mut self, key: R::Key, row: Option<Box<R>>) {
        let added_bytes = bytes_of(row.as_deref());
        match self.slots.get_mut(&key) {
            Some(slot) if slot.row == row => {}
            Some(slot) => {
                self.len_bytes -= bytes_of(slot.row.as_deref());
                self.len_bytes += added_bytes;
                *slot = Slot { row, write: Write::Changed };
            }
            None => {
                self.len_bytes += entry_bytes::<(R::Key, Slot<R>)>() + added_bytes;
                self.slots.insert(key, Slot { row, write: Write::Changed });
            }
        }
    }

    fn know(&mut self, key: R::Key, row: Option<Box<R>>) {
        if !self.slots.contains_key(&key) {
            self.len_bytes += entry_bytes::<(R::Key, Slot<R>)>() + bytes_of(row.as_deref());
            self.slots.insert(key, Slot { row, write: Write::Nothing });
        }
    }
}

fn bytes_of<R: Record>(row: Option<&R>) -> usize {
    row.map_or(0, R::len_bytes)
}

/// What a fold hands over of one table and one tenant when it ends.
pub(super) trait Drain {
    /// Keys of rows that go, in their order.
    fn deletes(&self, tenant: Option<Uuid>) -> Vec<Row>;

    /// Moves out the rows that changed, in the order of their keys. They are sorted when the first one is asked for.
    fn upserts(&mut self, tenant: Option<Uuid>) -> Rows;
}

/// Rows that are made as they are asked for.
pub type Rows = Box<dyn Iterator<Item = Row> + Send>;

impl<R: Record<Key: Send> + PartialEq + Send + 'static> Drain for Keyed<R> {
    fn deletes(&self, tenant: Option<Uuid>) -> Vec<Row> {
        let gone = self.slots.iter().filter(|(_, slot)| slot.write == Write::Changed && slot.row.is_none());
        let mut keys: Vec<_> = gone.map(|(key, _)| key.clone()).collect();
        keys.sort_unstable();
        keys.into_iter().map(|key| R::key_row(tenant, key)).collect()
    }

    fn upserts(&mut self, tenant: Option<Uuid>) -> Rows {
        let rows = std::mem::take(self);
        Box::new(std::iter::once(rows).flat_map(move |rows| rows.into_upserts(tenant)))
    }
}

/// Rows that are only ever added, each under a key of its own, and that nothing looks at.
#[derive(Debug)]
pub(super) struct Appended<R> {
    rows: Vec<R>,
    len_bytes: usize,
}

impl<R> Default for Appended<R> {
    fn default() -> Self {
        Self { rows: Vec::new(), len_bytes: 0 }
    }
}

impl<R: Record> Appended<R> {
    pub(super) fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    pub(super) fn push(&mut self, record: R) {
        self.len_bytes += record.len_bytes();
        self.rows.push(record);
    }
}

impl<R: Record + Send + 'static> Drain for Appended<R> {
    fn deletes(&self, _: Option<Uuid>) -> Vec<Row> {
        Vec::new()
    }

    fn upserts(&mut self, tenant: Option<Uuid>) -> Rows {
        let mut rows = std::mem::take(self).rows;
        rows.sort_by_cached_key(Record::key);
        Box::new(rows.into_iter().map(move |record| record.into_row(tenant)))
    }
}

/// A record that is also found by a text, which any number of rows may share.
pub(super) trait Named: Record<Key = (Uuid,)> {
    fn name(&self) -> &str;

    /// When the row was closed: later events of its text pass it over, but for the first one of all.
    fn closed(&self) -> Option<Closed>;
}

/// When a row was closed; a row without a time comes first.
pub(super) type Closed = Option<Micros>;

/// Rows by id and by a text.
#[derive(Debug)]
pub(super) struct Indexed<R: Named> {
    rows: Keyed<R>,
    ids: HashMap<String, Ids>,
    /// Texts all of whose rows are known.
    complete: HashSet<String>,
    index_bytes: usize,
}

/// The rows of one text: mostly one.
#[derive(Debug)]
enum Ids {
    One(Uuid, Option<Closed>),
    Many(Box<ManyIds>),
}

/// Nothing walks the closed ones, of which a log may make any number.
#[derive(Debug, Default)]
struct ManyIds {
    open: BTreeSet<Uuid>,
    closed: BTreeSet<(Closed, Uuid)>,
}

impl Ids {
    fn add(&mut self, id: Uuid, closed: Option<Closed>) {
        match self {
            Self::One(known, was) if *known == id => *was = closed,
            Self::One(known, was) => {
                let mut many = ManyIds::default();
                many.add(*known, *was);
                many.add(id, closed);
                *self = Self::Many(Box::new(many));
            }
            Self::Many(many) => many.add(id, closed),
        }
    }

    /// Removes one of many.
    fn remove(&mut self, id: Uuid, closed: Option<Closed>) {
        if let Self::Many(many) = self {
            many.remove(id, closed);
        }
    }

    fn is_any(&self) -> bool {
        match self {
            Self::One(..) => true,
            Self::Many(many) => !many.open.is_empty() || !many.closed.is_empty(),
        }
    }

    fn open(&self) -> Vec<Uuid> {
        match self {
            Self::One(id, None) => vec![*id],
            Self::One(_, Some(_)) => Vec::new(),
            Self::Many(many) => many.open.iter().copied().collect(),
        }
    }

    /// Of those closed first, the one with the lowest id.
    fn first_closed(&self) -> Option<Uuid> {
        match self {
            Self::One(id, closed) => closed.map(|_| *id),
            Self::Many(many) => many.closed.first().map(|(_, id)| *id),
        }
    }
}

impl ManyIds {
    fn add(&mut self, id: Uuid, closed: Option<Closed>) {
        match closed {
            None => self.open.insert(id),
            Some(at) => self.closed.insert((at, id)),
        };
    }

    fn remove(&mut self, id: Uuid, closed: Option<Closed>) {
        match closed {
            None => self.open.remove(&id),
            Some(at) => self.closed.remove(&(at, id)),
        };
    }
}

impl<R: Named> Default for Indexed<R> {
    fn default() -> Self {
        Self { rows: Keyed::default(), ids: HashMap::new(), complete: HashSet::new(), index_bytes: 0 }
    }
}

impl<R: Named + PartialEq> Indexed<R> {
    pub(super) fn rows(&self) -> &Keyed<R> {
        &self.rows
    }

    pub(super) fn get(&self, id: Uuid) -> Option<&R> {
        self.rows.get(&(id,))
    }

    pub(super) fn knows_all_named(&self, name: &str) -> bool {
        self.complete.contains(name)
    }

    /// Whether a row bears this text.
    pub(super) fn has_named(&self, name: &str) -> bool {
        self.ids.get(name).is_some_and(Ids::is_any)
    }

    /// The rows of this text that are not closed, in the order of their ids.
    pub(super) fn open_named(&self, name: &str) -> Vec<Uuid> {
        self.ids.get(name).map(Ids::open).unwrap_or_default()
    }

    /// The row of this text that was closed first; of several the one with the lowest id.
    pub(super) fn first_closed_named(&self, name: &str) -> Option<&R> {
        self.get(self.ids.get(name)?.first_closed()?)
    }

    pub(super) fn put(&mut self, record: R) {
        let (id,) = record.key();
        let old = self.get(id).map(|old| (old.name().to_owned(), old.closed()));
        if let Some((name, closed)) = old {
            self.forget(&name, id, closed);
        }
        self.note(record.name(), id, record.closed());
        self.rows.put(record);
    }

    /// Changes the row of this id in place, if it is there. Its key and its text must stay.
    pub(super) fn change(&mut self, id: Uuid, change: impl FnOnce(&mut R)) {
        let before = self.get(id).map(Named::closed);
        self.rows.change(&(id,), change);
        let Some(row) = self.rows.get(&(id,)) else { return };
        let after = row.closed();
        if let (Some(before), Some(ids)) = (before, self.ids.get_mut(row.name()))
            && before != after
        {
            ids.remove(id, before);
            ids.add(id, after);
        }
    }

    pub(super) fn load(&mut self, record: R) {
        let (id,) = record.key();
        if !self.rows.knows(&(id,)) {
            self.note(record.name(), id, record.closed());
            self.rows.load(record);
        }
    }

    pub(super) fn load_absent(&mut self, id: Uuid) {
        self.rows.load_absent((id,));
    }

    /// Takes note that all stored rows with this text were loaded.
    pub(super) fn load_all_named(&mut self, name: String) {
        let added_bytes = complete_bytes(&name);
        if self.complete.insert(name) {
            self.index_bytes += added_bytes;
        }
    }

    pub(super) fn len_bytes(&self) -> usize {
        self.rows.len_bytes() + self.index_bytes
    }

    fn note(&mut self, name: &str, id: Uuid, closed: Option<Closed>) {
        if let Some(ids) = self.ids.get_mut(name) {
            self.index_bytes += NAMESAKE_BYTES;
            return ids.add(id, closed);
        }
        self.index_bytes += name_bytes(name);
        self.ids.insert(name.to_owned(), Ids::One(id, closed));
    }

    fn forget(&mut self, name: &str, id: Uuid, closed: Option<Closed>) {
        match self.ids.get_mut(name) {
            Some(Ids::One(..)) => {
                self.index_bytes -= name_bytes(name);
                self.ids.remove(name);
            }
            Some(ids) => {
                self.index_bytes -= NAMESAKE_BYTES;
                ids.remove(id, closed);
            }
            None => {}
        }
    }
}

/// Memory of a further row of a text, in a tree.
const NAMESAKE_BYTES: usize = 64;

/// Memory of a text and its first row: more than that of a further one, so that it may go while the text stays.
fn name_bytes(name: &str) -> usize {
    allocated(name.len()) + entry_bytes::<(String, Ids)>()
}

fn complete_bytes(name: &str) -> usize {
    allocated(name.len()) + entry_bytes::<String>()
}

impl<R: Named + PartialEq + Send + 'static> Drain for Indexed<R> {
    fn deletes(&self, tenant: Option<Uuid>) -> Vec<Row> {
        self.rows.deletes(tenant)
    }

    fn upserts(&mut self, tenant: Option<Uuid>) -> Rows {
        std::mem::take(self).rows.upserts(tenant)
    }
}

#[cfg(test)]
mod tests;

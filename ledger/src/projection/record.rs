//! A record: one row of one table with its columns as fields, and how it becomes a [`Row`] and comes back.
//!
//! `record!` declares the struct; the columns that [`super::Table`] describes are made from the types of its fields. The
//! tenant is not a field: rows are kept by tenant, and a row's first value is always its tenant.

use uuid::Uuid;

use super::table::{Column, Kind, Row, Table, Value};

/// A row of one table, without its tenant.
pub(super) trait Record: Sized {
    /// Where it is kept.
    const TABLE: Table;
    /// Its columns, the tenant first.
    const COLUMNS: &'static [Column];
    /// What identifies it within its tenant.
    type Key: Clone + Eq + Ord + std::hash::Hash;

    fn key(&self) -> Self::Key;
    fn key_row(tenant: Option<Uuid>, key: Self::Key) -> Row;
    fn into_row(self, tenant: Option<Uuid>) -> Row;
    /// `None` when the row is not one of this table.
    fn from_row(row: Row) -> Option<(Option<Uuid>, Self)>;
    /// Memory of the record on the heap, with all that it and a copy of its key hold there.
    fn len_bytes(&self) -> usize;
}

/// Bytes that an allocation of this size takes from the heap: what common allocators add and round up to.
pub(super) const fn allocated(len_bytes: usize) -> usize {
    match len_bytes {
        0 => 0,
        1..=24 => 32,
        _ => (len_bytes + 8).next_multiple_of(16),
    }
}

/// A type of field that a column can hold.
pub(super) trait Cell: Sized {
    const KIND: Kind;
    const NULLABLE: bool = false;

    fn into_value(self) -> Value;
    fn from_value(value: Value) -> Option<Self>;
    /// Bytes on the heap.
    fn heap_bytes(&self) -> usize {
        0
    }
}

/// A time in microseconds since 1970-01-01T00:00:00Z, within the range of `timestamptz`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Micros(pub i64);

/// JSON as `jsonb` prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Jsonb(pub String);

macro_rules! cell {
    ($type:ty, $kind:ident, |$heap:ident| $bytes:expr, $value:pat => $inner:expr, $self:ident => $out:expr) => {
        impl Cell for $type {
            const KIND: Kind = Kind::$kind;

            fn into_value($self) -> Value {
                Value::$kind($out)
            }

            fn from_value(value: Value) -> Option<Self> {
                match value {
                    Value::$kind($value) => Some($inner),
                    _ => None,
                }
            }

            fn heap_bytes(&self) -> usize {
                let $heap = self;
                $bytes
            }
        }
    };
}

cell!(Uuid, Uuid, |_v| 0, v => v, self => self);
cell!(String, Text, |v| allocated(v.len()), v => v, self => self);
cell!(Vec<String>, TextArray, |v| list_bytes(v), v => v, self => self);
cell!(i64, Int, |_v| 0, v => v, self => self);
cell!(bool, Bool, |_v| 0, v => v, self => self);
cell!(Micros, Time, |_v| 0, v => Micros(v), self => self.0);
cell!(Jsonb, Json, |v| allocated(v.0.len()), v => Jsonb(v), self => self.0);
cell!(Vec<u8>, Bytes, |v| allocated(v.len()), v => v, self => self);

fn list_bytes(texts: &[String]) -> usize {
    allocated(size_of_val(texts)) + texts.iter().map(|text| allocated(text.len())).sum::<usize>()
}

impl<T: Cell> Cell for Option<T> {
    const KIND: Kind = T::KIND;
    const NULLABLE: bool = true;

    fn into_value(self) -> Value {
        self.map_or(Value::Null, T::into_value)
    }

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            value => T::from_value(value).map(Some),
        }
    }

    fn heap_bytes(&self) -> usize {
        self.as_ref().map_or(0, T::heap_bytes)
    }
}

/// The tenant of a row; `Some(None)` when it has none, which only a fault may.
pub(super) fn tenant_of(value: Value) -> Option<Option<Uuid>> {
    Option::<Uuid>::from_value(value)
}

/// Declares a record: `record!(Name in Table, key (field: Type, …) { field: Type, … })`. Every field is a column, in
/// this order; those named in `key` make the key, after the tenant.
macro_rules! record {
    (
        $(#[$doc:meta])*
        $name:ident in $table:ident, tenant $nullable:literal, key ($($key:ident: $key_type:ty),*)
        { $($field:ident: $type:ty,)* }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub(super) struct $name {
            $(pub $field: $type,)*
        }

        impl Record for $name {
            const TABLE: Table = Table::$table;
            const COLUMNS: &'static [Column] = &[
                Column { name: "tenant_id", kind: Kind::Uuid, nullable: $nullable },
                $(Column {
                    name: stringify!($field),
                    kind: <$type as Cell>::KIND,
                    nullable: <$type as Cell>::NULLABLE,
                },)*
            ];
            type Key = ($($key_type,)*);

            #[allow(clippy::unused_unit, reason = "the key of a table with one row a tenant is ()")]
            fn key(&self) -> Self::Key {
                ($(self.$key.clone(),)*)
            }

            fn key_row(tenant: Option<Uuid>, key: Self::Key) -> Row {
                let ($($key,)*) = key;
                let mut row = Vec::with_capacity(3);
                if !$nullable {
                    row.push(tenant.into_value());
                }
                $(row.push($key.into_value());)*
                row
            }

            fn into_row(self, tenant: Option<Uuid>) -> Row {
                vec![tenant.into_value(), $(self.$field.into_value(),)*]
            }

            fn from_row(row: Row) -> Option<(Option<Uuid>, Self)> {
                let mut values = row.into_iter();
                let tenant = tenant_of(values.next()?)?;
                let record = Self { $($field: <$type as Cell>::from_value(values.next()?)?,)* };
                (values.next().is_none() && (tenant.is_some() || $nullable)).then_some((tenant, record))
            }

            fn len_bytes(&self) -> usize {
                allocated(size_of::<Self>())
                    $(+ self.$field.heap_bytes())*
                    $(+ self.$key.heap_bytes())*
            }
        }
    };
}
pub(super) use record;

#[cfg(test)]
mod tests {
    use super::super::rows::Status;
    use super::*;

    #[test]
    fn memory_is_what_an_allocator_takes() {
        for (len_bytes, taken_bytes) in [(0, 0), (1, 32), (24, 32), (25, 48), (40, 48), (41, 64)] {
            assert_eq!(allocated(len_bytes), taken_bytes, "{len_bytes}");
        }
        // Two texts of 24 bytes each in the list, of which one has 25 bytes elsewhere.
        assert_eq!(vec![String::new(), "a".repeat(25)].heap_bytes(), 64 + 48);
        assert_eq!((Some("a".to_owned()).heap_bytes(), None::<String>.heap_bytes()), (32, 0));
        let nowhere = [Uuid::nil().heap_bytes(), true.heap_bytes(), Some(Micros(1)).heap_bytes()];
        assert_eq!((nowhere, Status::Active.heap_bytes()), ([0; 3], 0));
    }
}

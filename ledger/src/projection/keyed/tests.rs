//! Rows by key and by text against a plain model of them, and what they take of memory against a count.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::rows::{Certificate, Status};
use super::super::table::{Kind, Table, Value};
use super::*;

const NAMES: [&str; 3] = ["", "f", "a fingerprint that is longer than others"];

/// A row as far as these tests tell rows apart: its text, and when it was closed.
type Sketch = (&'static str, Option<Closed>);

fn certificate(id: Uuid, (name, closed): Sketch) -> Certificate {
    let values = Table::Certificates.columns().iter().map(|column| match column.name {
        "tenant_id" | "id" => Value::Uuid(id),
        "fingerprint" => Value::Text(name.to_owned()),
        "status" => Value::Text("active".to_owned()),
        _ if column.nullable => Value::Null,
        _ => match column.kind {
            Kind::TextArray => Value::TextArray(Vec::new()),
            _ => Value::Text(String::new()),
        },
    });
    let mut row = Certificate::from_row(values.collect()).expect("a row of the table").1;
    close(&mut row, closed);
    row
}

fn close(row: &mut Certificate, closed: Option<Closed>) {
    row.status = if closed.is_some() { Status::Revoked } else { Status::Active };
    row.revoked_at = closed.flatten();
}

#[derive(Clone, Debug)]
enum Act {
    Put(Uuid, Sketch),
    Load(Uuid, Sketch),
    LoadAbsent(Uuid),
    Close(Uuid, Closed),
    LoadAllNamed(&'static str),
}

fn an_act() -> impl Strategy<Value = Act> {
    let id = || (0..5_u128).prop_map(Uuid::from_u128);
    let at = || prop_oneof![Just(None), (0..3_i64).prop_map(|at| Some(Micros(at)))];
    let sketch = || (prop::sample::select(&NAMES[..]), prop::option::of(at()));
    prop_oneof![
        4 => (id(), sketch()).prop_map(|(id, row)| Act::Put(id, row)),
        2 => (id(), sketch()).prop_map(|(id, row)| Act::Load(id, row)),
        1 => id().prop_map(Act::LoadAbsent),
        2 => (id(), at()).prop_map(|(id, at)| Act::Close(id, at)),
        1 => prop::sample::select(&NAMES[..]).prop_map(Act::LoadAllNamed),
    ]
}

/// What is known of each id, and whether it differs from what is stored.
#[derive(Default)]
struct Model(BTreeMap<Uuid, (Option<Sketch>, bool)>);

impl Model {
    fn act(&mut self, act: &Act) {
        match *act {
            Act::Put(id, row) => {
                let before = self.0.get(&id).copied();
                let changed = before.is_none_or(|(known, changed)| changed || known != Some(row));
                self.0.insert(id, (Some(row), changed));
            }
            Act::Load(id, row) => drop(self.0.entry(id).or_insert((Some(row), false))),
            Act::LoadAbsent(id) => drop(self.0.entry(id).or_insert((None, false))),
            Act::Close(id, at) => {
                if let Some((Some(row), changed)) = self.0.get_mut(&id) {
                    (row.1, *changed) = (Some(at), true);
                }
            }
            Act::LoadAllNamed(_) => {}
        }
    }

    /// Ids of rows of this text, with when each was closed.
    fn named(&self, name: &str) -> Vec<(Uuid, Option<Closed>)> {
        let rows = self.0.iter().filter_map(|(id, (row, _))| Some((*id, (*row)?)));
        rows.filter(|(_, row)| row.0 == name).map(|(id, row)| (id, row.1)).collect()
    }
}

fn act(rows: &mut Indexed<Certificate>, act: &Act) {
    match *act {
        Act::Put(id, row) => rows.put(certificate(id, row)),
        Act::Load(id, row) => rows.load(certificate(id, row)),
        Act::LoadAbsent(id) => rows.load_absent(id),
        Act::Close(id, at) => rows.change(id, |row| close(row, Some(at))),
        Act::LoadAllNamed(name) => rows.load_all_named(name.to_owned()),
    }
}

/// The memory of all that is held, counted anew.
fn counted_bytes(rows: &Indexed<Certificate>) -> usize {
    let of_slot = |slot: &Slot<Certificate>| {
        size_of::<((Uuid,), Slot<Certificate>)>() * 3 / 2 + slot.row.as_ref().map_or(0, |row| row.len_bytes())
    };
    let of_ids = |(name, ids): (&String, &Ids)| match ids {
        Ids::One(..) => name_bytes(name),
        Ids::Many(many) => name_bytes(name) + (many.open.len() + many.closed.len()) * 64 - 64,
    };
    rows.rows.slots.values().map(of_slot).sum::<usize>()
        + rows.ids.iter().map(of_ids).sum::<usize>()
        + rows.complete.iter().map(|name| complete_bytes(name)).sum::<usize>()
}

proptest! {
    #[test]
    fn rows_are_found_by_their_text_and_counted_whatever_happens(acts in prop::collection::vec(an_act(), 0..40)) {
        let (mut rows, mut model, mut complete) = (Indexed::default(), Model::default(), BTreeSet::new());
        for each in &acts {
            act(&mut rows, each);
            model.act(each);
            if let Act::LoadAllNamed(name) = each {
                complete.insert(*name);
            }
            prop_assert_eq!(rows.len_bytes(), counted_bytes(&rows));
            for name in NAMES {
                let named = model.named(name);
                let open: Vec<_> = named.iter().filter(|(_, closed)| closed.is_none()).map(|(id, _)| *id).collect();
                let first_closed = named.iter().filter_map(|(id, closed)| Some(((*closed)?, *id))).min();
                prop_assert_eq!(rows.open_named(name), open);
                prop_assert_eq!(rows.first_closed_named(name).map(|row| row.id), first_closed.map(|(_, id)| id));
                prop_assert_eq!(rows.has_named(name), !named.is_empty());
                prop_assert_eq!(rows.knows_all_named(name), complete.contains(name));
            }
            for id in (0..5).map(Uuid::from_u128) {
                let known = model.0.get(&id);
                prop_assert_eq!(rows.rows().knows(&(id,)), known.is_some());
                let expected = known.and_then(|(row, _)| *row).map(|row| certificate(id, row));
                prop_assert_eq!(rows.get(id), expected.as_ref());
            }
        }
        let tenant = Some(Uuid::from_u128(9));
        let changed = model.0.iter().filter(|(_, (_, changed))| *changed);
        let expected: Vec<Row> = changed
            .filter_map(|(id, (row, _))| Some(certificate(*id, (*row)?).into_row(tenant)))
            .collect();
        prop_assert_eq!(rows.deletes(tenant), Vec::<Row>::new());
        prop_assert_eq!(rows.upserts(tenant).collect::<Vec<_>>(), expected);
        prop_assert_eq!(rows.len_bytes(), 0);
    }
}

#[test]
fn a_row_that_goes_is_deleted_unless_it_was_known_to_be_absent() {
    let mut rows: Keyed<Certificate> = Keyed::default();
    let [gone, absent, back, never] = [4, 3, 2, 1].map(Uuid::from_u128);
    rows.put(certificate(gone, ("f", None)));
    rows.remove((gone,));
    rows.load_absent((absent,));
    rows.remove((absent,));
    rows.remove((back,));
    rows.put(certificate(back, ("f", None)));
    rows.remove((never,));
    let keys =
        |ids: &[Uuid]| ids.iter().map(|id| vec![Value::Uuid(gone), Value::Uuid(*id)]).collect::<Vec<_>>();
    assert_eq!(rows.deletes(Some(gone)), keys(&[never, gone]));
    assert_eq!(
        rows.len_bytes(),
        4 * entry_bytes::<((Uuid,), Slot<Certificate>)>() + rows.get(&(back,)).unwrap().len_bytes()
    );
    assert_eq!(rows.upserts(None).count(), 1);
}

#[test]
fn texts_are_counted_with_their_places_in_a_hash_table() {
    let mut rows: Indexed<Certificate> = Indexed::default();
    rows.load_all_named("f".to_owned());
    // One place of 24 bytes takes 36, since such a table is never full; its text takes 32.
    assert_eq!(rows.len_bytes(), 36 + 32);
    rows.load_all_named("f".to_owned());
    assert_eq!(rows.len_bytes(), 36 + 32);
    rows.put(certificate(Uuid::from_u128(1), ("f", None)));
    assert_eq!(rows.len_bytes() - rows.rows().len_bytes(), 36 + 32 + size_of::<(String, Ids)>() * 3 / 2 + 32);
}

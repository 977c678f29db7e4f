//! Random histories: however the log is cut into batches, the model is the same.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use trstctl_formats::event::Event;
use trstctl_ledger::projection::{Column, Fold, Kind, MemoryModel, Table, Value};

use crate::support::*;

const KINDS: [&str; 24] = [
    "tenant.registered",
    "tenant.offboarded",
    "owner.created",
    "owner.updated",
    "owner.deleted",
    "issuer.created",
    "profile.created",
    "profile.updated",
    "identity.created",
    "identity.issued",
    "identity.deployed",
    "identity.renewing",
    "identity.renewed",
    "identity.revoked",
    "identity.retired",
    "certificate.recorded",
    "certificate.revoked",
    "certificate.superseded",
    "ca.authority.created",
    "ca.authority.rotated",
    "ca.certificate.issued",
    "ca.certificate.revoked",
    "ca.crl.published",
    "x.unknown",
];

/// An event of any type over a few tenants, ids and names, so that most events meet rows that are there.
fn any_event() -> impl Strategy<Value = Event> {
    let kind = prop_oneof![
        3 => select(&KINDS[..]),
        2 => select(vec!["certificate.recorded", "certificate.revoked", "profile.created", "profile.updated"]),
    ];
    let oddity = prop_oneof![12 => Just(Oddity::None), 1 => select(vec![
        Oddity::Version, Oddity::Tenant, Oddity::Payload, Oddity::Time,
    ])];
    (kind, 1..4u128, any_payload(), 0..60u32, oddity).prop_map(|(kind, tenant, payload, second, oddity)| {
        let payload = if kind == "tenant.offboarded" { String::new() } else { payload };
        let event = at(&format!("2026-01-02T03:04:{second:02}Z"), of_tenant(tenant, kind, &payload));
        oddity.of(event)
    })
}

#[derive(Clone, Copy, Debug)]
enum Oddity {
    None,
    Version,
    Tenant,
    Payload,
    Time,
}

impl Oddity {
    fn of(self, event: Event) -> Event {
        match self {
            Oddity::None => event,
            Oddity::Version => version(7, event),
            Oddity::Tenant => Event { tenant_id: "acme".into(), ..event },
            Oddity::Payload => Event { data: "{".into(), ..event },
            Oddity::Time => at("noon", event),
        }
    }
}

/// A payload that has the keys of every type.
fn any_payload() -> impl Strategy<Value = String> {
    let id = || 1..4u128;
    let optional = || prop_oneof![Just("null".to_owned()), id().prop_map(|n| format!("\"{{{n}}}\""))];
    let text = || select(vec!["a", "b", "c"]);
    (id(), id(), optional(), optional(), text(), text(), text(), any::<bool>(), 1..3i64, optional()).prop_map(
        |(id, identity, ca, replaced, name, fingerprint, serial, active, number, owner)| {
            format!(
                r#"{{"id":"{{{id}}}","identity_id":"{{{identity}}}","kind":"k","name":"{name}","email":"{serial}",
                "chain":["{name}"],"public_key":"{serial}","internal":{active},"version":{number},
                "spec":{{"{name}":{number}}},"active":{active},"created_by":"{serial}","owner_id":"{{1}}",
                "attributes":null,"from":"{name}","to":"{serial}","ca_id":{ca},
                "subject":"{name}","sans":[],"issuer":"i","serial":"{serial}","fingerprint":"{fingerprint}",
                "key_algorithm":"k","deployment_location":"{name}","source":"s","replaces_id":{replaced},
                "parent_id":{owner},"reason":"{name}","reason_code":{number},
                "revoked_at":"2026-02-0{number}T00:00:00Z","renewed_at":"2026-03-0{number}T00:00:00Z",
                "superseded_by":"{name}","common_name":"{name}","certificate_pem":"p","signer_handle":"h",
                "not_after":"2027-01-01T00:00:00Z","crl_number":{number},"crl_der":"AQ==",
                "this_update":"2026-01-01T00:00:00Z","next_update":"2026-01-08T00:00:00Z","revoked_count":1}}"#
            )
        },
    )
}

fn history() -> impl Strategy<Value = Vec<Event>> {
    prop::collection::vec(any_event(), 1..80)
}

/// A history and where it is cut.
fn cut_history() -> impl Strategy<Value = (Vec<Event>, Vec<usize>)> {
    history().prop_flat_map(|events| {
        let cuts: Vec<usize> = (1..events.len().max(2)).collect();
        let most = cuts.len();
        (Just(events), subsequence(cuts, 0..=most.min(8)))
    })
}

fn batches<'a>(events: &'a [Event], cuts: &[usize]) -> Vec<(u64, &'a [Event])> {
    let edges: Vec<usize> = [0]
        .into_iter()
        .chain(cuts.iter().copied())
        .chain([events.len()])
        .map(|c| c.min(events.len()))
        .collect();
    edges.windows(2).map(|edge| (edge[0] as u64 + 1, &events[edge[0]..edge[1]])).collect()
}

fn apply_in_batches(events: &[Event], cuts: &[usize]) -> MemoryModel {
    let mut model = MemoryModel::new();
    for (first, batch) in batches(events, cuts) {
        model.apply_steps(steps(first, batch)).expect("own rows");
    }
    model
}

fn assert_same(a: &MemoryModel, b: &MemoryModel) {
    for table in Table::ALL {
        assert_eq!(rows(a, table), rows(b, table), "{}", table.name());
    }
    assert_eq!(a.digest(), b.digest());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_batches_make_the_same_model((events, cuts) in cut_history()) {
        let at_once = apply_in_batches(&events, &[]);
        let one_by_one: Vec<usize> = (1..events.len()).collect();
        assert_same(&at_once, &apply_in_batches(&events, &one_by_one));
        assert_same(&at_once, &apply_in_batches(&events, &cuts));
    }

    /// The middle of a log in one fold that learns of stored rows chunk by chunk.
    #[test]
    fn any_chunks_within_a_fold_make_the_same_model((events, cuts) in cut_history(), stored in 0..40usize) {
        let stored = stored.min(events.len());
        let mut model = apply_in_batches(&events[..stored], &[]);
        let mut fold = Fold::new();
        let rest = &events[stored..];
        for (first, chunk) in batches(rest, &cuts) {
            let chunk = steps(stored as u64 + first, chunk);
            let lookups = fold.missing(&chunk);
            fold.load(&lookups, model.look_up(&lookups)).expect("own rows");
            prop_assert!(fold.missing(&chunk).is_empty(), "what was loaded is known");
            chunk.into_iter().for_each(|step| fold.apply(step));
        }
        model.write(fold.into_changes());
        assert_same(&model, &apply_in_batches(&events, &[]));
    }

    #[test]
    fn a_fold_of_an_empty_model_needs_no_rows(events in history()) {
        let mut fold = Fold::of_empty_model();
        let all = steps(1, &events);
        prop_assert!(fold.missing(&all).is_empty());
        all.into_iter().for_each(|step| fold.apply(step));
        let changes = fold.into_changes();
        prop_assert!(changes.offboarded.is_empty());
        let mut model = MemoryModel::new();
        model.write(changes);
        assert_same(&model, &apply_in_batches(&events, &[]));
    }

    #[test]
    fn a_prefix_again_changes_nothing((events, cuts) in cut_history(), again in 0..80usize) {
        let mut model = apply_in_batches(&events, &cuts);
        let counts = model.apply_steps(steps(1, &events[..again.min(events.len())])).expect("own rows");
        prop_assert_eq!(counts.total(), 0);
        assert_same(&model, &apply_in_batches(&events, &cuts));
    }

    #[test]
    fn every_event_is_projected_counted_or_quarantined(events in history()) {
        let (model, counts) = counted(&events);
        prop_assert_eq!(counts.total(), events.len() as u64);
        prop_assert!(rows(&model, Table::ProjectionFaults).len() as u64 <= counts.quarantined);
    }

    /// What no row may violate, whatever the history.
    #[test]
    fn every_row_fits_its_table_and_one_profile_of_a_name_is_active(events in history()) {
        let model = model(&events);
        for table in Table::ALL {
            for row in model.rows(table) {
                prop_assert_eq!(row.len(), table.columns().len());
                for (value, column) in row.iter().zip(table.columns()) {
                    prop_assert!(fits(value, column), "{}.{}: {:?}", table.name(), column.name, value);
                }
            }
        }
        let active: Vec<_> = model.rows(Table::CertificateProfiles)
            .filter(|row| row[5] == Value::Bool(true))
            .map(|row| (row[0].clone(), row[2].clone())).collect();
        let distinct: std::collections::BTreeSet<_> = active.iter().collect();
        prop_assert_eq!(active.len(), distinct.len());
    }
}

fn fits(value: &Value, column: &Column) -> bool {
    match (value, column.kind) {
        (Value::Null, _) => column.nullable,
        (Value::Uuid(_), kind) => kind == Kind::Uuid,
        (Value::Text(text), kind) => kind == Kind::Text && !text.contains('\0'),
        (Value::TextArray(_), kind) => kind == Kind::TextArray,
        (Value::Int(_), kind) => kind == Kind::Int,
        (Value::Bool(_), kind) => kind == Kind::Bool,
        (Value::Time(_), kind) => kind == Kind::Time,
        (Value::Json(_), kind) => kind == Kind::Json,
        (Value::Bytes(_), kind) => kind == Kind::Bytes,
    }
}

//! What a fold asks for, what it writes, and what it says of its size.

use trstctl_ledger::projection::{Fold, Table, Value};

use crate::support::*;

fn missing(events: &[trstctl_formats::event::Event]) -> Vec<(Table, Vec<Value>)> {
    let lookups = Fold::new().missing(&steps(1, events));
    lookups.keys().chain(lookups.named()).map(|(table, row)| (table, row.clone())).collect()
}

#[test]
fn a_recorded_certificate_looks_at_itself_its_predecessor_its_namesakes_and_its_serial() {
    assert_eq!(
        missing(&[certificate(r#","replaces_id":"{3}""#)]),
        [
            (Table::Certificates, vec![uuid(1), uuid(1)]),
            (Table::Certificates, vec![uuid(1), uuid(3)]),
            (Table::CaIssuedCerts, vec![uuid(1), uuid(50), text("05")]),
            (Table::Certificates, vec![uuid(1), text("f")]),
        ]
    );
}

#[test]
fn lookups_are_asked_for_table_by_table_too() {
    let lookups = Fold::new().missing(&steps(1, &[certificate("")]));
    let keys: Vec<_> = lookups.keys_of(Table::Certificates).cloned().collect();
    assert_eq!(keys, [vec![uuid(1), uuid(1)]]);
    let named: Vec<_> = lookups.named_of(Table::Certificates).cloned().collect();
    assert_eq!(named, [vec![uuid(1), text("f")]]);
    assert_eq!(
        (lookups.keys_of(Table::Owners).count(), lookups.named_of(Table::CaIssuedCerts).count()),
        (0, 0)
    );
    assert!(!lookups.is_empty());
    let by_key_alone = Fold::new().missing(&steps(1, &[event("owner.updated", OWNER)]));
    assert!(by_key_alone.named().next().is_none() && !by_key_alone.is_empty());
}

#[test]
fn transitions_can_be_written_while_the_fold_goes_on() {
    let events = [event("identity.created", IDENTITY), event("identity.issued", MOVE)];
    let mut fold = Fold::of_empty_model();
    steps(1, &events[..1]).into_iter().for_each(|step| fold.apply(step));
    let before = fold.len_bytes();
    steps(2, &events[1..]).into_iter().for_each(|step| fold.apply(step));
    let moved = model(&events);
    assert!(fold.len_bytes() > before);
    assert_eq!(fold.take_final_rows(), rows(&moved, Table::IdentityTransitions));
    assert_eq!(fold.len_bytes(), before, "what was taken is no longer held");
    assert_eq!(fold.take_final_rows(), Vec::<Vec<Value>>::new());
    assert!(fold.offboarded().is_empty());
    steps(3, &[event("tenant.offboarded", "")]).into_iter().for_each(|step| fold.apply(step));
    assert_eq!(fold.offboarded().iter().collect::<Vec<_>>(), [(&id(1), &3)]);
}

#[test]
fn events_that_replace_a_whole_row_look_at_nothing() {
    assert_eq!(missing(&[event("owner.created", OWNER), event("owner.deleted", OWNER)]), []);
    assert_eq!(missing(&[event("tenant.offboarded", ""), event("x.unknown", "")]), []);
}

#[test]
fn a_tenant_that_was_offboarded_in_the_fold_has_no_stored_rows() {
    let mut fold = Fold::new();
    steps(1, &[event("tenant.offboarded", "")]).into_iter().for_each(|step| fold.apply(step));
    assert!(fold.missing(&steps(2, &[event("owner.updated", OWNER)])).is_empty());
    let changes = fold.into_changes();
    assert_eq!(changes.offboarded, [id(1)]);
    assert!(!changes.is_empty());
}

#[test]
fn an_event_that_says_nothing_new_writes_nothing() {
    let events =
        [event("tenant.registered", r#"{"name":"A"}"#), event("identity.created", IDENTITY), certificate("")];
    let model = model(&events);
    let again = steps(4, &events);
    let mut fold = Fold::new();
    let lookups = fold.missing(&again);
    fold.load(&lookups, model.look_up(&lookups)).expect("own rows");
    again.into_iter().for_each(|step| fold.apply(step));
    assert_eq!(fold.counts().projected, 3);
    assert!(fold.into_changes().is_empty());
}

#[test]
fn another_active_version_of_a_profile_changes_the_one_that_was_active_alone() {
    let version = |number: u128| {
        let payload = r#"{"id":"{N}","name":"p","version":1,"spec":{},"active":true,"created_by":"c"}"#;
        event("profile.created", &payload.replace('N', &number.to_string()))
    };
    let model = model(&[version(1), version(2)]);
    let third = steps(3, &[version(3)]);
    let mut fold = Fold::new();
    let lookups = fold.missing(&third);
    fold.load(&lookups, model.look_up(&lookups)).expect("own rows");
    third.into_iter().for_each(|step| fold.apply(step));
    let changes = fold.into_changes();
    let ids: Vec<_> = changes.tables[&Table::CertificateProfiles].upserts.iter().map(|row| &row[1]).collect();
    assert_eq!(ids, [&uuid(2), &uuid(3)]);
}

#[test]
fn a_row_of_another_shape_is_refused() {
    let steps = steps(1, &[event("owner.updated", OWNER)]);
    let mut fold = Fold::new();
    let lookups = fold.missing(&steps);
    let short = vec![uuid(1), uuid(1), text("team")];
    let error = fold.load(&lookups, [(Table::Owners, short)]).expect_err("a column is missing");
    assert_eq!(error.table, Table::Owners);
}

#[test]
fn the_size_of_a_fold_grows_with_its_rows_and_falls_with_offboarding() {
    let mut fold = Fold::of_empty_model();
    let big = format!(r#"{{"id":"{{1}}","kind":"k","name":"{}","email":"e"}}"#, "n".repeat(100_000));
    steps(1, &[event("owner.created", &big)]).into_iter().for_each(|step| fold.apply(step));
    assert!((100_000..102_000).contains(&fold.len_bytes()), "{}", fold.len_bytes());
    steps(2, &[event("owner.created", OWNER)]).into_iter().for_each(|step| fold.apply(step));
    assert!(fold.len_bytes() < 2_000, "{}", fold.len_bytes());
    steps(3, &[event("tenant.offboarded", "")]).into_iter().for_each(|step| fold.apply(step));
    assert_eq!(fold.len_bytes(), 0);
}

#[test]
fn the_size_of_a_fold_is_that_of_the_rows_of_all_its_tables() {
    let issuer = r#"{"id":"{8}","kind":"k","name":"n","chain":[],"public_key":"k","internal":true}"#;
    let profile = r#"{"id":"{7}","name":"n","version":1,"spec":{},"active":true,"created_by":"u"}"#;
    let authority = r#"{"id":"{50}","common_name":"c","kind":"k","certificate_pem":"p","signer_handle":"h","serial":"1","not_after":"2026-04-01T00:00:00Z"}"#;
    let crl = r#"{"ca_id":"{50}","crl_number":1,"crl_der":"AQ==","this_update":"2026-01-01T00:00:00Z","next_update":"2026-02-01T00:00:00Z","revoked_count":0}"#;
    let parts = [
        vec![event("tenant.registered", r#"{"name":"A"}"#)],
        vec![event("owner.created", OWNER)],
        vec![event("issuer.created", issuer)],
        vec![event("profile.created", profile)],
        vec![event("identity.created", IDENTITY), event("identity.issued", MOVE)],
        vec![event("identity.created", &IDENTITY.replace("{1}", "{2}"))],
        vec![certificate("")],
        vec![event("ca.certificate.issued", r#"{"ca_id":"{50}","serial":"06"}"#)],
        vec![event("ca.authority.created", authority)],
        vec![event("ca.crl.published", crl)],
        vec![event("owner.updated", r#"{"id":"{3}","kind":"k","name":"n","email":"e"}"#)],
    ];
    let folded = |events: &[trstctl_formats::event::Event]| {
        let mut fold = Fold::of_empty_model();
        steps(1, events).into_iter().for_each(|step| fold.apply(step));
        fold
    };
    let sizes: Vec<_> = parts.iter().map(|part| folded(part).len_bytes()).collect();
    assert!(sizes.iter().all(|size| *size > 0), "{sizes:?}");
    let mut whole = folded(&parts.concat());
    assert_eq!(whole.len_bytes(), sizes.iter().sum::<usize>());
    assert!(
        Table::ALL.into_iter().all(|table| whole.drain(table).upserts.count() > 0),
        "every table has rows"
    );
}

#[test]
fn changes_are_sorted_by_tenant_and_key() {
    let owner = |tenant, number: u128| {
        of_tenant(
            tenant,
            "owner.created",
            &format!(r#"{{"id":"{{{number}}}","kind":"k","name":"n","email":"e"}}"#),
        )
    };
    let mut fold = Fold::of_empty_model();
    let events = [owner(2, 1), owner(1, 3), owner(1, 2), owner(2, 9), owner(1, 1)];
    steps(1, &events).into_iter().for_each(|step| fold.apply(step));
    let upserts = &fold.into_changes().tables[&Table::Owners].upserts;
    assert_eq!(upserts.len(), 5);
    assert!(upserts.is_sorted());
}

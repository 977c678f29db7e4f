//! Every rule of what is quarantined, what is only counted, and that neither stops anything.

use trstctl_formats::event::Event;
use trstctl_ledger::projection::{Table, Value};

use crate::support::*;

/// Events that are whole: each key is needed, and `null` for it is refused unless it is a list or JSON.
fn whole_events() -> Vec<(&'static str, String, &'static [&'static str])> {
    let issuer = r#"{"id":"{8}","kind":"k","name":"n","chain":[],"public_key":"k","internal":true}"#;
    let profile = r#"{"id":"{7}","name":"n","version":1,"spec":{},"active":false,"created_by":"u"}"#;
    let authority = r#"{"id":"{50}","common_name":"c","kind":"k","certificate_pem":"p","signer_handle":"h","serial":"1","not_after":"2026-04-01T00:00:00Z"}"#;
    let serial = r#"{"ca_id":"{50}","serial":"1"}"#;
    let crl = r#"{"ca_id":"{50}","crl_number":1,"crl_der":"","this_update":"2026-01-01T00:00:00Z","next_update":"2026-02-01T00:00:00Z","revoked_count":0}"#;
    let revocation = r#"{"fingerprint":"f","serial":"05","reason":"r","revoked_at":"2026-02-01T00:00:00Z"}"#;
    let supersession = r#"{"fingerprint":"f","serial":"05","renewed_at":"2026-03-01T00:00:00Z"}"#;
    let owner: &[_] = &["id", "kind", "name", "email"];
    let profile_keys: &[_] = &["id", "name", "version", "spec", "active", "created_by"];
    let authority_keys: &[_] =
        &["id", "common_name", "kind", "certificate_pem", "signer_handle", "serial", "not_after"];
    vec![
        ("tenant.registered", r#"{"name":"A"}"#.into(), &["name"]),
        ("owner.created", OWNER.into(), owner),
        ("owner.updated", OWNER.into(), owner),
        ("owner.deleted", r#"{"id":"{99}"}"#.into(), &["id"]),
        ("issuer.created", issuer.into(), &["id", "kind", "name", "chain", "public_key", "internal"]),
        ("profile.created", profile.into(), profile_keys),
        ("profile.updated", profile.into(), profile_keys),
        ("identity.created", IDENTITY.into(), &["id", "kind", "name", "owner_id", "attributes"]),
        ("identity.issued", MOVE.into(), &["identity_id", "from", "to"]),
        ("identity.deployed", MOVE.into(), &["identity_id", "from", "to"]),
        ("identity.renewing", MOVE.into(), &["identity_id", "from", "to"]),
        ("identity.renewed", MOVE.into(), &["identity_id", "from", "to"]),
        ("identity.revoked", MOVE.into(), &["identity_id", "from", "to"]),
        ("identity.retired", MOVE.into(), &["identity_id", "from", "to"]),
        (
            "certificate.recorded",
            certificate_payload(""),
            &[
                "id",
                "subject",
                "sans",
                "issuer",
                "serial",
                "fingerprint",
                "key_algorithm",
                "deployment_location",
                "source",
            ],
        ),
        ("certificate.superseded", supersession.into(), &["fingerprint", "serial", "renewed_at"]),
        ("certificate.revoked", revocation.into(), &["fingerprint", "serial", "reason", "revoked_at"]),
        ("ca.authority.created", authority.into(), authority_keys),
        ("ca.authority.rotated", authority.into(), authority_keys),
        ("ca.certificate.issued", serial.into(), &["ca_id", "serial"]),
        ("ca.certificate.revoked", serial.into(), &["ca_id", "serial"]),
        (
            "ca.crl.published",
            crl.into(),
            &["ca_id", "crl_number", "crl_der", "this_update", "next_update", "revoked_count"],
        ),
    ]
}

/// Whole events in an order in which all of them can be applied.
fn whole_history() -> Vec<Event> {
    whole_events().iter().map(|(kind, payload, _)| event(kind, payload)).collect()
}

fn last_reason(last: Event) -> String {
    let mut events = whole_history();
    events.push(last);
    let found = reasons(&model(&events));
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().next().unwrap_or_default()
}

#[test]
fn whole_events_are_all_projected() {
    let (model, counts) = counted(&whole_history());
    assert_eq!(reasons(&model), [""; 0]);
    assert_eq!(counts.projected, 22);
}

#[test]
fn each_key_that_is_not_optional_must_be_there() {
    for (kind, payload, keys) in whole_events() {
        for key in keys {
            let without = payload.replace(&format!("\"{key}\""), "\"other\"");
            assert_eq!(last_reason(event(kind, &without)), format!("the payload lacks `{key}`"), "{kind}");
        }
    }
}

#[test]
fn null_is_refused_but_for_lists_and_json() {
    for (kind, payload, keys) in whole_events() {
        for key in keys {
            let end = payload.rfind('}').expect("an object");
            let null = format!("{},\"{key}\":null}}", &payload[..end]);
            let mut events = whole_history();
            events.push(event(kind, &null));
            let expected = match *key {
                "chain" | "sans" | "spec" | "attributes" => vec![],
                key => vec![format!("`{key}` of the payload is null")],
            };
            assert_eq!(reasons(&model(&events)), expected, "{kind}");
        }
    }
}

#[test]
fn a_payload_that_is_no_object_is_quarantined() {
    for (kind, ..) in whole_events() {
        for payload in ["", "null", "[]", "\"x\"", "{", "not JSON"] {
            assert_eq!(last_reason(event(kind, payload)), "the payload is not a JSON object", "{kind}");
        }
    }
    assert_eq!(last_reason(event("tenant.offboarded", "[]")), "the payload is not a JSON object");
}

#[test]
fn a_value_that_its_column_cannot_hold_is_quarantined_by_key_and_never_quoted() {
    for (name, reason) in [
        (r#""secret\u0000""#, "`name` of the payload holds U+0000"),
        (r#""secret\ud800""#, "`name` of the payload holds a lone surrogate"),
        ("5", "`name` of the payload is not a string"),
    ] {
        let payload = format!(r#"{{"id":"{{1}}","kind":"team","name":{name},"email":"e"}}"#);
        assert_eq!(last_reason(event("owner.created", &payload)), reason);
    }
    let attributes = |json: &str| {
        let payload =
            format!(r#"{{"id":"{{1}}","kind":"x","name":"a","owner_id":"{{9}}","attributes":{json}}}"#);
        last_reason(event("identity.created", &payload))
    };
    assert_eq!(attributes(r#"{"a":["\u0000"]}"#), "`attributes` of the payload holds U+0000");
    assert_eq!(attributes(r#"{"\ud800":1}"#), "`attributes` of the payload holds a lone surrogate");
    assert_eq!(
        attributes("1e200000"),
        "`attributes` of the payload holds a number beyond the range of numeric"
    );
    let optional = certificate(r#","replaces_id":"x""#);
    assert_eq!(last_reason(optional), "`replaces_id` of the payload is not a uuid");
    let late = certificate(r#","not_after":"2026-02-30T00:00:00Z""#);
    assert_eq!(last_reason(late), "`not_after` of the payload is not an RFC 3339 time");
    let long = certificate(&format!(r#","fingerprint":"{}""#, "f".repeat(2_049)));
    assert_eq!(last_reason(long), "`fingerprint` of the payload is longer than an index takes");
}

#[test]
fn a_tenant_id_that_is_no_uuid_is_quarantined_without_a_tenant() {
    for tenant in ["", "acme", "00000000-0000-4000-8000-00000000000"] {
        let odd = Event { tenant_id: tenant.to_owned(), ..event("tenant.registered", r#"{"name":"A"}"#) };
        let model = model(&[odd]);
        assert_eq!(reasons(&model), ["the tenant id is not a uuid"]);
        assert_eq!(column(&model, Table::ProjectionFaults, "tenant_id"), [Value::Null]);
    }
}

#[test]
fn a_tenant_id_counts_in_any_spelling() {
    let upper = Event { tenant_id: id(1).to_string().to_uppercase(), ..event("tenant.offboarded", "") };
    let model = model(&[event("tenant.registered", r#"{"name":"A"}"#), upper]);
    assert!(rows(&model, Table::Tenants).is_empty());
}

#[test]
fn an_event_time_that_is_no_time_is_quarantined() {
    let odd = at("yesterday", event("owner.created", OWNER));
    assert_eq!(last_reason(odd), "the event's time is not an RFC 3339 time");
}

#[test]
fn a_change_of_a_row_that_is_not_there_is_quarantined() {
    let alone = |kind, payload| reasons(&model(&[event(kind, payload)]));
    assert_eq!(alone("owner.updated", OWNER), ["there is no such owner to change"]);
    let profile = r#"{"id":"{7}","name":"n","version":1,"spec":{},"active":true,"created_by":"u"}"#;
    assert_eq!(alone("profile.updated", profile), ["there is no such profile to change"]);
    assert_eq!(alone("identity.issued", MOVE), ["there is no such identity to change"]);
    assert_eq!(alone("certificate.superseded", SUPERSEDE), ["there is no such certificate to change"]);
    assert_eq!(alone("certificate.revoked", REVOKE), ["there is no such certificate to change"]);
}

#[test]
fn a_refused_change_leaves_no_trace_in_the_tables() {
    let profile = r#"{"id":"{7}","name":"n","version":1,"spec":{},"active":true,"created_by":"u"}"#;
    let other = profile.replace("{7}", "{6}");
    let events =
        [event("profile.created", profile), event("profile.updated", &other), event("identity.issued", MOVE)];
    let model = model(&events);
    assert_eq!(column(&model, Table::CertificateProfiles, "active"), [Value::Bool(true)]);
    assert!(rows(&model, Table::IdentityTransitions).is_empty());
    assert_eq!(reasons(&model).len(), 2);
}

#[test]
fn a_revocation_of_an_unknown_certificate_still_enters_the_serial() {
    let found = model(&[event("certificate.revoked", REVOKE)]);
    let serial = vec![uuid(1), uuid(50), text("05"), Value::Null, month(2), Value::Int(1)];
    assert_eq!(rows(&found, Table::CaIssuedCerts), [serial]);
    let anonymous = r#"{"fingerprint":"f","serial":"05","reason":"r","revoked_at":"2026-02-01T00:00:00Z"}"#;
    assert!(rows(&model(&[event("certificate.revoked", anonymous)]), Table::CaIssuedCerts).is_empty());
}

#[test]
fn versions_are_known_counted_or_quarantined() {
    #[derive(Debug, PartialEq)]
    enum Fate {
        Projected,
        Counted,
        Quarantined,
    }
    for (kind, payload, _) in whole_events() {
        let is_move = kind.starts_with("identity.") && kind != "identity.created";
        for number in -1..=4 {
            let expected = match number {
                0 | 1 if kind.starts_with("profile.") || kind == "ca.crl.published" => Fate::Counted,
                0 | 1 => Fate::Projected,
                2 if is_move || kind.starts_with("profile.") => Fate::Projected,
                2 | 3 if kind == "ca.crl.published" => Fate::Projected,
                _ => Fate::Quarantined,
            };
            let mut events = whole_history();
            events.push(version(number, event(kind, &payload)));
            let (model, counts) = counted(&events);
            let fate = match (counts.quarantined, counts.not_projected.get(kind)) {
                (0, None) => Fate::Projected,
                (0, Some(1)) => Fate::Counted,
                _ => Fate::Quarantined,
            };
            assert_eq!(fate, expected, "{kind} version {number}");
            if fate == Fate::Quarantined {
                assert_eq!(reasons(&model), [format!("version {number} of the payload is not known here")]);
            }
        }
    }
}

#[test]
fn an_absent_version_counts_as_one() {
    let absent = |kind, payload| Event { version: None, ..event(kind, payload) };
    let (_, counts) = counted(&[absent("owner.created", OWNER), absent("profile.created", "{}")]);
    assert_eq!((counts.projected, counts.not_projected["profile.created"], counts.quarantined), (1, 1, 0));
}

#[test]
fn types_without_rows_are_counted_and_never_a_fault() {
    let unknown = ["leader.elected", "audit.archived", "recovery.completed", "x.y", "owner.Created"];
    let odd = unknown.map(|kind| Event {
        tenant_id: "system".into(),
        time: "?".into(),
        ..version(9, event(kind, "not JSON"))
    });
    let (model, counts) = counted(&odd);
    assert_eq!(counts.not_projected.values().sum::<u64>(), 5);
    assert_eq!(counts.not_projected["leader.elected"], 1);
    assert_eq!(counts.total(), 5);
    assert_eq!(reasons(&model), [""; 0]);
}

#[test]
fn a_fault_names_sequence_event_and_type_in_texts_that_a_column_holds() {
    let odd = Event { id: "a\0b".into(), ..event("owner.updated", OWNER) };
    let model = model(&[event("tenant.registered", r#"{"name":"A"}"#), odd]);
    let expected = vec![
        uuid(1),
        Value::Int(2),
        text("a\u{fffd}b"),
        text("owner.updated"),
        text("there is no such owner to change"),
    ];
    assert_eq!(rows(&model, Table::ProjectionFaults), [expected]);
}

#[test]
fn a_text_that_is_too_long_for_a_fault_is_cut_to_256_characters() {
    let id_of_fault = |id: String| {
        let odd = Event { id, ..event("owner.updated", OWNER) };
        rows(&model(&[event("tenant.registered", r#"{"name":"A"}"#), odd]), Table::ProjectionFaults)[0][2]
            .clone()
    };
    assert_eq!(id_of_fault("é".repeat(256)), text(&"é".repeat(256)));
    assert_eq!(id_of_fault("é".repeat(257)), text(&"é".repeat(256)));
}

#[test]
fn poison_stops_nothing() {
    let poison = [
        event("owner.updated", OWNER),
        event("owner.created", "{"),
        version(99, event("owner.created", OWNER)),
        Event { tenant_id: "x".into(), ..event("owner.created", OWNER) },
    ];
    let mut events = Vec::new();
    for whole in whole_history() {
        events.push(whole);
        events.push(poison[events.len() % 4].clone());
    }
    let (poisoned, clean) = (model(&events), model(&whole_history()));
    for table in
        Table::ALL.into_iter().filter(|t| !matches!(t, Table::ProjectionFaults | Table::IdentityTransitions))
    {
        let skip_owners = table == Table::Owners;
        assert!(skip_owners || rows(&poisoned, table) == rows(&clean, table), "{}", table.name());
    }
    assert_eq!(rows(&poisoned, Table::IdentityTransitions).len(), 6);
    assert!(reasons(&poisoned).len() > 10);
}

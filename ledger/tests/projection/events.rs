//! One example at least for each type of event, and for each rule between an event and the row that is there.

use trstctl_ledger::projection::{Table, Value};

use crate::support::*;

#[test]
fn a_tenant_is_registered_since_its_first_registration() {
    let later = at("2027-01-01T00:00:00Z", event("tenant.registered", r#"{"name":"B"}"#));
    let model = model(&[event("tenant.registered", r#"{"name":"A"}"#), later]);
    assert_eq!(rows(&model, Table::Tenants), [[uuid(1), text("B"), Value::Time(TIME_MICROS)]]);
}

#[test]
fn an_event_without_time_happened_in_year_one() {
    let model = model(&[at("", event("tenant.registered", r#"{"name":"A"}"#))]);
    assert_eq!(column(&model, Table::Tenants, "created_at"), [Value::Time(-62_135_596_800_000_000)]);
}

#[test]
fn owners_are_created_replaced_updated_and_deleted() {
    let owner = |kind: &str, number: u128, name: &str| {
        event(kind, &format!(r#"{{"id":"{{{number}}}","kind":"team","name":"{name}","email":"e"}}"#))
    };
    let model = model(&[
        owner("owner.created", 1, "a"),
        owner("owner.created", 1, "b"),
        owner("owner.created", 2, "c"),
        owner("owner.updated", 2, "d"),
        owner("owner.created", 3, "e"),
        event("owner.deleted", r#"{"id":"{3}"}"#),
        event("owner.deleted", r#"{"id":"{4}"}"#),
    ]);
    let row = |number, name| vec![uuid(1), uuid(number), text("team"), text(name), text("e")];
    assert_eq!(rows(&model, Table::Owners), [row(1, "b"), row(2, "d")]);
    assert_eq!(reasons(&model), [""; 0]);
}

#[test]
fn an_issuer_keeps_its_chain_in_order() {
    let payload =
        r#"{"id":"{8}","kind":"ssh_ca","name":"n","chain":["z","a"],"public_key":"k","internal":true}"#;
    let expected = vec![
        uuid(1),
        uuid(8),
        text("ssh_ca"),
        text("n"),
        Value::TextArray(vec!["z".into(), "a".into()]),
        text("k"),
        Value::Bool(true),
    ];
    assert_eq!(rows(&model(&[event("issuer.created", payload)]), Table::Issuers), [expected]);
}

fn profile(number: u128, name: &str, active: &str) -> String {
    format!(
        r#"{{"id":"{{{number}}}","name":"{name}","version":{number},"spec":{{"b":1,"a":1.50e1}},"active":{active},"created_by":"u"}}"#
    )
}

#[test]
fn a_profile_keeps_its_spec_as_jsonb_prints_it() {
    let model = model(&[event("profile.created", &profile(1, "p", "true"))]);
    let spec = Value::Json(r#"{"a": 15.0, "b": 1}"#.into());
    let expected = vec![uuid(1), uuid(1), text("p"), Value::Int(1), spec, Value::Bool(true), text("u")];
    assert_eq!(rows(&model, Table::CertificateProfiles), [expected]);
}

#[test]
fn of_the_versions_of_a_profile_one_is_active() {
    let active = |events: &[_]| column(&model(events), Table::CertificateProfiles, "active");
    let (yes, no) = (Value::Bool(true), Value::Bool(false));
    let mut events = vec![
        event("profile.created", &profile(1, "p", "true")),
        event("profile.created", &profile(2, "p", "true")),
        event("profile.created", &profile(3, "p", "false")),
        event("profile.created", &profile(4, "q", "true")),
    ];
    assert_eq!(active(&events), [no.clone(), yes.clone(), no.clone(), yes.clone()]);
    events.push(event("profile.updated", &profile(1, "p", "true")));
    assert_eq!(active(&events), [yes.clone(), no.clone(), no.clone(), yes.clone()]);
    events.push(event("profile.updated", &profile(1, "q", "true")));
    assert_eq!(active(&events), [yes, no.clone(), no.clone(), no]);
}

#[test]
fn an_identity_is_requested_until_it_moves_wherever_the_log_says() {
    let retired = event("identity.retired", r#"{"identity_id":"{1}","from":"deployed","to":"retired"}"#);
    let model = model(&[event("identity.created", IDENTITY), event("identity.issued", MOVE), retired]);
    let attributes = Value::Json(r#"{"k": 1}"#.into());
    let row = vec![uuid(1), uuid(1), text("x509"), text("a"), uuid(9), uuid(8), attributes, text("retired")];
    assert_eq!(rows(&model, Table::Identities), [row]);
    let step = |sequence, from, to, kind, reason| {
        vec![
            uuid(1),
            uuid(1),
            Value::Int(sequence),
            text(from),
            text(to),
            text(kind),
            reason,
            Value::Time(TIME_MICROS),
        ]
    };
    assert_eq!(
        rows(&model, Table::IdentityTransitions),
        [
            step(2, "requested", "issued", "identity.issued", text("r")),
            step(3, "deployed", "retired", "identity.retired", Value::Null),
        ]
    );
}

#[test]
fn an_identity_that_is_created_again_keeps_its_status() {
    let again =
        r#"{"id":"{1}","kind":"x509","name":"b","owner_id":"{9}","issuer_id":null,"attributes":null}"#;
    let model = model(&[
        event("identity.created", IDENTITY),
        event("identity.issued", MOVE),
        event("identity.created", again),
    ]);
    let attributes = Value::Json("{}".into());
    let row =
        vec![uuid(1), uuid(1), text("x509"), text("b"), uuid(9), Value::Null, attributes, text("issued")];
    assert_eq!(rows(&model, Table::Identities), [row]);
}

#[test]
fn a_recorded_certificate_is_active_and_its_serial_is_issued() {
    let model = model(&[certificate("")]);
    let list = |texts: &[&str]| Value::TextArray(texts.iter().map(|t| (*t).to_owned()).collect());
    let expected = vec![
        uuid(1),
        uuid(1),
        text("f"),
        text("05"),
        text("CN=a"),
        list(&["a", "b"]),
        text("CN=ca"),
        text("active"),
        month(1),
        month(4),
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Null,
        uuid(50),
        uuid(9),
        text("P-256"),
        text("web"),
        text("api"),
        Value::Bytes(vec![1, 2, 3]),
    ];
    assert_eq!(rows(&model, Table::Certificates), [expected]);
    let serial = vec![uuid(1), uuid(50), text("05"), Value::Time(TIME_MICROS), Value::Null, Value::Null];
    assert_eq!(rows(&model, Table::CaIssuedCerts), [serial]);
}

#[test]
fn a_certificate_without_ca_or_serial_enters_no_serial() {
    let events = [certificate(r#","ca_id":null"#), certificate(r#","id":"{2}","serial":"""#)];
    let model = model(&events);
    assert_eq!(rows(&model, Table::Certificates).len(), 2);
    assert!(rows(&model, Table::CaIssuedCerts).is_empty());
}

#[test]
fn a_predecessor_is_superseded_unless_it_is_revoked() {
    let successor = certificate(r#","id":"{2}","fingerprint":"g","serial":"06","replaces_id":"{1}""#);
    let status = |events: &[_]| column(&model(events), Table::Certificates, "status");
    assert_eq!(status(&[certificate(""), successor.clone()]), [text("superseded"), text("active")]);
    let revoked = [certificate(""), event("certificate.revoked", REVOKE), successor.clone()];
    assert_eq!(status(&revoked), [text("revoked"), text("active")]);
    assert_eq!(status(&[successor]), [text("active")]);
    assert_eq!(status(&[certificate(r#","replaces_id":"{1}""#)]), [text("active")]);
}

#[test]
fn the_first_revocation_stays() {
    let again = r#"{"fingerprint":"f","ca_id":"{50}","serial":"05","reason":"other","reason_code":4,"revoked_at":"2026-03-01T00:00:00Z"}"#;
    let model = model(&[
        certificate(""),
        event("certificate.revoked", REVOKE),
        event("certificate.revoked", again),
        event("ca.certificate.revoked", r#"{"ca_id":"{50}","serial":"05"}"#),
        event("certificate.superseded", SUPERSEDE),
        certificate(r#","subject":"CN=new""#),
    ]);
    let value = |name| column(&model, Table::Certificates, name);
    assert_eq!(value("status"), [text("revoked")]);
    assert_eq!(value("revoked_at"), [month(2)]);
    assert_eq!(value("revocation_reason"), [text("stolen")]);
    assert_eq!(value("renewed_at"), [Value::Null]);
    assert_eq!(value("subject"), [text("CN=new")]);
    let serial = vec![uuid(1), uuid(50), text("05"), Value::Time(TIME_MICROS), month(2), Value::Int(1)];
    assert_eq!(rows(&model, Table::CaIssuedCerts), [serial]);
}

#[test]
fn a_revocation_reaches_every_row_of_its_fingerprint_and_tenant() {
    let elsewhere = trstctl_formats::event::Event { tenant_id: id(2).to_string(), ..certificate("") };
    let model = model(&[
        certificate(""),
        certificate(r#","id":"{2}""#),
        certificate(r#","id":"{3}","fingerprint":"g""#),
        elsewhere,
        event("certificate.revoked", REVOKE),
    ]);
    let expected = ["revoked", "revoked", "active", "active"].map(text);
    assert_eq!(column(&model, Table::Certificates, "status"), expected);
}

#[test]
fn a_revoked_certificate_recorded_under_another_id_is_revoked() {
    let events = [
        certificate(""),
        event("certificate.revoked", REVOKE),
        certificate(r#","id":"{2}","source":"scan""#),
    ];
    let model = model(&events);
    assert_eq!(column(&model, Table::Certificates, "status"), [text("revoked"), text("revoked")]);
    assert_eq!(column(&model, Table::Certificates, "revoked_at"), [month(2), month(2)]);
}

#[test]
fn of_several_revocations_the_earliest_is_taken_over() {
    let revoke_g = REVOKE.replace(r#""f""#, r#""g""#).replace("2026-02", "2026-01").replace("stolen", "lost");
    let model = model(&[
        certificate(""),
        event("certificate.revoked", REVOKE),
        certificate(r#","id":"{2}","fingerprint":"g""#),
        event("certificate.revoked", &revoke_g),
        certificate(r#","id":"{2}""#),
        certificate(r#","id":"{3}""#),
    ]);
    assert_eq!(column(&model, Table::Certificates, "revoked_at"), [month(2), month(1), month(1)]);
    assert_eq!(
        column(&model, Table::Certificates, "revocation_reason"),
        ["stolen", "lost", "lost"].map(text)
    );
}

#[test]
fn a_revocation_follows_the_fingerprint_under_which_a_certificate_was_recorded_last() {
    let events =
        [certificate(""), certificate(r#","fingerprint":"g""#), event("certificate.revoked", REVOKE)];
    let model = model(&events);
    assert_eq!(column(&model, Table::Certificates, "status"), [text("active")]);
    assert_eq!(reasons(&model), ["there is no such certificate to change"]);
}

#[test]
fn a_superseded_certificate_says_by_what_and_when_and_can_still_be_revoked() {
    let superseded = [certificate(""), event("certificate.superseded", SUPERSEDE)];
    let value = |name| column(&model(&superseded), Table::Certificates, name);
    assert_eq!(value("status"), [text("superseded")]);
    assert_eq!(value("superseded_by"), [text("g")]);
    assert_eq!(value("renewed_at"), [month(3)]);
    let [first, second] = superseded.clone();
    let revoked = model(&[first, second, event("certificate.revoked", REVOKE), certificate("")]);
    assert_eq!(column(&revoked, Table::Certificates, "status"), [text("revoked")]);
    assert_eq!(column(&revoked, Table::Certificates, "renewed_at"), [month(3)]);
}

#[test]
fn a_certificate_that_is_recorded_again_stays_superseded() {
    let model = model(&[certificate(""), event("certificate.superseded", SUPERSEDE), certificate("")]);
    assert_eq!(column(&model, Table::Certificates, "status"), [text("superseded")]);
    assert_eq!(column(&model, Table::Certificates, "superseded_by"), [text("g")]);
}

#[test]
fn authorities_come_from_the_log_alone() {
    let created = r#"{"id":"{50}","common_name":"c","kind":"root","certificate_pem":"p","signer_handle":"h","serial":"1","not_after":"2026-04-01T00:00:00Z"}"#;
    let rotated = r#"{"id":"{51}","parent_id":"{49}","common_name":"c","kind":"root","certificate_pem":"p2","signer_handle":"h2","serial":"2","not_after":"2026-04-01T00:00:00Z","predecessor_id":"{50}"}"#;
    let model = model(&[event("ca.authority.created", created), event("ca.authority.rotated", rotated)]);
    let row = |number, parent, pem, handle, serial, predecessor| {
        vec![
            uuid(1),
            uuid(number),
            parent,
            text("c"),
            text("root"),
            text(pem),
            text(handle),
            text(serial),
            month(4),
            predecessor,
        ]
    };
    assert_eq!(
        rows(&model, Table::CaAuthorities),
        [row(50, Value::Null, "p", "h", "1", Value::Null), row(51, uuid(49), "p2", "h2", "2", uuid(50))]
    );
}

#[test]
fn serials_keep_their_first_issue_and_first_revocation_in_any_order() {
    let issued = event(
        "ca.certificate.issued",
        r#"{"ca_id":"{50}","serial":"05","issued_at":"2026-01-01T00:00:00Z"}"#,
    );
    let revoked = event(
        "ca.certificate.revoked",
        r#"{"ca_id":"{50}","serial":"05","reason_code":1,"revoked_at":"2026-02-01T00:00:00Z"}"#,
    );
    let expected = [vec![uuid(1), uuid(50), text("05"), month(1), month(2), Value::Int(1)]];
    let later = event(
        "ca.certificate.issued",
        r#"{"ca_id":"{50}","serial":"05","issued_at":"2026-03-01T00:00:00Z"}"#,
    );
    let forward = [issued.clone(), revoked.clone(), later];
    assert_eq!(rows(&model(&forward), Table::CaIssuedCerts), expected);
    assert_eq!(rows(&model(&[revoked, issued]), Table::CaIssuedCerts), expected);
}

#[test]
fn serials_without_a_time_take_the_event_time() {
    let payload = r#"{"ca_id":"{50}","serial":"05","issued_at":null,"revoked_at":null}"#;
    let model = model(&[event("ca.certificate.issued", payload), event("ca.certificate.revoked", payload)]);
    let now = Value::Time(TIME_MICROS);
    let expected = vec![uuid(1), uuid(50), text("05"), now.clone(), now, Value::Null];
    assert_eq!(rows(&model, Table::CaIssuedCerts), [expected]);
    assert_eq!(reasons(&model), [""; 0]);
}

#[test]
fn crls_are_kept_by_number() {
    let crl = |number: i64, der: &str| {
        format!(
            r#"{{"ca_id":"{{50}}","crl_number":{number},"crl_der":"{der}","this_update":"2026-01-01T00:00:00Z","next_update":"2026-02-01T00:00:00Z","revoked_count":3}}"#
        )
    };
    let model = model(&[
        event("ca.crl.published", &crl(2, "Ag==")),
        version(3, event("ca.crl.published", &crl(1, "AQ=="))),
    ]);
    let row = |number: i64| {
        let der = Value::Bytes(vec![number as u8]);
        vec![uuid(1), uuid(50), Value::Int(number), der, month(1), month(2), Value::Int(3)]
    };
    assert_eq!(rows(&model, Table::CaCrls), [row(1), row(2)]);
}

#[test]
fn offboarding_empties_every_table_of_that_tenant_only() {
    let everything = |tenant| {
        let crl = r#"{"ca_id":"{50}","crl_number":1,"crl_der":"","this_update":"2026-01-01T00:00:00Z","next_update":"2026-02-01T00:00:00Z","revoked_count":0}"#;
        let authority = r#"{"id":"{50}","common_name":"c","kind":"root","certificate_pem":"p","signer_handle":"h","serial":"1","not_after":"2026-04-01T00:00:00Z"}"#;
        let issuer =
            r#"{"id":"{8}","kind":"x509_ca","name":"n","chain":null,"public_key":"k","internal":true}"#;
        [
            ("tenant.registered", r#"{"name":"A"}"#),
            ("owner.created", OWNER),
            ("owner.updated", "{}"),
            ("issuer.created", issuer),
            ("profile.created", &profile(1, "p", "true")),
            ("identity.created", IDENTITY),
            ("identity.issued", MOVE),
            ("certificate.recorded", &certificate_payload("")),
            ("ca.authority.created", authority),
            ("ca.crl.published", crl),
        ]
        .map(|(kind, payload)| of_tenant(tenant, kind, payload))
    };
    let mut events = [everything(1), everything(2)].concat();
    let tables = |events: &[_]| Table::ALL.map(|table| rows(&model(events), table).len());
    assert_eq!(tables(&events), [2; 11], "the history fills every table");
    events.push(event("tenant.offboarded", ""));
    assert_eq!(tables(&events), [1; 11]);
    assert_eq!(column(&model(&events), Table::Tenants, "tenant_id"), [uuid(2)]);
    events.push(event("tenant.registered", r#"{"name":"again"}"#));
    events.push(event("identity.issued", MOVE));
    let again = model(&events);
    assert_eq!(rows(&again, Table::Owners).len(), 1);
    assert_eq!(column(&again, Table::Tenants, "name"), [text("again"), text("A")]);
    assert_eq!(reasons(&again).last().map(String::as_str), Some("there is no such identity to change"));
}

#[test]
fn an_offboarding_needs_no_payload() {
    for payload in ["", "null", "{}", r#"{"reason":"x"}"#] {
        let model =
            model(&[event("tenant.registered", r#"{"name":"A"}"#), event("tenant.offboarded", payload)]);
        assert!(rows(&model, Table::Tenants).is_empty(), "{payload}");
    }
}

#[test]
fn dangling_references_are_reported_set_wise() {
    let model =
        model(&[event("identity.created", IDENTITY), certificate(r#","ca_id":null,"owner_id":null"#)]);
    let found: Vec<_> = model
        .dangling()
        .into_iter()
        .map(|d| (d.reference.child.name(), d.reference.column, d.value))
        .collect();
    assert_eq!(
        found,
        [
            ("identities", "tenant_id", uuid(1)),
            ("identities", "owner_id", uuid(9)),
            ("identities", "issuer_id", uuid(8)),
            ("certificates", "tenant_id", uuid(1)),
        ]
    );
    let owner = event("owner.created", r#"{"id":"{9}","kind":"team","name":"a","email":"e"}"#);
    let elsewhere = of_tenant(2, "tenant.registered", r#"{"name":"A"}"#);
    let whole = crate::support::model(&[owner, elsewhere, event("identity.created", IDENTITY)]);
    assert!(whole.dangling().iter().all(|d| d.reference.column != "owner_id"));
}

#[test]
fn an_empty_fingerprint_passes_no_revocation_on() {
    let without = |id: &str| certificate(&format!(r#","id":"{id}","fingerprint":"""#));
    let revoke = r#"{"fingerprint":"","serial":"05","reason":"r","revoked_at":"2026-02-01T00:00:00Z"}"#;
    let model =
        model(&[without("{1}"), event("certificate.revoked", revoke), without("{2}"), without("{1}")]);
    assert_eq!(column(&model, Table::Certificates, "status"), [text("revoked"), text("active")]);
}

//! Values as columns hold them, against the engine that holds them: what is taken, what is refused, what it prints.

use std::cell::RefCell;

use postgres::{Client, NoTls};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use trstctl_engines::Postgres;
use trstctl_ledger::projection::{Table, Value};
use uuid::Uuid;

use crate::support::*;

fn client() -> Client {
    let dsn = Postgres::shared().create_database().expect("a database");
    Client::connect(&dsn, NoTls).expect("a session")
}

/// What PostgreSQL makes of a text, or `None` when it refuses it.
fn ask(client: &mut Client, question: &str, text: &str) -> Option<String> {
    client.query_one(question, &[&text]).ok().map(|row| row.get(0))
}

/// What the projection makes of a JSON column, or `None` when it refuses it.
fn projected_json(json: &str) -> Option<String> {
    let payload = format!(
        r#"{{"id":"{}","kind":"k","name":"n","owner_id":"{}","attributes":{json}}}"#,
        Uuid::nil(),
        Uuid::nil()
    );
    let raw = trstctl_formats::event::Event { data: payload.into(), ..event("identity.created", "") };
    match column(&model(&[raw]), Table::Identities, "attributes").pop() {
        Some(Value::Json(text)) => Some(text),
        _ => None,
    }
}

fn any_number() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "-?(0|[1-9][0-9]{0,5})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,2})?",
        1 => "-?[0-9]\\.[0-9]{1,3}[eE][+-]?(1310[67][0-9]|1638[0-9]|107374182[0-9])",
        1 => select(vec!["0e-16383", "0e-16384", "1e131071", "1e131072", "10e131071", "0.00001e131076", "1e-16383"])
            .prop_map(str::to_owned),
    ]
}

fn any_string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => "[a-cé€\u{1f600}/<&\u{7f}\u{2028}]{0,3}",
        4 => select(vec!["\\n", "\\t", "\\r", "\\b", "\\f", "\\\"", "\\\\", "\\/", "\\u001f", "\\u00e9", "\\ud83d\\ude00"])
            .prop_map(str::to_owned),
        1 => select(vec!["\\u0000", "\\ud800", "\\udc00", "\\ud83dx"]).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..3).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn any_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        select(vec!["true", "false", "[]", "{ }"]).prop_map(str::to_owned),
        any_number(),
        any_string(),
    ];
    let space = || select(vec!["", " ", "\n\t", "\r"]);
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let pair = (any_string(), space(), inner.clone())
            .prop_map(|(key, space, value)| format!("{key}{space}:{value}"));
        prop_oneof![
            (prop::collection::vec(inner, 0..4), space())
                .prop_map(|(v, s)| format!("[{s}{}{s}]", v.join(","))),
            (prop::collection::vec(pair, 0..5), space()).prop_map(|(v, s)| format!("{{{s}{}}}", v.join(","))),
        ]
    })
}

#[test]
fn json_columns_hold_what_jsonb_holds_and_print_what_it_prints() {
    let client = RefCell::new(client());
    let mut runner = TestRunner::new(Config { cases: 1_500, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&any_json(), |json| {
        let printed = ask(&mut client.borrow_mut(), "SELECT $1::text::jsonb::text", &json);
        prop_assert_eq!(projected_json(&json), printed, "{}", json);
        Ok(())
    });
    outcome.expect("agreement");
}

#[test]
fn the_deepest_json_that_is_taken_is_taken_by_jsonb() {
    let json = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    let printed = ask(&mut client(), "SELECT $1::text::jsonb::text", &json);
    assert!(printed.is_some());
    assert_eq!(projected_json(&json), printed);
    assert_eq!(projected_json(&format!("[{json}]")), None);
}

#[test]
fn tenant_ids_are_uuids_when_postgresql_says_so() {
    let client = RefCell::new(client());
    let digits = "[0-9a-fA-F]{4}";
    let grouped = format!("\\{{?{digits}(-?{digits}){{7}}\\}}?-?");
    let mut runner = TestRunner::new(Config { cases: 500, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&grouped.as_str(), |text| {
        let printed = ask(&mut client.borrow_mut(), "SELECT $1::text::uuid::text", &text);
        let registered = trstctl_formats::event::Event {
            tenant_id: text.clone(),
            ..event("tenant.registered", r#"{"name":"A"}"#)
        };
        let found = match column(&model(&[registered]), Table::Tenants, "tenant_id").pop() {
            Some(Value::Uuid(uuid)) => Some(uuid.to_string()),
            _ => None,
        };
        prop_assert_eq!(found, printed, "{}", text);
        Ok(())
    });
    outcome.expect("agreement");
}

#[test]
fn times_are_the_instants_that_postgresql_reads() {
    let client = RefCell::new(client());
    let clock = "(000[1-9]|1[0-9]{3}|20[0-9]{2}|9999)-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?(Z|[+-]1[0-5]:[0-5][0-9])";
    let mut runner = TestRunner::new(Config { cases: 500, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&clock, |text| {
        let question = "SELECT (extract(epoch FROM $1::text::timestamptz) * 1000000)::bigint::text";
        let read = ask(&mut client.borrow_mut(), question, &text);
        let registered = at(&text, event("tenant.registered", r#"{"name":"A"}"#));
        let found = match column(&model(&[registered]), Table::Tenants, "created_at").pop() {
            Some(Value::Time(micros)) => Some(micros.to_string()),
            _ => None,
        };
        prop_assert_eq!(found, read, "{}", text);
        Ok(())
    });
    outcome.expect("agreement");
}

#[test]
fn the_longest_text_of_a_key_fits_an_index() {
    let mut client = client();
    client.batch_execute("CREATE TABLE t (a uuid, b uuid, c text, PRIMARY KEY (a, b, c))").expect("a table");
    // Digests do not compress.
    let question = "INSERT INTO t SELECT gen_random_uuid(), gen_random_uuid(), left(string_agg(md5(i::text), ''), 2048) FROM generate_series(1, 64) i";
    assert_eq!(client.execute(question, &[]).expect("fits"), 1);
}

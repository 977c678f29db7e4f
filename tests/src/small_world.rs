//! Events about very few things: what is rare in a realistic history happens here all the time.
//!
//! Each tenant has three of each id, fingerprint and serial. So nearly every event meets rows of earlier ones: certificates are
//! recorded again under another id or fingerprint, revoked twice, superseded after their revocation, offboarded and back.
//! One value in fifty is odd, one event in twenty of an odd version, one in ten spelled otherwise.

use trstctl_formats::event::Event;

use crate::scale::Chance;

/// Types with the kind of value of each key; what is marked `?` may be left out.
const TYPES: [(&str, &str); 25] = [
    ("tenant.registered", "name text"),
    ("owner.created", "id uuid,kind text,name text,email text"),
    ("owner.updated", "id uuid,kind text,name text,email text"),
    ("owner.deleted", "id uuid"),
    ("issuer.created", "id uuid,kind text,name text,chain texts,public_key text,internal boolean"),
    ("profile.created", "id uuid,name text,version integer,spec json,active boolean,created_by text"),
    ("profile.updated", "id uuid,name text,version integer,spec json,active boolean,created_by text"),
    ("identity.created", "id uuid,kind text,name text,owner_id uuid,issuer_id? uuid,attributes json"),
    ("identity.issued", "identity_id uuid,from text,to text,reason? text,idempotency_key? text"),
    ("identity.deployed", "identity_id uuid,from text,to text,reason? text"),
    ("identity.renewing", "identity_id uuid,from text,to text,reason? text"),
    ("identity.renewed", "identity_id uuid,from text,to text,reason? text"),
    ("identity.revoked", "identity_id uuid,from text,to text,reason? text"),
    ("identity.retired", "identity_id uuid,from text,to text,reason? text"),
    ("certificate.recorded", CERTIFICATE),
    ("certificate.recorded", CERTIFICATE),
    (
        "certificate.revoked",
        "fingerprint few,ca_id? uuid,serial few,reason text,reason_code? integer,revoked_at time",
    ),
    ("certificate.superseded", "fingerprint few,serial few,superseded_by? text,renewed_at time"),
    ("ca.authority.created", AUTHORITY),
    ("ca.authority.rotated", AUTHORITY),
    ("ca.certificate.issued", "ca_id uuid,serial few,issued_at? time"),
    ("ca.certificate.revoked", "ca_id uuid,serial few,reason_code? integer,revoked_at? time"),
    (
        "ca.crl.published",
        "ca_id uuid,crl_number integer,crl_der base64,this_update time,next_update time,revoked_count integer",
    ),
    ("leader.elected", "epoch integer,replica text"),
    ("scan.finished", "anything json"),
];
const CERTIFICATE: &str = "id uuid,ca_id? uuid,owner_id? uuid,subject text,sans texts,issuer text,serial few,\
                           fingerprint few,key_algorithm text,not_before? time,not_after? time,\
                           deployment_location text,source text,replaces_id? uuid,certificate_der? base64";
const AUTHORITY: &str = "id uuid,parent_id? uuid,common_name text,kind text,certificate_pem text,\
                         signer_handle text,serial few,not_after time,predecessor_id? uuid";

/// So many that an offboarding leaves most of them as they are.
const TENANTS: u64 = 40;
const ODD_TENANTS: [&str; 4] = [
    "00000000-0000-4000-8000-00000000001A",
    "{0000000000004000-8000000000000027}",
    "00000000-0000-4000-8000-0000000000",
    "acme",
];
const UUIDS: [&str; 5] = [
    r#""11111111-1111-4111-8111-111111111111""#,
    r#""22222222-2222-4222-8222-222222222222""#,
    r#""33333333-3333-4333-8333-3333333333cc""#,
    r#""33333333-3333-4333-8333-3333333333CC""#,
    r#""{11111111111141118111111111111111}""#,
];
const FEW: [&str; 5] = [r#""01""#, r#""02""#, r#""03""#, r#""0\u0033""#, r#""""#];
const TEXTS: [&str; 6] = [
    r#""""#,
    r#""a""#,
    r#""b""#,
    r#""Größe \u00e9 \ud83d\ude00 日本""#,
    r#""tab\t \"quoted\" \\ \/""#,
    r#""' \u007f<>""#,
];
const LISTS: [&str; 5] =
    ["[]", "null", r#"["a.example"]"#, r#"["b","ü","",""]"#, r#"["NULL","{}","a,\"b\""]"#];
const TIMES: [&str; 8] = [
    r#""2026-01-02T03:04:05Z""#,
    r#""2026-01-02T03:04:05.1Z""#,
    r#""2026-01-02T03:04:05.1234567Z""#,
    r#""2026-01-02T03:04:05.999999999+02:00""#,
    r#""2026-01-01T23:30:00-03:30""#,
    r#""2024-02-29T12:00:00.000001Z""#,
    r#""1969-12-31T23:59:59.9999999Z""#,
    r#""0001-01-01T00:00:00Z""#,
];
const JSON: [&str; 8] = [
    "null",
    "{}",
    r#"{"a":1.50,"b":[],"a":2e3}"#,
    r#"{"ü":[null,true,"x\u0001"],"":{"":-0.0}}"#,
    r#"{"big":123456789012345678901234567890.5,"small":15e-3}"#,
    r#" [ 1 , "\u00fc" ] "#,
    r#""only a text""#,
    "-12",
];
const INTEGERS: [&str; 5] = ["0", "1", "2", "-1", "9223372036854775807"];
/// Of no kind, or only of one.
const ODD: [&str; 8] = ["null", "true", "7", r#""""#, r#""nul \u0000""#, r#""lone \udc00""#, "[null]", "{}"];
/// Each at the border of what a column of one kind takes.
const ODD_UUIDS: [&str; 5] = [
    r#""1111-1111-1111-4111-8111-1111-1111-1111""#,
    r#""11111111-1111-4111-8111-1111111111111""#,
    r#""{11111111-1111-4111-8111-111111111111""#,
    r#"" 11111111-1111-4111-8111-111111111111""#,
    r#""urn:uuid:11111111-1111-4111-8111-111111111111""#,
];
const ODD_TIMES: [&str; 9] = [
    r#""yesterday""#,
    r#""2026-02-29T00:00:00Z""#,
    r#""2026-01-02T24:00:00Z""#,
    r#""2026-01-02T03:04:05""#,
    r#""2026-01-02 03:04:05Z""#,
    r#""2026-01-02T03:04:05.Z""#,
    r#""0000-02-29T00:00:00Z""#,
    r#""0000-01-01T00:00:00+23:59""#,
    r#""2026-01-02T03:04:05Z BC""#,
];
const ODD_JSON: [&str; 8] = [
    "1e400",
    "-1.0e-20",
    "1e131072",
    "1e-16384",
    r#"{"nul":"\u0000"}"#,
    r#"{"lone":["\ud800"]}"#,
    r#"{"\udfff":1}"#,
    r#"{"a":{"b":1,"b":{"c":[]}},"a\u0000":0}"#,
];
const ODD_INTEGERS: [&str; 6] = ["1.0", "1e2", "-0", "9223372036854775808", "-9223372036854775808", r#""1""#];
const ODD_BASE64: [&str; 5] = [r#""AA""#, r#""AA=""#, r#""_-8=""#, r#""AP8=\n""#, r#""AA==AA==""#];
const ODD_LISTS: [&str; 4] = ["[1]", r#"["\u0000"]"#, r#"[["a"]]"#, r#""a""#];

/// That many messages as they are stored, each with its subject.
pub fn small_world(chance: &mut Chance, messages: u64) -> impl Iterator<Item = (String, String)> {
    (0..messages).map(|number| message(chance, number))
}

fn message(chance: &mut Chance, number: u64) -> (String, String) {
    let (kind, payload) = if number % 80 == 79 {
        rare(number / 80)
    } else {
        let (kind, keys) = chance.pick(&TYPES);
        (kind, object(chance, keys))
    };
    let event = Event {
        id: format!("small-world-{number}"),
        kind: kind.to_owned(),
        tenant_id: tenant(chance),
        time: value(chance, "time").trim_matches('"').to_owned(),
        version: version(chance, kind),
        data: payload.into(),
        actor: None,
    };
    (format!("events.{kind}"), spelled(chance, &event))
}

/// What is to happen only now and then; the kinds take turns.
fn rare(number: u64) -> (&'static str, String) {
    match number % 10 {
        0 => ("tenant.offboarded", String::new()),
        1 => ("tenant.offboarded", r#"{"why":null}"#.to_owned()),
        2 => ("tenant.offboarded", "[]".to_owned()),
        3 => ("owner.created", "[]".to_owned()),
        4 => ("certificate.revoked", "{".to_owned()),
        5 => ("leader.elected", "[]".to_owned()),
        6 => ("ca.certificate.issued", long_serial(2_048)),
        7 => ("ca.certificate.issued", long_serial(2_049)),
        8 => ("identity.created", deep_attributes(10_000)),
        _ => ("identity.created", deep_attributes(10_001)),
    }
}

fn tenant(chance: &mut Chance) -> String {
    if chance.one_in(30) {
        return chance.pick(&ODD_TENANTS).to_owned();
    }
    format!("00000000-0000-4000-8000-{:012x}", chance.up_to(TENANTS))
}

fn version(chance: &mut Chance, kind: &str) -> Option<i64> {
    if chance.one_in(20) {
        return chance.pick(&[None, Some(0), Some(1), Some(2), Some(3), Some(4)]);
    }
    Some(if kind.starts_with("profile.") || kind == "ca.crl.published" { 2 } else { 1 })
}

fn object(chance: &mut Chance, keys: &str) -> String {
    let mut members = Vec::new();
    for part in keys.split(',') {
        let (key, kind) = part.split_once(' ').expect("a key and its kind");
        let left_out = if key.ends_with('?') { chance.one_in(3) } else { chance.one_in(200) };
        if !left_out {
            members.push(format!(r#""{}":{}"#, key.trim_end_matches('?'), value(chance, kind)));
        }
    }
    format!("{{{}}}", members.join(","))
}

/// A serial of so many bytes; an index takes 2,048.
fn long_serial(bytes: usize) -> String {
    format!(r#"{{"ca_id":{},"serial":"{}"}}"#, UUIDS[0], "9".repeat(bytes))
}

/// Attributes with so many brackets open at once; 10,000 are taken.
fn deep_attributes(brackets: usize) -> String {
    let (open, close) = ("[".repeat(brackets), "]".repeat(brackets));
    format!(r#"{{"id":{0},"kind":"","name":"deep","owner_id":{0},"attributes":{open}{close}}}"#, UUIDS[2])
}

fn value(chance: &mut Chance, kind: &str) -> &'static str {
    if chance.one_in(80) {
        return chance.pick(&ODD);
    }
    let (usual, odd): (&[_], &[_]) = match kind {
        "uuid" => (&UUIDS, &ODD_UUIDS),
        "few" => (&FEW, &ODD),
        "texts" => (&LISTS, &ODD_LISTS),
        "time" => (&TIMES, &ODD_TIMES),
        "json" => (&JSON, &ODD_JSON),
        "integer" => (&INTEGERS, &ODD_INTEGERS),
        "boolean" => (&["true", "false"], &["1", r#""true""#]),
        "base64" => (&[r#""""#, r#""AP8=""#, r#""aGVsbG8h""#], &ODD_BASE64),
        _ => (&TEXTS, &ODD),
    };
    // Few payloads have a key of JSON.
    let is_odd = chance.one_in(if kind == "json" { 5 } else { 100 });
    chance.pick(if is_odd { odd } else { usual })
}

/// The stored form, or another spelling that reads the same.
fn spelled(chance: &mut Chance, event: &Event) -> String {
    let stored = String::from_utf8(event.to_stored().to_vec()).expect("a stored event is text");
    match chance.up_to(40) {
        1 => stored.replacen("\"type\":", "\"TYPE\" : ", 1) + "\r\n",
        2 => stored.replacen('{', "{\n\t\"extra\": [{}], \"tenant_ID\": \"other\", ", 1),
        3 => stored.replacen("\"time\":", "\"type\":null,\"Time\":", 1),
        4 => stored.replacen(",\"v\":1", "", 1),
        5 => stored.replacen(",\"v\":1", ",\"v\":0", 1),
        _ => stored,
    }
}

//! How the servers of the settings are reached: logins and TLS by files, a configuration file, servers that are not there.

#[path = "../../ledger/tests/jwt/mod.rs"]
mod jwt;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nkeys::KeyPair;
use trstctl_engines::{NatsAuth, NatsOptions};
use trstctl_ledger::history::History;
use trstctl_tests::{Run, Site, program};

/// A certificate or key of the TLS tests.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../ledger/tests/tls").join(name)
}

fn site(configuration: &str) -> Site {
    let auth = NatsAuth::Config(configuration.to_owned());
    Site::with(NatsOptions { auth, ..NatsOptions::default() })
}

/// Who is let in learns that there is no log yet; who is not learns that.
#[track_caller]
fn assert_let_in(site: &Site, settings: &[(&str, &Path)]) {
    let mut backup = site.command(&["backup", "--output", "a.jsonl"]);
    Run::of(backup.envs(settings.iter().copied())).fail(8, "no_stream");
    site.dr(&["backup", "--output", "a.jsonl"]).fail(8, "refused");
}

#[test]
fn login_is_read_from_files() {
    let key = KeyPair::new_user();
    let password = r#"authorization { user: alice, password: "s3cret:/@" }"#;
    let nkey = format!("authorization {{ users: [ {{ nkey: {} }} ] }}", key.public_key());
    let issued = jwt::Issued::new();
    let logins = [
        (password.to_owned(), "TRSTCTL_NATS_PASSWORD_FILE", "s3cret:/@\n".to_owned()),
        ("authorization { token: t0ken }".to_owned(), "TRSTCTL_NATS_TOKEN_FILE", "t0ken\n".to_owned()),
        (nkey, "TRSTCTL_NATS_NKEY_FILE", key.seed().unwrap()),
        (issued.server_config(), "TRSTCTL_NATS_CREDS_FILE", issued.creds_file()),
    ];
    for (configuration, setting, secret) in logins {
        let site = site(&configuration);
        site.write_secret("login", &secret);
        let mut settings = vec![(setting, site.path("login"))];
        if setting == "TRSTCTL_NATS_PASSWORD_FILE" {
            settings.push(("TRSTCTL_NATS_USER", PathBuf::from("alice")));
        }
        let settings: Vec<(&str, &Path)> =
            settings.iter().map(|(name, value)| (*name, value.as_path())).collect();
        assert_let_in(&site, &settings);
    }
}

#[test]
fn authority_and_client_certificate_are_read_from_files() {
    let file = |name| fixture(name).display().to_string();
    let site = site(&format!(
        "tls {{ cert_file: {:?}, key_file: {:?}, ca_file: {:?}, verify: true }}",
        file("server.pem"),
        file("server.key"),
        file("ca.pem")
    ));
    // A key that others may read is refused, whatever the modes in the checkout are.
    site.write_secret("client.key", &fs::read_to_string(fixture("client.key")).unwrap());
    let (authority, certificate, key) = (fixture("ca.pem"), fixture("client.pem"), site.path("client.key"));
    let settings: [(&str, &Path); 3] = [
        ("TRSTCTL_NATS_CA_FILE", &authority),
        ("TRSTCTL_NATS_CERT_FILE", &certificate),
        ("TRSTCTL_NATS_KEY_FILE", &key),
    ];
    assert_let_in(&site, &settings);
    let without_certificate =
        Run::of(site.command(&["backup", "--output", "a.jsonl"]).envs(settings[..1].iter().copied()));
    assert_eq!(without_certificate.code, Some(8), "{}", without_certificate.stderr);
    assert!(!without_certificate.has_class("no_stream"), "{}", without_certificate.stderr);
}

#[test]
fn settings_may_all_come_from_a_configuration_file() {
    let site = Site::start();
    site.seed(History::new(71, 200));
    let text = format!(
        "nats_url = {:?}\npostgres_dsn = {:?}\naudit_signing_key_file = {:?}\nbackup_dir = {:?}\n",
        site.nats.url(),
        site.dsn(),
        site.path("audit.key"),
        site.path("")
    );
    site.write_secret("trstctl.toml", &text);
    let run = |arguments: &[&str]| {
        Run::of(program().arg("--config").arg(site.path("trstctl.toml")).args(arguments))
    };
    let backup = run(&["backup", "--json"]).succeed().json();
    let file = backup["path"].as_str().unwrap().to_owned();
    assert_eq!(run(&["verify", "--json", &file]).succeed().json()["files"][0]["keyed"], true);
    run(&["rebuild"]).succeed();
    // The environment wins over the file.
    let mut elsewhere = program();
    elsewhere.arg("--config").arg(site.path("trstctl.toml")).args(["backup", "--output", "b.jsonl"]);
    Run::of(elsewhere.env("TRSTCTL_NATS_URL", "nats://127.0.0.1:9")).fail(8, "unreachable");
}

/// The restore must be refused with the database that `change` leads to, and the log still be absent.
#[track_caller]
fn assert_log_is_not_written(class: &str, change: impl FnOnce(&Site, &mut Command)) -> Run {
    let mut site = Site::start();
    site.seed(History::new(72, 200));
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    site.lose_log(NatsOptions::default());
    let mut restore = site.command(&["restore", "--rebuild", "a.jsonl"]);
    change(&site, &mut restore);
    let run = Run::of(&mut restore).fail(8, class);
    site.dr(&["backup", "--output", "b.jsonl"]).fail(8, "no_stream");
    run
}

#[test]
fn database_that_is_not_there_is_named_before_the_log_is_written() {
    let run = assert_log_is_not_written("unreachable", |_, restore| {
        restore.env("TRSTCTL_POSTGRES_DSN", "postgres://u@127.0.0.1:9/d").env("PGPASSWORD", "hunter2");
    });
    assert!(run.stderr.contains("127.0.0.1:9") && !run.stderr.contains("hunter2"), "{}", run.stderr);
}

/// A real server cannot be made to lie about its version; a function of the same name that is found first can.
#[test]
fn database_that_is_too_old_is_named_before_the_log_is_written() {
    let run = assert_log_is_not_written("refused", |site, _| {
        site.sql(
            "CREATE SCHEMA older; \
             CREATE FUNCTION older.current_setting(name text) RETURNS text LANGUAGE sql AS $$ \
               SELECT CASE name WHEN 'server_version_num' THEN '140020' ELSE pg_catalog.current_setting(name) END $$",
        );
        let (_, database) = site.dsn().rsplit_once("dbname=").unwrap();
        site.sql(&format!("ALTER DATABASE {database} SET search_path = older, pg_catalog, public"));
    });
    assert!(run.stderr.contains("version 14") && run.stderr.contains("PostgreSQL 15"), "{}", run.stderr);
}

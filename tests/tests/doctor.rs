//! The calm-day check: nothing to say of a healthy site, each planted fault found by its check, nothing written.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trstctl_engines::{NatsAuth, NatsCluster, NatsOptions, Postgres, PostgresOptions};
use trstctl_ledger::history::History;
use trstctl_ledger::log::stream::StreamRequests;
use trstctl_ledger::log::{EventLog, Expected, JetStreamLog, NewMessage, STREAM, StreamConfig, seed};
use trstctl_ledger::wire::{ConnectOptions, Connection};
use trstctl_migrations::connect::connect;
use trstctl_tests::{Run, Site, flip_byte, seed_at};

/// A site with a log, its read model and a backup of today.
fn healthy() -> Site {
    let site = Site::start();
    site.seed(History::new(71, 400));
    site.dr(&["rebuild"]);
    fs::create_dir(site.path("backups")).unwrap();
    Run::of(&mut doctor_of(&site, &["backup"])).succeed();
    site
}

fn doctor_of(site: &Site, arguments: &[&str]) -> Command {
    let mut command = site.command(arguments);
    command.env("TRSTCTL_BACKUP_DIR", site.path("backups"));
    command
}

/// The doctor's answer, after this was changed in its surroundings.
struct Answer(Run);

impl Answer {
    fn of(site: &Site, change: impl FnOnce(&mut Command)) -> Self {
        let mut command = doctor_of(site, &["doctor", "--json"]);
        change(&mut command);
        Self(Run::of(&mut command))
    }

    #[track_caller]
    fn check(&self, name: &str) -> Value {
        let object = self.0.json();
        let checks = object["checks"].as_array().expect("checks");
        checks
            .iter()
            .find(|check| check["name"] == name)
            .unwrap_or_else(|| panic!("no {name}: {object}"))
            .clone()
    }

    /// This check ended so, with these words among what it found or says to do.
    #[track_caller]
    fn says(&self, name: &str, state: &str, words: &str) -> &Self {
        let check = self.check(name);
        assert_eq!(check["state"], state, "{check}");
        assert!(check.to_string().contains(words), "no {words:?} in {check}");
        assert_eq!(self.0.code, Some(i32::from(self.0.json()["problems"] != 0)), "{}", self.0.stderr);
        self
    }

    /// Problems, by name.
    fn problems(&self) -> Vec<String> {
        let object = self.0.json();
        let checks = object["checks"].as_array().expect("checks");
        let problems = checks.iter().filter(|check| check["state"] == "problem");
        problems.map(|check| check["name"].as_str().expect("a name").to_owned()).collect()
    }
}

fn nothing(_: &mut Command) {}

fn newest_backup(site: &Site) -> PathBuf {
    let mut paths = fs::read_dir(site.path("backups")).unwrap().map(|entry| entry.unwrap().path());
    paths.find(|path| path.extension().is_some_and(|extension| extension == "jsonl")).unwrap()
}

#[test]
fn healthy_site_has_no_problem_and_a_table_of_80_columns() {
    let mut site = healthy();
    // A seeded stream lets messages be deleted; a restored one has the settings that a server gives.
    site.lose_log(NatsOptions::default());
    site.dr(&["restore", newest_backup(&site).to_str().unwrap()]).succeed();
    let answer = Answer::of(&site, nothing);
    assert_eq!(answer.problems(), Vec::<String>::new(), "{}", answer.0.stdout);
    assert_eq!((answer.0.code, &answer.0.json()["ok"]), (Some(0), &json!(true)));
    for name in
        ["nats", "jetstream", "stream", "stream settings", "other streams", "replicas", "permissions to read"]
    {
        assert_eq!(answer.check(name)["state"], "ok", "{}", answer.check(name));
    }
    for name in ["postgres", "roles", "row-level security", "migrations", "recovery classes", "projection"] {
        assert_eq!(answer.check(name)["state"], "ok", "{}", answer.check(name));
    }
    answer.says("newest backup", "ok", "header and trailer read well");
    answer.says("power loss", "warning", "acknowledged events");
    let table = Run::of(&mut doctor_of(&site, &["doctor"])).succeed().stdout;
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    assert!(table.contains("ok          nats ") && table.contains("0 problems"), "{table}");
}

#[test]
fn doctor_writes_nothing_in_any_engine_or_folder() {
    let site = healthy();
    let state = || {
        let info: Value = site.block_on(async {
            let connection = Connection::connect(&ConnectOptions::new(site.nats.url())).await.unwrap();
            let names: Value = connection.api_get("STREAM.LIST", Duration::from_secs(5)).await.unwrap();
            names["streams"].clone()
        });
        let streams =
            info.as_array().unwrap().iter().map(|info| (info["config"].clone(), info["state"].clone()));
        (
            streams.collect::<Vec<_>>(),
            fs::read_dir(site.path("backups")).unwrap().count(),
            site.partial_files(),
        )
    };
    let before = state();
    // PostgreSQL itself refuses every write of this session.
    let read_only = format!("{} options='-c default_transaction_read_only=on'", site.dsn());
    let answer = Answer::of(&site, |command| {
        command.env("TRSTCTL_POSTGRES_DSN", read_only);
    });
    assert_eq!(answer.problems(), ["database mode"], "{}", answer.0.stdout);
    assert_eq!(state(), before);
}

#[test]
fn engine_that_does_not_answer_stops_no_other_check() {
    let site = healthy();
    let nats = Answer::of(&site, |command| {
        command.env("TRSTCTL_NATS_URL", "nats://127.0.0.1:1");
    });
    assert_eq!(nats.problems(), ["nats"]);
    nats.says("stream", "not_checked", "cannot be reached").says("roles", "ok", "").says(
        "newest backup",
        "ok",
        "",
    );
    let dsn = "host=127.0.0.1 port=1 user=nobody dbname=none";
    let postgres = Answer::of(&site, |command| {
        command.env("TRSTCTL_POSTGRES_DSN", dsn);
    });
    assert_eq!(postgres.problems(), ["postgres"]);
    postgres.says("projection", "not_checked", "cannot be reached").says("stream", "ok", "400");
    let neither = Answer::of(&site, |command| {
        command.env_remove("TRSTCTL_POSTGRES_DSN").env("TRSTCTL_NATS_MODE", "embedded");
        command.env("TRSTCTL_DATA_DIR", site.path("embedded"));
    });
    neither.says("nats", "problem", "this command starts none").says("postgres", "problem", "no database");
    assert!(!site.path("embedded").exists());
}

#[test]
fn database_that_a_power_loss_may_cost_and_its_room_are_told() {
    let site = healthy();
    let of = |settings: &[&str]| {
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        let postgres = Postgres::start(PostgresOptions { settings, ..PostgresOptions::default() }).unwrap();
        let on_it = |command: &mut Command| {
            command.env("TRSTCTL_POSTGRES_DSN", postgres.dsn("postgres"));
        };
        Answer::of(&site, on_it).says("database space", "not_checked", "no read model");
        let mut rebuild = site.command(&["rebuild"]);
        on_it(&mut rebuild);
        Run::of(&mut rebuild);
        Answer::of(&site, on_it)
    };
    let durable = ["fsync=on", "full_page_writes=on"];
    of(&durable).says("database power loss", "ok", "fsync").says("database space", "ok", "free");
    of(&[durable[0], durable[1], "synchronous_commit=off"]).says(
        "database power loss",
        "warning",
        "last commits",
    );
    // A throw-away server has both off.
    of(&[]).says("database power loss", "warning", "fsync = on, full_page_writes = on");
}

#[test]
fn absent_stream_and_another_one_on_its_subjects_are_found() {
    let mut site = healthy();
    site.lose_log(NatsOptions::default());
    Answer::of(&site, nothing).says("stream", "problem", "there is no stream").says(
        "other streams",
        "ok",
        "",
    );
    site.block_on(async {
        let connection = Connection::connect(&ConnectOptions::new(site.nats.url())).await.unwrap();
        let other = StreamConfig::new("SOMEBODY", "events.a.>", 1).to_json();
        StreamRequests::new(&connection, "SOMEBODY").unwrap().create(&other).await.unwrap();
    });
    Answer::of(&site, nothing).says("other streams", "problem", "SOMEBODY").says(
        "projection",
        "not_checked",
        "",
    );
}

#[test]
fn stream_that_prunes_or_has_too_few_replicas_is_found() {
    let site = healthy();
    site.block_on(async {
        let connection = Connection::connect(&ConnectOptions::new(site.nats.url())).await.unwrap();
        let mut config = StreamConfig::new(STREAM, "events.>", 1).to_json();
        config.insert("max_age".into(), json!(86_400_000_000_000_u64 * 365));
        StreamRequests::new(&connection, STREAM).unwrap().update(&config).await.unwrap();
    });
    let answer = Answer::of(&site, |command| {
        command.env("TRSTCTL_NATS_REPLICAS", "3");
    });
    answer.says("stream settings", "problem", "max_age").says("replicas", "problem", "ask for 3");
}

#[test]
fn replica_that_is_gone_is_named() {
    let site = Site::start();
    let mut cluster = NatsCluster::start(3).unwrap();
    site.block_on(seed_at(&cluster.url(), 3, History::new(72, 200)));
    let urls = cluster.url();
    let on_cluster = |command: &mut Command| {
        command.env("TRSTCTL_NATS_URL", &urls).env("TRSTCTL_NATS_REPLICAS", "3");
    };
    Answer::of(&site, on_cluster).says("replicas", "ok", "3, all current").says(
        "power loss",
        "ok",
        "costs nothing",
    );
    let gone = cluster.servers()[1].name().to_owned();
    cluster.server_mut(1).kill_9();
    // The cluster notices after some seconds.
    let begun = Instant::now();
    loop {
        let answer = Answer::of(&site, on_cluster);
        if answer.problems().contains(&"replicas".to_owned()) {
            answer.says("replicas", "problem", &gone);
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(180), "{}", answer.0.stdout);
    }
}

#[test]
fn permissions_are_told_by_command() {
    let user = |name: &str, publish: &str| {
        format!(
            "{{user: {name}, password: pw, permissions: {{publish: [{publish}], subscribe: [\"_INBOX.>\"]}}}}"
        )
    };
    let reading = r#""$JS.API.INFO", "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.MSG.GET.*", "$JS.API.CONSUMER.CREATE.*", "$JS.API.CONSUMER.MSG.NEXT.>", "$JS.API.CONSUMER.DELETE.>""#;
    let less = reading.replace(r#""$JS.API.CONSUMER.CREATE.*", "#, "");
    let more = format!(
        r#"{reading}, "$JS.API.STREAM.NAMES", "$JS.API.STREAM.*.{STREAM}", "$JS.SNAPSHOT.RESTORE.>""#
    );
    let text = format!(
        "authorization {{ users: [{{user: admin, password: pw}}, {}, {}, {}] }}",
        user("blind", &less),
        user("reader", reading),
        user("restorer", &more)
    );
    let site = Site::with(NatsOptions { auth: NatsAuth::Config(text), ..NatsOptions::default() });
    let url = |user: &str| format!("nats://{user}:pw@127.0.0.1:{}", site.nats.port());
    site.block_on(async {
        let connection = Connection::connect(&ConnectOptions::new(url("admin"))).await.unwrap();
        seed(&connection, &StreamConfig::new(STREAM, "events.>", 1), History::new(1, 200), |_| {})
            .await
            .unwrap();
    });
    let as_user = |user: &str| {
        Answer::of(&site, |command| {
            command.env("TRSTCTL_NATS_URL", url(user));
        })
    };
    as_user("blind").says("permissions to read", "problem", "$JS.API.CONSUMER.CREATE.TRSTCTL_EVENTS");
    as_user("reader")
        .says("permissions to read", "ok", "6 subjects")
        .says("permissions to restore", "warning", "$JS.API.STREAM.CREATE.TRSTCTL_EVENTS")
        .says("other streams", "not_checked", "may not ask");
    as_user("restorer").says("permissions to read", "ok", "").says(
        "permissions to restore",
        "ok",
        "5 subjects",
    );
}

#[test]
fn database_that_would_show_nothing_lags_or_runs_ahead_is_found() {
    let site = healthy();
    site.sql("UPDATE public.projection_checkpoint SET sequence = sequence + 5");
    Answer::of(&site, nothing).says("projection", "problem", "beyond the log's end");
    site.sql("UPDATE public.projection_checkpoint SET sequence = 0");
    site.sql("INSERT INTO read_model.projection_faults (sequence, reason) VALUES (7, 'planted')");
    Answer::of(&site, nothing).says("projection", "warning", "behind the log").says(
        "quarantine",
        "warning",
        "at sequence",
    );
    site.sql("DROP POLICY owner ON read_model.owners");
    let answer = Answer::of(&site, nothing);
    answer.says("row-level security", "problem", "read_model.owners").says(
        "recovery classes",
        "problem",
        "read_model.owners",
    );
}

#[test]
fn read_model_that_follows_a_growing_log_is_not_beyond_its_end() {
    let site = healthy();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let following = scope.spawn(|| follow(&site, &done));
        let end = End(&done);
        let answers = [(); 3].map(|()| Answer::of(&site, nothing));
        drop(end);
        following.join().unwrap();
        for check in answers.map(|answer| answer.check("projection")) {
            assert_ne!(check["state"], "problem", "{check}");
        }
    });
}

/// Ends the other thread also when this one panics: the scope waits for it.
struct End<'d>(&'d AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Appends, and says after each message that it was applied, as a busy server does.
fn follow(site: &Site, done: &AtomicBool) {
    let mut database = connect(site.dsn()).unwrap();
    let nats = ConnectOptions::new(site.nats.url());
    let log = site.block_on(async {
        JetStreamLog::open(Connection::connect(&nats).await.unwrap(), STREAM).await.unwrap()
    });
    let mut times = 0;
    // Once at least.
    while times == 0 || !done.load(Ordering::SeqCst) {
        let message =
            NewMessage { subject: "events.x".into(), headers: Vec::new().into(), payload: Vec::new().into() };
        let appended = site.block_on(log.append(message, Expected::Any)).unwrap();
        let sql = "UPDATE public.projection_checkpoint SET sequence = $1";
        database.execute(sql, &[&i64::try_from(appended.sequence).unwrap()]).unwrap();
        times += 1;
    }
}

#[test]
fn database_without_roles_and_tables_is_told_with_the_statements() {
    let mut site = healthy();
    site.lose_database();
    let answer = Answer::of(&site, |command| {
        command.env("TRSTCTL_MIGRATE_AUTO", "false");
    });
    answer.says("roles", "problem", "GRANT").says("newest backup", "ok", "");
}

#[test]
fn key_files_are_read_as_a_command_would_read_them() {
    let site = healthy();
    let with = |path: PathBuf| {
        Answer::of(&site, |command| {
            command.env("TRSTCTL_AUDIT_SIGNING_KEY_FILE", path);
        })
    };
    let key = site.path("audit.key");
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    with(key.clone()).says("audit key", "problem", "0644");
    fs::set_permissions(&key, Permissions::from_mode(0o400)).unwrap();
    with(key.clone()).says("audit key", "ok", "0400");
    symlink(&key, site.path("backups/outside.key")).unwrap();
    with(site.path("backups/outside.key")).says("audit key", "problem", "link out of its folder");
    fs::create_dir_all(site.path("mount/..data_1")).unwrap();
    fs::copy(&key, site.path("mount/..data_1/key")).unwrap();
    symlink("..data_1", site.path("mount/..data")).unwrap();
    symlink("..data/key", site.path("mount/key")).unwrap();
    with(site.path("mount/key")).says("audit key", "ok", "readable");
    with(site.path("nowhere")).says("audit key", "problem", "nowhere");
    Answer::of(&site, |command| {
        command.env_remove("TRSTCTL_AUDIT_SIGNING_KEY_FILE");
    })
    .says("audit key", "warning", "not tampering")
    .says("newest backup", "problem", "key_missing");
}

#[test]
fn identity_that_does_not_fit_the_recipients_is_found() {
    let site = healthy();
    let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("../formats/tests/containers/keys");
    let place = |name: &str| {
        fs::copy(keys.join(name), site.path(name)).unwrap();
        fs::set_permissions(site.path(name), Permissions::from_mode(0o600)).unwrap();
        site.path(name)
    };
    let text = fs::read_to_string(keys.join("identity.key")).unwrap();
    let recipient = text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    fs::write(site.path("recipients"), recipient).unwrap();
    let with = |identity: Option<PathBuf>| {
        Answer::of(&site, |command| {
            command.env("TRSTCTL_BACKUP_RECIPIENTS_FILE", site.path("recipients"));
            identity.map(|path| command.env("TRSTCTL_BACKUP_IDENTITY_FILE", path));
        })
    };
    with(None).says("recipients", "ok", "1 recipient").says("identity", "ok", "cannot read its own backups");
    with(Some(place("identity.key"))).says("identity", "ok", "opens").says("identity file", "ok", "0600");
    with(Some(place("other.key"))).says("identity", "problem", "does not open");
}

#[test]
fn backup_that_is_absent_old_or_damaged_is_found() {
    let site = healthy();
    let with_age = |age: &str| Run::of(&mut doctor_of(&site, &["doctor", "--json", "--max-age", age]));
    Answer(with_age("1ms")).says("newest backup", "problem", "the objective is 1 ms");
    with_age("yesterday").fail(2, "usage");
    let file = newest_backup(&site);
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() - 40]).unwrap();
    Answer::of(&site, nothing).says("newest backup", "problem", "truncated");
    fs::write(&file, &whole).unwrap();
    // A digit of the MAC, which stays one.
    let digit = whole.iter().rposition(u8::is_ascii_digit).unwrap();
    flip_byte(&file, digit as u64);
    Answer::of(&site, nothing).says("newest backup", "problem", "tampered");
    fs::remove_file(&file).unwrap();
    Answer::of(&site, nothing).says("newest backup", "problem", "there is none").says(
        "backup space",
        "ok",
        "free",
    );
    fs::remove_dir_all(site.path("backups")).unwrap();
    Answer::of(&site, nothing).says("backup folder", "problem", "cannot be read");
}

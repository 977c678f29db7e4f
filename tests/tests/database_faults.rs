//! A database that refuses, has no room for us, or dies: a clear error before anything is written, and the same command goes on.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use trstctl_engines::{NatsOptions, Postgres, PostgresOptions};
use trstctl_ledger::history::History;
use trstctl_migrations::connect::connect;
use trstctl_tests::{Action, Fault, Pick, Proxy, Run, Running, Site, Speech, cases, pause};

/// Longest wait for sessions of a program that has ended.
const PATIENCE: Duration = Duration::from_secs(20);

/// A site with a `postgres` of its own, and a backup `a.jsonl` of its log.
struct Own {
    site: Site,
    postgres: Postgres,
    dsn: String,
}

impl Own {
    fn with(settings: &[&str]) -> Self {
        let site = Site::start();
        site.seed(History::new(95, 3_000));
        site.dr(&["backup", "--output", "a.jsonl"]).succeed();
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        let postgres = Postgres::start(PostgresOptions { settings, ..PostgresOptions::default() }).unwrap();
        postgres.execute("postgres", "CREATE DATABASE d").unwrap();
        let dsn = postgres.dsn("d");
        Self { site, postgres, dsn }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.site.command(arguments);
        command.env("TRSTCTL_POSTGRES_DSN", &self.dsn);
        command
    }

    fn dr(&self, arguments: &[&str]) -> Run {
        Run::of(&mut self.command(arguments))
    }

    #[track_caller]
    fn rebuild(&self) {
        let run = self.dr(&["rebuild"]);
        assert!(matches!(run.code, Some(0 | 1)), "{}", run.stderr);
    }

    fn digests(&self) -> Value {
        self.dr(&["diff", "--json"]).succeed().json()["digests"].clone()
    }

    /// The database by way of a proxy before the server.
    fn by_way_of(&self, proxy: &Proxy) -> String {
        let direct = self.postgres.tcp_dsn("d").unwrap();
        let by_proxy =
            direct.replace(&format!("port={}", self.postgres.port()), &format!("port={}", proxy.port()));
        format!("{by_proxy} sslmode=disable")
    }

    /// Sessions of a program that has ended may take their places for a moment yet. This one takes one, too.
    fn wait_until_nobody_is_connected(&self) {
        let others = "DO $$ BEGIN ASSERT (SELECT count(*) FROM pg_stat_activity
            WHERE backend_type = 'client backend') = 1; END $$";
        let start = Instant::now();
        while let Err(error) = self.postgres.execute("postgres", others) {
            assert!(start.elapsed() < PATIENCE, "{error}");
            pause();
        }
    }

    fn sql(&self, statement: &str) {
        self.postgres.execute("d", statement).unwrap();
    }

    /// Rebuild and restore end so, before the log is written, and say this; without the change they do their work.
    #[track_caller]
    fn assert_refused(&mut self, class: &str, said: &str, change: impl Fn(&mut Command)) {
        self.site.lose_log(NatsOptions::default());
        let mut restore = self.command(&["restore", "--rebuild", "a.jsonl"]);
        change(&mut restore);
        let run = Run::of(&mut restore).fail(8, class);
        assert!(run.stderr.contains(said), "{said}: {}", run.stderr);
        self.dr(&["backup", "--output", "b.jsonl"]).fail(8, "no_stream");
        self.dr(&["restore", "a.jsonl"]).succeed();
        let mut rebuild = self.command(&["rebuild"]);
        change(&mut rebuild);
        let run = Run::of(&mut rebuild).fail(8, class);
        assert!(run.stderr.contains(said), "{said}: {}", run.stderr);
    }
}

/// Opens so many sessions, which do nothing but be there. Those of a program that has just ended may take their places for a
/// moment yet.
fn hold(dsn: &str, sessions: usize) -> Vec<impl Drop + use<>> {
    let start = Instant::now();
    let session = |_| loop {
        match connect(dsn) {
            Ok(session) => return session,
            Err(error) if start.elapsed() > PATIENCE => panic!("{error}"),
            Err(_) => pause(),
        }
    };
    (0..sessions).map(session).collect()
}

#[test]
fn server_that_is_read_only_is_refused_and_goes_on_when_it_is_not() {
    let mut own = Own::with(&[]);
    own.sql("ALTER DATABASE d SET default_transaction_read_only = on");
    own.assert_refused("refused", "read-only", |_| {});
    own.postgres.execute("postgres", "ALTER DATABASE d RESET default_transaction_read_only").unwrap();
    own.rebuild();
}

#[test]
fn timeouts_that_the_server_sets_end_none_of_our_statements() {
    let own = Own::with(&[]);
    // A session's first statement lifts them; one of those behind it takes longer. In the whole form, longer than a database may
    // be silent that does not work.
    let seconds = cases("2.5", "130");
    own.sql(&format!(
        "CREATE FUNCTION pause() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep({seconds}); END'"
    ));
    own.sql(
        "CREATE EVENT TRIGGER pause ON ddl_command_start WHEN TAG IN ('CREATE SCHEMA') EXECUTE FUNCTION pause()",
    );
    for setting in
        ["statement_timeout = '2s'", "idle_in_transaction_session_timeout = '30ms'", "lock_timeout = '5s'"]
    {
        own.postgres.execute("postgres", &format!("ALTER DATABASE d SET {setting}")).unwrap();
    }
    own.rebuild();
    own.digests();
}

#[test]
fn server_without_a_free_connection_is_refused_and_goes_on_when_there_is_one() {
    let mut own = Own::with(&[
        "max_connections=6",
        "superuser_reserved_connections=0",
        "max_wal_senders=0",
        "autovacuum=off",
    ]);
    let held = hold(&own.dsn, 6);
    own.assert_refused("refused", "connection", |_| {});
    drop(held);
    // One is enough to look, and not enough to work: nothing may be half-done then either.
    for free in 1..=3 {
        let held = hold(&own.dsn, 6 - free);
        let run = own.dr(&["rebuild"]);
        println!("{free} free: {:?} {}", run.code, run.stderr);
        assert!(matches!(run.code, Some(0 | 1)) || run.has_class("refused"), "{}", run.stderr);
        drop(held);
    }
    own.wait_until_nobody_is_connected();
    own.rebuild();
    own.wait_until_nobody_is_connected();
    own.digests();
}

#[test]
fn wrong_password_and_missing_database_are_refused_and_no_secret_is_told() {
    let mut own = Own::with(&[]);
    let tcp = own.postgres.tcp_dsn("d").unwrap();
    let without: Vec<_> = tcp.split(' ').filter(|part| !part.starts_with("password=")).collect();
    let (wrong, missing) = (without.join(" "), own.postgres.dsn("nobody_made_it"));
    own.assert_refused("refused", "password", |command| {
        command.env("TRSTCTL_POSTGRES_DSN", &wrong).env("PGPASSWORD", "hunter2");
    });
    let run =
        Run::of(own.command(&["rebuild"]).env("TRSTCTL_POSTGRES_DSN", &wrong).env("PGPASSWORD", "hunter2"));
    assert!(!run.stderr.contains("hunter2"), "{}", run.stderr);
    own.assert_refused("refused", "nobody_made_it", |command| {
        command.env("TRSTCTL_POSTGRES_DSN", &missing);
    });
    own.rebuild();
}

#[test]
fn login_that_may_neither_make_the_roles_nor_become_them_is_refused_and_told_what_to_run() {
    let mut own = Own::with(&[]);
    own.postgres.execute("postgres", "CREATE ROLE limited LOGIN PASSWORD 'of the tests'").unwrap();
    own.postgres.execute("postgres", "CREATE DATABASE e OWNER limited").unwrap();
    let dsn = format!("host=127.0.0.1 port={} user=limited dbname=e", own.postgres.port());
    let limited = |command: &mut Command| {
        command.env("TRSTCTL_POSTGRES_DSN", &dsn).env("PGPASSWORD", "of the tests");
    };
    own.assert_refused("refused", "CREATE ROLE trstctl_owner", limited);
    own.postgres.execute("postgres", "CREATE ROLE trstctl_owner; CREATE ROLE trstctl_app").unwrap();
    own.assert_refused("refused", "GRANT trstctl_owner", limited);
    own.postgres
        .execute(
            "e",
            "GRANT trstctl_owner, trstctl_app TO limited; GRANT CREATE ON DATABASE e TO trstctl_owner",
        )
        .unwrap();
    let mut rebuild = own.command(&["rebuild"]);
    limited(&mut rebuild);
    let run = Run::of(&mut rebuild);
    println!("{:?} {}", run.code, run.stderr);
    assert!(matches!(run.code, Some(0 | 1)), "{}", run.stderr);
}

#[test]
fn server_killed_in_the_middle_of_a_rebuild_keeps_the_old_model_and_the_same_command_goes_on() {
    let mut own = Own::with(&[]);
    own.rebuild();
    let before = own.digests();
    let proxy = Proxy::before(own.postgres.port(), Speech::Bytes);
    proxy.arm(Fault::to_server(Pick::Byte(300_000), Action::Freeze));
    let mut rebuild = own.command(&["rebuild"]);
    let run = Running::start(rebuild.env("TRSTCTL_POSTGRES_DSN", own.by_way_of(&proxy)));
    assert!(proxy.wait_until_done());
    own.postgres.kill_9();
    own.postgres.restart().unwrap();
    proxy.thaw();
    run.end().fail(8, "unreachable");
    assert_eq!(own.digests(), before);
    own.rebuild();
    assert_eq!(own.digests(), before);
}

/// Bytes to the database at which its connection is cut: from the login to the last rows.
fn places() -> Vec<u64> {
    cases(vec![500, 100_000], vec![1, 50, 500, 2_000, 5_000, 20_000, 100_000, 200_000, 300_000])
}

#[test]
fn restore_with_rebuild_whose_connection_to_the_database_is_cut_goes_on() {
    let mut own = Own::with(&[]);
    own.rebuild();
    let before = own.digests();
    for byte in places() {
        let proxy = Proxy::before(own.postgres.port(), Speech::Bytes);
        proxy.arm(Fault::to_server(Pick::Byte(byte), Action::Cut));
        own.site.lose_log(NatsOptions::default());
        let mut restore = own.command(&["restore", "--rebuild", "a.jsonl"]);
        let run = Run::of(restore.env("TRSTCTL_POSTGRES_DSN", own.by_way_of(&proxy)));
        println!("cut at byte {byte}: {:?} {}", run.code, run.stderr);
        assert_eq!(proxy.done(), 1);
        run.fail(8, "unreachable");
        let again = own.dr(&["restore", "--rebuild", "a.jsonl"]);
        assert!(matches!(again.code, Some(0 | 1)), "{}", again.stderr);
        assert_eq!(own.digests(), before);
    }
}

#[test]
fn repair_whose_connection_to_the_database_is_cut_goes_on() {
    let own = Own::with(&[]);
    own.rebuild();
    let before = own.digests();
    for byte in places() {
        own.sql("UPDATE read_model.owners SET name = 'changed by hand'");
        let proxy = Proxy::before(own.postgres.port(), Speech::Bytes);
        proxy.arm(Fault::to_server(Pick::Byte(byte), Action::Cut));
        let mut repair = own.command(&["diff", "--repair"]);
        let run = Run::of(repair.env("TRSTCTL_POSTGRES_DSN", own.by_way_of(&proxy)));
        println!("cut at byte {byte}: {:?} {}", run.code, run.stderr);
        assert_eq!(proxy.done(), 1);
        run.fail(8, "unreachable");
        let again = own.dr(&["diff", "--repair"]);
        assert!(matches!(again.code, Some(0 | 1)), "{}", again.stderr);
        assert_eq!(own.digests(), before);
    }
}

//! Surroundings that are unkind: folders, disks, servers and logins that do not let a command do its work.

use std::fs;
use std::process::Command;

use trstctl_engines::{NatsOptions, Postgres, PostgresOptions};
use trstctl_ledger::history::History;
use trstctl_tests::{Run, Site, binary};

fn site_with_backup() -> Site {
    let site = Site::start();
    site.seed(History::new(61, 2_000));
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    site
}

/// Runs the program in a shell that has this limit.
fn limited(site: &Site, limit: &str, arguments: &[&str]) -> Run {
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(format!("{limit}; exec \"$DR\" \"$@\"")).arg("limited").args(arguments);
    for (name, value) in site.command(&[]).get_envs().filter_map(|(name, value)| Some((name, value?))) {
        shell.env(name, value);
    }
    Run::of(shell.env("DR", binary()).current_dir(site.path("")))
}

#[test]
fn backup_that_meets_a_full_disk_leaves_nothing() {
    let site = site_with_backup();
    // The shell ignores the signal of the limit, so that writing fails as on a full disk.
    let run = limited(&site, "trap '' XFSZ; ulimit -f 64", &["backup", "--output", "b.jsonl"]);
    let run = run.fail(8, "output_failed");
    assert!(run.stderr.contains("b.jsonl"), "{}", run.stderr);
    assert!(!site.path("b.jsonl").exists());
    assert_eq!(site.partial_files(), Vec::<String>::new());
}

#[test]
fn full_disk_keeps_the_backup_that_was_to_be_replaced() {
    let site = site_with_backup();
    let before = fs::read(site.path("a.jsonl")).unwrap();
    limited(&site, "trap '' XFSZ; ulimit -f 64", &["backup", "--force", "--output", "a.jsonl"])
        .fail(8, "output_failed");
    assert_eq!(fs::read(site.path("a.jsonl")).unwrap(), before);
}

#[test]
fn folder_that_cannot_be_written_is_named() {
    let site = site_with_backup();
    // Nobody may create files there, not even root.
    site.dr(&["backup", "--output", "/proc/b.jsonl"]).fail(8, "output_failed");
    let run = site.dr(&["backup", "--output", "absent/b.jsonl"]).fail(8, "output_failed");
    assert!(run.stderr.contains("absent/b.jsonl"), "{}", run.stderr);
}

#[test]
fn standard_output_on_a_full_disk_is_an_error() {
    let site = site_with_backup();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let run = Run::of(site.command(&["verify", "--json", "a.jsonl"]).stdout(full));
    run.fail(8, "output_failed");
}

#[test]
fn server_without_jetstream_is_refused() {
    let site = site_with_backup();
    let plain = PlainNats::start(&site);
    for arguments in [&["backup", "--output", "b.jsonl"][..], &["restore", "a.jsonl"], &["rebuild"]] {
        let run = Run::of(site.command(arguments).env("TRSTCTL_NATS_URL", plain.url()));
        assert_eq!(run.code, Some(8), "{}", run.stderr);
        assert!(run.stderr.contains("JetStream"), "{arguments:?}: {}", run.stderr);
    }
}

/// A `nats-server` without JetStream, on a port of its own choice.
struct PlainNats {
    child: std::process::Child,
    url: String,
}

impl PlainNats {
    #[expect(clippy::disallowed_methods, reason = "the pause between two looks, within the deadline")]
    fn start(site: &Site) -> Self {
        let folder = site.path("plain");
        fs::create_dir(&folder).unwrap();
        let program = trstctl_engines::installed_nats_servers().remove(0).path;
        let mut command = Command::new(program);
        command
            .args(["-a", "127.0.0.1", "-p", "-1", "--ports_file_dir"])
            .arg(&folder)
            .arg("-l")
            .arg(folder.join("log"));
        let child = command.spawn().expect("nats-server starts");
        let ports = folder.join(format!("nats-server_{}.ports", child.id()));
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        let url = loop {
            let text = fs::read_to_string(&ports).unwrap_or_default();
            if let Ok(ports) = serde_json::from_str::<serde_json::Value>(&text) {
                break ports["nats"][0].as_str().expect("an address").to_owned();
            }
            assert!(std::time::Instant::now() < deadline, "nats-server tells no port");
            std::thread::sleep(std::time::Duration::from_millis(20));
        };
        Self { child, url }
    }

    fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for PlainNats {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Restores with a rebuild must be refused, and the log still be absent.
#[track_caller]
fn assert_refused_before_the_log_is_written(site: &Site, change: impl FnOnce(&mut Command)) -> Run {
    let mut restore = site.command(&["restore", "--rebuild", "a.jsonl"]);
    change(&mut restore);
    let run = Run::of(&mut restore).fail(8, "refused");
    site.dr(&["backup", "--output", "b.jsonl"]).fail(8, "no_stream");
    run
}

#[test]
fn database_that_is_read_only_is_refused_before_the_log_is_written() {
    let mut site = site_with_backup();
    site.lose_log(NatsOptions::default());
    let run = assert_refused_before_the_log_is_written(&site, |restore| {
        restore.env("PGOPTIONS", "-c default_transaction_read_only=on");
    });
    assert!(run.stderr.contains("read-only") || run.stderr.contains("read only"), "{}", run.stderr);
}

#[test]
fn pending_migrations_that_may_not_run_are_refused_before_the_log_is_written() {
    let mut site = site_with_backup();
    site.lose_log(NatsOptions::default());
    let run = assert_refused_before_the_log_is_written(&site, |restore| {
        restore.env("TRSTCTL_MIGRATE_AUTO", "false");
    });
    assert!(run.stderr.contains("TRSTCTL_MIGRATE_AUTO"), "{}", run.stderr);
    // Nothing is pending once they ran, and then the same setting hinders nobody.
    site.dr(&["restore", "--rebuild", "--json", "a.jsonl"]);
    let run = Run::of(site.command(&["rebuild", "--json"]).env("TRSTCTL_MIGRATE_AUTO", "false"));
    assert!(matches!(run.code, Some(0 | 1)), "{}", run.stderr);
}

#[test]
fn login_without_the_roles_is_refused_before_the_log_is_written_and_told_what_to_run() {
    let mut site = site_with_backup();
    site.lose_log(NatsOptions::default());
    let postgres = Postgres::start(PostgresOptions::default()).unwrap();
    postgres.execute("postgres", "CREATE ROLE limited LOGIN PASSWORD 'of the tests'").unwrap();
    postgres.execute("postgres", "CREATE DATABASE d OWNER limited").unwrap();
    let dsn = format!("host=127.0.0.1 port={} user=limited dbname=d", postgres.port());
    let as_limited = |command: &mut Command| {
        command.env("TRSTCTL_POSTGRES_DSN", &dsn).env("PGPASSWORD", "of the tests");
    };
    let run = assert_refused_before_the_log_is_written(&site, as_limited);
    assert!(run.stderr.contains("CREATE ROLE trstctl_owner"), "{}", run.stderr);
    // The roles are there, and the login is a member of none.
    postgres.execute("postgres", "CREATE ROLE trstctl_owner; CREATE ROLE trstctl_app").unwrap();
    let run = assert_refused_before_the_log_is_written(&site, as_limited);
    assert!(run.stderr.contains("GRANT trstctl_owner"), "{}", run.stderr);
}

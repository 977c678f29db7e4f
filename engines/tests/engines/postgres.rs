//! What callers rely on from a `postgres` of ours.

use std::{
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use trstctl_engines::{Data, EngineError, Postgres, PostgresOptions, installed_postgres};

use crate::passable_folder;

#[test]
fn one_shared_server_gives_each_test_a_database_of_its_own() {
    let postgres = Postgres::shared();
    let (one, other) = (postgres.create_database().unwrap(), postgres.create_database().unwrap());
    assert_ne!(one, other);
    let encoding = postgres.execute("postgres", "SHOW server_encoding").unwrap();
    let collation =
        postgres.execute("postgres", "SELECT datcollate FROM pg_database WHERE datname='template1'").unwrap();
    assert_eq!((encoding.as_str(), collation.as_str()), ("UTF8", "C"));
}

#[test]
fn committed_rows_survive_kill_9_and_restart() {
    let mut postgres = Postgres::start(PostgresOptions::default()).unwrap();
    postgres.execute("postgres", "CREATE TABLE t AS SELECT 7 AS n").unwrap();
    postgres.kill_9();
    assert_eq!(postgres.pid(), None);
    postgres.restart().unwrap();
    assert_eq!(postgres.execute("postgres", "SELECT n FROM t").unwrap(), "7");
}

fn psql(dsn: &str, sql: &str) -> Output {
    psql_command(dsn, sql).output().unwrap()
}

/// The one that was installed with the server.
fn psql_command(dsn: &str, sql: &str) -> Command {
    let mut command = Command::new(installed_postgres().unwrap().path.with_file_name("psql"));
    command
        .args(["-X", "-A", "-t", "-w", "-c", sql, "-d", dsn])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[test]
fn the_port_asks_for_the_generated_password() {
    let postgres = Postgres::shared();
    let dsn = postgres.tcp_dsn("postgres").unwrap();
    assert!(psql(&dsn, "SELECT 1").status.success());
    let (before, after) = dsn.split_once("password=").unwrap();
    let without = before.to_owned() + after.split_once(' ').unwrap().1;
    assert!(!psql(&without, "SELECT 1").status.success());
    assert!(!psql(&without.replace("dbname", "password=wrong dbname"), "SELECT 1").status.success());
}

#[test]
fn a_kill_takes_busy_sessions_along_so_that_a_restart_never_waits_for_them() {
    let mut postgres = Postgres::start(PostgresOptions::default()).unwrap();
    let dsn = postgres.dsn("postgres");
    let session = {
        let postgres = &postgres;
        let psql =
            psql_command(&dsn, "SELECT count(*) FROM generate_series(1, 1000000000000)").spawn().unwrap();
        let busy =
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT count(*) FROM generate_series%'";
        let start = Instant::now();
        while postgres.execute("postgres", busy).unwrap() != "1" {
            assert!(start.elapsed() < Duration::from_secs(20));
        }
        psql
    };
    postgres.kill_9();
    postgres.restart().unwrap();
    assert_eq!(postgres.execute("postgres", "SELECT 1").unwrap(), "1");
    assert!(!session.wait_with_output().unwrap().status.success());
}

#[test]
fn a_data_directory_keeps_its_rows() {
    let parent = passable_folder();
    let data = Data::Dir(parent.path().join("data"));
    let options = PostgresOptions { data, ..PostgresOptions::default() };
    let postgres = Postgres::start(options.clone()).unwrap();
    postgres.execute("postgres", "CREATE TABLE t AS SELECT 7 AS n").unwrap();
    postgres.stop();
    let postgres = Postgres::start(options).unwrap();
    assert_eq!(postgres.execute("postgres", "SELECT n FROM t").unwrap(), "7");
    assert_eq!(postgres.execute("postgres", "SHOW fsync").unwrap(), "on");
}

#[test]
fn a_server_that_refuses_to_start_is_reported_with_the_end_of_its_log() {
    let options =
        PostgresOptions { settings: vec!["no_such_setting=1".to_owned()], ..PostgresOptions::default() };
    let error = Postgres::start(options).unwrap_err();
    assert!(matches!(&error, EngineError::Ended { tail, .. } if tail.contains("no_such_setting")), "{error}");
}

//! What callers rely on from a `postgres` of ours.

use trstctl_engines::{Postgres, PostgresOptions};

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

//! Who may work on the read model, and what is refused before anything is trusted.

use trstctl_engines::{Postgres, PostgresOptions};
use trstctl_formats::{Class, Failure};
use trstctl_ledger::read_model::{ReadModel, ReadModelError};

use crate::support::*;

async fn refusal(dsn: &str) -> Failure {
    ReadModel::connect(dsn).await.expect_err("a refusal").into()
}

#[tokio::test]
async fn plain_login_without_superuser_or_bypassrls_rebuilds_and_reads_every_tenant() {
    let server = Postgres::start(PostgresOptions::default()).unwrap();
    let dsn = server.create_database().unwrap();
    let database = dsn.rsplit("dbname=").next().unwrap();
    server.execute("postgres", "CREATE ROLE plain LOGIN NOINHERIT CREATEROLE NOSUPERUSER").unwrap();
    server.execute("postgres", &format!("ALTER DATABASE {database} OWNER TO plain")).unwrap();
    let plain = dsn.replace("user=postgres", "user=plain");
    migrate(plain.clone());
    let log = BentLog::history(60, 1_000);
    let mut model = model(&plain).await;
    let report = rebuild(&model, &log).await;
    assert_same(&report.digests, &reference_digest(&log.all()));
    let more = history(60, 1_000);
    model.apply(report.checkpoint, &more, report.checkpoint).await.unwrap();
    let forgot = client(&plain).await;
    let error = forgot.query("SELECT * FROM read_model.owners", &[]).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "42501", "a forgotten SET ROLE is permission denied");
}

#[tokio::test]
async fn table_without_the_owners_policy_is_refused_by_name() {
    let dsn = migrated();
    client(&dsn).await.batch_execute("DROP POLICY owner ON read_model.certificates").await.unwrap();
    let failure = refusal(&dsn).await;
    assert_eq!(failure.class, Class::Refused);
    assert!(failure.message.contains("read_model.certificates"), "{failure}");
}

#[tokio::test]
async fn database_that_was_never_migrated_is_refused() {
    let dsn = Postgres::shared().create_database().unwrap();
    migrated(); // The roles are there.
    let failure = refusal(&dsn).await;
    assert!(failure.message.contains("tenants is missing"), "{failure}");
    assert!(failure.hint.contains("migrations"), "{}", failure.hint);
}

#[tokio::test]
async fn columns_of_the_migrated_tables_are_those_that_the_projection_describes() {
    let dsn = migrated();
    model(&dsn).await;
    let client = client(&dsn).await;
    for (change, named) in [
        ("ALTER TABLE read_model.owners ADD COLUMN extra text", "owners.extra is unknown"),
        (
            "ALTER TABLE read_model.owners DROP COLUMN extra, ALTER COLUMN email TYPE varchar",
            "owners.email is character varying",
        ),
        ("ALTER TABLE read_model.owners DROP COLUMN email", "owners.email is missing"),
    ] {
        client.batch_execute(change).await.unwrap();
        let error = ReadModel::connect(&dsn).await.unwrap_err();
        assert!(matches!(&error, ReadModelError::OtherTables { .. }), "{error}");
        assert!(error.to_string().contains(named), "{error}");
    }
}

#[tokio::test]
async fn login_that_may_not_become_the_owner_is_refused() {
    let dsn = migrated();
    client(&dsn).await.batch_execute("CREATE ROLE stranger_to_roles LOGIN").await.unwrap();
    let failure = refusal(&dsn.replace("user=postgres", "user=stranger_to_roles")).await;
    assert_eq!(failure.class, Class::Refused);
    assert!(failure.message.contains("permission denied to set role"), "{failure}");
}

#[tokio::test]
async fn server_that_is_not_there_is_unreachable_and_no_password_is_shown() {
    let failure = refusal("host=127.0.0.1 port=1 user=u password=geheim dbname=d").await;
    assert_eq!(failure.class, Class::Unreachable);
    assert!(failure.message.contains("127.0.0.1:1/d"), "{failure}");
    assert!(!format!("{failure:?}").contains("geheim"), "{failure:?}");
}

#[tokio::test]
async fn read_only_server_is_refused_with_what_to_do() {
    let dsn = migrated();
    let database = dsn.rsplit("dbname=").next().unwrap();
    let set = format!("ALTER DATABASE {database} SET default_transaction_read_only = on");
    client(&dsn).await.batch_execute(&set).await.unwrap();
    let model = model(&dsn).await;
    let error = model.rebuild(&BentLog::history(61, 100), Default::default(), &silent).await.unwrap_err();
    let failure = Failure::from(error);
    assert_eq!(failure.class, Class::Refused);
    assert!(failure.hint.contains("primary"), "{}", failure.hint);
}

#[tokio::test]
async fn server_that_accepts_and_says_nothing_is_not_waited_for() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let dsn = format!("host=127.0.0.1 port={port} user=me sslmode=disable connect_timeout=1");
    let error = ReadModel::connect(&dsn).await.unwrap_err();
    assert!(error.to_string().contains("no login within 1 s"), "{error}");
}

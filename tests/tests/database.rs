//! What may be wrong with the database when a restore or a rebuild comes: roles, grants, the read model itself.

use trstctl_engines::{NatsOptions, Postgres};
use trstctl_ledger::history::History;
use trstctl_migrations::connect::connect;
use trstctl_migrations::lock_keys;
use trstctl_tests::Site;

/// Runs SQL as the database's superuser.
fn execute(site: &Site, sql: &str) {
    let database = site.dsn().rsplit("dbname=").next().unwrap();
    Postgres::shared().execute(database, &sql.replace("THIS_DATABASE", database)).unwrap();
}

fn rebuilt() -> Site {
    let site = Site::start();
    site.seed(History::new(4, 400));
    site.dr(&["rebuild"]);
    site
}

#[test]
fn database_of_which_only_public_came_back_is_rebuilt_with_the_grants_that_a_dump_does_not_carry() {
    let site = rebuilt();
    let before = site.dr(&["diff", "--json"]).json();
    execute(
        &site,
        "DROP SCHEMA read_model CASCADE; REVOKE CREATE ON DATABASE THIS_DATABASE FROM trstctl_owner",
    );
    let report = site.dr(&["rebuild", "--json"]).json();
    assert_eq!(report["migrated"], serde_json::json!([]), "{report}");
    let after = site.dr(&["diff", "--json"]).json();
    assert_eq!((&after["digests"], &after["differences"]), (&before["digests"], &serde_json::json!(0)));
}

#[test]
fn plan_names_the_missing_grants_and_makes_none_and_the_login_that_inherits() {
    let mut site = rebuilt();
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    site.lose_log(NatsOptions::default());
    execute(&site, "REVOKE CREATE ON DATABASE THIS_DATABASE FROM trstctl_owner");
    for _ in 0..2 {
        let plan =
            site.dr(&["restore", "--rebuild", "--json", "--plan", "a.jsonl"]).succeed().json().to_string();
        for part in ["run GRANT CREATE ON DATABASE", "login postgres has the rights of trstctl_owner"] {
            assert!(plan.contains(part), "{part}: {plan}");
        }
    }
}

#[test]
fn restore_is_refused_before_the_log_is_written_where_the_rebuild_could_not_follow() {
    let mut site = rebuilt();
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    site.lose_log(NatsOptions::default());
    let mut other = connect(site.dsn()).unwrap();
    other.query_one("SELECT pg_advisory_lock($1)", &[&lock_keys::REBUILD]).unwrap();
    let refused = site.dr(&["restore", "--rebuild", "a.jsonl"]).fail(8, "refused");
    assert!(refused.stderr.contains("another rebuild"), "{}", refused.stderr);
    other.query_one("SELECT pg_advisory_unlock($1)", &[&lock_keys::REBUILD]).unwrap();
    execute(&site, "DROP POLICY owner ON public.outbox");
    let refused = site.dr(&["restore", "--rebuild", "a.jsonl"]).fail(8, "refused");
    assert!(refused.stderr.contains("public.outbox"), "{}", refused.stderr);
    site.dr(&["backup", "--output", "b.jsonl"]).fail(8, "no_stream");
}

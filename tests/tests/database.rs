//! What may be wrong with the database when a restore or a rebuild comes: roles, grants, the read model itself.

use trstctl_engines::{NatsOptions, Postgres};
use trstctl_ledger::history::History;
use trstctl_migrations::connect::connect;
use trstctl_migrations::lock_keys;
use trstctl_tests::{Site, records};

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

#[test]
fn what_others_hung_on_the_read_model_is_named_before_it_would_go() {
    let mut site = rebuilt();
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    execute(
        &site,
        "CREATE VIEW public.expiring AS SELECT count(*) AS n FROM read_model.certificates;
         GRANT SELECT ON read_model.owners TO PUBLIC",
    );
    let before = site.dr(&["diff", "--json"]).json()["digests"].clone();
    site.lose_log(NatsOptions::default());
    for arguments in
        [&["restore", "--rebuild", "a.jsonl"][..], &["restore", "--rebuild", "--plan", "a.jsonl"]]
    {
        let refused = site.dr(arguments).fail(8, "refused");
        for words in ["view public.expiring", "grant of SELECT to PUBLIC on owners", "--drop-additions"] {
            assert!(refused.stderr.contains(words), "{words}: {}", refused.stderr);
        }
    }
    site.dr(&["backup", "--output", "b.jsonl"]).fail(8, "no_stream");
    let plan = site.dr(&["restore", "--rebuild", "--drop-additions", "--plan", "a.jsonl"]).succeed();
    assert!(plan.stdout.contains("view public.expiring"), "{}", plan.stdout);
    site.dr(&["restore", "a.jsonl"]).succeed();
    site.dr(&["rebuild"]).fail(8, "refused");
    let report = site.dr(&["rebuild", "--drop-additions", "--json"]).json();
    assert_eq!((&report["digests"], &report["leftovers"]), (&before, &serde_json::json!([])));
    let left = "SELECT count(*) FROM pg_class WHERE relname = 'expiring'";
    assert_eq!(connect(site.dsn()).unwrap().query_one(left, &[]).unwrap().get::<_, i64>(0), 0);
    site.dr(&["rebuild", "--json"]).json();
}

#[test]
fn rows_are_not_mended_to_those_of_another_release() {
    let site = rebuilt();
    execute(
        &site,
        "DELETE FROM public.schema_migrations WHERE number = 6; UPDATE read_model.owners SET name = 'x'",
    );
    let refused = site.dr(&["diff", "--repair"]).fail(8, "refused");
    assert!(refused.stderr.contains("0006-read_model-access"), "{}", refused.stderr);
    let left = "SELECT count(*) FROM read_model.owners WHERE name <> 'x'";
    assert_eq!(connect(site.dsn()).unwrap().query_one(left, &[]).unwrap().get::<_, i64>(0), 0);
}

#[test]
fn plans_of_a_backup_and_of_a_rebuild_say_what_would_be_done_and_do_nothing() {
    let site = rebuilt();
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    let model = "SELECT oid::text || (SELECT sequence FROM public.projection_checkpoint) FROM pg_namespace WHERE nspname = 'read_model'";
    let files = || std::fs::read_dir(site.path(".")).unwrap().count();
    let before = (site.sql(model), files());
    let events = format!("{} events", records(&site.path("a.jsonl")).len());

    let backup = ["backup", "--plan", "--compress", "--output", "b.jsonl.zst"];
    let plan = site.dr(&backup).succeed().stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        &format!("read {events} of TRSTCTL_EVENTS"),
        "prove that they extend",
        &format!("a.jsonl.head ({events}"),
        "[writes file] write b.jsonl.zst, version 2, compressed",
        "its tree head, b.jsonl.zst.head",
        "nothing was written",
    ] {
        assert!(plan.contains(words), "{words}: {plan}");
    }
    site.dr(&["backup", "--plan", "--output", "a.jsonl"]).fail(2, "usage");
    site.dr(&["backup", "--plan", "--through", "999", "--output", "c.jsonl"]).fail(2, "usage");

    let plan = site.dr(&["rebuild", "--plan"]).succeed().stdout;
    assert!(plan.contains(&format!("rebuild read_model from {events}")), "{plan}");
    assert_eq!((site.sql(model), files()), before);
    execute(&site, "CREATE VIEW public.v AS SELECT 1 AS one FROM read_model.owners");
    site.dr(&["rebuild", "--plan"]).fail(8, "refused");
}

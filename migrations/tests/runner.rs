//! The runner against a real PostgreSQL.

mod support;

use std::thread;

use postgres::Client;
use support::{dsn_of_plain_login, own_server, refusal, superuser, superuser_dsn};
use trstctl_migrations::connect::connect;
use trstctl_migrations::files::MIGRATIONS;
use trstctl_migrations::{Migration, OWNER_ROLE, Phase, Runner, roles};

fn migrated() -> Client {
    let mut client = superuser();
    Runner::default().run(&mut client).unwrap();
    client
}

fn count(client: &mut Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).unwrap().get(0)
}

#[test]
fn first_run_applies_all_and_second_run_nothing() {
    let mut client = superuser();
    assert_eq!(Runner::default().pending(&mut client).unwrap().len(), MIGRATIONS.len());
    assert_eq!(Runner::default().run(&mut client).unwrap().len(), MIGRATIONS.len());
    assert_eq!(Runner::default().run(&mut client).unwrap().len(), 0);
    let status = Runner::default().status(&mut client).unwrap();
    assert_eq!(status.applied.len(), MIGRATIONS.len());
    assert!(status.pending.is_empty());
    assert_eq!(status.applied[0].sha256, MIGRATIONS[0].sha256());
    let owned = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE c.relkind = 'r' AND n.nspname IN ('public', 'read_model')
                   AND pg_get_userbyid(c.relowner) <> 'trstctl_owner'";
    assert_eq!(count(&mut client, owned), 0, "every table belongs to the owner role");
}

#[test]
fn two_runs_at_once_in_one_database_apply_everything_once() {
    let dsn = superuser_dsn();
    let runs: Vec<_> = (0..4)
        .map(|_| {
            let dsn = dsn.clone();
            thread::spawn(move || Runner::default().run(&mut connect(&dsn).unwrap()).unwrap().len())
        })
        .collect();
    let applied: usize = runs.into_iter().map(|run| run.join().unwrap()).sum();
    assert_eq!(applied, MIGRATIONS.len());
}

#[test]
fn two_runs_at_once_in_two_databases_of_a_new_server_do_not_collide_over_the_roles() {
    let server = own_server();
    let dsns: Vec<_> = (0..6).map(|_| server.create_database().unwrap()).collect();
    let runs: Vec<_> = dsns
        .into_iter()
        .map(|dsn| thread::spawn(move || Runner::default().run(&mut connect(&dsn).unwrap()).unwrap().len()))
        .collect();
    for run in runs {
        assert_eq!(run.join().unwrap(), MIGRATIONS.len());
    }
}

#[test]
fn plain_login_with_createrole_makes_everything_itself() {
    let server = own_server();
    let dsn = dsn_of_plain_login(&server, "NOINHERIT CREATEROLE");
    let mut client = connect(&dsn).unwrap();
    Runner::default().run(&mut client).map_err(refusal).unwrap();
    roles::become_owner(&mut client).map_err(refusal).unwrap();
    assert_eq!(roles::inheriting_logins(&mut client).unwrap(), []);
}

#[test]
fn forgotten_set_role_is_permission_denied() {
    let server = own_server();
    let dsn = dsn_of_plain_login(&server, "NOINHERIT CREATEROLE");
    let mut client = connect(&dsn).unwrap();
    Runner::default().run(&mut client).unwrap();
    for table in ["read_model.owners", "public.outbox"] {
        let error = client.query(&format!("SELECT * FROM {table}"), &[]).unwrap_err();
        assert_eq!(error.code().unwrap().code(), "42501", "{table}: {error}");
    }
}

#[test]
fn login_that_may_not_make_roles_is_refused_with_the_statements_and_nothing_is_written() {
    let server = own_server();
    let dsn = dsn_of_plain_login(&server, "NOINHERIT NOCREATEROLE");
    let mut client = connect(&dsn).unwrap();
    let text = refusal(Runner::default().run(&mut client).unwrap_err());
    for part in [
        "CREATE ROLE trstctl_owner",
        "CREATE ROLE trstctl_app",
        "GRANT trstctl_owner TO",
        "Nothing was written",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(count(&mut client, "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'trstctl%'"), 0);
    assert_eq!(count(&mut client, "SELECT count(*) FROM pg_namespace WHERE nspname = 'read_model'"), 0);
}

#[test]
fn the_statements_of_the_refusal_are_enough() {
    let server = own_server();
    let dsn = dsn_of_plain_login(&server, "NOINHERIT NOCREATEROLE");
    let mut client = connect(&dsn).unwrap();
    let statements = Runner::default().missing_roles(&mut client).unwrap();
    server.execute(support::database_of(&dsn), &format!("{};", statements.join(";\n"))).unwrap();
    Runner::default().run(&mut client).map_err(refusal).unwrap();
}

#[test]
fn login_that_inherits_a_role_is_named_with_what_mends_it() {
    let server = own_server();
    let dsn = dsn_of_plain_login(&server, "INHERIT CREATEROLE");
    let mut client = connect(&dsn).unwrap();
    Runner::default().run(&mut client).map_err(refusal).unwrap();
    let found = roles::inheriting_logins(&mut client).unwrap();
    if found.is_empty() {
        return; // From 16 on the grant itself forbids it.
    }
    for login in &found {
        let remedy = login.remedy();
        client.batch_execute(remedy.strip_prefix("Run: ").unwrap()).unwrap();
    }
    assert_eq!(roles::inheriting_logins(&mut client).unwrap(), []);
}

#[test]
fn superuser_is_named_as_inheriting() {
    let mut client = migrated();
    let found = roles::inheriting_logins(&mut client).unwrap();
    assert!(found.iter().any(|login| login.superuser && login.role == OWNER_ROLE), "{found:?}");
}

#[test]
fn owner_is_proven_and_a_table_without_its_policy_is_named() {
    let mut client = migrated();
    roles::become_owner(&mut client).map_err(refusal).unwrap();
    client.batch_execute("DROP POLICY owner ON read_model.owners").unwrap();
    let text = refusal(roles::become_owner(&mut client).unwrap_err());
    assert!(text.contains("read_model.owners"), "{text}");
}

#[test]
fn edited_migration_is_refused_by_name() {
    let mut client = migrated();
    client.batch_execute("UPDATE public.schema_migrations SET sha256 = 'other' WHERE number = 2").unwrap();
    let text = refusal(Runner::default().run(&mut client).unwrap_err());
    assert!(text.contains("migration 2 is 0002-public-tables"), "{text}");
}

#[test]
fn newer_database_is_refused() {
    let mut client = migrated();
    let text = refusal(Runner::new(MIGRATIONS[..3].to_vec()).status(&mut client).unwrap_err());
    assert!(text.contains("newer than this program") && text.contains("migration 4"), "{text}");
}

#[test]
fn failing_migration_leaves_nothing_and_the_earlier_ones_stay() {
    let mut client = superuser();
    let bad = Migration {
        number: 7,
        name: "0007-public-bad",
        phase: Phase::Public,
        sql: "CREATE TABLE half (x int); SELECT 1/0",
    };
    let mut with_bad = MIGRATIONS.to_vec();
    with_bad.push(bad);
    let text = refusal(Runner::new(with_bad).run(&mut client).unwrap_err());
    assert!(text.contains("0007-public-bad") && text.contains("division by zero"), "{text}");
    assert_eq!(count(&mut client, "SELECT count(*) FROM pg_class WHERE relname = 'half'"), 0);
    assert_eq!(Runner::default().status(&mut client).unwrap().applied.len(), MIGRATIONS.len());
}

#[test]
fn read_only_server_is_refused_before_anything_is_written() {
    let mut client = superuser();
    client.batch_execute("SET default_transaction_read_only = on").unwrap();
    let text = refusal(Runner::default().run(&mut client).unwrap_err());
    assert!(text.contains("read-only") && text.contains("primary"), "{text}");
}

#[test]
fn tenants_are_separated_by_row_level_security() {
    let mut client = migrated();
    client
        .batch_execute(
            "INSERT INTO read_model.owners VALUES
                 ('00000000-0000-4000-8000-00000000000a', gen_random_uuid(), 'team', 'a', ''),
                 ('00000000-0000-4000-8000-00000000000b', gen_random_uuid(), 'team', 'b', '');
             SET ROLE trstctl_app",
        )
        .unwrap();
    let seen = "SELECT count(*) FROM read_model.owners";
    assert_eq!(count(&mut client, seen), 0, "no tenant, no rows");
    client.batch_execute("SET trstctl.tenant_id = '00000000-0000-4000-8000-00000000000a'").unwrap();
    assert_eq!(count(&mut client, seen), 1);
    client.batch_execute("RESET trstctl.tenant_id").unwrap();
    assert_eq!(count(&mut client, seen), 0, "a setting that was reset reads as empty, not as an error");
    client.batch_execute("SET ROLE trstctl_owner").unwrap();
    assert_eq!(count(&mut client, seen), 2);
}

/// A migrated database, and a new login that is no member of the roles yet; `grants` are run for it first.
fn dsn_of_newcomer(server: &trstctl_engines::Postgres, attributes: &str, grants: &str) -> String {
    let dsn = server.create_database().unwrap();
    Runner::default().run(&mut connect(&dsn).unwrap()).unwrap();
    let login = support::unique("newcomer");
    let create = format!("CREATE ROLE {login} LOGIN NOSUPERUSER NOINHERIT {attributes}; {grants}");
    server.execute("postgres", &create.replace("LOGIN_NAME", &login)).unwrap();
    dsn.replace("user=postgres", &format!("user={login}"))
}

#[test]
fn login_that_is_no_member_yet_gets_the_statements_from_every_question() {
    let server = own_server();
    let mut client = connect(&dsn_of_newcomer(&server, "NOCREATEROLE", "")).unwrap();
    let runner = Runner::default();
    for error in [
        runner.status(&mut client).map(drop).unwrap_err(),
        runner.rehearse(&mut client).map(drop).unwrap_err(),
        runner.run(&mut client).map(drop).unwrap_err(),
    ] {
        let text = refusal(error);
        assert!(text.contains("GRANT trstctl_owner TO") && text.contains("Nothing was written"), "{text}");
    }
}

#[test]
fn login_that_may_grant_itself_the_roles_reads_the_ledger_of_a_migrated_database() {
    let server = own_server();
    // On 15 CREATEROLE is enough; from 16 on it takes the admin option.
    let grants = "GRANT trstctl_owner, trstctl_app TO LOGIN_NAME WITH ADMIN OPTION";
    let mut client = connect(&dsn_of_newcomer(&server, "CREATEROLE", grants)).unwrap();
    client.batch_execute("RESET ROLE").unwrap();
    assert_eq!(Runner::default().run(&mut client).map_err(refusal).unwrap().len(), 0);
}

#[test]
fn rehearsal_tells_what_is_missing_and_leaves_nothing() {
    let mut client = superuser();
    let rehearsal = Runner::default().rehearse(&mut client).map_err(refusal).unwrap();
    assert_eq!(rehearsal.pending.len(), MIGRATIONS.len());
    assert!(rehearsal.roles.iter().any(|statement| statement.contains("CREATE SCHEMA read_model")));
    assert_eq!(count(&mut client, "SELECT count(*) FROM pg_namespace WHERE nspname = 'read_model'"), 0);
    Runner::default().run(&mut client).unwrap();
    let rehearsal = Runner::default().rehearse(&mut client).map_err(refusal).unwrap();
    assert_eq!((rehearsal.roles.len(), rehearsal.pending.len()), (0, 0));
    let user: String = client.query_one("SELECT current_user::text", &[]).unwrap().get(0);
    assert_eq!(user, "postgres", "the session is what it was");
}

#[test]
fn rehearsal_waits_for_no_lock_longer_than_seconds() {
    let dsn = superuser_dsn();
    let mut client = connect(&dsn).unwrap();
    Runner::default().run(&mut client).unwrap();
    let mut other = connect(&dsn).unwrap();
    other.batch_execute("BEGIN; LOCK TABLE read_model.owners").unwrap();
    let more = Migration {
        number: 7,
        name: "0007-read_model-more",
        phase: Phase::Tables,
        sql: "ALTER TABLE owners ADD COLUMN more text",
    };
    let mut with_more = MIGRATIONS.to_vec();
    with_more.push(more);
    let text = refusal(Runner::new(with_more).rehearse(&mut client).unwrap_err());
    assert!(text.contains("0007-read_model-more") && text.contains("lock timeout"), "{text}");
}

#[test]
fn rehearsal_proves_the_owners_policies_of_public_and_leaves_those_of_the_read_model_to_the_rebuild() {
    let mut client = migrated();
    client.batch_execute("DROP POLICY owner ON read_model.owners").unwrap();
    Runner::default().rehearse(&mut client).map_err(refusal).unwrap();
    client.batch_execute("DROP POLICY owner ON public.outbox").unwrap();
    let text = refusal(Runner::default().rehearse(&mut client).unwrap_err());
    assert!(text.contains("public.outbox"), "{text}");
}

#[test]
fn grant_and_schema_owner_that_a_dump_does_not_carry_are_missing_and_made() {
    let mut client = migrated();
    let database: String = client.query_one("SELECT current_database()::text", &[]).unwrap().get(0);
    client
        .batch_execute(&format!(
            "REVOKE CREATE ON DATABASE {database} FROM trstctl_owner; ALTER SCHEMA read_model OWNER TO postgres"
        ))
        .unwrap();
    let statements = Runner::default().rehearse(&mut client).map_err(refusal).unwrap().roles;
    assert_eq!(statements.len(), 2, "{statements:?}");
    assert_eq!(Runner::default().run(&mut client).map_err(refusal).unwrap().len(), 0);
    assert_eq!(Runner::default().missing_roles(&mut client).unwrap().len(), 0);
}

#[test]
fn temporary_tables_that_a_hardened_database_forbids_are_granted() {
    for mut client in [superuser(), migrated()] {
        let database: String = client.query_one("SELECT current_database()::text", &[]).unwrap().get(0);
        client.batch_execute(&format!("REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC")).unwrap();
        let statements = Runner::default().rehearse(&mut client).map_err(refusal).unwrap().roles;
        let granted = format!("GRANT TEMPORARY ON DATABASE \"{database}\" TO trstctl_owner");
        assert!(statements.contains(&granted), "{statements:?}");
        Runner::default().run(&mut client).map_err(refusal).unwrap();
        assert_eq!(Runner::default().missing_roles(&mut client).unwrap().len(), 0);
    }
}

#[test]
fn rights_that_the_login_may_not_grant_are_named_beforehand() {
    let server = own_server();
    for right in ["TEMPORARY", "CREATE"] {
        let grants = "GRANT trstctl_owner, trstctl_app TO LOGIN_NAME";
        let dsn = dsn_of_newcomer(&server, "NOCREATEROLE", grants);
        let database = support::database_of(&dsn);
        let revoke = format!("REVOKE {right} ON DATABASE {database} FROM PUBLIC, trstctl_owner");
        server.execute("postgres", &revoke).unwrap();
        let mut client = connect(&dsn).unwrap();
        for error in [
            Runner::default().rehearse(&mut client).map(drop).unwrap_err(),
            Runner::default().run(&mut client).map(drop).unwrap_err(),
        ] {
            let text = refusal(error);
            let statement = format!("GRANT {right} ON DATABASE \"{database}\" TO trstctl_owner");
            assert!(text.contains(&statement) && text.contains("Nothing was written"), "{text}");
        }
    }
}

#[test]
fn schema_public_that_a_hardened_database_keeps_from_everybody_is_granted_with_the_roles() {
    let server = own_server();
    let mut client = connect(&server.create_database().unwrap()).unwrap();
    client.batch_execute("REVOKE ALL ON SCHEMA public FROM PUBLIC").unwrap();
    Runner::default().rehearse(&mut client).map_err(refusal).unwrap();
    assert_eq!(Runner::default().run(&mut client).map_err(refusal).unwrap().len(), MIGRATIONS.len());
    assert_eq!(Runner::default().missing_roles(&mut client).unwrap().len(), 0);
}

#[test]
fn role_that_another_rehearsal_has_made_and_takes_back_is_waited_for() {
    let server = own_server();
    let [mut other, mut client] = [(); 2].map(|()| connect(&server.create_database().unwrap()).unwrap());
    let mut rehearsal = other.transaction().unwrap();
    rehearsal.batch_execute("CREATE ROLE trstctl_owner").unwrap();
    let run =
        thread::spawn(move || Runner::default().run(&mut client).map_err(refusal).map(|done| done.len()));
    // Longer than one statement waits for a lock.
    rehearsal.query_one("SELECT pg_sleep(6)", &[]).unwrap();
    rehearsal.rollback().unwrap();
    assert_eq!(run.join().unwrap(), Ok(MIGRATIONS.len()));
}

#[test]
fn schema_of_another_application_is_not_taken() {
    let mut client = superuser();
    client.batch_execute("CREATE SCHEMA read_model; CREATE TABLE read_model.orders (id int)").unwrap();
    for error in [
        Runner::default().rehearse(&mut client).map(drop).unwrap_err(),
        Runner::default().run(&mut client).map(drop).unwrap_err(),
    ] {
        let text = refusal(error);
        assert!(text.contains("not trstctl_owner's") && text.contains("Look at the DSN"), "{text}");
    }
    let owner = "SELECT count(*) FROM pg_namespace WHERE nspname = 'read_model' AND pg_get_userbyid(nspowner) = 'postgres'";
    assert_eq!(count(&mut client, owner), 1);
}

#[test]
fn database_in_another_encoding_is_refused() {
    let server = own_server();
    let sql = "CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0";
    server.execute("postgres", sql).unwrap();
    let dsn = server.create_database().unwrap();
    let mut client = connect(&dsn.replace(support::database_of(&dsn), "latin")).unwrap();
    let text = refusal(Runner::default().rehearse(&mut client).unwrap_err());
    assert!(text.contains("LATIN1"), "{text}");
}

#[test]
fn tls_that_is_demanded_does_not_keep_a_unix_socket_from_working() {
    let dsn = format!("{} sslmode=require", superuser_dsn());
    assert_eq!(count(&mut connect(&dsn).unwrap(), "SELECT count(*) FROM (SELECT 1) AS one"), 1);
}

#[test]
fn timeouts_of_the_database_do_not_reach_our_sessions() {
    let dsn = superuser_dsn();
    let database = support::database_of(&dsn).to_owned();
    let mut client = connect(&dsn).unwrap();
    let names = ["statement_timeout", "idle_session_timeout", "idle_in_transaction_session_timeout"];
    for name in names {
        client.batch_execute(&format!("ALTER DATABASE {database} SET {name} = '1min'")).unwrap();
    }
    let mut client = connect(&dsn).unwrap();
    for name in names {
        let value: String = client.query_one(&format!("SHOW {name}"), &[]).unwrap().get(0);
        assert_eq!(value, "0", "{name}");
    }
    let interval: String = client.query_one("SHOW client_connection_check_interval", &[]).unwrap().get(0);
    assert_eq!(interval, "1s");
}

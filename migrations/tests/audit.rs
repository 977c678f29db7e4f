//! The audit against the embedded files, folders with faults, and a live database.

mod support;

use support::superuser;
use trstctl_migrations::audit::{Catalog, Finding, Source, SqlFile, audit, embedded_files, load_dir};
use trstctl_migrations::files::MIGRATIONS;
use trstctl_migrations::{Manifest, RecoveryClass, Runner};

fn with(name: &str, text: &str) -> Vec<SqlFile> {
    let mut files = embedded_files();
    files.push(SqlFile { name: name.into(), text: text.into() });
    files
}

fn codes_and_subjects(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|finding| format!("{} {}", finding.code(), finding.subject())).collect()
}

fn found_with(text: &str) -> Vec<String> {
    codes_and_subjects(&audit(&with("0099-public-new.sql", text), &Manifest::embedded(), None))
}

#[test]
fn embedded_files_and_manifest_agree() {
    assert_eq!(audit(&embedded_files(), &Manifest::embedded(), None), []);
}

#[test]
#[allow(clippy::disallowed_methods)] // A scratch file, not a published one.
fn new_migration_with_an_unclassified_table_is_found_in_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    for file in embedded_files() {
        std::fs::write(folder.path().join(&file.name), file.text).unwrap();
    }
    std::fs::write(folder.path().join("0099_new.sql"), "CREATE TABLE forgotten (id int);").unwrap();
    let findings = audit(&load_dir(folder.path()).unwrap(), &Manifest::embedded(), None);
    assert_eq!(codes_and_subjects(&findings), ["unclassified_table public.forgotten"]);
    assert_eq!(findings[0].file(), Some("0099_new.sql"));
}

#[test]
fn every_finding_is_listed_not_the_first() {
    let found = found_with("CREATE TABLE one (id int); CREATE TABLE two (id int); DROP TABLE outbox;");
    assert_eq!(
        found,
        ["unclassified_table public.one", "unclassified_table public.two", "class_without_table outbox"]
    );
}

#[test]
fn table_in_two_classes_is_found() {
    let mut manifest = Manifest::embedded();
    let mut again = manifest.tables[0].clone();
    again.class = RecoveryClass::Ephemeral;
    manifest.tables.push(again);
    let found = codes_and_subjects(&audit(&embedded_files(), &manifest, None));
    assert!(found.contains(&"two_classes tenants".to_owned()), "{found:?}");
}

#[test]
fn read_model_table_outside_its_schema_is_found() {
    assert_eq!(found_with("ALTER TABLE read_model.owners SET SCHEMA public"), ["wrong_schema public.owners"]);
}

#[test]
fn foreign_key_across_the_schemas_is_found_in_both_directions() {
    let into = found_with("ALTER TABLE outbox ADD FOREIGN KEY (tenant_id) REFERENCES read_model.tenants");
    assert_eq!(into, ["cross_schema_foreign_key public.outbox"]);
    let out =
        found_with("ALTER TABLE read_model.owners ADD FOREIGN KEY (tenant_id) REFERENCES public.rate_limits");
    assert_eq!(out, ["cross_schema_foreign_key read_model.owners"]);
    let inside = found_with("ALTER TABLE credentials ADD FOREIGN KEY (tenant_id) REFERENCES rate_limits");
    assert_eq!(inside, [""; 0]);
}

#[test]
fn tenant_table_without_row_level_security_is_found_with_each_missing_part() {
    let mut manifest = Manifest::embedded();
    let mut entry = manifest.tables[0].clone();
    (entry.table, entry.class) = ("notes".into(), RecoveryClass::PostgresBackup);
    manifest.tables.push(entry);
    let files = with("0099.sql", "CREATE TABLE notes (tenant_id uuid, text text)");
    let findings = audit(&files, &manifest, None);
    assert_eq!(codes_and_subjects(&findings), ["row_security_missing public.notes"; 4]);
}

#[test]
fn policy_that_is_neither_of_the_two_is_found() {
    let found = found_with("CREATE POLICY open ON outbox USING (true) WITH CHECK (true)");
    assert_eq!(found, ["unexpected_policy public.outbox"]);
    let weakened = found_with(
        "DROP POLICY tenant ON outbox; CREATE POLICY tenant ON outbox TO trstctl_app USING (true)",
    );
    assert_eq!(weakened, ["row_security_missing public.outbox", "unexpected_policy public.outbox"]);
}

#[test]
fn file_that_cannot_be_read_is_a_finding() {
    assert_eq!(found_with("SELECT 'never ends"), ["unreadable_sql 0099-public-new.sql"]);
}

#[test]
fn migrated_database_has_no_findings_but_its_superuser() {
    let mut client = superuser();
    Runner::default().run(&mut client).unwrap();
    let live = Catalog::read(&mut client).unwrap();
    let findings = audit(&embedded_files(), &Manifest::embedded(), Some(&live));
    let own_login =
        |finding: &&Finding| !matches!(finding, Finding::InheritingLogin(login) if login.superuser);
    assert_eq!(findings.iter().filter(own_login).collect::<Vec<_>>(), Vec::<&Finding>::new());
    assert_eq!(findings.len(), 2, "the superuser inherits both roles");
}

#[test]
fn sql_text_and_live_catalog_tell_the_same_of_every_table() {
    let mut client = superuser();
    Runner::default().run(&mut client).unwrap();
    let live = Catalog::read(&mut client).unwrap();
    assert_eq!(live.tables.len(), Manifest::embedded().tables.len());
    let tenant_tables = live.tables.values().filter(|facts| facts.has_tenant);
    assert_eq!(
        tenant_tables.filter(|facts| facts.enabled && facts.forced && facts.policies.len() == 2).count(),
        18
    );
}

#[test]
fn live_database_that_was_changed_by_hand_is_found() {
    let mut client = superuser();
    Runner::default().run(&mut client).unwrap();
    client
        .batch_execute(
            "CREATE TABLE read_model.by_hand (tenant_id uuid);
             CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.other (id int);
             DROP TABLE public.outbox;
             ALTER TABLE read_model.owners NO FORCE ROW LEVEL SECURITY;
             DROP POLICY owner ON read_model.tenants;
             CREATE POLICY leak ON read_model.tenants FOR SELECT USING (true);
             ALTER TABLE public.rate_limits ADD FOREIGN KEY (tenant_id) REFERENCES read_model.tenants;
             CREATE SCHEMA read_model_shadow_1; CREATE TABLE read_model_shadow_1.owners (id int);",
        )
        .unwrap();
    let live = Catalog::read(&mut client).unwrap();
    let findings = audit(&embedded_files(), &Manifest::embedded(), Some(&live));
    let found = codes_and_subjects(&findings);
    for expected in [
        "unclassified_table read_model.by_hand",
        "unclassified_table elsewhere.other",
        "class_without_table outbox",
        "row_security_missing read_model.owners",
        "row_security_missing read_model.tenants",
        "unexpected_policy read_model.tenants",
        "cross_schema_foreign_key public.rate_limits",
        "not_in_database public.outbox",
        "not_in_files elsewhere.other",
    ] {
        assert!(found.iter().any(|finding| finding == expected), "{expected}: {found:#?}");
    }
    assert!(!found.iter().any(|finding| finding.contains("shadow")), "{found:#?}");
}

#[test]
fn files_that_are_not_applied_yet_are_found() {
    let mut client = superuser();
    Runner::new(MIGRATIONS[..3].to_vec()).run(&mut client).unwrap();
    let live = Catalog::read(&mut client).unwrap();
    let findings = audit(&embedded_files(), &Manifest::embedded(), Some(&live));
    let pending = findings.iter().filter(|finding| matches!(finding, Finding::NotInDatabase { .. })).count();
    assert_eq!(pending, 11);
    let missing =
        |finding: &&Finding| matches!(finding, Finding::ClassWithoutTable { source: Source::Live, .. });
    assert_eq!(findings.iter().filter(missing).count(), 11);
}

//! What others hang on the read model, found in a real catalog.

mod support;

use support::{refusal, superuser, unique};
use trstctl_migrations::Runner;

fn additions(client: &mut postgres::Client) -> Vec<String> {
    let rehearsal = Runner::default().rehearse(client).map_err(refusal).unwrap();
    rehearsal.additions.iter().map(ToString::to_string).collect()
}

#[test]
fn nothing_hangs_on_a_model_of_ours_alone() {
    let mut client = superuser();
    assert_eq!(additions(&mut client), [""; 0]);
    Runner::default().run(&mut client).unwrap();
    assert_eq!(additions(&mut client), [""; 0]);
    // Damage is no addition.
    let damage =
        "DROP TABLE read_model.ca_crls; ALTER TABLE read_model.owners ALTER email TYPE varchar(9), DROP kind;
                  DROP POLICY owner ON read_model.owners; DROP INDEX read_model.identities_owner";
    client.batch_execute(damage).unwrap();
    assert_eq!(additions(&mut client), [""; 0]);
    // Nor are rights of the owner, whoever owns the tables now.
    let restored =
        "ALTER TABLE read_model.issuers OWNER TO postgres; GRANT ALL ON read_model.issuers TO trstctl_owner;
                    GRANT ALL ON SCHEMA read_model TO trstctl_owner";
    client.batch_execute(restored).unwrap();
    assert_eq!(additions(&mut client), [""; 0]);
    // What only looks at the tables from far is none.
    let far = "CREATE VIEW mine AS SELECT 1 AS one; CREATE TABLE t (id uuid); CREATE PUBLICATION everything FOR ALL TABLES;
               CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM read_model.owners'";
    client.batch_execute(far).unwrap();
    assert_eq!(additions(&mut client), [""; 0]);
}

#[test]
fn whatever_others_add_is_named() {
    let mut client = superuser();
    Runner::default().run(&mut client).unwrap();
    let reader = unique("reader");
    client.batch_execute(&format!("CREATE ROLE {reader}")).unwrap();
    let cases = [
        ("CREATE VIEW public.v AS SELECT * FROM read_model.owners", "view public.v"),
        ("CREATE VIEW read_model.inner_view AS SELECT * FROM read_model.owners", "view inner_view"),
        ("CREATE MATERIALIZED VIEW public.m AS SELECT * FROM read_model.owners", "view public.m"),
        ("CREATE TABLE read_model.notes (note text)", "table notes"),
        ("ALTER TABLE read_model.owners ADD COLUMN nickname text", "column nickname of owners"),
        ("CREATE INDEX by_name ON read_model.owners (name)", "index by_name"),
        (
            "ALTER TABLE read_model.owners ADD CONSTRAINT named CHECK (name <> '')",
            "constraint named on owners",
        ),
        (
            "CREATE TABLE public.mine (t uuid, o uuid,
               CONSTRAINT to_owner FOREIGN KEY (t, o) REFERENCES read_model.owners)",
            "constraint to_owner on table public.mine",
        ),
        ("CREATE POLICY auditors ON read_model.owners USING (true)", "policy auditors on owners"),
        (
            "CREATE FUNCTION public.tell() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
             CREATE TRIGGER told AFTER INSERT ON read_model.owners EXECUTE FUNCTION public.tell()",
            "trigger told on owners",
        ),
        ("CREATE RULE quiet AS ON UPDATE TO read_model.owners DO ALSO NOTHING", "rule quiet on owners"),
        ("CREATE STATISTICS read_model.more ON kind, name FROM read_model.owners", "statistics more"),
        ("CREATE PUBLICATION few FOR TABLE read_model.owners", "publication few of owners"),
        ("CREATE PUBLICATION whole FOR TABLES IN SCHEMA read_model", "publication whole of the schema"),
        (
            "CREATE FUNCTION public.first_name(read_model.issuers) RETURNS text LANGUAGE sql AS 'SELECT $1.name'",
            "function public.first_name(read_model.issuers)",
        ),
        (
            "CREATE FUNCTION public.many() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM read_model.owners; END",
            "function public.many()",
        ),
        ("CREATE FUNCTION read_model.one() RETURNS int LANGUAGE sql AS 'SELECT 1'", "function one()"),
        ("CREATE TYPE read_model.mood AS ENUM ('good')", "type mood"),
        (
            "ALTER DEFAULT PRIVILEGES FOR ROLE trstctl_owner IN SCHEMA read_model GRANT SELECT ON TABLES TO READER",
            "default right of SELECT for READER",
        ),
        ("GRANT SELECT ON read_model.owners TO READER", "grant of SELECT to READER on owners"),
        ("GRANT SELECT (name) ON read_model.owners TO READER", "grant of SELECT to READER on owners.name"),
        ("GRANT SELECT ON read_model.tenants TO PUBLIC", "grant of SELECT to PUBLIC on tenants"),
        ("GRANT USAGE ON SCHEMA read_model TO READER", "grant of USAGE to READER on the schema"),
    ];
    let mut known: Vec<String> = Vec::new();
    for (sql, expected) in cases {
        client.batch_execute(&sql.replace("READER", &reader)).unwrap();
        let expected = expected.replace("READER", &reader);
        let found = additions(&mut client);
        let new: Vec<&String> = found.iter().filter(|name| !known.contains(name)).collect();
        assert!(new.contains(&&expected), "{sql}: {new:?}");
        assert!(!found.contains(&"column note of notes".to_owned()), "its table is named");
        assert!(known.iter().all(|name| found.contains(name)), "{known:?} {found:?}");
        known = found;
    }
}

#[test]
fn rights_that_new_tables_get_by_themselves_are_no_addition() {
    let mut client = superuser();
    Runner::default().run(&mut client).unwrap();
    let reader = unique("reader");
    let sql = format!(
        "CREATE ROLE {reader}; ALTER DEFAULT PRIVILEGES FOR ROLE trstctl_owner GRANT SELECT ON TABLES TO {reader};
         GRANT SELECT ON ALL TABLES IN SCHEMA read_model TO {reader}"
    );
    client.batch_execute(&sql).unwrap();
    assert_eq!(additions(&mut client), [""; 0]);
}

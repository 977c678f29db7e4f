//! The two roles: made where the login may, proven before anything trusts what it sees.
//!
//! A wrong role meets an empty table instead of an error (trap 7), so whoever exports, rebuilds or audits first proves
//! the owner's policy on every tenant table. And a login must not inherit either role: a forgotten SET ROLE has to be
//! "permission denied", not every tenant's rows.

use std::fmt;

use postgres::{Client, GenericClient};

use crate::files::create_schema_sql;
use crate::{APP_ROLE, Error, OWNER_ROLE, PUBLIC, READ_MODEL};

/// Tenant tables (with their schema) of the schemas in `$1` on which the owner's policy is not the one that shows every
/// row. Empty is the proof. Needs no right but to connect.
pub const TABLES_WITHOUT_OWNER_POLICY: &str = "
    SELECT n.nspname || '.' || c.relname
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY($1) AND c.relkind IN ('r', 'p')
      AND EXISTS (SELECT FROM pg_attribute a
                  WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped)
      AND NOT EXISTS (SELECT FROM pg_policy p
                      WHERE p.polrelid = c.oid AND p.polpermissive AND p.polcmd = '*'
                        AND p.polroles = ARRAY(SELECT oid FROM pg_roles WHERE rolname = 'trstctl_owner')
                        AND pg_get_expr(p.polqual, c.oid) = 'true'
                        AND pg_get_expr(p.polwithcheck, c.oid) = 'true')
    ORDER BY 1";

/// Becomes the owner for the rest of the session.
pub const BECOME_OWNER: &str = "SET ROLE trstctl_owner";

/// The refusal for tables that [`TABLES_WITHOUT_OWNER_POLICY`] names.
pub fn owner_not_proven(tables: &[String]) -> Error {
    Error::refused(
        "the role cannot be trusted to see every row",
        format!("no policy shows all rows to {OWNER_ROLE} on {}", tables.join(", ")),
        "Run the pending migrations; for tables of read_model, `trstctl-dr rebuild` makes them anew; then `trstctl-dr manifest audit --database` must find nothing.",
    )
}

/// The refusal for a session that is not the owner after SET ROLE.
pub fn not_the_owner(current_user: &str) -> Error {
    Error::refused(
        "the role cannot be trusted to see every row",
        format!("this session acts as {current_user}, not as {OWNER_ROLE}"),
        format!("Grant the login the right to SET ROLE {OWNER_ROLE}."),
    )
}

/// Becomes the owner and proves it for both schemas, on a synchronous session.
pub fn become_owner(client: &mut Client) -> Result<(), Error> {
    become_owner_of(client, &[PUBLIC, READ_MODEL])
}

/// Becomes the owner, and proves that it sees every row of the tables of these schemas.
pub fn become_owner_of(client: &mut impl GenericClient, schemas: &[&str]) -> Result<(), Error> {
    let failed = |error| Error::from_statement("cannot become the owner role", &error);
    client.batch_execute(BECOME_OWNER).map_err(failed)?;
    let user: String = client.query_one("SELECT current_user::text", &[]).map_err(failed)?.get(0);
    if user != OWNER_ROLE {
        return Err(not_the_owner(&user));
    }
    let rows = client.query(TABLES_WITHOUT_OWNER_POLICY, &[&schemas]).map_err(failed)?;
    let tables: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    if tables.is_empty() { Ok(()) } else { Err(owner_not_proven(&tables)) }
}

/// A login that has a role's rights without SET ROLE.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InheritingLogin {
    /// The login.
    pub login: String,
    /// The role.
    pub role: String,
    /// It is a superuser, which no grant can bind.
    pub superuser: bool,
    /// The server's `server_version_num`.
    pub server_version: i32,
}

impl InheritingLogin {
    /// The statement that mends it.
    pub fn remedy(&self) -> String {
        let (login, role) = (quote(&self.login), &self.role);
        if self.superuser {
            "Use a login that is no superuser: CREATE ROLE trstctl LOGIN NOINHERIT; GRANT trstctl_owner, trstctl_app TO trstctl;".into()
        } else if self.server_version >= 160_000 {
            format!("Run: GRANT {role} TO {login} WITH INHERIT FALSE, SET TRUE;")
        } else {
            format!("Run: ALTER ROLE {login} NOINHERIT;")
        }
    }
}

impl fmt::Display for InheritingLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = if self.superuser { " (it is a superuser)" } else { "" };
        write!(
            f,
            "login {} has the rights of {} without SET ROLE{why}: a forgotten SET ROLE shows every tenant's rows",
            self.login, self.role
        )
    }
}

/// Logins that inherit one of the roles; of superusers only the one that asks, since every cluster has one.
pub fn inheriting_logins(client: &mut Client) -> Result<Vec<InheritingLogin>, Error> {
    let rows = client.query(
        "SELECT l.rolname::text, r.rolname::text, l.rolsuper, current_setting('server_version_num')::int
         FROM pg_roles l, pg_roles r
         WHERE r.rolname IN ('trstctl_owner', 'trstctl_app') AND l.rolcanlogin
           AND pg_has_role(l.oid, r.oid, 'USAGE') AND (NOT l.rolsuper OR l.rolname = session_user)
         ORDER BY 1, 2",
        &[],
    );
    let rows = rows.map_err(|error| Error::from_statement("the roles cannot be read", &error))?;
    let logins = rows.iter().map(|row| InheritingLogin {
        login: row.get(0),
        role: row.get(1),
        superuser: row.get(2),
        server_version: row.get(3),
    });
    Ok(logins.collect())
}

/// What this database still lacks before a migration can run, as statements in the order to run them.
pub(crate) fn missing(client: &mut impl GenericClient) -> Result<Vec<String>, Error> {
    let state = State::read(client)
        .map_err(|error| Error::from_statement("roles and schemas cannot be read", &error))?;
    match state.read_model_is_foreign() {
        true => Err(Error::refused(
            "this database belongs to something else",
            format!(
                "it has a schema {READ_MODEL} with tables that are not {OWNER_ROLE}'s, and none of our migrations"
            ),
            "Look at the DSN; make a database for the control plane alone.",
        )),
        false => Ok(state.statements()),
    }
}

struct State {
    version: i32,
    login: String,
    database: String,
    owner_exists: bool,
    app_exists: bool,
    may_set_owner: bool,
    may_set_app: bool,
    owner_may_create_schemas: bool,
    owner_may_make_temporary: bool,
    owner_has_public: bool,
    app_uses_public: bool,
    read_model_exists: bool,
    read_model_is_owners: bool,
    read_model_is_used: bool,
    is_known: bool,
}

impl State {
    fn read(client: &mut impl GenericClient) -> Result<Self, postgres::Error> {
        // SET exists from 16 on; before, whoever is a member may SET ROLE.
        let row = client.query_one(
            "WITH v AS (SELECT current_setting('server_version_num')::int AS num),
                  o AS (SELECT oid FROM pg_roles WHERE rolname = 'trstctl_owner'),
                  a AS (SELECT oid FROM pg_roles WHERE rolname = 'trstctl_app')
             SELECT num, session_user::text, current_database()::text,
                    EXISTS (SELECT FROM o), EXISTS (SELECT FROM a),
                    COALESCE((SELECT pg_has_role(session_user, oid,
                                     CASE WHEN num >= 160000 THEN 'SET' ELSE 'MEMBER' END) FROM o), false),
                    COALESCE((SELECT pg_has_role(session_user, oid,
                                     CASE WHEN num >= 160000 THEN 'SET' ELSE 'MEMBER' END) FROM a), false),
                    COALESCE((SELECT has_database_privilege(oid, current_database(), 'CREATE') FROM o), false),
                    COALESCE((SELECT has_database_privilege(oid, current_database(), 'TEMPORARY') FROM o),
                             has_database_privilege('public', current_database(), 'TEMPORARY')),
                    COALESCE((SELECT has_schema_privilege(oid, 'public', 'CREATE')
                                 AND has_schema_privilege(oid, 'public', 'USAGE') FROM o), false),
                    COALESCE((SELECT has_schema_privilege(oid, 'public', 'USAGE') FROM a),
                             has_schema_privilege('public', 'public', 'USAGE')),
                    EXISTS (SELECT FROM pg_namespace WHERE nspname = 'read_model'),
                    EXISTS (SELECT FROM pg_namespace WHERE nspname = 'read_model'
                                                       AND pg_get_userbyid(nspowner) = 'trstctl_owner'),
                    EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                            WHERE nspname = 'read_model'),
                    EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                            JOIN pg_attribute a ON a.attrelid = c.oid
                            WHERE nspname = 'public' AND relname = 'schema_migrations' AND attname = 'sha256')
             FROM v",
            &[],
        )?;
        Ok(Self {
            version: row.get(0),
            login: row.get(1),
            database: row.get(2),
            owner_exists: row.get(3),
            app_exists: row.get(4),
            may_set_owner: row.get(5),
            may_set_app: row.get(6),
            owner_may_create_schemas: row.get(7),
            owner_may_make_temporary: row.get(8),
            owner_has_public: row.get(9),
            app_uses_public: row.get(10),
            read_model_exists: row.get(11),
            read_model_is_owners: row.get(12),
            read_model_is_used: row.get(13),
            is_known: row.get(14),
        })
    }

    /// Somebody's schema of this name, in a database that has never been ours. One that was ours may have lost its owner in
    /// somebody's hands, and is taken back.
    fn read_model_is_foreign(&self) -> bool {
        self.read_model_exists && !self.read_model_is_owners && self.read_model_is_used && !self.is_known
    }

    fn statements(&self) -> Vec<String> {
        let (login, database) = (quote(&self.login), quote(&self.database));
        let how = if self.version >= 160_000 { " WITH INHERIT FALSE, SET TRUE" } else { "" };
        let mut statements = Vec::new();
        let mut need = |needed: bool, statement: String| {
            if needed {
                statements.push(statement);
            }
        };
        need(!self.owner_exists, create_role(OWNER_ROLE));
        need(!self.app_exists, create_role(APP_ROLE));
        need(!self.may_set_owner, format!("GRANT {OWNER_ROLE} TO {login}{how}"));
        need(!self.may_set_app, format!("GRANT {APP_ROLE} TO {login}{how}"));
        need(!self.owner_may_create_schemas, format!("GRANT CREATE ON DATABASE {database} TO {OWNER_ROLE}"));
        need(
            !self.owner_may_make_temporary,
            format!("GRANT TEMPORARY ON DATABASE {database} TO {OWNER_ROLE}"),
        );
        need(!self.owner_has_public, grant_public());
        need(
            !self.app_uses_public,
            format!("SET ROLE pg_database_owner; GRANT USAGE ON SCHEMA public TO {APP_ROLE}; RESET ROLE"),
        );
        need(
            !self.read_model_exists,
            format!("SET ROLE {OWNER_ROLE}; {} RESET ROLE", create_schema_sql(READ_MODEL)),
        );
        // Only its owner may rename it, which is how a rebuild replaces it.
        need(
            self.read_model_exists && !self.read_model_is_owners,
            format!("ALTER SCHEMA {READ_MODEL} OWNER TO {OWNER_ROLE}"),
        );
        statements
    }
}

/// Not ownership: a login that is NOINHERIT has the right to grant on `public` only as `pg_database_owner`, which can
/// give nothing away but grants (tried on 15).
fn grant_public() -> String {
    format!("SET ROLE pg_database_owner; GRANT USAGE, CREATE ON SCHEMA public TO {OWNER_ROLE}; RESET ROLE")
}

/// Two runs at once, in two databases of one server, may both try: who comes second finds the role made.
fn create_role(role: &str) -> String {
    format!(
        "DO $$ BEGIN CREATE ROLE {role} NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
    )
}

/// An identifier in quotes.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

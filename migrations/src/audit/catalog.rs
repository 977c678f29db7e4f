//! What a live database holds, read from its catalog in one transaction.

use postgres::Client;

use super::facts::{Policy, Reach, TableFacts, TableName, Tables};
use crate::{Error, RETIRED_PREFIX, SHADOW_PREFIX, roles};

/// A live database, as far as the audit is concerned.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// Its tables, without PostgreSQL's own, those of extensions, partitions, and the schemas of a running rebuild.
    pub tables: Tables,
    /// Logins that inherit one of the two roles.
    pub inheriting: Vec<roles::InheritingLogin>,
}

/// Ordinary, partitioned and foreign tables that somebody made.
const TABLES: &str = "
    SELECT c.oid, n.nspname, c.relname, c.relrowsecurity, c.relforcerowsecurity,
           EXISTS (SELECT FROM pg_attribute a
                   WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition AND c.relpersistence <> 't'
      AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
      AND NOT starts_with(n.nspname::text, $1) AND NOT starts_with(n.nspname::text, $2)
      AND NOT EXISTS (SELECT FROM pg_depend d
                      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY 2, 3";

const POLICIES: &str = "
    SELECT p.polrelid, p.polname,
           ARRAY(SELECT COALESCE(r.rolname, 'public') FROM unnest(p.polroles) AS u(id)
                 LEFT JOIN pg_roles r ON r.oid = u.id)::text[],
           p.polpermissive AND p.polcmd = '*',
           pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)
    FROM pg_policy p ORDER BY p.polname";

const FOREIGN_KEYS: &str = "
    SELECT k.conrelid, n.nspname, c.relname
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.confrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE k.contype = 'f'";

impl Catalog {
    /// Reads it.
    pub fn read(client: &mut Client) -> Result<Self, Error> {
        Ok(Self {
            tables: tables(client)
                .map_err(|error| Error::from_statement("the catalog cannot be read", &error))?,
            inheriting: roles::inheriting_logins(client)?,
        })
    }
}

fn tables(client: &mut Client) -> Result<Tables, postgres::Error> {
    let mut transaction = client
        .build_transaction()
        .isolation_level(postgres::IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()?;
    let mut by_oid = std::collections::BTreeMap::new();
    for row in transaction.query(TABLES, &[&SHADOW_PREFIX, &RETIRED_PREFIX])? {
        let oid: u32 = row.get(0);
        let name = TableName::new(row.get::<_, String>(1), row.get::<_, String>(2));
        let facts = TableFacts {
            seen_in: "the live catalog".into(),
            enabled: row.get(3),
            forced: row.get(4),
            has_tenant: row.get(5),
            ..TableFacts::default()
        };
        by_oid.insert(oid, (name, facts));
    }
    for row in transaction.query(POLICIES, &[])? {
        if let Some((_, facts)) = by_oid.get_mut(&row.get::<_, u32>(0)) {
            facts.policies.push(policy(&row));
        }
    }
    for row in transaction.query(FOREIGN_KEYS, &[])? {
        if let Some((_, facts)) = by_oid.get_mut(&row.get::<_, u32>(0)) {
            facts.references.insert(TableName::new(row.get::<_, String>(1), row.get::<_, String>(2)));
        }
    }
    transaction.commit()?;
    Ok(by_oid.into_values().collect())
}

fn policy(row: &postgres::Row) -> Policy {
    let plain: bool = row.get(3);
    let (using, check): (Option<&str>, Option<&str>) = (row.get(4), row.get(5));
    let reach = if plain { Reach::of(using, check) } else { Reach::Other };
    Policy { name: row.get(1), roles: row.get(2), reach }
}

//! What others have hung on the read model: views, grants, keys, indexes and the like. A rebuild makes the schema anew, and
//! they would go with the old one.
//!
//! The live schema is compared with one that was just made from the same files, by the names of what is in them: what was
//! changed is damage, which a rebuild mends; what is there besides is somebody's.

use std::collections::BTreeSet;
use std::fmt;

use postgres::GenericClient;

use crate::files::{Phase, create_schema_sql, phase_sql};
use crate::{Error, READ_MODEL};

/// A schema that is made to compare with, and taken back.
const REFERENCE: &str = "read_model_reference";

/// Something that a rebuild would lose.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Addition(String);

impl fmt::Display for Addition {
    /// What it is and its name: `view public.v`, `grant of SELECT to grafana on certificates`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is in the schema `$1`, by kind and name.
const CONTENTS: &str = "
    WITH s AS (SELECT oid, nspacl, nspowner FROM pg_namespace WHERE nspname = $1),
         o AS (SELECT oid FROM pg_roles WHERE rolname = 'trstctl_owner'),
         r AS (SELECT c.* FROM pg_class c JOIN s ON c.relnamespace = s.oid
               -- Not what a REINDEX CONCURRENTLY makes or has left.
               WHERE NOT EXISTS (SELECT FROM pg_index i WHERE i.indexrelid = c.oid AND NOT i.indisvalid))
    SELECT CASE relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' WHEN 'S' THEN 'sequence '
                        WHEN 'i' THEN 'index ' WHEN 'I' THEN 'index ' WHEN 'f' THEN 'foreign table '
                        WHEN 'c' THEN 'type ' ELSE 'table ' END || relname
    FROM r
    UNION SELECT format('column %s of %s', a.attname, relname)
    FROM pg_attribute a JOIN r ON a.attrelid = r.oid
    WHERE relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
    UNION SELECT format('constraint %s on %s', conname, relname) FROM pg_constraint JOIN r ON conrelid = r.oid
    UNION SELECT format('trigger %s on %s', tgname, relname)
    FROM pg_trigger JOIN r ON tgrelid = r.oid WHERE NOT tgisinternal
    UNION SELECT format('policy %s on %s', polname, relname) FROM pg_policy JOIN r ON polrelid = r.oid
    UNION SELECT format('rule %s on %s', rulename, relname)
    FROM pg_rewrite JOIN r ON ev_class = r.oid WHERE rulename <> '_RETURN'
    UNION SELECT format('statistics %s', stxname) FROM pg_statistic_ext JOIN r ON stxrelid = r.oid
    UNION SELECT format('function %s(%s)', proname, pg_get_function_identity_arguments(p.oid))
    FROM pg_proc p JOIN s ON pronamespace = s.oid
    UNION SELECT format('type %s', typname)
    FROM pg_type JOIN s ON typnamespace = s.oid WHERE typtype IN ('d', 'e', 'r')
    UNION SELECT format('publication %s of %s', pubname, relname)
    FROM pg_publication p JOIN pg_publication_rel m ON m.prpubid = p.oid JOIN r ON m.prrelid = r.oid
    UNION SELECT format('publication %s of the schema', pubname)
    FROM pg_publication p JOIN pg_publication_namespace m ON m.pnpubid = p.oid JOIN s ON m.pnnspid = s.oid
    UNION SELECT format('grant of %s to %s on %s', a.privilege_type, grantee(a.grantee), relname)
    FROM r, aclexplode(relacl) a WHERE a.grantee NOT IN (relowner, (SELECT oid FROM o))
    UNION SELECT format('grant of %s to %s on %s.%s', a.privilege_type, grantee(a.grantee), relname, attname)
    FROM pg_attribute t JOIN r ON t.attrelid = r.oid, aclexplode(attacl) a
    WHERE NOT t.attisdropped AND a.grantee NOT IN (relowner, (SELECT oid FROM o))
    UNION SELECT format('grant of %s to %s on the schema', a.privilege_type, grantee(a.grantee))
    FROM s, aclexplode(nspacl) a WHERE a.grantee NOT IN (nspowner, (SELECT oid FROM o))
    UNION SELECT format('default right of %s for %s', a.privilege_type, grantee(a.grantee))
    FROM pg_default_acl d JOIN s ON d.defaclnamespace = s.oid, aclexplode(defaclacl) a";

/// What is elsewhere and needs something in the schema `$1`.
const DEPENDENTS: &str = "
    WITH s AS (SELECT oid FROM pg_namespace WHERE nspname = $1),
         needed AS (SELECT 'pg_class'::regclass AS class, c.oid FROM pg_class c JOIN s ON relnamespace = s.oid
                    UNION ALL
                    SELECT 'pg_type'::regclass, t.oid FROM pg_type t JOIN s ON typnamespace = s.oid)
    SELECT DISTINCT COALESCE(view.what, pg_describe_object(d.classid, d.objid, 0))
    FROM pg_depend d JOIN needed ON d.refclassid = needed.class AND d.refobjid = needed.oid
    LEFT JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
    LEFT JOIN LATERAL (SELECT format('view %s.%s', nspname, relname) AS what
                       FROM pg_class v JOIN pg_namespace n ON n.oid = v.relnamespace
                       WHERE v.oid = w.ev_class AND w.rulename = '_RETURN') view ON true
    LEFT JOIN pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
    LEFT JOIN pg_policy p ON d.classid = 'pg_policy'::regclass AND p.oid = d.objid
    LEFT JOIN pg_trigger t ON d.classid = 'pg_trigger'::regclass AND t.oid = d.objid
    LEFT JOIN pg_attrdef v ON d.classid = 'pg_attrdef'::regclass AND v.oid = d.objid
    LEFT JOIN pg_proc f ON d.classid = 'pg_proc'::regclass AND f.oid = d.objid
    LEFT JOIN pg_class c ON c.oid = CASE WHEN d.classid = 'pg_class'::regclass THEN d.objid
        ELSE COALESCE(w.ev_class, k.conrelid, p.polrelid, t.tgrelid, v.adrelid) END
    WHERE d.deptype = 'n' AND COALESCE(c.relnamespace, f.pronamespace) <> (SELECT oid FROM s)";

/// What a rebuild would lose. To be asked as the owner, in a transaction that is taken back.
pub(crate) fn additions(transaction: &mut impl GenericClient) -> Result<Vec<Addition>, Error> {
    list(transaction)
        .map_err(|error| Error::from_statement("what hangs on the read model cannot be listed", &error))
}

fn list(transaction: &mut impl GenericClient) -> Result<Vec<Addition>, postgres::Error> {
    transaction.batch_execute(&create_schema_sql(REFERENCE))?;
    for phase in [Phase::Tables, Phase::Keys, Phase::Access] {
        transaction.batch_execute(&phase_sql(REFERENCE, phase))?;
    }
    let expected = names(transaction, &contents(), REFERENCE)?;
    let found = names(transaction, &contents(), READ_MODEL)?;
    let mut additions: BTreeSet<_> = found.difference(&expected).cloned().collect();
    additions.extend(names(transaction, DEPENDENTS, READ_MODEL)?);
    Ok(in_order(&additions))
}

/// What holds data or is used by others comes first, rights last; a table's columns go without saying.
fn in_order(additions: &BTreeSet<String>) -> Vec<Addition> {
    let of_a_table = |name: &str| {
        let table = name.strip_prefix("column ").and_then(|column| column.rsplit_once(" of "));
        table.is_some_and(|(_, table)| additions.contains(&format!("table {table}")))
    };
    let is_right = |name: &&String| name.starts_with("grant of ") || name.starts_with("default right of ");
    let (rights, things): (Vec<_>, Vec<_>) =
        additions.iter().filter(|name| !of_a_table(name)).partition(is_right);
    things.into_iter().chain(rights).cloned().map(Addition).collect()
}

fn contents() -> String {
    // Role 0 is everybody.
    let grantee = "COALESCE((SELECT rolname FROM pg_roles WHERE oid = a.grantee), 'PUBLIC')";
    CONTENTS.replace("grantee(a.grantee)", grantee)
}

fn names(
    client: &mut impl GenericClient,
    sql: &str,
    schema: &str,
) -> Result<BTreeSet<String>, postgres::Error> {
    // What was dropped a moment ago has no name any more.
    Ok(client.query(sql, &[&schema])?.iter().filter_map(|row| row.get(0)).collect())
}

//! What the audit knows of a table, whether it read that in SQL text or in a live catalog.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A table's schema and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// The schema.
    pub schema: String,
    /// The name.
    pub table: String,
}

impl TableName {
    /// A name in a schema.
    pub fn new(schema: impl Into<String>, table: impl Into<String>) -> Self {
        Self { schema: schema.into(), table: table.into() }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

/// One row-level security policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// Whom it is for; `public` is everybody.
    pub roles: Vec<String>,
    /// What it lets through.
    pub reach: Reach,
}

/// What a policy lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Every row, to read and to write.
    Everything,
    /// The rows of the tenant that the session names, to read and to write.
    OwnTenant,
    /// Something else.
    Other,
}

impl Reach {
    /// Judges by the policy's expressions; without a check, the first serves for both.
    pub(super) fn of(using: Option<&str>, check: Option<&str>) -> Self {
        match (one_expression(using), check.map_or(one_expression(using), |text| one_expression(Some(text))))
        {
            (using, check) if using == check => using,
            _ => Reach::Other,
        }
    }
}

fn one_expression(text: Option<&str>) -> Reach {
    match text.map(normal_form).as_deref() {
        Some("true") => Reach::Everything,
        Some("tenant_id=nullifcurrent_setting'trstctl.tenant_id',true,''::uuid") => Reach::OwnTenant,
        _ => Reach::Other,
    }
}

/// Without blanks, parentheses and the casts that the catalog adds to constants.
fn normal_form(text: &str) -> String {
    let bare: String = text.chars().filter(|c| !c.is_whitespace() && !"()".contains(*c)).collect();
    bare.to_lowercase().replace("::text", "")
}

/// What is known of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableFacts {
    /// Where it was seen first: a file, or the live catalog.
    pub seen_in: String,
    /// It has a column `tenant_id`.
    pub has_tenant: bool,
    /// Row-level security is enabled.
    pub enabled: bool,
    /// It binds the owner too.
    pub forced: bool,
    /// Its policies.
    pub policies: Vec<Policy>,
    /// Tables that its foreign keys point to.
    pub references: BTreeSet<TableName>,
}

/// All tables of a source.
pub type Tables = BTreeMap<TableName, TableFacts>;

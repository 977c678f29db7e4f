//! The two roles, and the proof that the owner sees every row: a wrong role meets an empty table instead of an error (trap 7).

use postgres::Client;
use trstctl_migrations::{PUBLIC, READ_MODEL, Runner, roles};

use super::Check;

/// Roles, schemas and grants that a rebuild needs.
pub(super) fn missing(client: &mut Client) -> Check {
    let name = "roles";
    match Runner::default().missing_roles(client) {
        Ok(statements) if statements.is_empty() => Check::ok(name, "both roles, both schemas, all grants"),
        Ok(statements) => Check::problem(
            name,
            format!("{} missing", crate::words::plural(statements.len() as u64, "role, schema or grant")),
            format!("As an administrator run: {};", statements.join("; ")),
        ),
        Err(error) => Check::failed(name, &error.into()),
    }
}

/// Becomes the owner for the checks that follow, and proves that it sees every row.
pub(super) fn row_security(client: &mut Client) -> Check {
    let name = "row-level security";
    match roles::become_owner_of(client, &[PUBLIC, READ_MODEL]) {
        Ok(()) => Check::ok(name, "the owner role sees every row of every tenant table"),
        Err(error) => {
            let failure = trstctl_formats::Failure::from(error);
            let found = format!("this login might see empty tables without an error: {}", failure.message);
            Check::problem(name, found, failure.hint)
        }
    }
}

/// Logins that need no SET ROLE to see every tenant's rows.
pub(super) fn inherited(client: &mut Client) -> Check {
    let name = "inherited roles";
    match roles::inheriting_logins(client) {
        Ok(logins) if logins.is_empty() => Check::ok(name, "no login has a role's rights without SET ROLE"),
        Ok(logins) => {
            let mut told: Vec<String> = logins.iter().map(ToString::to_string).collect();
            let mut remedies: Vec<String> = logins.iter().map(|login| login.remedy()).collect();
            told.dedup();
            remedies.dedup();
            Check::warning(name, told.join("; "), remedies.join(" "))
        }
        Err(error) => Check::failed(name, &error.into()),
    }
}

//! The database's disk: what a power loss may cost, and whether a rebuild has room beside the read model that is there.

use std::fs;
use std::path::Path;

use postgres::Client;
use rustix::fs::statvfs;
use trstctl_migrations::READ_MODEL;

use super::Check;
use crate::words;

/// Most seconds between what the server says of its start and what it wrote down.
const SAME_START_S: u64 = 5;
/// Line of `postmaster.pid` that says when its server was started.
const START_LINE: usize = 2;

/// Settings of the server that keep what was committed, and what it costs to switch one off.
pub(super) fn power_loss(client: &mut Client) -> Result<Check, postgres::Error> {
    let name = "database power loss";
    let sql = "SELECT name, setting FROM pg_settings
        WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off' ORDER BY name";
    let off: Vec<String> = client.query(sql, &[])?.iter().map(|row| row.get(0)).collect();
    let rest = "the read model comes back from the log, the tables of public do not";
    let settings: Vec<_> = off.iter().map(|name| format!("{name} = on")).collect();
    let to_do = format!("Set {} in postgresql.conf.", settings.join(", "));
    Ok(match off.as_slice() {
        [] => Check::ok(name, "fsync, full_page_writes and synchronous_commit keep what was committed"),
        [only] if only == "synchronous_commit" => {
            Check::warning(name, format!("may cost the last commits ({only} is off): {rest}"), to_do)
        }
        off => {
            let found = format!("may destroy the database (off: {}): {rest}", off.join(", "));
            Check::warning(name, found, to_do)
        }
    })
}

/// A rebuild fills a second read model beside the first.
pub(super) fn space(client: &mut Client) -> Result<Check, postgres::Error> {
    let name = "database space";
    let sql = "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind = 'r'";
    let len_bytes: i64 = client.query_one(sql, &[&READ_MODEL])?.get(0);
    let Some(len_bytes) = u64::try_from(len_bytes).ok().filter(|len_bytes| *len_bytes > 0) else {
        return Ok(Check::not_checked(name, "there is no read model yet"));
    };
    let needs =
        format!("a rebuild takes about as much as the read model, {}, beside it", words::bytes(len_bytes));
    match free_bytes(client)? {
        Some(free_bytes) => Ok(judge(name, len_bytes, free_bytes, &needs)),
        None => Ok(Check::not_checked(name, format!("{needs}; what is free is not seen from here"))),
    }
}

/// What is free where the data lies; `None` unless that is a folder of this host which this user may look into.
fn free_bytes(client: &mut Client) -> Result<Option<u64>, postgres::Error> {
    // Its place is told to superusers and monitors only.
    let sql = "SELECT setting, extract(epoch FROM pg_postmaster_start_time())::bigint
        FROM pg_settings WHERE name = 'data_directory'";
    let Some(row) = client.query_opt(sql, &[])? else { return Ok(None) };
    let (folder, started): (String, i64) = (row.get(0), row.get(1));
    let folder = Path::new(&folder);
    // Another server's folder may have the same name here.
    let is_its = fs::read_to_string(folder.join("postmaster.pid"))
        .ok()
        .and_then(|text| text.lines().nth(START_LINE)?.trim().parse().ok())
        .is_some_and(|noted: i64| noted.abs_diff(started) <= SAME_START_S);
    let disk = is_its.then(|| statvfs(folder).ok()).flatten();
    Ok(disk.map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)))
}

fn judge(name: &'static str, needed_bytes: u64, free_bytes: u64, needs: &str) -> Check {
    let found = format!("{} free; {needs}", words::bytes(free_bytes));
    match free_bytes {
        _ if free_bytes < needed_bytes => Check::problem(name, found, "Make room: a rebuild fails."),
        _ if free_bytes / 2 < needed_bytes => Check::warning(name, found, "Make room while there is time."),
        _ => Check::ok(name, found),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn room_for_a_second_read_model_is_demanded_and_for_two_advised() {
        let state = |needed, free| judge("", needed, free, "").state;
        assert_eq!(state(100, 200), State::Ok);
        assert_eq!(state(100, 199), State::Warning);
        assert_eq!(state(100, 99), State::Problem);
        assert_eq!(state(0, 0), State::Ok);
    }
}

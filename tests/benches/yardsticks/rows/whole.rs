//! Whole processes, from start to end, over as many events as the Go implementation was measured with (`bars.md` of the
//! specification): at least thirty times as fast.

use trstctl_tests::{Run, Site};

use super::{bare, log};
use crate::figures::{Figures, Unit, seconds};
use crate::row::{Reach, Row};
use crate::setting::Setting;

const EVENTS: u64 = 200_000;
const TIMES: f64 = 30.0;

/// Seconds that the Go implementation took, on another machine than this one.
const BACKUP: f64 = 32.2;
const RESTORE: f64 = 140.0;
const REBUILD: f64 = 143.0;

/// Backup, restore with rebuild into nothing, rebuild.
pub fn seconds_of_each(setting: &Setting) -> Vec<Row> {
    let mut site = Site::start();
    site.seed(log::history(EVENTS));
    let timed = |site: &Site, arguments: &[&str]| {
        seconds(|| {
            let run = Run::of(&mut site.command(arguments));
            assert!(matches!(run.code, Some(0 | 1)), "{}", run.stderr);
        })
    };
    let [mut backup, mut restore, mut rebuild] = [const { Vec::new() }; 3];
    for _ in 0..setting.rounds {
        backup.push(timed(&site, &["backup", "--force", "--new-history", "again", "--output", "a.jsonl"]));
        site.block_on(bare::delete(&site.nats.url()));
        site.lose_database();
        restore.push(timed(&site, &["restore", "--rebuild", "a.jsonl"]));
        rebuild.push(timed(&site, &["rebuild"]));
    }
    vec![
        row("backup", BACKUP, backup),
        row("restore --rebuild", RESTORE, restore),
        row("rebuild", REBUILD, rebuild),
    ]
}

fn row(what: &str, go: f64, values: Vec<f64>) -> Row {
    Row {
        name: String::new(),
        what: format!("{what}, whole process, 200,000 events (Go, elsewhere: {go} s)"),
        yardstick: None,
        ours: Figures { unit: Unit::Seconds, values },
        reach: Reach::AtMost(go / TIMES),
        limit: String::from(
            "as of the rows of one million events, and the start of a process; PostgreSQL without fsync.",
        ),
    }
}

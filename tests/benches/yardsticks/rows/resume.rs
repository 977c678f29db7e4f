//! A restore that was killed half-way, and the same command again: against the whole restore undisturbed.

use std::time::Duration;

use trstctl_tests::{Running, Site};

use super::{bare, log};
use crate::figures::{Figures, Unit, seconds};
use crate::row::{Reach, Row, Yardstick};
use crate::setting::Setting;

const ROUNDS: usize = 3;

/// By archive with rebuild: nothing is half-done, so the second run is a whole one.
pub fn archive(setting: &Setting) -> Vec<Row> {
    vec![resumed(setting, "resume of restore --rebuild", &["restore", "--rebuild", "a.jsonl"], 1.0)]
}

/// By publishing: goes on where it was.
pub fn publish(setting: &Setting) -> Vec<Row> {
    vec![resumed(setting, "resume of publishing", &["restore", "--method", "publish", "a.jsonl"], 0.65)]
}

fn resumed(setting: &Setting, what: &str, arguments: &[&str], times: f64) -> Row {
    let mut site = Site::start();
    site.seed(log::history(setting.events));
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    let (mut whole, mut again) = (Vec::new(), Vec::new());
    for round in 0..=setting.rounds.min(ROUNDS) {
        forget(&mut site);
        let undisturbed = seconds(|| runs(&site, arguments));
        forget(&mut site);
        let mut half = Running::start(&mut site.command(arguments));
        half.run_for(Duration::from_secs_f64(undisturbed / 2.0));
        half.kill_9();
        let second = seconds(|| runs(&site, arguments));
        if round > 0 {
            whole.push(undisturbed);
            again.push(second);
        }
    }
    Row {
        name: String::new(),
        what: format!("{what} after kill -9 at half"),
        yardstick: Some(Yardstick {
            name: String::from("the whole, undisturbed"),
            figures: Figures { unit: Unit::Seconds, values: whole },
        }),
        ours: Figures { unit: Unit::Seconds, values: again },
        reach: Reach::AtMostTimes(times),
        limit: String::from("what the killed run had not done yet, and looking at what it had."),
    }
}

/// An empty log, and an empty database.
fn forget(site: &mut Site) {
    site.block_on(bare::delete(&site.nats.url()));
    site.lose_database();
}

/// Findings are no failure: publishing keeps no store times.
fn runs(site: &Site, arguments: &[&str]) {
    let run = site.dr(arguments);
    assert!(matches!(run.code, Some(0 | 1)), "{}", run.stderr);
}

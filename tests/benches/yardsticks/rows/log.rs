//! Backup, restore and read-back against bare clients of the same server with the same messages.

use std::time::Duration;

use serde_json::Value;
use trstctl_engines::{NatsCluster, NatsOptions};
use trstctl_formats::StoredMessage;
use trstctl_ledger::history::{Gaps, History, HistoryOptions, Odd};
use trstctl_tests::{Run, Site, seed_at};

use super::{bare, child, slow_link};
use crate::figures::{Figures, Unit, alternate, seconds};
use crate::row::{Reach, Row, Yardstick};
use crate::setting::Setting;

/// Rounds of the rows that write whole logs.
const MOST_ROUNDS: usize = 3;

/// Most memory of backup and restore, of a log of any size.
const MEMORY: f64 = 96.0 * 1024.0 * 1024.0;

/// A row before it is measured.
struct Promise {
    what: &'static str,
    yardstick: &'static str,
    times: f64,
    limit: &'static str,
}

const PULL: &str = "bare pull consumer";
const PUBLISH: &str = "windowed publish";
const BACKUP: Promise = Promise {
    what: "backup",
    yardstick: PULL,
    times: 0.8,
    limit: "the server's delivery, which shares the cores with our hashing and writing.",
};
const ARCHIVE: Promise = Promise {
    what: "restore by archive",
    yardstick: PUBLISH,
    times: 2.0,
    limit: "the server unpacking the archive; its synthesis alone is faster.",
};
const ARCHIVE_ON_THREE: Promise = Promise { what: "restore by archive, 3 replicas", times: 3.0, ..ARCHIVE };
const READ_BACK: Promise =
    Promise { what: "read-back with root", yardstick: PULL, times: 0.8, limit: "the server's delivery." };
const PUBLISHING: Promise = Promise {
    what: "restore by publishing",
    yardstick: PUBLISH,
    times: 0.8,
    limit: "the server storing and acknowledging one message after the other.",
};

const PUBLISHING_OVER_LATENCY: Promise = Promise {
    what: "restore by publishing, 1 ms further away",
    yardstick: "one at a time",
    times: 40.0,
    limit: "the server storing and acknowledging one message after the other.",
};
/// What a message takes longer to the server.
const LATENCY: Duration = Duration::from_millis(1);
/// Messages that are published one at a time, which takes seconds.
const ONE_AT_A_TIME: usize = 2_000;

impl Promise {
    fn row(&self, events: u64, (theirs, ours): (Figures, Figures)) -> Row {
        Row {
            name: String::new(),
            what: format!("{}, {:.1} M events", self.what, events as f64 / 1e6),
            yardstick: Some(Yardstick { name: self.yardstick.to_owned(), figures: theirs }),
            ours,
            reach: Reach::AtLeastTimes(self.times),
            limit: self.limit.to_owned(),
        }
    }
}

/// A history that any way of restoring keeps: events only, no gaps.
pub fn history(events: u64) -> History {
    let options = HistoryOptions { odd: Odd::None, gaps: Gaps::None, ..HistoryOptions::default() };
    History::with_options(7, events, options)
}

/// The whole process: start, reading, digests, tree, writing and flushing the file.
pub fn backup(setting: &Setting) -> Vec<Row> {
    let site = Site::start();
    site.seed(history(setting.events));
    let url = site.nats.url();
    let pull = || site.block_on(bare::pull(&url, setting.events));
    let ours = || {
        let mut command = site.command(&["backup", "--output", "a.jsonl"]);
        let rate = setting.events as f64 / seconds(|| drop(Run::of(&mut command).succeed()));
        // To free the room of an old backup is no part of making a new one.
        for file in ["a.jsonl", "a.jsonl.head"] {
            std::fs::remove_file(site.path(file)).expect("the backup and its head are there");
        }
        rate
    };
    let pair = alternate(Unit::EventsPerSecond, setting.rounds, pull, ours);
    vec![BACKUP.row(setting.events, pair)]
}

/// Of a tenth of the events, and of all of them.
pub fn memory(setting: &Setting) -> Vec<Row> {
    let row = |what: &str, events: u64, bytes: f64| Row {
        name: String::new(),
        what: format!("memory of {what}, {:.1} M events", events as f64 / 1e6),
        yardstick: None,
        ours: Figures::once(Unit::Bytes, bytes),
        reach: Reach::AtMost(MEMORY),
        limit: String::from("batches under way between reading, hashing and writing."),
    };
    let peaks = |events: u64| {
        let mut site = Site::start();
        site.seed(history(events));
        let backup = child::peak_bytes(&mut site.command(&["backup", "--json", "--output", "a.jsonl"]));
        site.lose_log(NatsOptions::default());
        let restore = child::peak_bytes(&mut site.command(&["restore", "--json", "a.jsonl"]));
        [row("backup", events, backup), row("restore by archive", events, restore)]
    };
    [setting.events / 10, setting.events].into_iter().flat_map(peaks).collect()
}

/// One server: archive, read-back, publishing.
pub fn restore(setting: &Setting) -> Vec<Row> {
    let site = Site::start();
    site.seed(history(setting.events));
    let url = site.nats.url();
    let [archive, read_back, publish] = Measured::of(setting, &site, &url, 1).pairs();
    let events = setting.events;
    vec![ARCHIVE.row(events, archive), READ_BACK.row(events, read_back), PUBLISHING.row(events, publish)]
}

/// Over a link that takes a millisecond longer: who waits for each answer pays it for each message.
pub fn publish_over_latency(setting: &Setting) -> Vec<Row> {
    let site = Site::start();
    let events = setting.events / 5;
    site.seed(history(events));
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    let messages: Vec<StoredMessage> = history(events).stored().take(ONE_AT_A_TIME).collect();
    let (direct, port) = (site.nats.url(), slow_link::before(site.nats.port(), LATENCY));
    let (server, _) = direct.rsplit_once(':').expect("a URL with a port");
    let url = format!("{server}:{port}");
    site.block_on(bare::delete(&direct));
    let one_at_a_time = || site.block_on(bare::publish(&url, 1, 1, &messages));
    let ours = || {
        let report = on(&site, &url, 1, &["restore", "--json", "--method", "publish", "a.jsonl"]);
        site.block_on(bare::delete(&direct));
        rate(&report, "write the log")
    };
    let pair = alternate(Unit::EventsPerSecond, setting.rounds, one_at_a_time, ours);
    vec![PUBLISHING_OVER_LATENCY.row(events, pair)]
}

/// Three servers on this machine, three replicas.
pub fn restore_on_three(setting: &Setting) -> Vec<Row> {
    let site = Site::start();
    let cluster = NatsCluster::start(3).expect("three servers start");
    let url = cluster.url();
    site.block_on(seed_at(&url, 3, history(setting.events)));
    let [archive, ..] = Measured::of(setting, &site, &url, 3).pairs();
    vec![ARCHIVE_ON_THREE.row(setting.events, archive)]
}

/// Rates of each round.
#[derive(Default)]
struct Measured {
    bare_publish: Vec<f64>,
    bare_pull: Vec<f64>,
    archive: Vec<f64>,
    read_back: Vec<f64>,
    publish: Vec<f64>,
}

impl Measured {
    /// Takes over a log that is there, backs it up, and restores it again and again; a first round is not counted.
    fn of(setting: &Setting, site: &Site, url: &str, replicas: u32) -> Self {
        let dr = |arguments: &[&str]| on(site, url, replicas, arguments);
        dr(&["backup", "--output", "a.jsonl"]);
        let messages: Vec<StoredMessage> = history(setting.events).stored().collect();
        let mut measured = Self::default();
        for round in 0..=setting.rounds.min(MOST_ROUNDS) {
            let mut this = Self::default();
            site.block_on(bare::delete(url));
            this.bare_publish.push(site.block_on(bare::publish(url, replicas, bare::WINDOW, &messages)));
            let report = dr(&["restore", "--json", "a.jsonl"]);
            this.archive.push(rate(&report, "write the log"));
            this.read_back.push(rate(&report, "read back, compare"));
            this.bare_pull.push(site.block_on(bare::pull(url, setting.events)));
            site.block_on(bare::delete(url));
            let report = dr(&["restore", "--json", "--method", "publish", "a.jsonl"]);
            this.publish.push(rate(&report, "write the log"));
            if round > 0 {
                measured.add(this);
            }
        }
        measured
    }

    fn add(&mut self, other: Self) {
        self.bare_publish.extend(other.bare_publish);
        self.bare_pull.extend(other.bare_pull);
        self.archive.extend(other.archive);
        self.read_back.extend(other.read_back);
        self.publish.extend(other.publish);
    }

    /// Yardstick and ours of archive, read-back, and publishing.
    fn pairs(self) -> [(Figures, Figures); 3] {
        let figures = |values: Vec<f64>| Figures { unit: Unit::EventsPerSecond, values };
        let publish = figures(self.bare_publish);
        [
            (publish.clone(), figures(self.archive)),
            (figures(self.bare_pull), figures(self.read_back)),
            (publish, figures(self.publish)),
        ]
    }
}

/// The program with the site's settings and the log at `url`. Publishing that keeps no store times ends with findings.
fn on(site: &Site, url: &str, replicas: u32, arguments: &[&str]) -> Value {
    let mut command = site.command(arguments);
    command.env("TRSTCTL_NATS_URL", url).env("TRSTCTL_NATS_REPLICAS", replicas.to_string());
    let run = Run::of(&mut command);
    assert!(matches!(run.code, Some(0 | 1)), "{arguments:?}: {}", run.stderr);
    if arguments.contains(&"--json") { run.json() } else { Value::Null }
}

/// Units a second of a phase of the report.
pub fn rate(report: &Value, phase: &str) -> f64 {
    let phases = report["phases"].as_array().expect("a report lists its phases");
    let found = phases.iter().find(|found| found["name"] == phase).expect("the phase is there");
    let number = |key: &str| found[key].as_f64().expect("a phase has figures");
    number("count") / (number("elapsed_ms") / 1000.0)
}

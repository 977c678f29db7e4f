//! Faults on the way to the servers, in each phase of each command: it either ends with what it would have made without
//! the fault, or with a class and code, nothing half-done, and the same command then goes on to that end.
//!
//! The table in docs/faults.md is what these tests demand.

use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use trstctl_engines::{
    Version, {NatsOptions, Postgres},
};
use trstctl_ledger::history::{Gaps, History, HistoryOptions};
use trstctl_ledger::log::{JetStreamLog, STREAM, StreamConfig};
use trstctl_ledger::wire::{ConnectOptions, Connection};
use trstctl_tests::{
    Action, Fault, Pick, Proxy, Run, Running, Site, Speech, cases, is_whole, records, records_without_times,
    trailer,
};

const EVENTS: u64 = 3_000;
/// Subjects of the log.
const LOG: &str = "events.";
/// Where the chunks of an archive go.
const CHUNKS: &str = "$JS.SNAPSHOT.RESTORE.";
/// Longer than every wait of the commands, the patience of a cluster left out.
const BOUND: Duration = Duration::from_secs(150);
const CLASSES: [(&str, i32); 5] =
    [("unreachable", 8), ("refused", 8), ("no_stream", 8), ("readback_differs", 4), ("internal", 10)];

/// What is under way when the fault comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Backup,
    Restore,
    Publish,
    Rebuild,
}

/// A site whose log is known, and proxies before its servers.
struct Bench {
    site: Site,
    nats: Proxy,
    postgres: Proxy,
    phase: Phase,
    whole: Vec<Value>,
    digests: Value,
}

impl Bench {
    fn of(phase: Phase) -> Self {
        let site = Site::start();
        let gaps = if phase == Phase::Publish { Gaps::None } else { Gaps::default() };
        site.seed(History::with_options(51, EVENTS, HistoryOptions { gaps, ..HistoryOptions::default() }));
        site.dr(&["backup", "--output", "a.jsonl"]).succeed();
        site.dr(&["rebuild"]);
        let nats = Proxy::before(site.nats.port(), Speech::Nats);
        let postgres = Proxy::before(Postgres::shared().port(), Speech::Bytes);
        let (whole, digests) = (records_without_times(&site.path("a.jsonl")), site.digests());
        Self { site, nats, postgres, phase, whole, digests }
    }

    /// The command, by way of the proxies.
    fn command(&self) -> Command {
        let arguments: &[&str] = match self.phase {
            Phase::Backup => &["backup", "--output", "b.jsonl"],
            Phase::Restore => &["restore", "a.jsonl"],
            Phase::Publish => &["restore", "--method", "publish", "a.jsonl"],
            Phase::Rebuild => &["rebuild"],
        };
        self.command_of(arguments)
    }

    fn command_of(&self, arguments: &[&str]) -> Command {
        let mut command = self.site.command(arguments);
        let (_, database) = self.site.dsn().rsplit_once("dbname=").unwrap();
        let direct = Postgres::shared().tcp_dsn(database).unwrap();
        let by_proxy = direct.replace(
            &format!("port={}", Postgres::shared().port()),
            &format!("port={}", self.postgres.port()),
        );
        command.env("TRSTCTL_NATS_URL", self.nats.url(&self.site.nats.url()));
        command.env("TRSTCTL_POSTGRES_DSN", format!("{by_proxy} sslmode=disable"));
        command
    }

    /// The target as it is before the command.
    fn prepare(&mut self) {
        match self.phase {
            Phase::Backup => {
                let _ = std::fs::remove_file(self.site.path("b.jsonl"));
            }
            Phase::Restore | Phase::Publish => {
                self.site.lose_log(NatsOptions::default());
                self.nats.lead_to(self.site.nats.port());
            }
            Phase::Rebuild => {}
        }
        self.nats.heal();
        self.postgres.heal();
    }

    #[track_caller]
    fn assert_whole(&self) {
        let site = &self.site;
        if self.phase == Phase::Rebuild {
            return assert_eq!(site.digests(), self.digests);
        }
        if self.phase != Phase::Backup {
            // Published, the same events have other store times: another history.
            site.dr(&["backup", "--force", "--new-history", "a test", "--output", "b.jsonl"]).succeed();
        }
        site.dr(&["verify", "b.jsonl"]).succeed();
        if self.phase == Phase::Publish {
            return assert_eq!(records_without_times(&site.path("b.jsonl")), self.whole);
        }
        assert_eq!(records(&site.path("a.jsonl")), records(&site.path("b.jsonl")));
        assert_eq!(trailer(&site.path("a.jsonl")), trailer(&site.path("b.jsonl")));
    }

    #[track_caller]
    fn assert_nothing_half_done(&self) {
        match self.phase {
            Phase::Backup => {
                assert!(!self.site.path("b.jsonl").exists());
                assert_eq!(self.site.partial_files(), Vec::<String>::new());
            }
            Phase::Restore | Phase::Publish => self.site.assert_log_is_not_taken_for_another(&self.whole),
            Phase::Rebuild => assert_eq!(self.site.digests(), self.digests),
        }
    }

    #[track_caller]
    fn assert_same_command_goes_on(&self) {
        let again = Run::of(&mut self.command());
        assert!(matches!(again.code, Some(0 | 1)), "{}", again.stderr);
        self.assert_whole();
    }

    /// Runs the command with these faults, and answers `done` or the class that it ended with.
    #[track_caller]
    fn outcome(&mut self, name: &str, faults: &[Fault]) -> String {
        self.outcome_if_it_comes(name, faults).unwrap_or_else(|| panic!("{name}: the fault never came"))
    }

    /// The same; `None` when there was nothing to do the faults to.
    #[track_caller]
    fn outcome_if_it_comes(&mut self, name: &str, faults: &[Fault]) -> Option<String> {
        self.prepare();
        for fault in faults {
            match fault.pick {
                Pick::Byte(_) => self.postgres.arm(fault.clone()),
                _ => self.nats.arm(fault.clone()),
            }
        }
        let start = Instant::now();
        let run = Running::start(&mut self.command()).end();
        if self.nats.done() + self.postgres.done() == 0 {
            assert_eq!(outcome_of(&run), "done", "{name}: {}", run.stderr);
            return None;
        }
        assert!(start.elapsed() < BOUND, "{name}: took {:?}", start.elapsed());
        let outcome = outcome_of(&run);
        println!("| {:?} | {name} | {outcome} | {:?}", self.phase, start.elapsed());
        if outcome == "done" {
            self.assert_whole();
        } else {
            println!(
                "    {}",
                run.stderr
                    .lines()
                    .skip_while(|line| !CLASSES.iter().any(|(class, _)| line.starts_with(class)))
                    .collect::<Vec<_>>()
                    .join("\n    ")
            );
            self.assert_nothing_half_done();
            self.nats.heal();
            self.postgres.heal();
            self.assert_same_command_goes_on();
        }
        Some(outcome)
    }

    /// The same, and it must be one of these outcomes.
    #[track_caller]
    fn demand(&mut self, name: &str, fault: Fault, expected: &[&str]) {
        let outcome = self.outcome(name, &[fault]);
        assert!(expected.contains(&outcome.as_str()), "{:?}, {name}: {outcome}", self.phase);
    }
}

/// `done`, or the class; its exit code must be the documented one.
#[track_caller]
fn outcome_of(run: &Run) -> String {
    if matches!(run.code, Some(0 | 1)) {
        return "done".to_owned();
    }
    let (class, code) = CLASSES
        .into_iter()
        .find(|(class, _)| run.has_class(class))
        .unwrap_or_else(|| panic!("no class: {:?} {}", run.code, run.stderr));
    assert_eq!(run.code, Some(code), "{}", run.stderr);
    class.to_owned()
}

/// Long enough to be noticed, and below every deadline.
fn hold_back() -> Action {
    Action::Delay(Duration::from_millis(cases(700, 2_500)))
}

/// What a reading survives, or ends with: nothing that a network does makes another log of it.
fn reading(bench: &mut Bench) {
    let at = |number| Pick::Message(LOG, number);
    bench.demand("cut", Fault::to_client(at(1_500), Action::Cut), &["done"]);
    bench.demand("cut at the last message", Fault::to_client(at(2_900), Action::Cut), &["done"]);
    bench.demand("held back", Fault::to_client(at(700), hold_back()), &["done"]);
    bench.demand("message lost", Fault::to_client(at(1_500), Action::Drop), &["done"]);
    bench.demand("message doubled", Fault::to_client(at(1_500), Action::Double), &["done"]);
    bench.demand("messages swapped", Fault::to_client(at(1_500), Action::Swap), &["done"]);
    if is_whole() || bench.phase == Phase::Backup {
        let middle = Pick::Sequence(sequence_in_the_middle(bench));
        bench.demand("sequence lost each time", Fault::to_client(middle, Action::Drop), &["refused"]);
    }
    if is_whole() {
        bench.demand("cut for good", Fault::to_client(at(1_500), Action::CutForGood), &["unreachable"]);
        bench.demand("stalled", Fault::to_client(at(1_500), Action::Stall), &["done"]);
        bench.demand(
            "nothing passes any more",
            Fault::to_client(at(1_500), Action::Freeze),
            &["unreachable"],
        );
    }
}

/// A sequence that the log holds.
fn sequence_in_the_middle(bench: &Bench) -> u64 {
    bench.whole[bench.whole.len() / 2]["seq"].as_u64().expect("a record has a sequence")
}

#[test]
fn backup_over_a_faulty_network_is_whole_or_absent() {
    let mut bench = Bench::of(Phase::Backup);
    reading(&mut bench);
}

#[test]
fn rebuild_over_a_faulty_network_is_whole_or_changes_nothing() {
    let mut bench = Bench::of(Phase::Rebuild);
    reading(&mut bench);
}

#[test]
fn read_back_over_a_faulty_network_proves_the_log_or_keeps_its_mark() {
    let mut bench = Bench::of(Phase::Restore);
    reading(&mut bench);
}

#[test]
fn archive_over_a_faulty_network_arrives_whole_or_is_not_taken_for_the_log() {
    let mut bench = Bench::of(Phase::Restore);
    let at = |number| Pick::Message(CHUNKS, number);
    for number in cases(vec![3], vec![1, 3, 6]) {
        let place = |what: &str| format!("chunk {number} {what}");
        bench.demand(&place("cut"), Fault::to_server(at(number), Action::Cut), &["unreachable"]);
        bench.demand(&place("held back"), Fault::to_server(at(number), hold_back()), &["done"]);
        bench.demand(&place("doubled"), Fault::to_server(at(number), Action::Double), &["refused"]);
        bench.demand(&place("swapped"), Fault::to_server(at(number), Action::Swap), &["refused"]);
        bench.demand(
            &place("flipped"),
            Fault::to_server(at(number), Action::Flip),
            &["refused", "readback_differs"],
        );
        if is_whole() {
            bench.demand(
                &place("lost"),
                Fault::to_server(at(number), Action::Drop),
                &["refused", "unreachable"],
            );
            bench.demand(&place("stalled"), Fault::to_server(at(number), Action::Stall), &["unreachable"]);
            bench.demand(
                &place("cut for good"),
                Fault::to_server(at(number), Action::CutForGood),
                &["unreachable"],
            );
        }
    }
    let answer = |number| Pick::AnswerTo(CHUNKS, number);
    bench.demand("answer to a chunk cut", Fault::to_client(answer(2), Action::Cut), &["unreachable"]);
    bench.demand(
        "server gives up",
        Fault::to_client(answer(2), Action::Say("{\"error\":{\"code\":500}}")),
        &["refused"],
    );
    if is_whole() {
        bench.demand("answer to a chunk lost", Fault::to_client(answer(2), Action::Drop), &["unreachable"]);
    }
    let first = Pick::AnswerTo("STREAM.RESTORE", 1);
    bench.demand("first answer cut", Fault::to_client(first.clone(), Action::Cut), &["unreachable"]);
    bench.demand("first answer is no JSON", Fault::to_client(first, Action::Say("yes")), &["refused"]);
}

/// What the commands ask the server besides messages and chunks.
const QUESTIONS: [&str; 9] = [
    "API.INFO",
    "STREAM.NAMES",
    "STREAM.INFO",
    "STREAM.CREATE",
    "STREAM.RESTORE",
    "STREAM.UPDATE",
    "STREAM.MSG.GET",
    "CONSUMER.CREATE",
    "CONSUMER.DELETE",
];

/// Does this to the answer to each question of the command, one run each.
#[track_caller]
fn each_question(phase: Phase, action: &Action, expected: &[&str]) {
    let mut bench = Bench::of(phase);
    let mut met = 0;
    for question in QUESTIONS {
        // In the short form, the first of its kind; a step that asks again and again is not followed further.
        for number in 1..=cases(1, 12) {
            let fault = Fault::to_client(Pick::AnswerTo(question, number), action.clone());
            let name = format!("answer {number} to {question}: {action:?}");
            let Some(outcome) = bench.outcome_if_it_comes(&name, &[fault]) else { break };
            assert!(expected.contains(&outcome.as_str()), "{phase:?}, {name}: {outcome}");
            met += 1;
        }
    }
    assert!(met >= 2, "{phase:?}: {met} questions");
}

#[test]
fn archive_restore_whose_questions_are_cut_off_goes_on() {
    each_question(Phase::Restore, &Action::Cut, &["done", "unreachable"]);
}

#[test]
fn publishing_restore_whose_questions_are_cut_off_goes_on() {
    each_question(Phase::Publish, &Action::Cut, &["done", "unreachable"]);
}

#[test]
fn backup_whose_questions_are_cut_off_goes_on() {
    each_question(Phase::Backup, &Action::Cut, &["done", "unreachable"]);
}

/// Each waits as long as for a server that is busy.
#[test]
fn commands_whose_questions_are_not_answered_go_on() {
    let phases = [Phase::Backup, Phase::Restore, Phase::Publish, Phase::Rebuild];
    let actions = [Action::Drop, Action::Stall, Action::Freeze];
    for phase in &phases[..cases(1, phases.len())] {
        for action in &actions[..cases(1, actions.len())] {
            each_question(*phase, action, &["done", "unreachable", "refused"]);
        }
    }
}

#[test]
fn subjects_of_a_log_that_was_never_written_are_moved_back_when_its_removal_fails() {
    let mut site = Site::start();
    site.seed(History::new(52, 50));
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    site.lose_log(NatsOptions::default());
    let url = site.nats.url();
    let connect = async || Connection::connect(&ConnectOptions::new(&url)).await.unwrap();
    // As a run that was killed leaves it.
    let config = StreamConfig::new(STREAM, format!("trstctl-restore.moved-aside.{STREAM}"), 1);
    let log = site.block_on(async { JetStreamLog::create(connect().await, &config).await }).unwrap();
    let proxy = Proxy::before(site.nats.port(), Speech::Nats);
    proxy.arm(Fault::to_client(Pick::AnswerTo("STREAM.UPDATE", 1), Action::Cut));
    let mut restore = site.command(&["restore", "a.jsonl"]);
    Run::of(restore.env("TRSTCTL_NATS_URL", proxy.url(&url))).fail(8, "unreachable");
    assert_eq!(proxy.done(), 1);
    assert_eq!(site.block_on(log.info()).unwrap().config["subjects"], json!(["events.>"]));
    Run::of(&mut restore).succeed();
}

#[test]
fn publishing_over_a_faulty_network_goes_on_where_it_was() {
    let mut bench = Bench::of(Phase::Publish);
    let at = |number| Pick::Message(LOG, number);
    bench.demand("cut", Fault::to_server(at(1_500), Action::Cut), &["unreachable"]);
    bench.demand("held back", Fault::to_server(at(1_500), hold_back()), &["done"]);
    bench.demand("message doubled", Fault::to_server(at(1_500), Action::Double), &["refused"]);
    bench.demand(
        "messages swapped",
        Fault::to_server(at(1_500), Action::Swap),
        &["refused", "readback_differs"],
    );
    bench.demand("message flipped", Fault::to_server(at(1_500), Action::Flip), &["readback_differs"]);
    bench.demand("message lost", Fault::to_server(at(1_500), Action::Drop), &["refused"]);
    let acknowledgement = Pick::AnswerTo(LOG, 1_000);
    bench.demand(
        "acknowledgement cut",
        Fault::to_client(acknowledgement.clone(), Action::Cut),
        &["unreachable"],
    );
    if is_whole() {
        bench.demand(
            "acknowledgement lost",
            Fault::to_client(acknowledgement, Action::Drop),
            &["unreachable"],
        );
        bench.demand("stalled", Fault::to_server(at(1_500), Action::Stall), &["unreachable"]);
        bench.demand("cut for good", Fault::to_server(at(1_500), Action::CutForGood), &["unreachable"]);
    }
}

#[test]
fn rebuild_over_a_faulty_connection_to_the_database_changes_nothing() {
    let mut bench = Bench::of(Phase::Rebuild);
    for byte in cases(vec![500, 300_000], vec![1, 50, 500, 5_000, 20_000, 100_000, 300_000, 600_000]) {
        let place = |what: &str| format!("byte {byte} to the database {what}");
        bench.demand(&place("cut"), Fault::to_server(Pick::Byte(byte), Action::Cut), &["unreachable"]);
        bench.demand(
            &place("cut for good"),
            Fault::to_server(Pick::Byte(byte), Action::CutForGood),
            &["unreachable"],
        );
        bench.demand(&place("held back"), Fault::to_server(Pick::Byte(byte), hold_back()), &["done"]);
    }
    for byte in cases(vec![3_000], vec![1, 200, 3_000, 10_000]) {
        let name = format!("byte {byte} from the database cut");
        bench.demand(&name, Fault::to_client(Pick::Byte(byte), Action::Cut), &["unreachable"]);
    }
}

#[test]
fn database_that_answers_no_more_does_not_keep_a_signal_from_ending_the_rebuild() {
    let mut bench = Bench::of(Phase::Rebuild);
    bench.prepare();
    bench.postgres.arm(Fault::to_server(Pick::Byte(300_000), Action::Freeze));
    let mut run = Running::start(&mut bench.command());
    assert!(bench.postgres.wait_until_done());
    run.signal(Signal::INT);
    let start = Instant::now();
    run.end().fail(9, "interrupted");
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    bench.postgres.heal();
    bench.assert_nothing_half_done();
    bench.assert_same_command_goes_on();
}

/// At once, since each takes its minute or two.
#[test]
fn database_that_answers_no_more_ends_the_command_and_changes_nothing() {
    let to_server = |byte, action| Fault::to_server(Pick::Byte(byte), action);
    let [rebuild, diff, repair, restore]: [&[&str]; 4] =
        [&["rebuild"], &["diff"], &["diff", "--repair"], &["restore", "--rebuild", "a.jsonl"]];
    let few = vec![
        (rebuild, to_server(300_000, Action::Freeze)),
        (rebuild, Fault::to_client(Pick::Byte(3_000), Action::Stall)),
        (diff, to_server(5_000, Action::Freeze)),
        (repair, to_server(5_000, Action::Freeze)),
    ];
    let more = vec![
        (rebuild, to_server(1, Action::Freeze)),
        (rebuild, to_server(5_000, Action::Stall)),
        (rebuild, to_server(300_000, Action::Stall)),
        (rebuild, Fault::to_client(Pick::Byte(30_000), Action::Stall)),
        (restore, to_server(3_000, Action::Stall)),
        (restore, to_server(300_000, Action::Freeze)),
        (diff, Fault::to_client(Pick::Byte(30_000), Action::Stall)),
    ];
    let faults = cases(few.clone(), [few, more].concat());
    let begin = |(arguments, fault): (&'static [&str], Fault)| {
        let mut bench = Bench::of(Phase::Rebuild);
        bench.prepare();
        bench.postgres.arm(fault.clone());
        let run = Running::start(&mut bench.command_of(arguments));
        assert!(bench.postgres.wait_until_done(), "{arguments:?} {fault:?}");
        (bench, arguments, fault, run, Instant::now())
    };
    for (bench, arguments, fault, run, start) in faults.into_iter().map(begin).collect::<Vec<_>>() {
        let run = run.end().fail(8, "unreachable");
        println!("| {arguments:?} | {fault:?} | {:?} | {}", start.elapsed(), run.stderr.trim());
        bench.postgres.heal();
        bench.assert_nothing_half_done();
        bench.assert_same_command_goes_on();
    }
}

#[test]
fn doctor_tells_of_a_database_that_answers_no_more_and_checks_the_rest() {
    let mut bench = Bench::of(Phase::Rebuild);
    bench.prepare();
    bench.postgres.arm(Fault::to_server(Pick::Byte(1_000), Action::Freeze));
    let report =
        Running::start(&mut bench.command_of(&["doctor", "--json"])).end().fail(1, "findings").json();
    let state = |name: &str| {
        let checks = report["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == name).unwrap()["state"].clone()
    };
    assert_eq!([state("postgres"), state("quarantine"), state("stream")], ["problem", "not_checked", "ok"]);
}

#[test]
fn server_killed_and_started_again_in_each_phase_costs_at_most_a_second_run() {
    let phases = [
        ("backup, reading", Phase::Backup, Fault::to_client(Pick::Message(LOG, 1_500), Action::Freeze)),
        ("restore, archive", Phase::Restore, Fault::to_server(Pick::Message(CHUNKS, 3), Action::Freeze)),
        ("restore, read-back", Phase::Restore, Fault::to_client(Pick::Message(LOG, 1_500), Action::Freeze)),
        ("restore, publishing", Phase::Publish, Fault::to_server(Pick::Message(LOG, 1_500), Action::Freeze)),
        ("rebuild, reading", Phase::Rebuild, Fault::to_client(Pick::Message(LOG, 1_500), Action::Freeze)),
    ];
    for (name, phase, fault) in phases {
        let mut bench = Bench::of(phase);
        bench.prepare();
        bench.nats.arm(fault);
        let run = Running::start(&mut bench.command());
        assert!(bench.nats.wait_until_done(), "{name}");
        bench.site.nats.kill_9();
        bench.site.nats.restart().unwrap();
        bench.nats.thaw();
        let outcome = outcome_of(&run.end());
        println!("| {name} | server killed | {outcome}");
        match (phase, outcome.as_str()) {
            (_, "done") => bench.assert_whole(),
            // A 2.9 that was killed gives deleted messages back: the log itself is another one.
            (Phase::Backup | Phase::Rebuild, "refused")
                if bench.site.nats.version() < Version::new(2, 10, 0) =>
            {
                bench.assert_nothing_half_done();
            }
            (Phase::Restore | Phase::Publish, "unreachable" | "refused") => {
                bench.assert_nothing_half_done();
                bench.assert_same_command_goes_on();
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// A replica that lags has never had some messages, and says of them that they are not there. Neither is believed while the
/// leader counts them (trap 3).
#[test]
fn not_found_of_a_lagging_replica_is_not_taken_for_deleted() {
    let mut bench = Bench::of(Phase::Backup);
    let sequence = |record: &Value| record["seq"].as_u64().unwrap();
    let newest = bench.whole.last().map(sequence).unwrap();
    // The end of a log that nobody delivers is asked for again and again, for half a minute.
    for missing in cases(vec![sequence_in_the_middle(&bench)], vec![sequence_in_the_middle(&bench), newest]) {
        let hide = Fault::to_client(Pick::Sequence(missing), Action::Hide);
        bench.demand("never delivered", hide.clone(), &["refused"]);
        let not_found = r#"{"error":{"code":404,"err_code":10037,"description":"no message found"}}"#;
        let denied = Fault::to_client(Pick::EveryAnswerTo("MSG.GET"), Action::Say(not_found));
        assert_eq!(bench.outcome("never delivered and not found", &[hide, denied]), "refused");
    }
}

/// TLS is what protects bytes on the way: without it, a backup cannot tell a flipped bit from the log's own bytes. A read-back can,
/// since it knows what to expect.
#[test]
fn bit_flipped_in_the_read_back_is_a_difference() {
    let mut bench = Bench::of(Phase::Restore);
    let flip = Fault::to_client(Pick::Message(LOG, 1_500), Action::Flip);
    bench.demand("message flipped", flip, &["readback_differs"]);
}

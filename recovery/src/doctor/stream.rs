//! The stream of the log: there, whole, with enough replicas that are current, and alone on its subjects.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use trstctl_formats::Failure;
use trstctl_ledger::log::stream::{ELECTION, Lost, StreamInfo, StreamRequests, StreamState};
use trstctl_ledger::log::{LogError, Mark};
use trstctl_ledger::wire::{Connection, ServerVersion, code};

use super::log_server::{ANSWER, time_of};
use super::{Check, Flush, Site};
use crate::words;

/// The server's `sync_interval` where nobody sets it.
const DEFAULT_SYNC: Duration = Duration::from_secs(120);
/// A replica that is behind for so long is told.
const CATCH_UP: Duration = Duration::from_secs(4);
/// It is looked at so often.
const LOOK: Duration = Duration::from_millis(200);
/// Longest name of another stream that is shown.
const SHOWN_STREAMS: usize = 3;

/// What the leader says of the stream, and when it said so.
pub(super) struct Looked {
    pub(super) info: Result<StreamInfo, Failure>,
    /// What it has found damaged since it was started.
    pub(super) lost: Lost,
    pub(super) server_time: Option<Timestamp>,
    pub(super) before: Timestamp,
    pub(super) after: Timestamp,
}

/// While the cluster elects a leader for it, it is looked at again.
pub(super) async fn look(connection: &Connection, site: &Site) -> Looked {
    let end = Instant::now() + ELECTION;
    loop {
        let before = (site.clock)();
        let answer = ask(connection, &site.stream).await;
        let after = (site.clock)();
        let server_time = answer.as_ref().ok().and_then(|answer| time_of(answer.get("ts")?.as_str()?));
        let info = answer.and_then(read);
        // Until the election begins, nobody answers.
        let is_electing = match &info {
            Err(LogError::NoLeader { .. }) => true,
            Err(LogError::Unreachable { .. }) => {
                connection.is_open() && connection.server().cluster.is_some()
            }
            _ => false,
        };
        if is_electing && Instant::now() < end {
            tokio::time::sleep(LOOK).await;
            continue;
        }
        let lost = match &info {
            Ok(_) => look_for_lost(connection, &site.stream).await,
            Err(_) => Lost::default(),
        };
        return Looked { info: info.map_err(Failure::from), lost, server_time, before, after };
    }
}

/// None where the server does not say: a backup asks again.
async fn look_for_lost(connection: &Connection, stream: &str) -> Lost {
    let Ok(requests) = StreamRequests::new(connection, stream) else { return Lost::default() };
    requests.info_with_deleted().await.map(|info| info.state.lost).unwrap_or_default()
}

fn read(answer: Value) -> Result<StreamInfo, LogError> {
    let info: StreamInfo = serde_json::from_value(answer).map_err(|error| LogError::Refused {
        what: "STREAM.INFO".to_owned(),
        reason: format!("what the server says of the stream cannot be read: {error}"),
        hint: "Check that the NATS server's version is supported.".to_owned(),
    })?;
    info.of_leader()
}

/// Looked at again until no replica is behind: where events arrive, one is for a moment, again and again.
pub(super) async fn settled(connection: &Connection, stream: &str, info: &StreamInfo) -> StreamInfo {
    let look = async || ask(connection, stream).await.and_then(read).ok();
    settled_by(look, info.clone(), CATCH_UP).await
}

async fn settled_by(
    look: impl AsyncFn() -> Option<StreamInfo>,
    mut info: StreamInfo,
    within: Duration,
) -> StreamInfo {
    let end = Instant::now() + within;
    while is_behind(&info) && Instant::now() < end {
        tokio::time::sleep(LOOK).await;
        info = look().await.unwrap_or(info);
    }
    info
}

fn is_behind(info: &StreamInfo) -> bool {
    let mut replicas = info.cluster.iter().flat_map(|cluster| &cluster.replicas);
    replicas.any(|replica| !replica.current && !replica.offline)
}

async fn ask(connection: &Connection, stream: &str) -> Result<Value, LogError> {
    let answer = connection.api_get(&format!("STREAM.INFO.{stream}"), ANSWER).await;
    let stream = stream.to_owned();
    answer.map_err(|error| match error.err_code() {
        code::STREAM_NOT_FOUND => LogError::NoStream { stream },
        _ if error.is_leaderless() => LogError::NoLeader { stream },
        _ => error.into(),
    })
}

/// It is there, holds something, and no restore is under way in it.
pub(super) fn existence(looked: &Looked) -> Check {
    let name = "stream";
    let info = match &looked.info {
        Ok(info) => info,
        Err(failure) => return Check::failed(name, failure),
    };
    if let Some((first, _)) = looked.lost.msgs.as_slice().first() {
        let found = format!("the server has found messages damaged, the first at sequence {first}");
        let to_do = "Look at its log and its disk, and take a backup: it says what is missing. Keep the earlier ones.";
        return Check::problem(name, found, to_do);
    }
    let state = info.state.log_state();
    let found = format!(
        "{}, sequences {} to {}, {}",
        words::plural(state.messages, "event"),
        words::count(state.first_sequence),
        words::count(state.last_sequence),
        words::bytes(state.len_bytes)
    );
    if Mark::parse(info.description()).is_some() {
        let to_do =
            "Run the restore that made it again: it compares the stream with its backup and releases it.";
        return Check::problem(name, format!("{found}; a restore made it and has not proven it"), to_do);
    }
    if state.messages == 0 {
        let to_do = "Check TRSTCTL_NATS_URL and the account: an empty log is more often the wrong server than a new one.";
        return Check::problem(name, "it holds no event", to_do);
    }
    Check::ok(name, found)
}

/// As many as the settings ask for, and each of them current.
pub(super) fn replicas(info: &StreamInfo, wanted: &Result<u32, Failure>) -> Check {
    let name = "replicas";
    let wanted = match wanted {
        Ok(wanted) => u64::from(*wanted),
        Err(failure) => return Check::failed(name, failure),
    };
    let has = info.replicas();
    let cluster = info.cluster.clone().unwrap_or_default();
    let behind: Vec<String> = cluster
        .replicas
        .iter()
        .filter_map(|replica| {
            let name = &replica.name;
            match (replica.offline, replica.current) {
                (true, _) => Some(format!("{name} is offline")),
                (_, false) => {
                    Some(format!("{name} is not current, {} behind", words::plural(replica.lag, "operation")))
                }
                _ => None,
            }
        })
        .collect();
    if !behind.is_empty() {
        let to_do =
            "Start or repair these servers: until then the next failure may stop the log, or cost events.";
        return Check::problem(name, format!("{has} replicas: {}", behind.join("; ")), to_do);
    }
    let shown = cluster.replicas.len() as u64 + 1;
    if shown < has {
        let to_do =
            "Start the missing servers, or add new ones: NATS then gives the stream its replicas again.";
        return Check::problem(name, format!("the cluster shows {shown} of {has} replicas"), to_do);
    }
    let found = if has == 1 { "a single one".to_owned() } else { format!("{has}, all current") };
    if has < wanted {
        let to_do = format!(
            "Give the stream {wanted} replicas (`nats stream update --replicas {wanted}`), or set TRSTCTL_NATS_REPLICAS to what is meant."
        );
        return Check::problem(name, format!("{found}; the settings ask for {wanted}"), to_do);
    }
    Check::ok(name, found)
}

/// What a power loss may cost, in plain words.
pub(super) fn power_loss(info: &StreamInfo, server: ServerVersion, flush: Flush) -> Check {
    let name = "power loss";
    if info.replicas() > 1 {
        let found = "of one server: costs nothing. Of all at once: what was not flushed, by default the last 2 minutes";
        return Check::ok(name, found);
    }
    match flush {
        Flush::Always => Check::ok(name, "costs nothing: each event is flushed before it is acknowledged"),
        Flush::Within(span) if span < DEFAULT_SYNC => Check::ok(
            name,
            format!(
                "may cost the events acknowledged in the last {} ({})",
                words::duration(span),
                at_risk(&info.state, span)
            ),
        ),
        Flush::Within(_) | Flush::Unknown => {
            let cost = at_risk(&info.state, DEFAULT_SYNC);
            let found = format!(
                "may cost acknowledged events: one replica, flushed by default every 2 minutes ({cost}); the server does not tell its sync_interval"
            );
            let to_do = match server.is_at_least(2, 10) {
                true => {
                    "Use three replicas, or set sync_interval (1s, or always) in the server's jetstream block."
                }
                false => "Use three replicas; or NATS 2.10 or newer, whose sync_interval can be set.",
            };
            Check::warning(name, found, to_do)
        }
    }
}

/// Events of so long a time, at the log's mean rate.
fn at_risk(state: &StreamState, span: Duration) -> String {
    let times = time_of(&state.first_ts).zip(time_of(&state.last_ts));
    let age = times.map_or(0.0, |(first, last)| last.duration_since(first).as_secs_f64());
    if age < span.as_secs_f64() {
        return format!("up to {}, all that there are", words::plural(state.messages, "event"));
    }
    let events = (state.messages as f64 / age * span.as_secs_f64()).ceil();
    format!("about {} at the log's mean rate, more when it is busy", words::plural(events as u64, "event"))
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Names {
    streams: Option<Vec<String>>,
}

/// No other stream takes the log's subjects: an old server would take the log out of service at its next restart
/// after a restore (trap 36).
pub(super) async fn others(connection: &Connection, stream: &str) -> Check {
    let name = "other streams";
    let answer = connection.api::<Names>("STREAM.NAMES", &json!({"subject": "events.>"}), ANSWER).await;
    let mut names = match answer.map_err(LogError::from) {
        Ok(names) => names.streams.unwrap_or_default(),
        Err(LogError::Refused { reason, .. }) => {
            return Check::not_checked(name, format!("this login may not ask: {reason}"));
        }
        Err(error) => return Check::failed(name, &error.into()),
    };
    names.retain(|other| other != stream);
    if names.is_empty() {
        return Check::ok(name, "none takes the log's subjects");
    }
    let shown: Vec<_> = names.iter().take(SHOWN_STREAMS).map(|name| format!("{name:?}")).collect();
    Check::problem(
        name,
        format!(
            "{} of the subjects events.> too: {}",
            words::plural(names.len() as u64, "other stream"),
            shown.join(", ")
        ),
        "Give that stream other subjects, or remove it if nothing needs it: a restore refuses while it is there.",
    )
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use trstctl_ledger::log::stream::{ClusterInfo, Replica};

    use super::super::State;
    use super::*;

    fn info(replicas: u64, followers: Vec<Replica>) -> StreamInfo {
        let config = json!({"num_replicas": replicas}).as_object().cloned().unwrap_or_default();
        let cluster = Some(ClusterInfo { leader: "a".into(), replicas: followers, ..ClusterInfo::default() });
        StreamInfo { config, cluster, ..StreamInfo::default() }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    fn follower(current: bool, offline: bool) -> Replica {
        Replica { name: "b".into(), current, offline, lag: 7, ..Replica::default() }
    }

    #[test]
    fn replicas_that_are_missing_offline_or_behind_are_problems() {
        let state = |info: &StreamInfo, wanted| replicas(info, &Ok(wanted)).state;
        assert_eq!(state(&info(2, vec![follower(true, false)]), 2), State::Ok);
        assert_eq!(state(&info(2, vec![follower(true, false)]), 3), State::Problem);
        assert_eq!(state(&info(2, vec![follower(true, true)]), 2), State::Problem);
        let behind = replicas(&info(2, vec![follower(false, false)]), &Ok(2));
        assert!(behind.state == State::Problem && behind.found.contains("7 operations"), "{behind:?}");
    }

    #[tokio::test]
    async fn a_replica_that_is_behind_for_a_moment_is_looked_at_again_and_one_that_is_gone_is_not() {
        let looks = Cell::new(0);
        let look = async || {
            looks.set(looks.get() + 1);
            // The second question has no answer.
            (looks.get() != 2).then(|| info(2, vec![follower(looks.get() > 2, false)]))
        };
        let settled = settled_by(look, info(2, vec![follower(false, false)]), MINUTE).await;
        assert_eq!((replicas(&settled, &Ok(2)).state, looks.get()), (State::Ok, 3));
        settled_by(look, info(2, vec![follower(false, true)]), MINUTE).await;
        assert_eq!(looks.get(), 3);
    }

    #[test]
    fn power_loss_is_told_by_replicas_flush_and_version() {
        let check =
            |replicas, flush| power_loss(&info(replicas, vec![]), ServerVersion::parse("2.9.10"), flush);
        assert_eq!(check(3, Flush::Unknown).state, State::Ok);
        assert_eq!(check(1, Flush::Always).state, State::Ok);
        assert_eq!(check(1, Flush::Within(Duration::from_secs(1))).state, State::Ok);
        let unknown = check(1, Flush::Unknown);
        assert!(unknown.state == State::Warning && unknown.to_do.contains("2.10"), "{unknown:?}");
    }

    #[test]
    fn events_at_risk_follow_from_the_mean_rate() {
        let state = |messages, last_ts: &str| StreamState {
            messages,
            first_ts: "2026-01-01T00:00:00Z".into(),
            last_ts: last_ts.into(),
            ..StreamState::default()
        };
        let text = at_risk(&state(7_200, "2026-01-01T02:00:00Z"), DEFAULT_SYNC);
        assert!(text.starts_with("about 120 events"), "{text}");
        assert!(at_risk(&state(5, "2026-01-01T00:00:30Z"), DEFAULT_SYNC).starts_with("up to 5 events"));
    }
}

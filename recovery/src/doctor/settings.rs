//! The settings of the stream against those that the log needs: nothing may delete or limit history.

use serde_json::Value;
use trstctl_ledger::log::StreamConfig;
use trstctl_ledger::log::stream::StreamInfo;

use super::Check;

/// Settings that lose or change history when they are others; the rest costs speed or comfort.
const VITAL: [&str; 14] = [
    "subjects",
    "storage",
    "retention",
    "max_age",
    "max_msgs",
    "max_bytes",
    "max_msgs_per_subject",
    "mirror",
    "sources",
    "subject_transform",
    "allow_rollup_hdrs",
    "allow_msg_ttl",
    "no_ack",
    "sealed",
];

pub(super) fn examine(info: &StreamInfo, stream: &str) -> Check {
    let name = "stream settings";
    let replicas = u32::try_from(info.replicas()).unwrap_or(u32::MAX);
    let differences = StreamConfig::new(stream, "events.>", replicas).differences(&info.config);
    let (vital, minor): (Vec<_>, Vec<_>) =
        differences.iter().partition(|difference| VITAL.contains(&difference.key.as_str()));
    let all: Vec<String> = vital.iter().chain(&minor).map(ToString::to_string).collect();
    if !vital.is_empty() {
        let to_do = "Change the stream back (`nats stream edit`), and find out who changed it: events may be missing already.";
        return Check::problem(name, all.join("; "), to_do);
    }
    let deletable: Vec<_> = ["deny_delete", "deny_purge"]
        .into_iter()
        .filter(|key| info.config.get(*key).and_then(Value::as_bool) != Some(true))
        .collect();
    if !deletable.is_empty() {
        let found = format!("history can be deleted: {} not set{}", deletable.join(" and "), and(&all));
        let to_do = "Streams of the Go implementation are made so. NATS cannot change it later; a restore makes the stream with both.";
        return Check::warning(name, found, to_do);
    }
    if !minor.is_empty() {
        return Check::warning(name, all.join("; "), "Change the stream back (`nats stream edit`).");
    }
    Check::ok(name, "as the log needs them; nothing is pruned")
}

fn and(more: &[String]) -> String {
    if more.is_empty() { String::new() } else { format!("; {}", more.join("; ")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::State;
    use super::*;

    fn with(key: &str, value: Value) -> Check {
        let mut config = StreamConfig::new("S", "events.>", 3).to_json();
        config.insert(key.into(), value);
        examine(&StreamInfo { config, ..StreamInfo::default() }, "S")
    }

    #[test]
    fn what_prunes_history_is_a_problem_and_what_costs_comfort_a_warning() {
        assert_eq!(with("description", json!("x")).state, State::Ok);
        for (key, value) in [
            ("max_age", json!(3_600_000_000_000_u64)),
            ("max_msgs", json!(10)),
            ("storage", json!("memory")),
            ("retention", json!("workqueue")),
            ("subjects", json!(["other.>"])),
            ("allow_msg_ttl", json!(true)),
        ] {
            let check = with(key, value);
            assert!(check.state == State::Problem && check.found.contains(key), "{check:?}");
        }
        assert_eq!(with("deny_purge", json!(false)).state, State::Warning);
        assert_eq!(with("allow_direct", json!(false)).state, State::Warning);
    }
}

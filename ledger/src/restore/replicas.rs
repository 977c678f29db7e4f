//! A restored archive stands on the leader first, and the other replicas fetch it from there. A leader that dies before
//! they have it leaves an empty log behind (seen with nats-server 2.15): so the mark stays until a majority has it.

use std::time::Duration;

use tokio::time::Instant;
use trstctl_formats::{Class, Failure};

use super::Progress;
use super::server::{LiveStream, Server, Sight};
use crate::log::stream::{ClusterInfo, ELECTION, Replica};

/// Longest wait without any replica coming nearer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest wait for a stream that is not shown.
const UNSEEN: Duration = ELECTION;
const POLL: Duration = Duration::from_millis(200);
/// Right after an archive the leader calls a replica current that has nothing yet, and says a moment later how far behind
/// it is: only an answer that lasts counts.
const LOOKS: u32 = 6;
/// The moment may be longer. A replica whose question for the messages came before the leader listened to such asks again after
/// five seconds, and until then there is no word of it (nats-server: monitorStream, streamCatchupStartInterval).
const ASKS_AGAIN: Duration = Duration::from_secs(6);
/// A replica that the leader has not heard for so long is down, whatever else is said of it: for ten seconds after its
/// death a server still calls it current, and the leader of a stream never calls it offline (seen with 2.9 and 2.15).
/// Living ones are heard each second.
const SILENCE: Duration = Duration::from_secs(4);

fn is_down(replica: &Replica) -> bool {
    !replica.is_heard_within(SILENCE)
}

fn has_all(replica: &Replica) -> bool {
    replica.current && !is_down(replica) && replica.lag == 0
}

/// There is a leader, more than half of all replicas have what it has, and the others are down. Before the cluster has
/// assigned the stream, a server speaks of itself alone; where one is being replaced, there may be more.
fn is_safe(cluster: &ClusterInfo, wanted: u64) -> bool {
    let others = &cluster.replicas;
    let current = others.iter().filter(|replica| has_all(replica)).count();
    let down = others.iter().filter(|replica| is_down(replica)).count();
    cluster.is_led(wanted)
        && others.len() as u64 + 1 >= wanted
        && (current + 1) * 2 > others.len() + 1
        && current + down == others.len()
}

/// Entries that all living replicas together lack.
fn lag(cluster: &ClusterInfo) -> u64 {
    cluster.replicas.iter().filter(|replica| !is_down(replica)).map(|replica| replica.lag).sum()
}

/// Waits until the death of one server costs nothing, and tells how many of `messages` have arrived on all that live. On
/// a single server there is nothing to wait for. Of an archive, the leader's word is sure only when it `arrived` long enough ago.
pub(super) async fn wait_for_majority(
    server: &Server,
    messages: u64,
    progress: &Progress,
    arrived: Option<std::time::Instant>,
) -> Result<(), Failure> {
    if !server.is_clustered() {
        return Ok(());
    }
    let mut least_lag = u64::MAX;
    let (mut nearer, mut shown) = (Instant::now(), Instant::now());
    let (mut looks, mut leader) = (0, String::new());
    let is_early = || arrived.is_some_and(|arrived| arrived.elapsed() < ASKS_AGAIN);
    while looks < LOOKS || is_early() {
        match server.cluster().await? {
            Sight::Shown(live) => {
                shown = Instant::now();
                let cluster = live.cluster.clone().unwrap_or_default();
                // A new leader is not believed for what the old one said.
                let is_as_before = looks == 0 || cluster.leader == leader;
                looks = if is_safe(&cluster, live.replicas()) && is_as_before { looks + 1 } else { 0 };
                leader.clone_from(&cluster.leader);
                // Without a leader nobody knows how far the others are.
                if live.is_led() {
                    let lag = lag(&cluster);
                    if lag < least_lag {
                        (least_lag, nearer) = (lag, shown);
                    }
                    progress.report(messages.saturating_sub(lag));
                }
                if looks == 0 && nearer.elapsed() > PATIENCE {
                    return Err(on_one_server(&live, &cluster.replicas));
                }
            }
            Sight::Hidden(why) if shown.elapsed() > UNSEEN || nearer.elapsed() > PATIENCE + UNSEEN => {
                return Err(why.unwrap_or_else(|| not_shown(&server.stream)));
            }
            Sight::Hidden(_) => looks = 0,
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// The cluster may not show the stream for a moment after the archive. On 2.9, deleting what an earlier run had begun may
/// also come late and take the new stream along: then it never does.
fn not_shown(stream: &str) -> Failure {
    let message = format!("the cluster does not show {stream}, which was restored just now");
    Failure::new(Class::Unreachable, message, "Run the same command again.")
}

fn on_one_server(live: &LiveStream, others: &[Replica]) -> Failure {
    let (stream, wanted) = (&live.name, live.replicas());
    let shown = others.len() as u64 + 1;
    let (what, to_do) = if !live.is_led() {
        (format!("{stream} has no leader any more"), "Bring the servers back that were lost meanwhile")
    } else if shown < wanted {
        (
            format!("the cluster shows {shown} of {wanted} replicas of {stream}"),
            "Bring the missing servers back",
        )
    } else {
        let behind = others.iter().filter(|replica| !has_all(replica)).map(|replica| replica.name.as_str());
        let behind = behind.collect::<Vec<_>>().join(", ");
        (
            format!("{stream} is restored on one server of its cluster only; behind: {behind}"),
            "Bring these servers back",
        )
    };
    let hint = format!("The stream keeps its mark. {to_do}, then run the same command again.");
    Failure::new(Class::Unreachable, what, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(text: &str) -> ClusterInfo {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn log_is_safe_when_a_majority_has_it_and_only_dead_servers_lack_it() {
        let three = |replicas: &str| cluster(&format!(r#"{{"leader":"a","replicas":[{replicas}]}}"#));
        let safe = |replicas: &str| is_safe(&three(replicas), 3);
        let (current, behind) = (r#"{"name":"b","current":true}"#, r#"{"name":"c","current":true,"lag":3}"#);
        let offline = r#"{"name":"d","current":false,"offline":true}"#;
        let silent = r#"{"name":"e","current":true,"active":5000000000}"#;
        assert!(is_safe(&three(""), 1) && !safe("") && !safe(current));
        assert!(is_safe(&three(&format!("{current},{current},{current}")), 3));
        assert!(safe(&format!("{current},{current}")) && safe(&format!("{current},{offline}")));
        assert!(safe(&format!("{current},{silent}")) && !safe(&format!("{silent},{offline}")));
        assert!(
            !is_safe(&three(behind), 2)
                && !safe(&format!("{current},{behind}"))
                && !safe(&format!("{offline},{offline}"))
        );
        assert!(!is_safe(&cluster(&format!(r#"{{"replicas":[{current},{current}]}}"#)), 3));
    }
}

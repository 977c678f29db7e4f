//! A restored archive stands on the leader first, and the other replicas fetch it from there. A leader that dies before
//! they have it leaves an empty log behind (seen with nats-server 2.15): so the mark stays until a majority has it.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;
use trstctl_formats::{Class, Failure};

use super::Progress;
use super::server::{Server, Sight};

/// Longest wait without any replica coming nearer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest wait for a stream that is not shown.
const UNSEEN: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(200);
/// Right after an archive the leader calls a replica current that has nothing yet, and says a moment later how far behind
/// it is: only an answer that lasts counts.
const LOOKS: u32 = 6;
/// A replica that the leader has not heard for so long is down, whatever else is said of it: for ten seconds after its
/// death a server still calls it current, and the leader of a stream never calls it offline (seen with 2.9 and 2.15).
/// Living ones are heard each second.
const SILENCE: Duration = Duration::from_secs(4);

/// The replicas of a stream, as its leader sees them, or without one whoever answers; none on a single server.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Cluster {
    leader: Option<String>,
    replicas: Option<Vec<Replica>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Replica {
    name: String,
    current: bool,
    offline: bool,
    /// Nanoseconds since it was heard.
    active: u64,
    /// Entries that it lacks.
    lag: u64,
}

impl Replica {
    fn is_down(&self) -> bool {
        self.offline || Duration::from_nanos(self.active) > SILENCE
    }

    fn has_all(&self) -> bool {
        self.current && !self.is_down() && self.lag == 0
    }
}

impl Cluster {
    fn others(&self) -> &[Replica] {
        self.replicas.as_deref().unwrap_or_default()
    }

    /// The leader has said so, or there are no others.
    pub(super) fn is_led(&self) -> bool {
        self.others().is_empty() || self.leader.as_ref().is_some_and(|leader| !leader.is_empty())
    }

    /// Names of the servers that are known to be gone.
    pub(super) fn offline(&self) -> Vec<&str> {
        self.others().iter().filter(|replica| replica.offline).map(|replica| replica.name.as_str()).collect()
    }

    /// There is a leader, more than half of all replicas have what it has, and the others are down. Before the cluster has
    /// assigned the stream, a server speaks of itself alone; where one is being replaced, there may be more.
    fn is_safe(&self, wanted: u64) -> bool {
        let current = self.others().iter().filter(|replica| replica.has_all()).count();
        let down = self.others().iter().filter(|replica| replica.is_down()).count();
        let are_all_shown = self.others().len() as u64 + 1 >= wanted;
        self.is_led()
            && are_all_shown
            && (current + 1) * 2 > self.others().len() + 1
            && current + down == self.others().len()
    }

    /// Entries that all living replicas together lack.
    fn lag(&self) -> u64 {
        self.others().iter().filter(|replica| !replica.is_down()).map(|replica| replica.lag).sum()
    }

    fn behind(&self) -> String {
        let behind = self.others().iter().filter(|replica| !replica.has_all());
        behind.map(|replica| replica.name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// Waits until the death of one server costs nothing, and tells how many of `messages` have arrived on all that live. On
/// a single server there is nothing to wait for.
pub(super) async fn wait_for_majority(
    server: &Server,
    messages: u64,
    progress: &Progress,
) -> Result<(), Failure> {
    if !server.is_clustered() {
        return Ok(());
    }
    let mut least_lag = u64::MAX;
    let (mut nearer, mut shown) = (Instant::now(), Instant::now());
    let (mut looks, mut leader) = (0, None);
    while looks < LOOKS {
        match server.cluster().await? {
            Sight::Shown(live) => {
                shown = Instant::now();
                let (wanted, cluster) = (live.replicas(), live.cluster);
                // A new leader is not believed for what the old one said.
                let is_as_before = looks == 0 || cluster.leader == leader;
                looks = if cluster.is_safe(wanted) && is_as_before { looks + 1 } else { 0 };
                leader.clone_from(&cluster.leader);
                // Without a leader nobody knows how far the others are.
                if cluster.is_led() && cluster.lag() < least_lag {
                    (least_lag, nearer) = (cluster.lag(), shown);
                }
                if looks == 0 && nearer.elapsed() > PATIENCE {
                    return Err(on_one_server(&server.stream, &cluster, wanted));
                }
                if cluster.is_led() {
                    progress.report(messages.saturating_sub(cluster.lag()));
                }
            }
            Sight::Hidden(why) if shown.elapsed() > UNSEEN => {
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

fn on_one_server(stream: &str, cluster: &Cluster, wanted: u64) -> Failure {
    if !cluster.is_led() {
        let what = format!(
            "{stream} has no leader any more: the server that had the log went before another had it"
        );
        let hint = "The stream keeps its mark. Bring that server back, then run the same command again.";
        return Failure::new(Class::Unreachable, what, hint);
    }
    let shown = cluster.others().len() as u64 + 1;
    let (what, to_do) = if shown < wanted {
        (
            format!("the cluster shows {shown} of {wanted} replicas of {stream}"),
            "Bring the missing servers back",
        )
    } else {
        let behind = cluster.behind();
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

    fn cluster(text: &str) -> Cluster {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn log_is_safe_when_a_majority_has_it_and_only_dead_servers_lack_it() {
        let three = |replicas: &str| cluster(&format!(r#"{{"leader":"a","replicas":[{replicas}]}}"#));
        let safe = |replicas: &str| three(replicas).is_safe(3);
        let (current, behind) = (r#"{"name":"b","current":true}"#, r#"{"name":"c","current":true,"lag":3}"#);
        let offline = r#"{"name":"d","current":false,"offline":true}"#;
        let silent = r#"{"name":"e","current":true,"active":5000000000}"#;
        assert!(three("").is_safe(1) && !safe("") && !safe(current));
        assert!(three(&format!("{current},{current},{current}")).is_safe(3));
        assert!(safe(&format!("{current},{current}")) && safe(&format!("{current},{offline}")));
        assert!(safe(&format!("{current},{silent}")) && !safe(&format!("{silent},{offline}")));
        assert!(
            !three(behind).is_safe(2)
                && !safe(&format!("{current},{behind}"))
                && !safe(&format!("{offline},{offline}"))
        );
        assert!(!cluster(&format!(r#"{{"replicas":[{current},{current}]}}"#)).is_safe(3));
    }
}

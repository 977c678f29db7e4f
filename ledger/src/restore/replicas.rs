//! A restored archive stands on the leader first, and the other replicas fetch it from there. A leader that dies before
//! they have it leaves an empty log behind (seen with nats-server 2.15): so the mark stays until a majority has it.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;
use trstctl_formats::{Class, Failure};

use super::server::Server;

/// Longest wait for replicas. A log of some million events is fetched within it.
const PATIENCE: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(200);
/// Right after an archive the leader calls a replica current that has nothing yet, and says a moment later how far behind
/// it is: only an answer that lasts counts.
const LOOKS: u32 = 6;

/// The replicas of a stream, as its leader sees them; none on a single server.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Cluster {
    leader: Option<String>,
    replicas: Option<Vec<Replica>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Replica {
    name: String,
    current: bool,
    offline: bool,
    lag: u64,
}

impl Replica {
    fn has_all(&self) -> bool {
        self.current && !self.offline && self.lag == 0
    }
}

impl Cluster {
    /// There is a leader, more than half of all replicas have what it has, and of the others all are offline.
    fn is_safe(&self) -> bool {
        let others = self.replicas.as_deref().unwrap_or_default();
        let current = others.iter().filter(|replica| replica.has_all()).count();
        let offline = others.iter().filter(|replica| replica.offline).count();
        let is_led = others.is_empty() || self.leader.as_ref().is_some_and(|leader| !leader.is_empty());
        is_led && (current + 1) * 2 > others.len() + 1 && current + offline == others.len()
    }

    fn behind(&self) -> String {
        let others = self.replicas.as_deref().unwrap_or_default().iter();
        others
            .filter(|replica| !replica.has_all())
            .map(|replica| replica.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// Waits until the death of one server costs nothing. On a single server there is nothing to wait for.
pub(super) async fn wait_for_majority(server: &Server) -> Result<(), Failure> {
    if !server.is_clustered() {
        return Ok(());
    }
    let deadline = Instant::now() + PATIENCE;
    let mut looks = 0;
    while looks < LOOKS {
        let cluster = server.cluster().await?;
        looks = if cluster.is_safe() { looks + 1 } else { 0 };
        if looks == 0 && Instant::now() > deadline {
            return Err(on_one_server(&server.stream, &cluster));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

fn on_one_server(stream: &str, cluster: &Cluster) -> Failure {
    Failure::new(
        Class::Unreachable,
        format!("{stream} is restored on one server of its cluster only; behind: {}", cluster.behind()),
        "The stream keeps its mark. Bring these servers back, then run the same command again.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(text: &str) -> Cluster {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn log_is_safe_when_a_majority_has_it_and_only_dead_servers_lack_it() {
        let safe =
            |replicas: &str| cluster(&format!(r#"{{"leader":"a","replicas":[{replicas}]}}"#)).is_safe();
        let (current, behind) = (r#"{"name":"b","current":true}"#, r#"{"name":"c","current":true,"lag":3}"#);
        let offline = r#"{"name":"d","current":false,"offline":true}"#;
        assert!(safe("") && safe(&format!("{current},{current}")) && safe(&format!("{current},{offline}")));
        assert!(
            !safe(behind) && !safe(&format!("{current},{behind}")) && !safe(&format!("{offline},{offline}"))
        );
        assert!(!cluster(&format!(r#"{{"replicas":[{current},{current}]}}"#)).is_safe());
    }
}

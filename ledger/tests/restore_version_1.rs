//! Restoring a version 1 backup, which keeps no sequences, subjects or store times: the same stream is made at every run.

mod restore_support;

use std::io::Cursor;
use std::time::Instant;

use restore_support::*;
use serde_json::json;
use trstctl_engines::NatsCluster;
use trstctl_formats::backup::{Allow, Cut, Purpose, VerifyOptions, verify};
use trstctl_formats::{StoreTime, StoredMessage};
use trstctl_ledger::log::StreamConfig;
use trstctl_ledger::restore::{Method, Numbering, RestoreOptions, Source, TargetState};

const VERSION_1: &str = concat!(
    r#"{"format":"trstctl-event-log-backup","version":1,"created_at":"2026-01-02T03:04:05.123456789Z","event_cut_sequence":2}"#,
    "\n",
    r#"{"id":"Vh5Zk2QmX0aBcDeFgHiJkL","type":"tenant.registered","tenant_id":"00000000-0000-4000-8000-00000000000a","v":1,"time":"2026-01-02T03:00:00Z","data":{"name":"Acme \u003cR\u0026D\u003e"}}"#,
    "\n",
    r#"{"id":"Vh5Zk2QmX0aBcDeFgHiJkM","type":"owner.created","tenant_id":"00000000-0000-4000-8000-00000000000a","v":1,"time":"2026-01-02T03:00:01.5Z","data":{"id":"11111111-1111-4111-8111-111111111111","kind":"team","name":"payments","email":"pay@example.com"},"actor":{"subject":"alice","roles":["admin"]}}"#,
    "\n",
    r#"{"format":"trstctl-event-log-backup-trailer","sha256":"815d76c40eee7acbf882083bde8da81a283cd9b59b7de93e6c2214dfdf762aee","hmac_sha256":"6f3debc7cb261df3d8b09a59c3f42986584309ee014eee679281af56b3f63ac0","records":2,"event_cut_sequence":2}"#,
    "\n",
);

fn version_1(cut: Cut) -> Source<Cursor<Vec<u8>>> {
    let options = VerifyOptions {
        unverified_mac: Allow::Yes,
        purpose: Purpose::Restore,
        part_of_version_1: Allow::Yes,
        cut,
        ..VerifyOptions::default()
    };
    Source::new(verify(Cursor::new(VERSION_1.as_bytes().to_vec()), &options).unwrap())
}

/// What the backup's two events are as messages; published, they get store times of their own.
fn assert_made_of_version_1(found: &[StoredMessage], method: Method) {
    let subjects: Vec<&[u8]> = found.iter().map(|message| &message.subject[..]).collect();
    assert_eq!(subjects, [&b"events.tenant.registered"[..], b"events.owner.created"]);
    assert_eq!((found[0].sequence, found[1].sequence), (1, 2));
    assert_eq!(&found[1].headers[..], b"NATS/1.0\r\nNats-Msg-Id: Vh5Zk2QmX0aBcDeFgHiJkM\r\n\r\n");
    let is_its_time = found[1].stored_at.to_string() == "2026-01-02T03:00:01.5Z";
    assert_eq!(is_its_time, method == Method::Archive, "{}", found[1].stored_at);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_1_backup_gives_the_same_stream_at_every_run() {
    for method in [Method::Archive, Method::Publish] {
        for mut server in servers() {
            let options = RestoreOptions { method, ..options() };
            let done =
                run(&restore_of(&server.url(), version_1(Cut::All), options.clone()).await).await.unwrap();
            assert_eq!(done.written.unwrap().numbering, Numbering::Kept { first: 1 });
            let (found, last) = read_after_kill(&mut server).await;
            assert_made_of_version_1(&found, method);
            assert_eq!(last, 2);
            let again = run(&restore_of(&server.url(), version_1(Cut::All), options).await).await.unwrap();
            assert_eq!(again.found, TargetState::Equal);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_version_1_backup_ends_where_its_cut_says() {
    // A record of version 1 counts by its place, and by its own time.
    let until = |text: &str| Cut::Until(StoreTime::parse(text).unwrap());
    for (cut, records) in
        [(Cut::Through(1), 1), (until("2026-01-02T03:00:01Z"), 1), (until("2026-01-02T03:00:01.5Z"), 2)]
    {
        for server in servers() {
            let done = run(&restore_of(&server.url(), version_1(cut), options()).await).await.unwrap();
            assert_eq!(done.proven.unwrap().live.records, records);
            let (found, last) = read_all(&server.url()).await;
            assert_eq!((found.len() as u64, last), (records, records));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_1_backup_is_restored_on_three_replicas() {
    let mut cluster = NatsCluster::start(3).unwrap();
    let three = RestoreOptions { config: StreamConfig::new(STREAM, "events.>", 3), ..options() };
    let start = Instant::now();
    let restore = restore_of(&cluster.url(), version_1(Cut::All), three).await;
    if let Err(failure) = run(&restore).await {
        assert!(is_given_up(&failure, start), "{failure:?}");
        run(&restore).await.unwrap();
    }
    cluster.wait_ready().unwrap();
    cluster.restart_killed().unwrap();
    assert_made_of_version_1(&read_all(&cluster.url()).await.0, Method::Archive);
    assert_eq!(info(&cluster.url()).await["config"]["num_replicas"], json!(3));
}

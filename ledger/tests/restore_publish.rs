//! Restoring a log by publishing, on every installed server generation.

mod restore_support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use restore_support::*;
use serde_json::json;
use trstctl_formats::Class;
use trstctl_formats::backup::Allow;
use trstctl_ledger::restore::{Numbering, TargetState};

const DAY_NS: u64 = 24 * 60 * 60 * 1_000_000_000;

async fn assert_is_the_log(url: &str) {
    let config = info(url).await["config"].clone();
    assert_eq!(config["duplicate_window"], json!(DAY_NS));
    assert!(config["description"].is_null() || config["description"] == json!(""), "{config}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_gaps_keeps_everything_but_store_times_and_says_so() {
    for mut server in servers() {
        let expected = messages(1..=20_000);
        let done = restore(&server.url(), &expected, 20_000, publishing(Allow::No)).await.unwrap();
        assert!(!done.proven.unwrap().exact);
        let written = done.written.unwrap();
        assert_eq!((written.messages, written.numbering), (20_000, Numbering::Kept { first: 1 }));
        let (found, last) = read_after_kill(&mut server).await;
        assert_same(&without_times(&found), &without_times(&expected));
        assert_eq!(last, 20_000);
        assert_is_the_log(&server.url()).await;

        let again = restore(&server.url(), &expected, 20_000, publishing(Allow::No)).await.unwrap();
        assert_eq!(again.found, TargetState::Equal);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_first_sequence_is_kept_where_the_server_can_and_refused_where_not() {
    for mut server in servers() {
        let expected = messages(5001..=5100);
        let outcome = restore(&server.url(), &expected, 5100, publishing(Allow::No)).await;
        if server.version() >= trstctl_engines::Version::new(2, 10, 0) {
            assert_eq!(outcome.unwrap().written.unwrap().numbering, Numbering::Kept { first: 5001 });
            let (found, _) = read_after_kill(&mut server).await;
            assert_same(&without_times(&found), &without_times(&expected));
        } else {
            assert_eq!(outcome.unwrap_err().class, Class::Refused);
            assert!(!exists(&server.url()).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gaps_are_refused_unless_new_sequences_are_accepted() {
    for mut server in servers() {
        let mut expected = messages((1..=300).filter(|sequence| sequence % 7 != 0));
        expected[99].headers = Bytes::from_static(
            b"NATS/1.0\r\nNats-Msg-Id: k\r\nNats-Expected-Last-Sequence: 115\r\nnats-expected-last-subject-sequence: 1\r\n\r\n",
        );
        expected[150].headers = Bytes::from_static(b"NATS/1.0\r\nNats-Expected-Last-Sequence: 3\r\n\r\n");
        let failure = restore(&server.url(), &expected, 305, publishing(Allow::No)).await.unwrap_err();
        assert_eq!(failure.class, Class::Refused);
        assert!(failure.hint.contains("--accept-new-sequences"), "{failure:?}");
        assert!(!exists(&server.url()).await);

        let done = restore(&server.url(), &expected, 305, publishing(Allow::Yes)).await.unwrap();
        let written = done.written.unwrap();
        assert_eq!((written.numbering, written.expectations_left_out), (Numbering::New, 3));
        let (found, last) = read_after_kill(&mut server).await;
        assert_eq!((found.len() as u64, last), (expected.len() as u64, expected.len() as u64));
        assert_eq!(&found[99].headers[..], b"NATS/1.0\r\nNats-Msg-Id: k\r\n\r\n");
        assert!(found[150].headers.is_empty());
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!((&found.subject, &found.payload), (&expected.subject, &expected.payload));
        }
        let again = restore_of(&server.url(), source(&expected, 305), publishing(Allow::Yes)).await;
        assert_eq!(again.plan().await.unwrap(), TargetState::Equal);
        let earlier = again.written_earlier().await.unwrap();
        assert_eq!(earlier.expected(), &done.proven.unwrap().live);
        assert_eq!((earlier.messages, earlier.messages_before), (0, expected.len() as u64));
        assert_eq!((earlier.numbering, earlier.expectations_left_out), (Numbering::New, 3));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_expectations_hold_again_when_sequences_are_kept() {
    for server in servers() {
        let mut expected = messages(1..=50);
        expected[20].headers = Bytes::from_static(b"NATS/1.0\r\nNats-Expected-Last-Sequence: 20\r\n\r\n");
        let done = restore(&server.url(), &expected, 50, publishing(Allow::No)).await.unwrap();
        assert_eq!(done.written.unwrap().expectations_left_out, 0);
        assert_same(&without_times(&read_all(&server.url()).await.0), &without_times(&expected));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_message_ids_are_not_dropped() {
    for server in servers() {
        let mut expected = messages(1..=3_000);
        for index in [10, 11, 1_500, 2_999] {
            expected[index].headers = Bytes::from_static(b"NATS/1.0\r\nNats-Msg-Id: again\r\n\r\n");
        }
        restore(&server.url(), &expected, 3_000, publishing(Allow::No)).await.unwrap();
        assert_same(&without_times(&read_all(&server.url()).await.0), &without_times(&expected));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_publish_goes_on_where_it_stopped() {
    for mut server in servers() {
        let expected = messages(1..=20_000);
        let proxy = CutProxy::start(&server.url(), 6_000_000).await;
        let failure = restore(proxy.url(), &expected, 20_000, publishing(Allow::No)).await.unwrap_err();
        assert!(proxy.was_cut());
        assert_eq!(failure.class, Class::Unreachable, "{failure:?}");
        assert!(description(&server.url()).await.ends_with(": unverified"));

        let done = restore(&server.url(), &expected, 20_000, publishing(Allow::No)).await.unwrap();
        let TargetState::Unfinished { records } = done.found else { panic!("{:?}", done.found) };
        assert!(records > 1_000, "{records}");
        let written = done.written.unwrap();
        assert_eq!((written.messages_before, written.messages), (records, 20_000 - records));
        let (found, _) = read_after_kill(&mut server).await;
        assert_same(&without_times(&found), &without_times(&expected));
        assert_is_the_log(&server.url()).await;
    }
}

/// A server that stands still has messages of a run in its buffers when that run dies, and stores them later.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_publish_has_sent_is_waited_for() {
    for server in servers() {
        // Without message ids, by which the server would know them again.
        let mut expected = messages(1..=60_000);
        expected.iter_mut().for_each(|message| message.headers = Bytes::new());
        let url = server.url();
        let signal = |signal: &str| {
            let pid = server.pid().expect("it runs").to_string();
            assert!(std::process::Command::new("kill").args([signal, &pid]).status().unwrap().success());
        };
        let standing_still = async {
            let end = Instant::now() + Duration::from_secs(60);
            while info(&url).await["state"]["last_seq"].as_u64().is_none_or(|last| last < 500) {
                assert!(Instant::now() < end, "nothing is published");
            }
            signal("-STOP");
            // What may be sent without an answer is in the server's buffers then.
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        // Dropped, its connection ends.
        let first = restore_of(&url, source(&expected, 60_000), publishing(Allow::No)).await;
        let ended = tokio::select! {
            done = run(&first) => Some(done.unwrap()),
            () = standing_still => None,
        };
        drop(first);
        let next = restore(&url, &expected, 60_000, publishing(Allow::No));
        let (next, ()) = tokio::join!(next, async { signal("-CONT") });
        // On a machine that stood still itself, all of it may have been there.
        let found = next.unwrap().found;
        assert!(
            ended.is_some() || !matches!(found, TargetState::Broken(_) | TargetState::Empty),
            "{found:?}"
        );
        assert_same(&without_times(&read_all(&server.url()).await.0), &without_times(&expected));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_publish_with_new_sequences_goes_on_too() {
    for server in servers() {
        let expected = messages((1..=30_000).filter(|sequence| sequence % 3 != 0));
        let proxy = CutProxy::start(&server.url(), 6_000_000).await;
        restore(proxy.url(), &expected, 30_000, publishing(Allow::Yes)).await.unwrap_err();
        let done = restore(&server.url(), &expected, 30_000, publishing(Allow::Yes)).await.unwrap();
        assert!(
            matches!(done.found, TargetState::Unfinished { records } if records > 1_000),
            "{:?}",
            done.found
        );
        assert_eq!(read_all(&server.url()).await.1, 20_000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_replaces_an_unfinished_publish_of_the_same_backup() {
    for server in servers() {
        let expected = messages(1..=20_000);
        let proxy = CutProxy::start(&server.url(), 6_000_000).await;
        restore(proxy.url(), &expected, 20_000, publishing(Allow::No)).await.unwrap_err();
        let done = restore(&server.url(), &expected, 20_000, options()).await.unwrap();
        assert!(matches!(done.found, TargetState::Broken(_)), "{:?}", done.found);
        assert_same(&read_all(&server.url()).await.0, &expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_that_was_not_read_back_is_taken_up() {
    for server in servers() {
        let expected = messages(1..=500);
        let first = restore_of(&server.url(), source(&expected, 500), publishing(Allow::No)).await;
        let written = first.write(&first.plan().await.unwrap(), never()).await.unwrap();
        let again = restore_of(&server.url(), source(&expected, 500), publishing(Allow::No)).await;
        assert_eq!(again.written_earlier().await.unwrap().expected(), written.expected());
        let done = run(&again).await.unwrap();
        assert_eq!(done.found, TargetState::EqualUnverified);
        let proven = done.proven.unwrap();
        assert_eq!((proven.exact, &proven.live), (false, written.expected()));
        assert_is_the_log(&server.url()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_else_who_publishes_meanwhile_is_noticed_by_sequence() {
    for server in servers() {
        let expected = messages(1..=3_000);
        let restore = restore_of(&server.url(), source(&expected, 3_000), publishing(Allow::No)).await;
        let found = restore.plan().await.unwrap();
        let url = server.url();
        let intruder = async move {
            let connection = connect(&url).await;
            loop {
                let answer = connection.request("events.intruder", b"", ANSWER).await;
                if answer.is_ok_and(|answer| !answer.payload().is_empty()) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        let (outcome, ()) = tokio::join!(restore.write(&found, never()), intruder);
        // Either a publish got another sequence, or the intruder came after the last one and the read-back shows it.
        let failure = match outcome {
            Err(failure) => failure,
            Ok(written) => restore.read_back(&written).await.unwrap_err(),
        };
        assert!(matches!(failure.class, Class::Refused | Class::ReadbackDiffers), "{failure:?}");
        assert!(failure.place.sequence.is_some(), "{failure:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_larger_than_the_server_takes_is_refused_by_sequence() {
    for server in servers() {
        let mut expected = messages(1..=30);
        expected[19].payload = vec![1; 2 << 20].into();
        let failure = restore(&server.url(), &expected, 30, publishing(Allow::No)).await.unwrap_err();
        assert_eq!((failure.class, failure.place.sequence), (Class::Refused, Some(20)), "{failure:?}");
        assert!(failure.hint.contains("max_payload"), "{failure:?}");
    }
}

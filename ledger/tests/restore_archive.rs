//! Restoring a log as one archive, on every installed server generation.

mod restore_support;

use std::io::Cursor;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use restore_support::*;
use serde_json::json;
use trstctl_engines::{NatsAuth, NatsOptions, installed_nats_servers};
use trstctl_formats::backup::{Allow, Cut, Purpose, VerifyOptions, verify};
use trstctl_formats::{Class, StoredMessage};
use trstctl_ledger::log::StreamConfig;
use trstctl_ledger::restore::{RestoreOptions, Source, TargetState};

#[tokio::test(flavor = "multi_thread")]
async fn a_log_with_odd_messages_and_gaps_everywhere_comes_back_bit_for_bit_and_survives_kill_9() {
    for mut server in servers() {
        let mut expected = odd_messages(5001);
        expected.extend(messages((5100..9000).filter(|sequence| sequence % 11 != 3)));
        let last = 9_050;
        let done = restore(&server.url(), &expected, last, options()).await.unwrap();
        assert_eq!(done.found, TargetState::Empty);
        assert!(done.proven.unwrap().exact);

        for _ in 0..2 {
            let (found, found_last) = read_all(&server.url()).await;
            assert_same(&found, &expected);
            assert_eq!(found_last, last);
            server.kill_9();
            server.restart().unwrap();
        }
        assert_eq!(description(&server.url()).await, "");
        let ack = publish(&server.url(), "events.next", "", b"next").await;
        assert_eq!(ack["seq"], json!(last + 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_run_of_gaps_and_large_messages_come_back() {
    for mut server in servers() {
        let large = |sequence, len| StoredMessage { payload: vec![9; len].into(), ..message(sequence) };
        let mut expected = messages(1..=100);
        expected.extend([large(300_101, 5 << 20), large(300_102, 9 << 20), large(300_103, 0)]);
        expected.extend(messages(300_200..=300_300));
        let last = 500_000;
        restore(&server.url(), &expected, last, options()).await.unwrap();
        server.kill_9();
        server.restart().unwrap();
        let (found, found_last) = read_all(&server.url()).await;
        assert_same(&found, &expected);
        assert_eq!(found_last, last);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_whose_messages_are_all_deleted_keeps_its_last_sequence() {
    for mut server in servers() {
        restore(&server.url(), &[], 77, options()).await.unwrap();
        assert_eq!(read_after_kill(&mut server).await, (vec![], 77));
        assert_eq!(publish(&server.url(), "events.next", "", b"").await["seq"], json!(78));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_never_written_can_be_restored() {
    for mut server in servers() {
        restore(&server.url(), &[], 0, options()).await.unwrap();
        assert_eq!(read_after_kill(&mut server).await, (vec![], 0));
        let again = restore(&server.url(), &[], 0, options()).await.unwrap();
        assert_eq!(again.found, TargetState::Equal);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_one_message_is_read_back_too() {
    for server in servers() {
        let expected = messages([3]);
        let done = restore(&server.url(), &expected, 3, options()).await.unwrap();
        assert!(done.proven.unwrap().exact);
        assert_eq!(read_all(&server.url()).await, (expected, 3));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn message_ids_and_expected_sequences_hold_after_a_restore() {
    for mut server in servers() {
        let recent = jiff::Timestamp::now().as_nanosecond() as i64 - 60_000_000_000;
        let mut expected = messages([1, 2, 5]);
        for message in &mut expected {
            message.stored_at = trstctl_formats::StoreTime(recent);
        }
        restore(&server.url(), &expected, 5, options()).await.unwrap();
        for _ in 0..2 {
            let again =
                publish(&server.url(), "events.x", "NATS/1.0\r\nNats-Msg-Id: id-2\r\n\r\n", b"").await;
            assert_eq!((&again["seq"], &again["duplicate"]), (&json!(2), &json!(true)));
            let subject = String::from_utf8(expected[0].subject.to_vec()).unwrap();
            let wrong = "NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: 2\r\n\r\n";
            assert_eq!(publish(&server.url(), &subject, wrong, b"").await["error"]["err_code"], json!(10071));
            server.kill_9();
            server.restart().unwrap();
        }
        let right = "NATS/1.0\r\nNats-Expected-Last-Sequence: 5\r\n\r\n";
        assert_eq!(publish(&server.url(), "events.x", right, b"").await["seq"], json!(6));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_leaves_nothing_and_the_next_attempt_succeeds() {
    for server in servers() {
        let expected = messages(1..=20_000);
        let proxy = CutProxy::start(&server.url(), 700_000).await;
        let failure = restore(proxy.url(), &expected, 20_000, options()).await.unwrap_err();
        assert!(proxy.was_cut());
        assert_eq!(failure.class, Class::Unreachable, "{failure:?}");
        assert!(!exists(&server.url()).await);

        let done = restore(&server.url(), &expected, 20_000, options()).await.unwrap();
        assert_eq!(done.found, TargetState::Empty);
        assert_same(&read_all(&server.url()).await.0, &expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_drops_a_damaged_message_and_says_success_is_caught_by_sequence() {
    for server in servers() {
        let expected = messages(1..=3_000);
        let failure = restore(&server.url(), &expected, 3_000, damaging()).await.unwrap_err();
        assert_eq!(failure.class, Class::ReadbackDiffers, "{failure:?}");
        let sequence = failure.place.sequence.unwrap();
        assert!((1..=3_000).contains(&sequence), "{failure:?}");
        assert!(description(&server.url()).await.ends_with(": unverified"));

        let again = restore(&server.url(), &expected, 3_000, options()).await.unwrap();
        assert!(
            matches!(again.found, TargetState::Broken(_) | TargetState::Unfinished { .. }),
            "{:?}",
            again.found
        );
        assert_same(&read_all(&server.url()).await.0, &expected);
        assert_eq!(description(&server.url()).await, "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_reads_well_and_is_another_one_is_caught_by_sequence() {
    for server in servers() {
        let expected = messages(1..=900);
        let mut other = expected.clone();
        other[699].payload = Bytes::from_static(b"other");
        let restore = restore_of(&server.url(), source(&expected, 900), options()).await;
        let written = restore.write(&restore.plan().await.unwrap(), never()).await.unwrap();
        // Between writing and reading, another log takes the place.
        let connection = connect(&server.url()).await;
        let _: serde_json::Value =
            connection.api_get(&format!("STREAM.DELETE.{STREAM}"), ANSWER).await.unwrap();
        let intruder = restore_of(&server.url(), source(&other, 900), options()).await;
        intruder.write(&TargetState::Empty, never()).await.unwrap();
        let failure = restore.read_back(&written).await.unwrap_err();
        assert_eq!(
            (failure.class, failure.place.sequence),
            (Class::ReadbackDiffers, Some(700)),
            "{failure:?}"
        );
    }
}

/// One bit of a message of [`messages`] is flipped on its way.
fn damaging() -> RestoreOptions {
    RestoreOptions { flip_bit_at: Some(400_000), ..options() }
}

/// Also shows that the configuration's checksum is right: with a wrong one, the stream is gone after the restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_stopped_before_its_read_back_is_taken_up() {
    for mut server in servers() {
        let expected = messages(1..=500);
        let first = restore_of(&server.url(), source(&expected, 500), options()).await;
        let found = first.plan().await.unwrap();
        first.write(&found, never()).await.unwrap();
        drop(first);
        server.kill_9();
        server.restart().unwrap();

        let done = restore(&server.url(), &expected, 500, options()).await.unwrap();
        assert_eq!(done.found, TargetState::EqualUnverified);
        assert_eq!(done.written.unwrap().messages, 0);
        assert!(done.proven.unwrap().exact);
        assert_eq!(description(&server.url()).await, "");
        assert_same(&read_all(&server.url()).await.0, &expected);
    }
}

/// A killed run's server still unpacks when the next one makes its plan.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_run_leaves_after_the_plan_is_taken_up() {
    for (earlier, sent) in [(options(), 0), (damaging(), 3_000)] {
        for server in servers() {
            let earlier = earlier.clone();
            let expected = messages(1..=3_000);
            let late = restore_of(&server.url(), source(&expected, 3_000), options()).await;
            let planned = late.plan().await.unwrap();
            assert_eq!(planned, TargetState::Empty);
            let first = restore_of(&server.url(), source(&expected, 3_000), earlier).await;
            first.write(&planned, never()).await.unwrap();

            let written = late.write(&planned, never()).await.unwrap();
            assert_eq!((written.messages, written.messages_before), (sent, 3_000 - sent));
            let proven = late.read_back(&written).await.unwrap();
            late.accept(&proven).await.unwrap();
            assert_same(&read_all(&server.url()).await.0, &expected);
            assert_eq!(description(&server.url()).await, "");
        }
    }
}

/// The server takes both, and lets them meet in one folder.
#[tokio::test(flavor = "multi_thread")]
async fn after_two_archives_at_once_the_next_run_ends_with_the_log() {
    for mut server in servers() {
        let expected = messages(1..=20_000);
        let a = restore_of(&server.url(), source(&expected, 20_000), options()).await;
        let b = restore_of(&server.url(), source(&expected, 20_000), options()).await;
        let planned = a.plan().await.unwrap();
        let (a, b) = tokio::join!(a.write(&planned, never()), b.write(&planned, never()));
        for failure in [a, b].into_iter().filter_map(Result::err) {
            assert_eq!(failure.class, Class::Refused, "{failure:?}");
        }
        let done = restore(&server.url(), &expected, 20_000, options()).await.unwrap();
        assert!(done.proven.unwrap().exact);
        assert_same(&read_after_kill(&mut server).await.0, &expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_make_after_the_plan_is_refused_and_stays() {
    for server in servers() {
        let late = restore_of(&server.url(), source(&messages(1..=9), 9), options()).await;
        let planned = late.plan().await.unwrap();
        let others = messages(1..=7);
        restore(&server.url(), &others, 7, options()).await.unwrap();
        let failure = late.write(&planned, never()).await.unwrap_err();
        assert_eq!(failure.class, Class::TargetNotEmpty);
        assert!(failure.message.contains("appeared while the restore was being prepared"), "{failure:?}");
        assert_same(&read_all(&server.url()).await.0, &others);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_equal_log_is_recognised_and_left_alone() {
    for server in servers() {
        let expected = odd_messages(9);
        restore(&server.url(), &expected, 60, options()).await.unwrap();
        let again = restore(&server.url(), &expected, 60, options()).await.unwrap();
        assert_eq!(again.found, TargetState::Equal);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_with_newer_events_is_refused_with_their_number() {
    for server in servers() {
        restore(&server.url(), &messages(1..=20), 20, options()).await.unwrap();
        publish(&server.url(), "events.new", "", b"1").await;
        publish(&server.url(), "events.new", "", b"2").await;
        let failure = restore(&server.url(), &messages(1..=20), 20, options()).await.unwrap_err();
        assert_eq!((failure.class, failure.place.sequence), (Class::TargetNotEmpty, Some(21)));
        assert!(failure.message.contains("2 newer events"), "{failure}");
        assert_eq!(read_all(&server.url()).await.1, 22);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_log_is_refused_with_the_first_differing_sequence() {
    for server in servers() {
        let live = messages(1..=20);
        restore(&server.url(), &live, 20, options()).await.unwrap();
        let mut other_payload = live.clone();
        other_payload[12].payload = b"other".as_slice().into();
        let mut other_time = live.clone();
        other_time[4].stored_at.0 += 1;
        let mut other_header = live.clone();
        other_header[6].headers = b"NATS/1.0\r\nNats-Msg-Id:id-7\r\n\r\n".as_slice().into();
        let lacking = messages((1..=20).filter(|sequence| *sequence != 9));
        let longer = messages(1..=25);
        for (backup, last, first) in [
            (other_payload, 20, 13),
            (other_time, 20, 5),
            (other_header, 20, 7),
            (lacking, 20, 9),
            (longer, 25, 21),
        ] {
            let failure = restore(&server.url(), &backup, last, options()).await.unwrap_err();
            assert_eq!(
                (failure.class, failure.place.sequence),
                (Class::TargetDiffers, Some(first)),
                "{failure:?}"
            );
        }
        assert_same(&read_all(&server.url()).await.0, &live);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_never_written_is_replaced_unless_it_has_a_consumer() {
    for server in servers() {
        create_stream(&server.url(), &live_config()).await;
        let consumer = json!({"stream_name": STREAM, "config": {"durable_name": "d", "ack_policy": "none"}});
        let connection = connect(&server.url()).await;
        let endpoint = format!("CONSUMER.DURABLE.CREATE.{STREAM}.d");
        let _: serde_json::Value = connection.api(&endpoint, &consumer, ANSWER).await.unwrap();
        let failure = restore(&server.url(), &messages(1..=5), 5, options()).await.unwrap_err();
        assert_eq!(failure.class, Class::TargetNotEmpty, "{failure:?}");

        let endpoint = format!("CONSUMER.DELETE.{STREAM}.d");
        let _: serde_json::Value = connection.api_get(&endpoint, ANSWER).await.unwrap();
        let done = restore(&server.url(), &messages(1..=5), 5, options()).await.unwrap();
        assert_eq!(done.found, TargetState::NeverWritten);
        assert_same(&read_all(&server.url()).await.0, &messages(1..=5));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_never_written_stream_that_an_earlier_run_moved_aside_is_replaced() {
    for server in servers() {
        let mut config = live_config();
        config["subjects"] = json!([format!("trstctl-restore.moved-aside.{STREAM}")]);
        create_stream(&server.url(), &config).await;
        let done = restore(&server.url(), &messages(1..=5), 5, options()).await.unwrap();
        assert_eq!(done.found, TargetState::NeverWritten);
        assert_eq!(info(&server.url()).await["config"]["subjects"], json!(["events.>"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_stream_is_refused_because_sequences_cannot_be_kept_there() {
    for server in servers() {
        create_stream(&server.url(), &live_config()).await;
        publish(&server.url(), "events.x", "", b"").await;
        let connection = connect(&server.url()).await;
        let purge = format!("STREAM.PURGE.{STREAM}");
        let _: serde_json::Value = connection.api_get(&purge, ANSWER).await.unwrap();
        let failure = restore(&server.url(), &messages(1..=5), 5, options()).await.unwrap_err();
        assert_eq!(failure.class, Class::TargetNotEmpty, "{failure:?}");
        assert!(failure.message.contains("last sequence is 1"), "{failure}");
        assert!(exists(&server.url()).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn restore_refuses_a_server_where_another_stream_holds_the_subjects_and_sends_nothing() {
    for mut server in servers() {
        let mut config = live_config();
        config["name"] = json!("OTHER");
        create_stream(&server.url(), &config).await;
        publish(&server.url(), "events.x", "", b"live").await;
        let failure = restore(&server.url(), &messages(1..=5), 5, options()).await.unwrap_err();
        assert_eq!(failure.class, Class::TargetNotEmpty, "{failure:?}");
        assert!(failure.message.contains("OTHER"), "{failure}");
        server.kill_9();
        server.restart().unwrap();
        assert_eq!(names(&server.url()).await, ["OTHER"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_unfinished_restore_of_another_backup_is_refused() {
    for server in servers() {
        let first = restore_of(&server.url(), source(&messages(1..=9), 9), options()).await;
        first.write(&first.plan().await.unwrap(), never()).await.unwrap();
        let failure = restore(&server.url(), &messages(1..=5), 5, options()).await.unwrap_err();
        assert_eq!(failure.class, Class::TargetNotEmpty, "{failure:?}");
        assert!(failure.message.contains("another backup"), "{failure}");
        assert_eq!(read_all(&server.url()).await.1, 9);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_changes_after_verification_leaves_nothing() {
    for server in servers() {
        let (mut file, turned) = Moody::new(backup(&messages(1..=20_000), 20_000));
        file.change_a_store_time();
        let source = Source::new(verified(file));
        turned.store(true, Ordering::SeqCst);
        let failure = run(&restore_of(&server.url(), source, options()).await).await.unwrap_err();
        assert_ne!(failure.class, Class::ReadbackDiffers, "nothing may have been made final: {failure:?}");
        assert!(!exists(&server.url()).await);
        restore(&server.url(), &messages(1..=20_000), 20_000, options()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_rests_longer_than_a_server_waits_is_helped_out() {
    for server in servers() {
        let expected = messages(1..=40_000);
        let (mut file, turned) = Moody::new(backup(&expected, 40_000));
        file.rest_at_three_quarters(Duration::from_secs(7));
        let source = Source::new(verified(file));
        turned.store(true, Ordering::SeqCst);
        run(&restore_of(&server.url(), source, options()).await).await.unwrap();
        assert_same(&read_all(&server.url()).await.0, &expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_large_a_message_is_refused_by_sequence_before_anything_is_changed() {
    for server in servers() {
        let mut with_giant = messages(1..=100);
        with_giant[49].payload = vec![1; 20_000_000].into();
        create_stream(&server.url(), &live_config()).await;
        let failure = restore(&server.url(), &with_giant, 100, options()).await.unwrap_err();
        assert_eq!((failure.class, failure.place.sequence), (Class::Refused, Some(50)), "{failure:?}");
        assert!(failure.hint.contains("--method publish"), "{failure:?}");
        assert!(exists(&server.url()).await, "not even the empty stream was removed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_the_server_or_account_may_not_store_is_refused_and_leaves_nothing() {
    let accounts = "accounts { A { jetstream: { max_file: 1048576 }, users: [{user: u, password: p}] } }\nno_auth_user: u";
    for binary in installed_nats_servers() {
        let base = NatsOptions { binary: Some(binary.path), ..NatsOptions::default() };
        let small_account = NatsOptions { auth: NatsAuth::Config(accounts.to_owned()), ..base.clone() };
        let small_server = NatsOptions { extra: "jetstream: { max_file_store: 1048576 }".to_owned(), ..base };
        for options_of_server in [small_account, small_server] {
            let server = start(options_of_server);
            let failure = restore(&server.url(), &messages(1..=5_000), 5_000, options()).await.unwrap_err();
            assert_eq!(failure.class, Class::Refused, "{failure:?}");
            assert_eq!(names(&server.url()).await, [""; 0]);
        }
    }
}

/// An account that may have one stream and so many bytes.
fn limited_account(max_file: u64) -> NatsAuth {
    let limits = format!("max_file: {max_file}, max_streams: 1");
    NatsAuth::Config(format!(
        "accounts {{ A {{ jetstream: {{ {limits} }}, users: [{{user: u, password: p}}] }} }}\nno_auth_user: u"
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_fit_is_refused_by_the_plan_and_the_empty_stream_stays() {
    for binary in installed_nats_servers() {
        let auth = limited_account(100_000);
        let server = start(NatsOptions { binary: Some(binary.path), auth, ..NatsOptions::default() });
        create_stream(&server.url(), &live_config()).await;
        let too_long = restore_of(&server.url(), source(&messages(1..=5_000), 5_000), options()).await;
        assert_eq!(too_long.plan().await.unwrap_err().class, Class::Refused);
        let failure = too_long.write(&TargetState::NeverWritten, never()).await.unwrap_err();
        assert!(failure.message.contains("bytes of storage"), "{failure}");
        assert!(exists(&server.url()).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_fits_and_the_only_stream_of_an_account_are_no_obstacle() {
    for binary in installed_nats_servers() {
        let auth = limited_account(600_000);
        let mut server = start(NatsOptions { binary: Some(binary.path), auth, ..NatsOptions::default() });
        create_stream(&server.url(), &live_config()).await;
        let whole = Cursor::new(backup(&messages(1..=5_000), 5_000));
        let part = VerifyOptions {
            unkeyed: Allow::Yes,
            purpose: Purpose::Restore,
            cut: Cut::Through(100),
            ..VerifyOptions::default()
        };
        let source = Source::new(verify(whole, &part).unwrap());
        let done = run(&restore_of(&server.url(), source, options()).await).await.unwrap();
        assert_eq!(done.found, TargetState::NeverWritten);
        assert_same(&read_after_kill(&mut server).await.0, &messages(1..=100));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_not_make_the_probe_restores_all_the_same() {
    for binary in installed_nats_servers() {
        for denied in ["CREATE", "DELETE"] {
            let auth = NatsAuth::Config(format!(
                "accounts {{ A {{ jetstream: enabled, users: [{{user: u, password: p, permissions: {{ publish: {{ \
                 deny: [\"$JS.API.STREAM.{denied}.TRSTCTL_RESTORE_PROBE\"] }} }} }}] }} }}\nno_auth_user: u"
            ));
            let binary = Some(binary.path.clone());
            let server = start(NatsOptions { binary, auth, ..NatsOptions::default() });
            restore(&server.url(), &messages(1..=50), 50, options()).await.unwrap();
            assert_eq!(names(&server.url()).await, [STREAM]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_replicas_than_servers_are_refused_before_anything_is_sent() {
    for server in servers() {
        let three = RestoreOptions { config: StreamConfig::new(STREAM, "events.>", 3), ..options() };
        let failure = restore(&server.url(), &messages(1..=5), 5, three).await.unwrap_err();
        assert_eq!(failure.class, Class::Refused, "{failure:?}");
        assert!(failure.hint.contains("TRSTCTL_NATS_REPLICAS"), "{failure:?}");
        assert!(!exists(&server.url()).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_restored_by_publishing_is_another_log_to_the_archive() {
    for server in servers() {
        restore(&server.url(), &messages(1..=30), 30, publishing(Allow::No)).await.unwrap();
        let failure = restore(&server.url(), &messages(1..=30), 30, options()).await.unwrap_err();
        assert_eq!((failure.class, failure.place.sequence), (Class::TargetDiffers, Some(1)), "{failure:?}");
        assert!(failure.hint.contains("--method publish"), "{failure:?}");
    }
}

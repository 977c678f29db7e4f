//! A history is the same for ever, as long as was asked for, and as varied as it says.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::*;
use crate::projection::{Counts, MemoryModel, Table};

fn plain(seed: u64, events: u64) -> History {
    let options = HistoryOptions { odd: Odd::None, gaps: Gaps::None, poison_events: 0 };
    History::with_options(seed, events, options)
}

fn event(entry: &Entry) -> Event {
    Event::from_stored(&entry.payload).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_history_and_another_seed_another_one() {
    let entries: Vec<_> = History::new(7, 3000).collect();
    assert_eq!(entries.len(), 3000);
    assert!(History::new(7, 3000).eq(entries.iter().cloned()));
    assert!(!History::new(8, 3000).eq(entries));
}

#[test]
fn the_bytes_of_a_history_are_the_same_on_every_machine() {
    use sha2::{Digest, Sha256};
    let mut hasher = Sha256::new();
    for entry in History::new(7, 2000) {
        hasher.update(entry.subject);
        hasher.update(entry.headers);
        hasher.update(entry.payload);
    }
    assert_eq!(
        hex::encode(hasher.finalize()),
        "2179cb18ab6b1df4ddff0bfe84680e33d1a84dbe7295e954b366ea201a74bd4f"
    );
}

#[test]
fn a_history_has_the_length_that_was_asked_for() {
    for events in [0, 1, 2, 30, 99, 100, 101, 1000] {
        assert_eq!(History::new(1, events).count() as u64, events);
    }
}

#[test]
fn random_numbers_are_those_of_the_published_algorithm() {
    // The first outputs of SplitMix64 from the seed 1234567, as published by Rosetta Code.
    let step = |n: u64| random::mix(1_234_567u64.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    assert_eq!(
        [step(1), step(2), step(3)],
        [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
    );
}

#[test]
fn ids_are_unique_and_are_the_message_ids() {
    let mut ids = HashSet::new();
    for entry in plain(3, 20_000) {
        let id = event(&entry).id;
        assert_eq!(entry.headers, format!("NATS/1.0\r\nNats-Msg-Id: {id}\r\n\r\n"));
        assert_eq!(id.len(), 22);
        assert!(ids.insert(id));
    }
}

#[test]
fn every_type_of_event_occurs() {
    let kinds: BTreeSet<_> = plain(11, 40_000).map(|entry| event(&entry).kind).collect();
    for kind in [
        "tenant.registered",
        "tenant.offboarded",
        "owner.created",
        "owner.updated",
        "owner.deleted",
        "issuer.created",
        "profile.created",
        "profile.updated",
        "identity.created",
        "identity.issued",
        "identity.deployed",
        "identity.renewing",
        "identity.renewed",
        "identity.revoked",
        "identity.retired",
        "certificate.recorded",
        "certificate.revoked",
        "certificate.superseded",
        "ca.authority.created",
        "ca.authority.rotated",
        "ca.certificate.issued",
        "ca.certificate.revoked",
        "ca.crl.published",
        "leader.elected",
        "audit.archived",
        "recovery.completed",
        "scan.finished",
    ] {
        assert!(kinds.contains(kind), "{kind}");
    }
}

#[test]
fn a_tenant_leaves_and_comes_back_even_in_a_short_history() {
    let mut lives = BTreeMap::<String, Vec<String>>::new();
    for entry in plain(5, 200) {
        let event = event(&entry);
        if event.kind.starts_with("tenant.") {
            lives.entry(event.tenant_id).or_default().push(event.kind);
        }
    }
    assert!(lives.len() >= 3);
    let comeback = ["tenant.registered", "tenant.offboarded", "tenant.registered"];
    assert!(lives.values().any(|kinds| kinds == &comeback), "{lives:?}");
}

#[test]
fn nothing_happens_to_a_tenant_that_is_not_registered() {
    let mut registered = HashSet::new();
    for entry in plain(13, 30_000) {
        let event = event(&entry);
        match event.kind.as_str() {
            "tenant.registered" => assert!(registered.insert(event.tenant_id)),
            "tenant.offboarded" => assert!(registered.remove(&event.tenant_id)),
            "leader.elected" => {}
            _ => assert!(registered.contains(&event.tenant_id), "{}", event.kind),
        }
    }
}

#[test]
fn an_identity_goes_only_through_its_lifecycle() {
    let mut statuses = BTreeMap::<String, String>::new();
    for entry in plain(17, 30_000) {
        let event = event(&entry);
        let value: serde_json::Value = serde_json::from_slice(&event.data).unwrap_or_default();
        let text = |key: &str| value[key].as_str().map(str::to_owned).unwrap_or_default();
        if event.kind == "identity.created" {
            statuses.insert(text("id"), "requested".into());
        } else if event.kind.starts_with("identity.") {
            let step = (text("from"), text("to"));
            let status = statuses.insert(text("identity_id"), step.1.clone());
            assert_eq!(status.as_ref(), Some(&step.0));
            let allowed = [
                ("requested", "issued"),
                ("issued", "deployed"),
                ("deployed", "renewing"),
                ("renewing", "deployed"),
                ("issued", "revoked"),
                ("deployed", "revoked"),
                ("renewing", "revoked"),
                ("revoked", "retired"),
            ];
            assert!(allowed.contains(&(&step.0, &step.1)), "{step:?}");
        }
    }
}

#[test]
fn certificates_are_replaced_superseded_and_revoked_after_they_were_recorded() {
    let (mut recorded, mut replaced, mut touched) = (HashSet::new(), 0, BTreeMap::<String, u64>::new());
    for entry in plain(19, 30_000) {
        let event = event(&entry);
        let Some(what) = event.kind.strip_prefix("certificate.") else { continue };
        let value: serde_json::Value = serde_json::from_slice(&event.data).unwrap();
        let fingerprint = value["fingerprint"].as_str().unwrap().to_owned();
        if what == "recorded" {
            replaced += u64::from(value["replaces_id"].is_string());
            recorded.insert(fingerprint);
        } else {
            assert!(recorded.contains(&fingerprint));
            *touched.entry(what.to_owned()).or_default() += 1;
        }
    }
    assert!(
        replaced > 1000 && touched["superseded"] > 1000 && touched["revoked"] > 100,
        "{replaced} {touched:?}"
    );
}

#[test]
fn without_odd_messages_every_payload_is_canonical_and_its_data_json() {
    for entry in plain(23, 20_000) {
        let event = event(&entry);
        assert_eq!(event.to_stored(), entry.payload);
        assert_ne!(entry.outcome, Outcome::Quarantined);
        if !event.data.is_empty() {
            serde_json::from_slice::<Box<serde_json::value::RawValue>>(&event.data).unwrap();
        }
    }
}

#[test]
fn subjects_are_of_both_generations_and_valid() {
    let (mut by_type, mut by_aggregate) = (0, 0);
    for entry in History::new(29, 10_000) {
        assert!(entry.subject.starts_with("events."));
        assert!(entry.subject.split('.').all(|token| !token.is_empty() && !token.contains([' ', '*', '>'])));
        match entry.subject.split('.').nth(1).map(str::len) {
            Some(36) => by_aggregate += 1,
            _ => by_type += 1,
        }
    }
    assert!(by_type > 1000 && by_aggregate > 1000, "{by_type} {by_aggregate}");
}

#[test]
fn gaps_lie_at_the_start_in_the_middle_and_at_the_end() {
    for events in [SHORT, 1000, 20_000] {
        let keeps: Vec<_> = History::new(31, events).map(|entry| entry.keep).collect();
        let deleted = |range: std::ops::Range<usize>| {
            keeps[range].iter().filter(|keep| **keep == Keep::Deleted).count()
        };
        assert_eq!((deleted(0..2), deleted(keeps.len() - 3..keeps.len())), (2, 3));
        assert!(deleted(2..keeps.len() - 3) > 0, "{events}");
        assert!(deleted(0..keeps.len()) < 30 + keeps.len() / 100);
    }
    assert!(plain(31, 1000).all(|entry| entry.keep == Keep::Kept));
}

#[test]
fn deleted_messages_are_those_that_no_row_depends_on() {
    for entry in History::new(37, 50_000).filter(|entry| entry.keep == Keep::Deleted) {
        assert_eq!(entry.outcome, Outcome::NotProjected);
    }
}

#[test]
fn stored_messages_have_the_gaps_and_store_times_that_mostly_rise() {
    let messages: Vec<_> = History::new(41, 5000).stored().collect();
    let sequences: Vec<_> = messages.iter().map(|message| message.sequence).collect();
    assert!(sequences.is_sorted_by(|a, b| a < b));
    assert_eq!(sequences[0], 3);
    assert_eq!(*sequences.last().unwrap(), 4997);
    let falls = messages.windows(2).filter(|pair| pair[0].stored_at > pair[1].stored_at).count();
    assert!(falls < 5, "{falls}");
}

#[test]
fn odd_messages_of_every_kind_come_in_turn() {
    let mut random = Random::new(1);
    let mut seen = HashSet::new();
    for number in 0..odd::KINDS {
        let entry = odd::message(number, "id", 0, &mut random);
        let is_event = Event::from_stored(&entry.payload).is_ok();
        assert_eq!(is_event, entry.outcome == Outcome::NotProjected, "kind {number}");
        assert!(seen.insert((entry.subject, entry.headers, entry.payload)), "kind {number}");
    }
    let odd = History::new(43, 50_000).filter(|entry| entry.subject == "events.x").count();
    assert!((20..150).contains(&odd), "{odd}");
}

#[test]
fn as_many_events_are_poison_as_were_asked_for() {
    for (events, poison_events) in [(1000, 1), (1000, 7), (5000, 48), (12_345, 333)] {
        let options = HistoryOptions { odd: Odd::None, poison_events, ..HistoryOptions::default() };
        let entries = History::with_options(47, events, options);
        let poison =
            entries.filter(|entry| entry.outcome == Outcome::Quarantined && entry.keep == Keep::Kept);
        assert_eq!(poison.count() as u64, poison_events);
    }
}

#[test]
fn payloads_are_of_all_sizes() {
    let mut sizes: Vec<_> = plain(53, 20_000).map(|entry| entry.payload.len()).collect();
    sizes.sort_unstable();
    let mean = sizes.iter().sum::<usize>() / sizes.len();
    assert!((300..1200).contains(&mean), "{mean}");
    assert!(sizes[0] < 210 && *sizes.last().unwrap() > 100_000, "{} {:?}", sizes[0], sizes.last());
}

#[test]
fn the_live_objects_are_bounded() {
    let mut history = plain(59, 200_000);
    history.by_ref().for_each(drop);
    let world = format!("{:?}", history.world);
    assert!(world.len() < 4_000_000, "{}", world.len());
}

fn fold(history: History) -> (MemoryModel, Counts) {
    let mut model = MemoryModel::new();
    let counts = model.apply(&history.stored().collect::<Vec<_>>()).unwrap();
    (model, counts)
}

#[test]
fn the_projection_makes_of_each_entry_what_the_entry_says() {
    let options = HistoryOptions { poison_events: 100, ..HistoryOptions::default() };
    let history = History::with_options(61, 30_000, options);
    let expected = |outcome| {
        let kept = history.clone().filter(|entry| entry.keep == Keep::Kept);
        kept.filter(|entry| entry.outcome == outcome).count() as u64
    };
    let (_, counts) = fold(history.clone());
    let found = (counts.projected, counts.not_projected.values().sum(), counts.quarantined);
    let outcomes = [Outcome::Applied, Outcome::NotProjected, Outcome::Quarantined].map(expected);
    assert_eq!(found, (outcomes[0], outcomes[1], outcomes[2]));
}

#[test]
fn a_history_fills_every_table_and_leaves_no_reference_dangling() {
    let (model, _) = fold(History::new(67, 30_000));
    for table in Table::ALL {
        assert!(model.rows(table).count() > 0, "{}", table.name());
    }
    assert_eq!(model.dangling(), []);
}

//! Realistic histories through the stored form of messages: each event ends as its author meant it.

use trstctl_ledger::history::{History, HistoryOptions, Keep, Outcome};
use trstctl_ledger::projection::{Counts, Fold, MemoryModel, Step, Table};

use crate::support::{reasons, rows};

fn history(events: u64) -> History {
    History::with_options(
        7,
        events,
        HistoryOptions { poison_events: events / 100, ..HistoryOptions::default() },
    )
}

/// What became of the last event.
fn outcome(before: &Counts, after: &Counts) -> Outcome {
    if after.projected > before.projected {
        Outcome::Applied
    } else if after.quarantined > before.quarantined {
        Outcome::Quarantined
    } else {
        Outcome::NotProjected
    }
}

#[test]
fn every_event_of_a_history_ends_as_it_was_meant() {
    let kept = history(20_000).filter(|entry| entry.keep == Keep::Kept).map(|entry| entry.outcome);
    let mut fold = Fold::of_empty_model();
    let mut wrong = Vec::new();
    for (message, meant) in history(20_000).stored().zip(kept) {
        let before = fold.counts().clone();
        fold.apply(Step::read(&message));
        let found = outcome(&before, fold.counts());
        if found != meant {
            wrong.push((
                message.sequence,
                meant,
                found,
                String::from_utf8_lossy(&message.payload).into_owned(),
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_history_makes_the_same_model_in_batches_of_any_size() {
    let messages: Vec<_> = history(3_000).stored().collect();
    let in_batches = |size| {
        let mut model = MemoryModel::new();
        for batch in messages.chunks(size) {
            model.apply(batch).expect("own rows");
        }
        model
    };
    let at_once = in_batches(messages.len());
    for table in Table::ALL {
        let rows = rows(&at_once, table).len() as u64;
        assert!(rows > 0, "{} is empty: the history is too plain", table.name());
        assert_eq!(at_once.digest().table(table).rows, rows);
    }
    assert_eq!(Some(at_once.checkpoint()), messages.last().map(|message| message.sequence));
    for size in [1, 7, 500] {
        let mut model = in_batches(size);
        assert_eq!(model.digest().differences(&at_once.digest()), []);
        assert_eq!(model.checkpoint(), at_once.checkpoint());
        assert_eq!(
            model.apply(&messages).expect("own rows"),
            Counts::default(),
            "what was applied is skipped"
        );
    }
}

#[test]
fn messages_that_are_no_events_are_faults_without_event_and_tenant() {
    let mut model = MemoryModel::new();
    let mut messages: Vec<_> = history(100).stored().take(3).collect();
    let odd: [&'static [u8]; 3] = [b"", b"\xff\0", b"{\"type\":\"owner.created\"}"];
    for (message, payload) in messages.iter_mut().zip(odd) {
        message.payload = payload.into();
    }
    assert_eq!(model.apply(&messages).expect("own rows").quarantined, 3);
    assert!(
        reasons(&model).iter().all(|reason| reason.starts_with("not an event: ")),
        "{:?}",
        reasons(&model)
    );
}

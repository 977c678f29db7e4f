//! Rebuild: equal to every other way, undisturbed readers, and what is left when it is killed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio_postgres::Client;
use trstctl_ledger::projection::Table;
use trstctl_ledger::read_model::{
    self, Additions, KeptFor, Progress, ReadModel, ReadModelError, RebuildOptions,
};
use trstctl_migrations::connect::Target;

use crate::support::*;

async fn schemas(client: &Client) -> Vec<String> {
    let sql = "SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'read_model%' ORDER BY 1";
    client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn rebuild_equals_the_reference_and_counts_everything() {
    let log = BentLog::history(20, 3_000);
    let mut model = model(&migrated()).await;
    let report = rebuild(&model, &log).await;
    let reference = reference(&log.all());
    assert_same(&report.digests, &reference.digest());
    assert_eq!(report.events, log.all().len() as u64);
    let not_projected: u64 = report.not_projected.values().sum();
    assert_eq!(report.projected + not_projected + report.faults, report.events);
    assert!(report.faults > 0 && not_projected > 0);
    assert_eq!(report.checkpoint, log.last_sequence.load(Ordering::SeqCst));
    assert_eq!(model.checkpoint().await.unwrap(), report.checkpoint);
    assert_eq!(report.spills, 0);
    let dangling: u64 = report.dangling.iter().map(|count| count.rows).sum();
    assert_eq!(dangling, reference.dangling().len() as u64);
    for (table, rows) in report.rows() {
        assert_eq!(rows, reference.rows(table).count() as u64, "{}", table.name());
    }
    assert_same(&model.digests().await.unwrap().1, &report.digests);
}

#[tokio::test]
async fn rebuild_twice_gives_equal_digests_and_leaves_one_schema() {
    let (log, dsn) = (BentLog::history(21, 1_500), migrated());
    let model = model(&dsn).await;
    let first = rebuild(&model, &log).await;
    let second = rebuild(&model, &log).await;
    assert_eq!(first.digests, second.digests);
    assert_eq!(schemas(&client(&dsn).await).await, ["read_model"]);
}

#[tokio::test]
async fn rebuild_with_a_tiny_memory_equals_the_unbounded_one() {
    let (log, dsn) = (BentLog::history(22, 3_000), migrated());
    let model = model(&dsn).await;
    for memory_bytes in [1, 20_000, 400_000] {
        let report = model
            .rebuild(&log, RebuildOptions { memory_bytes, ..RebuildOptions::default() }, &silent)
            .await
            .unwrap();
        assert!(report.spills > 1, "{memory_bytes} bytes gave {} spills", report.spills);
        assert_same(&report.digests, &reference_digest(&log.all()));
    }
}

#[tokio::test]
async fn rebuild_replaces_whatever_the_model_held() {
    let (log, dsn) = (BentLog::history(23, 500), migrated());
    let model = model(&dsn).await;
    rebuild(&model, &BentLog::history(99, 900)).await;
    let report = rebuild(&model, &log).await;
    assert_same(&report.digests, &reference_digest(&log.all()));
    assert_eq!(report.checkpoint, log.last_sequence.load(Ordering::SeqCst), "also when that is a lower one");
}

#[tokio::test]
async fn rebuild_of_an_empty_log_gives_an_empty_model() {
    let model = model(&migrated()).await;
    rebuild(&model, &BentLog::history(24, 300)).await;
    let report = rebuild(&model, &BentLog::default()).await;
    assert_eq!((report.checkpoint, report.events), (0, 0));
    assert!(report.rows().iter().all(|(_, rows)| *rows == 0));
}

#[tokio::test]
async fn events_that_arrive_during_a_rebuild_are_in_the_new_model() {
    let all = history(25, 6_000);
    let log = BentLog::of(all[..2_000].to_vec());
    // Popped from the back: many after the first reading, few after the second.
    *log.arriving.lock().unwrap() = vec![all[5_500..].to_vec(), all[2_000..5_500].to_vec()];
    let model = model(&migrated()).await;
    let report = rebuild(&model, &log).await;
    assert_eq!(report.events, all.len() as u64);
    assert_eq!(report.checkpoint, all.last().unwrap().sequence);
    assert_same(&report.digests, &reference_digest(&all));
}

#[tokio::test(flavor = "multi_thread")]
async fn live_tail_goes_on_during_a_rebuild_and_both_agree() {
    let all = history(26, 4_000);
    let (log, dsn) = (BentLog::of(all[..1_000].to_vec()), migrated());
    let stop = Arc::new(AtomicBool::new(false));
    let tail = tokio::spawn({
        let (log, dsn, stop, all) = (log.clone(), dsn.clone(), stop.clone(), all.clone());
        async move {
            let mut model = model(&dsn).await;
            let mut rest = all[1_000..].chunks(20);
            while !stop.load(Ordering::SeqCst) || rest.len() > 0 {
                log.push(rest.next().unwrap_or_default().to_vec());
                model.catch_up(&log, Default::default()).await.unwrap();
            }
        }
    });
    let model_for_rebuild = model(&dsn).await;
    for _ in 0..3 {
        rebuild(&model_for_rebuild, &log).await;
    }
    stop.store(true, Ordering::SeqCst);
    tail.await.unwrap();
    assert_same(&model(&dsn).await.digests().await.unwrap().1, &reference_digest(&all));
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_during_rebuilds_see_the_old_model_or_the_new_and_are_never_blocked() {
    let (small, large, dsn) = (BentLog::history(27, 600), BentLog::history(28, 6_000), migrated());
    let model = model(&dsn).await;
    let count = |log: &BentLog| reference(&log.all()).rows(Table::IdentityTransitions).count() as i64;
    let (few, many) = (count(&small), count(&large));
    assert_ne!(few, many);
    rebuild(&model, &small).await;
    let stop = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn({
        let (dsn, stop) = (dsn.clone(), stop.clone());
        async move {
            let client = client(&dsn).await;
            // The bound of 100 ms is measured on a quiet machine; here no lock may be waited out.
            client.batch_execute("SET lock_timeout = '5s'").await.unwrap();
            // One statement that needs both tables, so that a half-swapped model would show.
            let sql = "SELECT (SELECT count(*) FROM read_model.identity_transitions),
                              (SELECT sequence FROM public.projection_checkpoint)";
            let statement = client.prepare(sql).await.unwrap();
            let mut seen = std::collections::BTreeSet::new();
            while !stop.load(Ordering::SeqCst) {
                let row = client.query_one(&statement, &[]).await.unwrap();
                seen.insert(row.get::<_, i64>(0));
            }
            seen
        }
    });
    for log in [&large, &small, &large] {
        rebuild(&model, log).await;
    }
    stop.store(true, Ordering::SeqCst);
    let seen = reader.await.unwrap();
    assert!(seen.iter().all(|rows| *rows == few || *rows == many), "{seen:?} is neither {few} nor {many}");
    assert_eq!(seen.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn reader_with_an_open_transaction_keeps_its_rows_and_does_not_stop_the_rebuild() {
    let (log, dsn) = (BentLog::history(29, 500), migrated());
    let model = model(&dsn).await;
    rebuild(&model, &log).await;
    let reader = client(&dsn).await;
    reader.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    let sql = "SELECT count(*) FROM read_model.owners";
    let before: i64 = reader.query_one(sql, &[]).await.unwrap().get(0);
    let report = rebuild(&model, &BentLog::default()).await;
    let kept: Vec<KeptFor> = report.leftovers.iter().map(|leftover| leftover.kept_for).collect();
    assert_eq!(kept, [KeptFor::Reader]);
    let other = client(&dsn).await;
    assert_eq!(other.query_one(sql, &[]).await.unwrap().get::<_, i64>(0), 0);
    reader.batch_execute("COMMIT").await.unwrap();
    assert!(before > 0);
    rebuild(&model, &log).await;
    assert_eq!(schemas(&other).await, ["read_model"], "the next rebuild drops what was left");
}

#[tokio::test(flavor = "multi_thread")]
async fn second_rebuild_and_a_diff_are_refused_while_one_runs() {
    let (log, dsn) = (BentLog::history(30, 500), migrated());
    let (first, second) = (model(&dsn).await, model(&dsn).await);
    let refused = Mutex::new(Vec::new());
    let runtime = tokio::runtime::Handle::current();
    let meanwhile = |progress: Progress| {
        if progress == Progress::Indexing {
            tokio::task::block_in_place(|| {
                runtime.block_on(async {
                    let rebuild = second.rebuild(&log, RebuildOptions::default(), &silent).await.map(drop);
                    let diff = second.diff(&log, Default::default(), &silent).await.map(drop);
                    refused.lock().unwrap().extend([rebuild, diff]);
                });
            });
        }
    };
    first.rebuild(&log, RebuildOptions::default(), &meanwhile).await.unwrap();
    let refused = refused.into_inner().unwrap();
    assert_eq!(refused.len(), 2);
    for outcome in refused {
        assert!(matches!(outcome, Err(ReadModelError::RebuildRunning)), "{outcome:?}");
    }
    rebuild(&second, &log).await;
}

/// Stops a rebuild by dropping it when it reaches a step, as a kill does: its connections end without a word.
async fn rebuild_killed_at(
    dsn: &str,
    log: &BentLog,
    memory_bytes: usize,
    step: impl Fn(Progress) -> bool + Send + Sync,
) {
    let model = model(dsn).await;
    let reached = tokio::sync::Notify::new();
    let progress = |progress| {
        if step(progress) {
            reached.notify_one();
        }
    };
    let options = RebuildOptions { memory_bytes, ..RebuildOptions::default() };
    tokio::select! {
        biased;
        () = reached.notified() => {}
        outcome = model.rebuild(log, options, &progress) => panic!("not killed: {outcome:?}"),
    }
}

#[tokio::test]
async fn rebuild_killed_at_any_step_leaves_the_old_model_and_the_next_run_cleans_up() {
    let (old, new, dsn) = (BentLog::history(31, 400), BentLog::history(32, 3_000), migrated());
    let model = model(&dsn).await;
    let before = rebuild(&model, &old).await.digests;
    type AtStep = fn(Progress) -> bool;
    let steps: [(usize, AtStep); 6] = [
        (1 << 28, |p| matches!(p, Progress::Reading { events, .. } if events > 1_000)),
        (100_000, |p| matches!(p, Progress::Reading { events, .. } if events > 2_000)),
        (1 << 28, |p| matches!(p, Progress::Writing)),
        (1 << 28, |p| p == Progress::Indexing),
        (1 << 28, |p| p == Progress::CatchingUp),
        (1 << 28, |p| p == Progress::Swapping),
    ];
    for (memory_bytes, step) in steps {
        rebuild_killed_at(&dsn, &new, memory_bytes, step).await;
        let mut survivor = crate::support::model(&dsn).await;
        let (checkpoint, digests) = survivor.digests().await.unwrap();
        assert_eq!(checkpoint, old.last_sequence.load(Ordering::SeqCst));
        assert_same(&digests, &before);
    }
    // At once: the lock of the run that was killed last may still be held for a moment.
    let report = rebuild(&model, &new).await;
    assert_same(&report.digests, &reference_digest(&new.all()));
    assert_eq!(schemas(&client(&dsn).await).await, ["read_model"]);
}

#[tokio::test]
async fn log_that_fails_in_the_middle_leaves_the_old_model_and_no_shadow() {
    let (old, dsn) = (BentLog::history(33, 400), migrated());
    let model = model(&dsn).await;
    let before = rebuild(&model, &old).await.digests;
    let failing = BentLog { fail_after_batches: Some(3), ..BentLog::history(34, 3_000) };
    let error = model.rebuild(&failing, RebuildOptions::default(), &silent).await.unwrap_err();
    assert!(matches!(error, ReadModelError::Log(_)), "{error}");
    assert_eq!(schemas(&client(&dsn).await).await, ["read_model"]);
    assert_same(&rebuild(&model, &old).await.digests, &before);
}

#[tokio::test]
async fn rebuilt_tables_have_the_keys_indexes_policies_and_grants_of_migrated_ones() {
    let dsn = migrated();
    let client = client(&dsn).await;
    let describe = "SELECT c.relname::text, c.relrowsecurity, c.relforcerowsecurity, c.relacl::text,
                    pg_get_userbyid(c.relowner)::text,
                    ARRAY(SELECT pg_get_indexdef(i.indexrelid)
                          FROM pg_index i WHERE i.indrelid = c.oid ORDER BY 1),
                    ARRAY(SELECT p.polname::text || pg_get_expr(p.polqual, p.polrelid) FROM pg_policy p
                          WHERE p.polrelid = c.oid ORDER BY 1),
                    n.nspacl::text
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = 'read_model' AND c.relkind = 'r' ORDER BY 1";
    let read = async || -> Vec<String> {
        client
            .query(&format!("SELECT t::text FROM ({describe}) t"), &[])
            .await
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect()
    };
    let migrated = read().await;
    assert_eq!(migrated.len(), Table::ALL.len());
    rebuild(&model(&dsn).await, &BentLog::history(35, 300)).await;
    assert_eq!(read().await, migrated);
}

#[tokio::test]
async fn rebuild_touches_nothing_in_public_but_the_checkpoint() {
    let dsn = migrated();
    let client = client(&dsn).await;
    client
        .batch_execute("INSERT INTO public.rate_limits (tenant_id, tokens) VALUES (gen_random_uuid(), 1)")
        .await
        .unwrap();
    let model = model(&dsn).await;
    let before = model.public_row_counts().await.unwrap();
    rebuild(&model, &BentLog::history(36, 300)).await;
    assert_eq!(model.public_row_counts().await.unwrap(), before);
    assert!(before.contains(&("public.rate_limits".into(), 1)), "{before:?}");
}

#[tokio::test]
async fn read_model_that_is_lost_or_changed_by_hand_is_made_anew() {
    let (log, dsn) = (BentLog::history(37, 600), migrated());
    let client = client(&dsn).await;
    for damage in [
        "DROP SCHEMA read_model CASCADE",
        "DROP SCHEMA read_model CASCADE; CREATE SCHEMA read_model AUTHORIZATION trstctl_owner",
        "ALTER TABLE read_model.owners ADD COLUMN more text, DROP COLUMN email",
        "DROP TABLE read_model.certificates; DROP POLICY owner ON read_model.owners",
        "ALTER TABLE read_model.tenants OWNER TO postgres",
    ] {
        client.batch_execute(damage).await.unwrap();
        let target = Target::from_dsn(&dsn).unwrap();
        let report = read_model::rebuild(&target, &log, RebuildOptions::default(), &silent).await;
        let report = report.unwrap_or_else(|error| panic!("{damage}: {error}"));
        assert_same(&report.digests, &reference_digest(&log.all()));
        assert_eq!(schemas(&client).await, ["read_model"], "{damage}");
        ReadModel::connect(&dsn).await.unwrap_or_else(|error| panic!("{damage}: {error}"));
    }
}

#[tokio::test]
async fn what_others_hang_on_the_model_keeps_the_old_one_unless_it_may_go() {
    let (log, dsn) = (BentLog::history(41, 600), migrated());
    let (model, client) = (model(&dsn).await, client(&dsn).await);
    rebuild(&model, &log).await;
    let hang = "CREATE VIEW public.seen AS SELECT count(*) AS owners FROM read_model.owners;
                CREATE TABLE read_model.notes (note text); INSERT INTO read_model.notes VALUES ('ours')";
    client.batch_execute(hang).await.unwrap();
    let seen = async || {
        client.query_one("SELECT owners FROM public.seen", &[]).await.map(|row| row.get::<_, i64>(0))
    };
    let before = seen().await.unwrap();
    assert!(before > 0);
    let kept = rebuild(&model, &BentLog::default()).await.leftovers;
    assert_eq!(kept.iter().map(|leftover| leftover.kept_for).collect::<Vec<_>>(), [KeptFor::Additions]);
    assert_eq!(seen().await.unwrap(), before, "the old model is what it was");
    let note = format!("SELECT note FROM {}.notes", kept[0].schema);
    assert_eq!(client.query_one(&note, &[]).await.unwrap().get::<_, String>(0), "ours");
    let again = rebuild(&model, &log).await.leftovers;
    assert_eq!(again, kept, "the new one went, that one did not");
    let anew = "CREATE OR REPLACE VIEW public.seen AS SELECT count(*) AS owners FROM read_model.owners";
    client.batch_execute(anew).await.unwrap();
    let options = RebuildOptions { additions: Additions::Drop, ..RebuildOptions::default() };
    let report = model.rebuild(&log, options, &silent).await.unwrap();
    assert_eq!(report.leftovers, kept, "only what is replaced now goes with all that hangs on it");
    seen().await.unwrap_err();
    assert_same(&report.digests, &reference_digest(&log.all()));
}

#[tokio::test]
async fn database_that_publishes_all_tables_is_rebuilt() {
    let (log, dsn) = (BentLog::history(42, 3_000), migrated());
    client(&dsn).await.batch_execute("CREATE PUBLICATION everything FOR ALL TABLES").await.unwrap();
    let model = model(&dsn).await;
    for memory_bytes in [20_000, RebuildOptions::default().memory_bytes] {
        let options = RebuildOptions { memory_bytes, ..RebuildOptions::default() };
        let report = model.rebuild(&log, options, &silent).await.unwrap();
        assert_same(&report.digests, &reference_digest(&log.all()));
    }
}

#[tokio::test]
async fn lock_that_a_killed_run_still_holds_for_seconds_does_not_stop_the_next() {
    let (log, dsn) = (BentLog::history(38, 300), migrated());
    let killed = client(&dsn).await;
    let pid: i32 = killed.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let key = trstctl_migrations::lock_keys::REBUILD;
    killed.batch_execute(&format!("SELECT pg_advisory_lock({key})")).await.unwrap();
    let model = model(&dsn).await;
    let other = client(&dsn).await;
    let ending = async {
        other.query_one("SELECT pg_sleep(1.5), pg_terminate_backend($1)", &[&pid]).await.unwrap();
    };
    let (report, ()) = tokio::join!(rebuild(&model, &log), ending);
    assert_same(&report.digests, &reference_digest(&log.all()));
}

#[tokio::test]
async fn log_that_grows_faster_than_it_is_applied_ends_the_rebuild_with_the_old_model() {
    let (all, dsn) = (history(39, 15_000), migrated());
    let log = BentLog::of(all[..1_000].to_vec());
    *log.arriving.lock().unwrap() = all[1_000..].chunks(1_500).map(<[_]>::to_vec).rev().collect();
    let model = model(&dsn).await;
    let error = model.rebuild(&log, RebuildOptions::default(), &silent).await.unwrap_err();
    assert!(matches!(error, ReadModelError::NotCaughtUp { behind } if behind > 1_000), "{error}");
    assert!(!log.arriving.lock().unwrap().is_empty(), "it ended before the log did");
    assert_eq!(schemas(&client(&dsn).await).await, ["read_model"]);
    assert_eq!(model.checkpoint().await.unwrap(), 0);
}

#[tokio::test]
async fn schema_that_somebody_keeps_under_a_name_that_begins_like_ours_stays() {
    let (dsn, kept) = (migrated(), "read_model_retired_before_the_incident");
    let make = format!("CREATE SCHEMA {kept} AUTHORIZATION trstctl_owner");
    client(&dsn).await.batch_execute(&make).await.unwrap();
    rebuild(&model(&dsn).await, &BentLog::history(33, 100)).await;
    assert_eq!(schemas(&client(&dsn).await).await, ["read_model", kept]);
}

#[tokio::test]
async fn log_that_does_not_answer_while_the_projection_lock_is_held_is_asked_again_without_it() {
    let all = history(40, 1_000);
    let log = BentLog { hanging_reading: 2, ..BentLog::of(all[..900].to_vec()) };
    *log.arriving.lock().unwrap() = vec![all[900..].to_vec()];
    let report = rebuild(&model(&migrated()).await, &log).await;
    assert!(report.swap_attempts >= 2, "{}", report.swap_attempts);
    assert_same(&report.digests, &reference_digest(&all));
}

/// Runs `body` in the session that runs a command of this kind, when the command is done.
async fn on_command(dsn: &str, tag: &str, body: &str) {
    let sql = format!(
        "CREATE FUNCTION public.meddle() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN {body} END $$;
         CREATE EVENT TRIGGER meddle ON ddl_command_end WHEN TAG IN ('{tag}') EXECUTE FUNCTION public.meddle()"
    );
    client(dsn).await.batch_execute(&sql).await.unwrap();
}

/// As behind a pooler that gives each transaction another session of the server.
#[tokio::test]
async fn session_that_lost_the_rebuild_lock_swaps_nothing_in() {
    let (log, dsn) = (BentLog::history(43, 300), migrated());
    let model = model(&dsn).await;
    let key = trstctl_migrations::lock_keys::REBUILD;
    on_command(&dsn, "CREATE SCHEMA", &format!("PERFORM pg_advisory_unlock({key});")).await;
    let error = model.rebuild(&log, RebuildOptions::default(), &silent).await.unwrap_err();
    assert!(matches!(error, ReadModelError::LockLost), "{error}");
    assert_eq!(model.checkpoint().await.unwrap(), 0);
    assert_eq!(schemas(&client(&dsn).await).await, ["read_model"]);
}

#[tokio::test]
async fn rows_that_the_server_keeps_back_are_missed() {
    let (log, dsn) = (BentLog::history(44, 300), migrated());
    let model = model(&dsn).await;
    let nothing =
        "CREATE FUNCTION public.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'";
    client(&dsn).await.batch_execute(nothing).await.unwrap();
    let body = "IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() WHERE object_identity LIKE 'read_model_shadow%.owners') THEN
                    EXECUTE (SELECT format('CREATE TRIGGER none BEFORE INSERT ON %s FOR EACH ROW EXECUTE FUNCTION public.nothing()', object_identity)
                             FROM pg_event_trigger_ddl_commands() WHERE object_identity LIKE '%.owners' AND object_type = 'table');
                END IF;";
    on_command(&dsn, "CREATE TABLE", body).await;
    let error = model.rebuild(&log, RebuildOptions::default(), &silent).await.unwrap_err();
    assert!(matches!(error, ReadModelError::RowsLost { table: "owners", sent: 1.., taken: 0 }), "{error}");
    assert_eq!(model.checkpoint().await.unwrap(), 0);
}

#[tokio::test]
async fn what_fails_after_the_swap_is_told_as_such() {
    let (log, dsn) = (BentLog::history(45, 300), migrated());
    let model = model(&dsn).await;
    on_command(&dsn, "DROP SCHEMA", "RAISE EXCEPTION 'nobody drops here';").await;
    let error = model.rebuild(&log, RebuildOptions::default(), &silent).await.unwrap_err();
    let last = log.last_sequence.load(Ordering::SeqCst);
    assert!(matches!(error, ReadModelError::AfterSwap { checkpoint, .. } if checkpoint == last), "{error}");
    assert!(error.to_string().contains("nobody drops here"), "{error}");
    assert_eq!(model.checkpoint().await.unwrap(), last);
}

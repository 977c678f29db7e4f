//! Random histories: live tail, catch-up in any batch size and rebuild in any memory make the same model.

use std::num::NonZeroUsize;

use proptest::prelude::*;
use trstctl_ledger::read_model::{BatchSize, RebuildOptions};

use crate::support::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn every_way_to_the_model_gives_the_same_model(
        seed in any::<u64>(),
        events in 1..900_u64,
        live in 0..40_usize,
        batch in 1..400_usize,
        memory_bytes in prop_oneof![1..300_000_usize, Just(1 << 28)],
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let log = BentLog::history(seed, events);
            let expected = reference_digest(&log.all());
            let mut model = model(&migrated()).await;
            let mut after = 0;
            let last = log.all().last().map_or(0, |message| message.sequence);
            for message in log.all().iter().take(live) {
                after = model.apply(after, std::slice::from_ref(message), last).await.unwrap().checkpoint;
            }
            model.catch_up(&log, BatchSize(NonZeroUsize::new(batch).unwrap())).await.unwrap();
            let caught_up = model.digests().await.unwrap().1;
            let rebuilt = model.rebuild(&log, RebuildOptions { memory_bytes, ..RebuildOptions::default() }, &silent).await.unwrap();
            assert_eq!(caught_up.differences(&expected), []);
            assert_eq!(rebuilt.digests.differences(&expected), []);
            assert_eq!(model.diff(&log, Default::default(), &silent).await.unwrap().total(), 0);
        });
    }
}

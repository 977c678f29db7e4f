//! The read model in PostgreSQL: one apply path for live tail, catch-up and rebuild; checkpoint, faults, shadow rebuild
//! with atomic swap, state digests, and the difference between the model and the fold of the log.

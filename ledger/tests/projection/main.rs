//! What every event does to the read model, what is quarantined, and that batches do not matter.

mod batches;
mod documentation;
mod events;
mod history;
mod lookups;
mod postgresql;
mod quarantine;
mod rate;
mod support;

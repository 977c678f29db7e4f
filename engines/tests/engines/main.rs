//! Engines as their callers meet them: real servers, real signals.

mod client;
mod embedded;
mod ends;
mod nats;
mod postgres;

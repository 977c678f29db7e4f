//! Putting a verified backup into an empty log, and proving that the log then holds it.
//!
//! `archive` sends it whole (the default), `publish` message by message (on request), `read_back` reads the live log and
//! compares: the server's own word is worth nothing (trap 20).

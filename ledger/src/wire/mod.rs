//! A small NATS connection that hands out subject, header block and payload exactly as the server sends them
//! (design decision 15), and makes the JetStream API requests that this program needs.
//!
//! It serves everything: reading and appending, the archive conversation, and the management of streams and
//! consumers. A general client would keep headers in a map (order and white space lost) and stops at a subject that is
//! not UTF-8, so the bytes need this one in any case; the JSON requests are four, and a second client beside it would
//! mean a second login, TLS set-up, reconnection and error vocabulary for the same server.
//!
//! A [`Connection`] never reconnects by itself: when it is lost, everything that waits on it fails with the reason,
//! and whoever knows how to continue ([`crate::log`]) opens another.
//!
//! From bytes to messages: `parse` (pure) finds the operations in a buffer, `incoming` reads the socket and files whole
//! batches into the queues of `subscription`, `outgoing` gathers what is written, `connection` is the handle, and
//! `dial` makes it: `server_url`, `tls`, `login`.

mod api;
mod connection;
mod dial;
mod incoming;
mod login;
mod message;
mod options;
mod outgoing;
pub mod parse;
mod server_info;
mod server_url;
mod subscription;
mod tls;

pub(crate) use api::MORE_STORAGE;
pub use api::{ApiError, ApiRefusal, code, read_answer};
pub use connection::Connection;
pub use message::Message;
pub use options::ConnectOptions;
pub use server_info::{ServerInfo, ServerVersion};
pub use subscription::Subscription;

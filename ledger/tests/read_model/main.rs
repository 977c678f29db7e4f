//! The read model on a real PostgreSQL: one server for all tests, a database each.

mod apply;
mod diff;
mod properties;
mod rebuild;
mod repair;
mod roles;
mod support;

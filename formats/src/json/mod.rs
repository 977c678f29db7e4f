//! Scanning and writing JSON text without losing a byte of it.
//!
//! `scan` checks the grammar of RFC 8259 and finds where values end; `cursor` takes text of one fixed spelling;
//! `members` reads an object as leniently as Go does; `text` decodes and escapes strings. None of them copies what it
//! only looks at, and none recurses, so nesting costs a bit a level and no stack.

mod cursor;
mod members;
mod scan;
mod specials;
mod text;

pub(crate) use cursor::Cursor;
pub(crate) use members::{Member, Members, RawString, Value};
pub(crate) use scan::{Fault, is_on_one_line, skip_space, value_end};
pub(crate) use text::{
    decode_go, is_canonical_v2, push_go_compacted, push_go_escaped, push_stored_as_v2, push_v2_as_stored,
    push_v2_escaped, v2_decoded,
};

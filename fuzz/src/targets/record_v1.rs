//! A record line of version 1.

use trstctl_formats::StoredMessage;
use trstctl_formats::backup::one_line::{self, OfVersion1};
use trstctl_formats::event::Event;

use super::{Outcome, refusal};

/// Both ways of reading give the same, and the message that a restore makes can be backed up in version 1 again, as the
/// same line from then on.
pub fn record_v1(line: &[u8]) -> Outcome {
    let read = one_line::record_v1(line);
    assert_eq!(read, one_line::record_v1_leniently(line), "the two ways of reading differ");
    let record = match read {
        Ok(record) => record,
        Err(refused) => return refusal::of_line(line, refused),
    };
    let shape = shape_of(&record);
    if let Ok(message) = &record.message {
        settles(message);
    }
    shape
}

fn shape_of(record: &OfVersion1) -> Outcome {
    let event = &record.event;
    let roles = event.actor.as_ref().map(|actor| actor.roles.len().min(3));
    let made = record.message.as_ref().map(|message| message.headers.is_empty());
    Outcome::from(format!(
        "{} {:?} {} {roles:?} {made:?}",
        record.is_trailer,
        event.version.map(i64::signum),
        event.data.len().min(3),
    ))
}

/// Written and read again once, a message is written and read as itself for ever.
fn settles(message: &StoredMessage) {
    let once = through_a_backup(message);
    let twice = through_a_backup(&once);
    assert_eq!(twice, once, "the second backup differs from the first");
    let event =
        |message: &StoredMessage| Event::from_stored(&message.payload).expect("a restore stores events");
    let (before, after) = (event(message), event(&once));
    assert_eq!((&before.id, &before.kind, &before.tenant_id), (&after.id, &after.kind, &after.tenant_id));
    assert_eq!((&before.time, &before.actor), (&after.time, &after.actor));
    assert_eq!(before.data.is_empty(), after.data.is_empty());
}

fn through_a_backup(message: &StoredMessage) -> StoredMessage {
    let line = one_line::record_v1_line(&message.payload).expect("what was restored can be backed up");
    let again =
        one_line::record_v1(&line).unwrap_or_else(|refused| panic!("{refused:?} in {}", line.escape_ascii()));
    assert!(!again.is_trailer);
    again.message.unwrap_or_else(|reason| panic!("{reason} in {}", line.escape_ascii()))
}

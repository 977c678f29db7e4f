//! The one place that rests: between two looks at a condition that nobody announces, within the caller's deadline.

use std::time::Duration;

/// Rests before the next look.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the pause between two looks; the caller has a deadline"
)]
pub fn pause(until_next_look: Duration) {
    std::thread::sleep(until_next_look);
}

//! Durations as arguments.

use std::time::Duration;

use crate::duration_text;

/// Parses a duration, for example `500ms`, `20s`, `5m`, `1h` or `30d`.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    duration_text::parse(text)
        .ok_or_else(|| String::from("expected a whole number and a unit: 500ms, 20s, 5m, 1h, 30d"))
}

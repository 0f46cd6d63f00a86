//! Log lines as JSON.

use std::fmt::{self, Debug, Write};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_log::NormalizeEvent;
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Format, Json, Writer},
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

/// Formats one JSON object per line.
///
/// Events of the `log` crate get the target of their record and only the message: the other fields that the bridge
/// adds are the source path on the machine that built the crate.
pub(super) struct JsonLines(Format<Json, SystemTime>);

impl JsonLines {
    pub(super) const fn new(own: Format<Json, SystemTime>) -> Self {
        Self(own)
    }
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(metadata) = event.normalized_metadata() else {
            return self.0.format_event(context, writer, event);
        };
        let mut message = Message(String::new());
        event.record(&mut message);
        writer.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut writer)?;
        writeln!(
            writer,
            "\",\"level\":\"{}\",\"message\":{},\"target\":{}}}",
            metadata.level(),
            serde_json::Value::from(message.0),
            serde_json::Value::from(metadata.target()),
        )
    }
}

/// The message of an event.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            // Writing to a string does not fail.
            let _ = write!(self.0, "{value:?}");
        }
    }
}

//! What commands print: lines, tables, JSON.

use std::{
    fmt::Display,
    io::{self, ErrorKind, IsTerminal, Write},
};

use anyhow::Context;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets};
use serde::Serialize;

/// How narrow text of any length may become, in characters.
const LEAST_PROSE_WIDTH: u16 = 24;

/// A row of a list: an object in JSON, cells in a table.
pub(super) trait Row: Serialize {
    /// The columns of the table.
    const COLUMNS: &'static [&'static str];

    /// True where the last column holds text of any length, which may be broken on a narrow terminal. Other cells are
    /// never broken: they are there to be copied.
    const LAST_COLUMN_IS_PROSE: bool = false;

    /// True where all columns but the first hold numbers, which stand under one another by their last digits.
    const NUMBERS: bool = false;

    /// The cells of this row, one per column.
    fn cells(&self) -> Vec<String>;
}

/// Prints a list: as JSON, or as [`table`] does.
pub(super) fn list<R: Row>(rows: &[R], json: bool) -> anyhow::Result<()> {
    if json {
        return self::json(rows);
    }
    table(rows)
}

/// Prints JSON.
pub(super) fn json(value: &(impl Serialize + ?Sized)) -> anyhow::Result<()> {
    let json = serde_json::to_string_pretty(value).context("this cannot be written as JSON")?;
    line(json)
}

/// Tells a doubt on standard error: the command goes on.
pub(super) fn warn(doubt: &str) {
    // Where standard error is gone there is nobody to tell.
    let _ = writeln!(io::stderr().lock(), "warning: {doubt}");
}

/// Tells on standard error what was done beside what was asked for.
pub(super) fn note(what: &str) {
    // Where standard error is gone there is nobody to tell.
    let _ = writeln!(io::stderr().lock(), "note: {what}");
}

/// A time as people read it: without what is less than a second. JSON keeps that.
pub(super) fn to_the_second(time: &str) -> String {
    match time.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => time.to_owned(),
    }
}

/// Prints rows: as a framed table on a terminal, as plain columns where something else reads it.
pub(super) fn table<R: Row>(rows: &[R]) -> anyhow::Result<()> {
    let mut table = Table::new();
    if io::stdout().is_terminal() {
        table
            .load_style(presets::UTF8_FULL_CONDENSED)
            .set_content_arrangement(ContentArrangement::Dynamic);
    } else {
        table.load_style(presets::NOTHING);
    }
    table.set_header(R::COLUMNS);
    for row in rows {
        table.add_row(row.cells().iter().map(|cell| printable(cell)));
    }
    let last = R::COLUMNS.len().saturating_sub(1);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_constraint(if R::LAST_COLUMN_IS_PROSE && index == last {
            ColumnConstraint::LowerBoundary(Width::Fixed(LEAST_PROSE_WIDTH))
        } else {
            ColumnConstraint::ContentWidth
        });
        if R::NUMBERS && index > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    line(table.trim_fmt())
}

/// Prints one line.
pub(super) fn line(text: impl Display) -> anyhow::Result<()> {
    write(format!("{text}\n").as_bytes())
}

/// Writes to standard output. A reader that has gone, such as `head`, has had what it wanted.
pub(super) fn write(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("standard output cannot be written")
        }
        _ => Ok(()),
    }
}

/// Without what a terminal would obey: a user agent is whatever a client sent.
pub(super) fn printable(cell: &str) -> String {
    cell.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_cannot_command_the_terminal() {
        assert_eq!(
            printable("curl\u{1b}[2J\u{9b}x\n"),
            "curl\u{fffd}[2J\u{fffd}x\u{fffd}"
        );
    }
}

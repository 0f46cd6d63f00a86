//! Output of commands: lines, tables, JSON.

use std::{
    fmt::Display,
    io::{self, ErrorKind, IsTerminal, Write},
};

use anyhow::Context;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets};
use serde::Serialize;

/// Minimum width of a column of prose, in characters.
const LEAST_PROSE_WIDTH: u16 = 24;

/// A row of a list: an object in JSON, cells in a table.
pub(super) trait Row: Serialize {
    /// The columns of the table.
    const COLUMNS: &'static [&'static str];

    /// True if the last column contains text of any length, which may be wrapped on a narrow terminal. Other cells
    /// are never wrapped, because users copy them.
    const LAST_COLUMN_IS_PROSE: bool = false;

    /// True if all columns but the first contain numbers, which are right-aligned.
    const NUMBERS: bool = false;

    /// Columns that [`fitted`] omits on a terminal unless they are requested.
    const WIDE_ONLY: &'static [&'static str] = &[];

    /// Columns whose text [`fitted`] may truncate, in this order, each with its minimum length in characters.
    const CUT: &'static [(&'static str, usize)] = &[];

    /// Returns the cells of this row, one per column.
    fn cells(&self) -> Vec<String>;
}

/// Prints a list like [`list`], but on a terminal every row takes one line: without the wide-only columns, with times
/// to the minute, and with texts truncated if the rest does not fit.
pub(super) fn fitted<R: Row>(rows: &[R], json: bool, wide: bool) -> anyhow::Result<()> {
    if json || wide || !io::stdout().is_terminal() {
        return list(rows, json);
    }
    // If the terminal does not report its width, use the width of a classic terminal.
    let width = crossterm::terminal::size().map_or(0, |(columns, _)| columns);
    let width = if width == 0 { 80 } else { usize::from(width) };
    let (columns, cells) = fit(rows, width);
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns);
    for row in cells {
        table.add_row(row);
    }
    line(table.trim_fmt())
}

/// Returns the columns of a list and its cells, so that a framed table of them is `width` characters wide if
/// possible.
fn fit<R: Row>(rows: &[R], width: usize) -> (Vec<&'static str>, Vec<Vec<String>>) {
    let is_shown = |name: &&str| !R::WIDE_ONLY.contains(name);
    let columns: Vec<&str> = R::COLUMNS.iter().copied().filter(is_shown).collect();
    let mut cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let cells = row.cells().into_iter().zip(R::COLUMNS);
            let cells = cells.filter(|(_, name)| is_shown(name));
            cells
                .map(|(cell, _)| to_the_minute(&printable(&cell)))
                .collect()
        })
        .collect();
    let length = |text: &str| text.chars().count();
    // A column takes its text, a space on both sides, and a border; and there is one more border.
    let mut widths: Vec<usize> = columns.iter().map(|name| length(name)).collect();
    for row in &cells {
        for (column, cell) in widths.iter_mut().zip(row) {
            *column = (*column).max(length(cell));
        }
    }
    for (name, least) in R::CUT {
        let whole = widths.iter().sum::<usize>() + 3 * widths.len() + 1;
        let Some(index) = columns.iter().position(|column| column == name) else {
            continue;
        };
        let least = (*least).max(length(name)).min(widths[index]);
        let goal = widths[index]
            .saturating_sub(whole.saturating_sub(width))
            .max(least);
        if goal < widths[index] {
            for row in &mut cells {
                row[index] = cut(&row[index], goal);
            }
            widths[index] = goal;
        }
    }
    (columns, cells)
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept = text.chars().take(most.saturating_sub(1));
    kept.chain(['…']).collect()
}

/// Returns a time (RFC 3339, UTC) without seconds; other texts unchanged.
fn to_the_minute(text: &str) -> String {
    let is_time = text.len() >= 20
        && text.is_ascii()
        && text.ends_with('Z')
        && text.as_bytes().get(10) == Some(&b'T')
        && text.as_bytes().get(16) == Some(&b':');
    if is_time {
        text[..16].replace('T', " ")
    } else {
        text.to_owned()
    }
}

/// Prints a list: as JSON, or like [`table`].
pub(super) fn list<R: Row>(rows: &[R], json: bool) -> anyhow::Result<()> {
    if json {
        return self::json(rows);
    }
    table(rows)
}

pub(super) fn json(value: &(impl Serialize + ?Sized)) -> anyhow::Result<()> {
    let json = serde_json::to_string_pretty(value).context("this cannot be written as JSON")?;
    line(json)
}

/// Prints a warning on standard error; the command continues.
pub(super) fn warn(doubt: &str) {
    // If standard error is closed, the warning cannot be printed.
    let _ = writeln!(io::stderr().lock(), "warning: {doubt}");
}

/// Prints a note on standard error about an additional effect of the command.
pub(super) fn note(what: &str) {
    // If standard error is closed, the note cannot be printed.
    let _ = writeln!(io::stderr().lock(), "note: {what}");
}

/// Returns a time for people, without fractions of a second. JSON keeps them.
pub(super) fn to_the_second(time: &str) -> String {
    match time.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => time.to_owned(),
    }
}

/// Prints rows: as a framed table on a terminal, otherwise as plain columns.
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

pub(super) fn line(text: impl Display) -> anyhow::Result<()> {
    write(format!("{text}\n").as_bytes())
}

/// Writes to standard output. A reader that has closed the pipe, for example `head`, is not an error.
pub(super) fn write(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("standard output cannot be written")
        }
        _ => Ok(()),
    }
}

/// Removes control characters that a terminal would interpret: a client can send any user agent.
pub(super) fn printable(cell: &str) -> String {
    cell.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Wide([String; 5]);

    impl Row for Wide {
        const COLUMNS: &'static [&'static str] = &["id", "user", "role", "seen", "device"];
        const WIDE_ONLY: &'static [&'static str] = &["id"];
        const CUT: &'static [(&'static str, usize)] = &[("device", 10), ("user", 6)];

        fn cells(&self) -> Vec<String> {
            self.0.to_vec()
        }
    }

    #[test]
    fn a_list_is_made_to_fit() {
        let row = |user: &str, device: &str| {
            let time = "2026-01-31T12:00:59.25Z";
            Wide([&"i".repeat(36), user, "contributor", time, device].map(str::to_owned))
        };
        let width = |columns: &[&str], cells: &[Vec<String>]| {
            let of = |index: usize| {
                let cells = cells.iter().map(|row| row[index].chars().count());
                cells.chain([columns[index].len()]).max().unwrap()
            };
            (0..columns.len()).map(of).sum::<usize>() + 3 * columns.len() + 1
        };
        // Cells that fit are not changed.
        let (columns, cells) = fit(&[row("ada", "curl")], 80);
        assert_eq!(columns, ["user", "role", "seen", "device"]);
        assert_eq!(cells, [["ada", "contributor", "2026-01-31 12:00", "curl"]]);
        let device = "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0".repeat(3);
        for (user, at) in [("ada", 80), (&"n".repeat(64), 80), (&"n".repeat(64), 60)] {
            let (columns, cells) = fit(&[row(user, &device), row("bob", "curl")], at);
            assert!(width(&columns, &cells) <= at, "{cells:?}");
            assert!(cells[0][3].ends_with('…'));
            assert_eq!(cells[1][0], "bob");
        }
        // Too narrow for the content: as narrow as possible, and still aligned.
        let (_, cells) = fit(&[row(&"n".repeat(64), &device)], 20);
        assert_eq!(
            cells[0],
            ["nnnnn…", "contributor", "2026-01-31 12:00", "Mozilla/5…"]
        );
    }

    #[test]
    fn a_cell_cannot_command_the_terminal() {
        assert_eq!(
            printable("curl\u{1b}[2J\u{9b}x\n"),
            "curl\u{fffd}[2J\u{fffd}x\u{fffd}"
        );
    }
}

//! The screen: redraws the view in place on a terminal, otherwise prints a line from time to time.

#[cfg(test)]
mod picture;

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use crossterm::{
    cursor::{Hide, MoveToColumn, MoveUp, Show},
    queue,
    style::{Attribute, Print, SetAttribute},
    terminal::{Clear, ClearType, size},
};

use super::view::View;

/// The size that is assumed if the terminal does not report its size, in columns and rows.
const USUAL_SIZE: (u16, u16) = (80, 24);

/// Standard output.
#[derive(Debug)]
pub(super) enum Screen {
    /// A terminal.
    Terminal {
        /// Number of lines of the last drawing.
        drawn: u16,
    },
    /// A file or a pipe.
    Lines,
}

impl Screen {
    /// Returns the kind of standard output.
    pub(super) fn of_stdout() -> Self {
        if io::stdout().is_terminal() {
            Self::Terminal { drawn: 0 }
        } else {
            Self::Lines
        }
    }

    /// Returns the interval at which the view is updated.
    pub(super) const fn interval(&self) -> Duration {
        match self {
            Self::Terminal { .. } => Duration::from_millis(500),
            Self::Lines => Duration::from_secs(2),
        }
    }

    /// Shows a view.
    ///
    /// # Errors
    ///
    /// If standard output is closed.
    pub(super) fn show(&mut self, view: &View<'_>) -> io::Result<()> {
        let mut frame = Vec::new();
        match self {
            Self::Lines => writeln!(frame, "{}", view.line())?,
            Self::Terminal { drawn } => {
                let (columns, rows) = size().unwrap_or(USUAL_SIZE);
                // The last row stays empty: a line break there would scroll the first row away.
                let room = usize::from(rows.saturating_sub(1));
                let lines = view.lines(columns);
                *drawn = draw(&mut frame, *drawn, &lines[..lines.len().min(room)])?;
            }
        }
        let mut stdout = io::stdout().lock();
        stdout.write_all(&frame)?;
        stdout.flush()
    }
}

impl Drop for Screen {
    /// Shows the cursor again, however the demo ends.
    fn drop(&mut self) {
        if let Self::Terminal { drawn: 1.. } = self {
            let _ = queue!(io::stdout(), Show);
            let _ = io::stdout().flush();
        }
    }
}

/// Draws `lines` over the `drawn` lines above the cursor. Returns the new number of lines.
fn draw(frame: &mut Vec<u8>, drawn: u16, lines: &[String]) -> io::Result<u16> {
    queue!(frame, Hide, MoveToColumn(0))?;
    if drawn > 0 {
        queue!(frame, MoveUp(drawn))?;
    }
    for line in lines {
        let (heading, rest) = line.split_at(heading_length(line));
        queue!(
            frame,
            SetAttribute(Attribute::Bold),
            Print(heading),
            SetAttribute(Attribute::Reset),
            Print(rest),
            Clear(ClearType::UntilNewLine),
            Print("\n"),
            MoveToColumn(0)
        )?;
    }
    queue!(frame, Clear(ClearType::FromCursorDown))?;
    Ok(u16::try_from(lines.len()).unwrap_or(u16::MAX))
}

/// Returns the length of the heading that a line begins with: up to two spaces, if it is not indented or framed.
fn heading_length(line: &str) -> usize {
    if line.starts_with(char::is_alphabetic) {
        line.find("  ").unwrap_or(line.len())
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_may_begin_with_a_heading() {
        for (line, heading) in [
            ("last events", "last events"),
            ("logins per second   success 1", "logins per second"),
            ("  indented", ""),
            ("│ framed  ┆", ""),
            ("", ""),
        ] {
            assert_eq!(&line[..heading_length(line)], heading);
        }
    }

    #[test]
    fn a_drawing_goes_over_the_one_before() {
        let mut frame = Vec::new();
        let lines = ["one".to_owned(), "two".to_owned()];
        assert_eq!(draw(&mut frame, 0, &lines).unwrap(), 2);
        assert!(!String::from_utf8(frame).unwrap().contains("\x1b[2A"));
        let mut frame = Vec::new();
        assert_eq!(draw(&mut frame, 2, &lines[..1]).unwrap(), 1);
        let text = String::from_utf8(frame).unwrap();
        assert!(text.contains("\x1b[2A"), "{text:?}");
        assert!(
            text.ends_with("\x1b[J"),
            "the line that is no more is cleared: {text:?}"
        );
    }
}

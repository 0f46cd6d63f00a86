//! The faults of a configuration: all at once, each with its location, none containing a secret.

use std::{
    error::Error,
    fmt, io,
    path::{Path, PathBuf},
};

/// The source of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The default of this setting.
    Default(&'static str),
    /// This environment variable.
    Variable(String),
    /// This key of the configuration file.
    Key {
        /// The file.
        file: PathBuf,
        /// The key as written in the file.
        key: String,
    },
    /// The configuration file as a whole.
    File(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default(name) => f.write_str(name),
            Self::Variable(name) => f.write_str(&one_line(name)),
            Self::Key { file, key } => write!(f, "{}: {}", shown(file), one_line(key)),
            Self::File(file) => f.write_str(&shown(file)),
        }
    }
}

/// What is wrong with a value.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The value does not have the expected form.
    #[error("expected {0}")]
    Expected(String),
    /// The setting does not exist.
    #[error("there is no such setting{}", suggestion(nearest.as_deref()))]
    Unknown {
        /// The most similar known name, in the form used by that source.
        nearest: Option<String>,
    },
    /// The key is a table, but settings are not grouped.
    #[error(
        "settings are not grouped in tables: write `name = value` lines above the first `[table]`"
    )]
    Table,
    /// A secret was given both directly and as a file.
    #[error("{0} is also set: keep one of the two")]
    Twice(Origin),
    /// The file cannot be read. The cause is part of the message, because faults are printed as a list, not as a
    /// chain.
    #[error("the file cannot be read: {0}")]
    Unreadable(io::Error),
    /// The file is not TOML. The parser's own message is omitted, because it may quote the file.
    #[error(
        "line {line}, column {column}: not valid TOML: expected `name = value` lines, with texts in quotes and no name twice"
    )]
    Syntax {
        /// The line, counted from 1.
        line: usize,
        /// The column, in characters, counted from 1.
        column: usize,
    },
    /// The variable is not valid UTF-8.
    #[error("expected text in UTF-8")]
    NotUnicode,
    /// An invisible character precedes or follows the value.
    #[error(
        "{0} precedes or follows the value: remove it (in a shell `printf %s` writes no line end, `echo` does; \
         save files without a byte order mark)"
    )]
    Edge(&'static str),
    /// The same in the file of a secret.
    #[error(
        "in the file it names, {0} precedes or follows the secret: the file may contain only the secret and one \
         line end, in UTF-8 without a byte order mark"
    )]
    EdgeOfFile(&'static str),
    /// The setting has no default here.
    #[error("is required: expected {0}")]
    Missing(String),
    /// This build does not support the value.
    #[error("{0}")]
    Unsupported(&'static str),
    /// Not a fault, but the value does not have the effect that it seems to have.
    #[error("{0}")]
    Note(String),
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

/// One fault: its location, the value unless it is a secret, and what was expected.
#[derive(Debug)]
pub struct Fault {
    origin: Origin,
    value: Option<String>,
    problem: Problem,
}

impl Fault {
    /// Creates a fault or a note about a value. The caller omits `value` if it is a secret.
    #[must_use]
    pub const fn new(origin: Origin, value: Option<String>, problem: Problem) -> Self {
        Self {
            origin,
            value,
            problem,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.origin)?;
        if let Some(value) = &self.value {
            write!(f, " = {}", one_line(value))?;
            if matches!(self.origin, Origin::Default(_)) {
                f.write_str(" (the default)")?;
            }
        }
        write!(f, ": {}", self.problem)
    }
}

/// All faults of a configuration, one line each. Contains no secret.
#[derive(Debug, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Returns the faults, in the order of the settings.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.0.iter()
    }

    /// Returns true if there is no fault.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a fault. `value` is shown: the caller omits it if it is a secret.
    pub fn report(&mut self, origin: Origin, value: Option<String>, problem: Problem) -> Reported {
        let fault = Fault::new(origin, value, problem);
        // A fault of something that several settings depend on is reported once.
        let text = fault.to_string();
        if !self.0.iter().any(|it| it.to_string() == text) {
            self.0.push(fault);
        }
        Reported
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Fault;
    type IntoIter = std::slice::Iter<'a, Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{fault}")?;
        }
        Ok(())
    }
}

impl Error for Faults {}

/// The value is missing because a fault was reported for it; checks that depend on it are skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported;

fn shown(path: &Path) -> String {
    one_line(&path.to_string_lossy())
}

/// Maximum number of characters of a value that are shown.
const SHOWN_CHARS: usize = 100;

/// Returns the text on one line of limited length, so that a fault is one line, whatever the user typed.
#[must_use]
pub fn one_line(text: &str) -> String {
    let mut line = String::new();
    for (index, c) in text.chars().enumerate() {
        if index == SHOWN_CHARS {
            line.push('…');
            break;
        }
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

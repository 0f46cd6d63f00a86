//! Reads single variables of the environment. Faults are collected, not returned.

use std::fmt;

use crate::{
    environment::Environment,
    faults::{Faults, Origin, Problem, Reported},
    forms::quoted,
};

/// Reads the environment variable by variable, and records faults and warnings.
#[derive(Debug)]
pub struct Variables<'a> {
    environment: &'a Environment,
    /// The faults found so far.
    pub faults: Faults,
    /// Notes that are not faults, as `NAME: note`.
    pub warnings: Vec<String>,
}

/// A value as it was found, before it is parsed.
pub struct Found {
    /// The text.
    pub text: String,
    /// The source of the value.
    pub origin: Origin,
    /// The text as it is written in its source, with quotes.
    pub written: String,
}

impl fmt::Debug for Found {
    /// Omits the text: it may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

impl<'a> Variables<'a> {
    /// Creates a reader of this environment, without faults and warnings.
    #[must_use]
    pub fn new(environment: &'a Environment) -> Self {
        Self {
            environment,
            faults: Faults::default(),
            warnings: Vec::new(),
        }
    }

    /// Returns the environment that is read.
    #[must_use]
    pub const fn environment(&self) -> &'a Environment {
        self.environment
    }

    /// Returns a variable as text; `None` if it is not set.
    ///
    /// # Errors
    ///
    /// [`Reported`] if the value is not UTF-8, or if an invisible character precedes or follows it (see [`edge`]).
    pub fn variable(&mut self, name: &str) -> Result<Option<Found>, Reported> {
        let Some(value) = self.environment.get(name) else {
            return Ok(None);
        };
        let origin = Origin::Variable(name.to_owned());
        let Some(text) = value.to_str() else {
            return Err(self.faults.report(origin, None, Problem::NotUnicode));
        };
        if let Some(edge) = edge(text) {
            return Err(self.faults.report(origin, None, Problem::Edge(edge)));
        }
        Ok(Some(Found {
            text: text.to_owned(),
            origin,
            written: quoted(text),
        }))
    }

    /// Returns the names of all standard variables of OpenTelemetry in the environment.
    #[must_use]
    pub fn otel_variables(&self) -> Vec<String> {
        self.environment.standard().map(str::to_owned).collect()
    }
}

/// Returns the invisible character that precedes or follows a text unintentionally: a byte order mark, or a line end.
/// It would become part of a secret, but other readers of the same secret may ignore it.
#[must_use]
pub fn edge(text: &str) -> Option<&'static str> {
    let invisible = |c: char| match c {
        '\u{feff}' => Some("a byte order mark (U+FEFF)"),
        '\u{200b}' => Some("a zero-width space (U+200B)"),
        '\n' | '\r' => Some("a line end (LF or CR)"),
        '\0' => Some("a zero byte"),
        _ => None,
    };
    let first = text.chars().next().and_then(invisible);
    first.or_else(|| text.chars().next_back().and_then(invisible))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_was_found_does_not_print_its_text() {
        let environment = Environment::default().with("OTEL_EXPORTER_OTLP_HEADERS", "key=Fechter");
        let mut variables = Variables::new(&environment);
        let found = variables.variable("OTEL_EXPORTER_OTLP_HEADERS");
        let said = format!("{found:?} {variables:?}");
        assert!(
            said.contains("OTEL_EXPORTER_OTLP_HEADERS") && !said.contains("Fechter"),
            "{said}"
        );
        assert_eq!(found.unwrap().unwrap().text, "key=Fechter");
        assert!(variables.variable("OTEL_SERVICE_NAME").unwrap().is_none());
    }

    #[test]
    fn a_line_end_after_a_value_is_a_fault_without_the_value() {
        let environment = Environment::default().with("OTEL_SERVICE_NAME", "Fechter\n");
        let mut variables = Variables::new(&environment);
        assert_eq!(
            variables.variable("OTEL_SERVICE_NAME").err(),
            Some(Reported)
        );
        let fault = variables.faults.to_string();
        assert!(
            fault.starts_with("OTEL_SERVICE_NAME: a line end"),
            "{fault}"
        );
        assert!(!fault.contains("Fechter"), "{fault}");
    }
}

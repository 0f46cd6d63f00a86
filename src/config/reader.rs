//! Reads the two sources of settings, file and environment, into typed values. Faults are collected, not returned.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use secrecy::{ExposeSecret, SecretString};
use skriptoteket_config::{
    Environment, Found, Origin, Problem, Reported, Variables, edge,
    forms::{Form, Secret, quoted},
    nearest,
};
use zeroize::Zeroizing;

use super::{
    forms::TomlForm,
    names::{CONFIG_VARIABLE, file_key, is_service_link, known_keys, known_variables, variable},
    settings::{Preset, Setting},
};

/// Maximum size of a secret that is read from a file, in bytes: `/dev/zero` has no end.
const LONGEST_SECRET: u64 = 64 * 1024;

/// The value of a setting in effect.
#[derive(Debug)]
pub(super) struct Effective {
    pub(super) name: &'static str,
    /// The value as TOML; for a secret only whether it is set.
    pub(super) toml: String,
    /// The source of the value.
    pub(super) origin: Origin,
}

/// Reads settings one by one, and records faults and the source of each value.
pub(super) struct Reader<'a> {
    /// The environment, and the faults and warnings of both sources.
    pub(super) variables: Variables<'a>,
    file: Option<(PathBuf, toml::Table)>,
    pub(super) effective: Vec<Effective>,
    /// The files that secrets were read from, with the name of the setting.
    pub(super) secret_files: Vec<(&'static str, PathBuf)>,
}

/// A value with its origin, so that a check of two settings against each other can report it.
#[derive(Clone, Debug)]
pub(super) struct Given<T> {
    pub(super) value: T,
    pub(super) origin: Origin,
    /// The text as a fault may show it.
    pub(super) shown: Option<String>,
}

impl<'a> Reader<'a> {
    /// Opens the sources: `file`, or the file that the environment names, or the one in the working directory if it
    /// exists.
    pub(super) fn open(file: Option<&Path>, environment: &'a Environment) -> Self {
        let mut reader = Self {
            variables: Variables::new(environment),
            file: None,
            effective: Vec::new(),
            secret_files: Vec::new(),
        };
        reader.read_file(file);
        reader.refuse_unknown();
        reader
    }

    /// Returns the file that was read, if there was one.
    pub(super) fn file(&self) -> Option<PathBuf> {
        self.file.as_ref().map(|(path, _)| path.clone())
    }

    /// Adds a fault. `value` is shown: the caller omits it if it is a secret.
    pub(super) fn report(
        &mut self,
        origin: Origin,
        value: Option<String>,
        problem: Problem,
    ) -> Reported {
        self.variables.faults.report(origin, value, problem)
    }

    fn read_file(&mut self, file: Option<&Path>) {
        let environment = self.variables.environment();
        let by_variable = environment.get(CONFIG_VARIABLE).map(PathBuf::from);
        let (path, origin) = match (file, by_variable, environment.default_file()) {
            (Some(path), _, _) => (path.to_path_buf(), Some(Origin::File(path.to_path_buf()))),
            (None, Some(path), _) => (path, Some(Origin::Variable(CONFIG_VARIABLE.to_owned()))),
            // The default file may be missing.
            (None, None, Some(path)) => (path.clone(), None),
            (None, None, None) => return,
        };
        match (std::fs::read_to_string(&path), origin) {
            (Ok(text), _) => self.parse(&path, &text),
            (Err(error), None) if error.kind() == io::ErrorKind::NotFound => {}
            (Err(error), origin) => {
                let origin = origin.unwrap_or_else(|| Origin::File(path.clone()));
                let value =
                    matches!(origin, Origin::Variable(_)).then(|| quoted(&path.to_string_lossy()));
                self.report(origin, value, Problem::Unreadable(error));
            }
        }
    }

    fn parse(&mut self, path: &Path, text: &str) {
        match text.parse() {
            Ok(table) => self.file = Some((path.to_path_buf(), table)),
            Err(error) => {
                let error: toml::de::Error = error;
                let start = error.span().map_or(0, |span| span.start);
                let before = text.get(..start).unwrap_or(text);
                let line = 1 + before.matches('\n').count();
                let column = 1 + before.chars().rev().take_while(|c| *c != '\n').count();
                let origin = Origin::File(path.to_path_buf());
                let problem = Problem::Syntax { line, column };
                self.report(origin, None, problem);
            }
        }
    }

    fn refuse_unknown(&mut self) {
        if let Some((file, table)) = &self.file {
            let known = known_keys();
            for (key, value) in table {
                let problem = if value.is_table() {
                    Problem::Table
                } else if known.contains(key) {
                    continue;
                } else {
                    let nearest = nearest(key, &known).cloned();
                    Problem::Unknown { nearest }
                };
                let (file, key) = (file.clone(), key.clone());
                // The value is not shown: it may be a secret under a misspelt name.
                let origin = Origin::Key { file, key };
                self.variables.faults.report(origin, None, problem);
            }
        }
        let known = known_variables();
        for (name, value) in self.variables.environment().settings() {
            if known.iter().any(|it| it == name) || is_service_link(name, value) {
                continue;
            }
            let nearest = nearest(name, &known).cloned();
            let origin = Origin::Variable(name.to_owned());
            self.report(origin, None, Problem::Unknown { nearest });
        }
    }

    /// Returns the value of a setting that has a fixed default.
    pub(super) fn get<F: TomlForm>(
        &mut self,
        setting: &'static Setting<F>,
    ) -> Result<Given<F::Value>, Reported> {
        let fallback = match setting.preset {
            Preset::Fixed(text) => text,
            Preset::Otherwise { .. } => "",
        };
        self.get_or(setting, fallback)
    }

    /// Returns the value of a setting whose default is this text.
    pub(super) fn get_or<F: TomlForm>(
        &mut self,
        setting: &'static Setting<F>,
        fallback: &str,
    ) -> Result<Given<F::Value>, Reported> {
        let Found {
            text,
            origin,
            written,
        } = self.find(setting)?.unwrap_or_else(|| Found {
            text: fallback.to_owned(),
            origin: Origin::Default(setting.name),
            written: setting.form.toml(fallback),
        });
        let shown = setting.form.may_show(&text).then_some(written);
        match setting.form.read(&text) {
            Ok(value) => {
                self.effective.push(Effective {
                    name: setting.name,
                    toml: setting.form.toml(&text),
                    origin: origin.clone(),
                });
                Ok(Given {
                    value,
                    origin,
                    shown,
                })
            }
            Err(problem) => Err(self.report(origin, shown, problem)),
        }
    }

    /// Reports a value that has the right form but conflicts with other settings.
    pub(super) fn refuse<T>(&mut self, read: &Given<T>, expected: String) -> Reported {
        let (origin, shown) = (read.origin.clone(), read.shown.clone());
        self.report(origin, shown, Problem::Expected(expected))
    }

    /// Returns true if the setting is given, valid or not.
    pub(super) fn is_given<F>(&self, setting: &Setting<F>) -> bool {
        let in_file = |(_, table): &(PathBuf, toml::Table)| table.contains_key(setting.name);
        self.variables
            .environment()
            .get(&variable(setting.name))
            .is_some()
            || self.file.as_ref().is_some_and(in_file)
    }

    /// Returns a secret, if it is given: directly, or as the file that `<name>_file` names.
    pub(super) fn secret(
        &mut self,
        setting: &'static Setting<Secret>,
    ) -> Result<Option<Given<SecretString>>, Reported> {
        let found = self.find_secret(setting)?;
        let given = match found {
            Some((text, origin)) => match setting.form.read(text.expose_secret()) {
                Ok(value) if value.expose_secret().is_empty() => None,
                Ok(value) => Some(Given {
                    value,
                    origin,
                    shown: None,
                }),
                Err(problem) => return Err(self.report(origin, None, problem)),
            },
            None => None,
        };
        let state = if given.is_some() {
            "(set)"
        } else {
            "(not set)"
        };
        let origin = given.as_ref().map(|it| it.origin.clone());
        self.effective.push(Effective {
            name: setting.name,
            toml: setting.form.toml(state),
            origin: origin.unwrap_or(Origin::Default(setting.name)),
        });
        Ok(given)
    }

    fn find_secret(
        &mut self,
        setting: &'static Setting<Secret>,
    ) -> Result<Option<(SecretString, Origin)>, Reported> {
        let as_file = file_key(setting.name);
        // The environment first, whichever way it gives the secret, because it overrides the file.
        let given = (
            self.in_environment(setting.name)?,
            self.in_environment(&as_file)?,
        );
        let (itself, named) = match given {
            (None, None) => (
                self.in_file(setting.name, &setting.form)?,
                self.in_file(&as_file, &setting.form)?,
            ),
            given => given,
        };
        match (itself, named) {
            (None, None) => Ok(None),
            (Some(found), None) => {
                if let Origin::Key { file, .. } = &found.origin {
                    self.secret_files.push((setting.name, file.clone()));
                }
                Ok(Some((found.text.into(), found.origin)))
            }
            (None, Some(found)) => match read_secret(Path::new(&found.text)) {
                Ok(secret) => {
                    let file = PathBuf::from(&found.text);
                    self.secret_files.push((setting.name, file));
                    Ok(Some((secret, found.origin)))
                }
                // The path is not shown: the operator may have written the secret itself there.
                Err(problem) => Err(self.report(found.origin, None, problem)),
            },
            (Some(found), Some(other)) => {
                let problem = Problem::Twice(other.origin);
                Err(self.report(found.origin, None, problem))
            }
        }
    }

    fn find<F: TomlForm>(
        &mut self,
        setting: &'static Setting<F>,
    ) -> Result<Option<Found>, Reported> {
        match self.in_environment(setting.name)? {
            Some(given) => Ok(Some(given)),
            None => self.in_file(setting.name, &setting.form),
        }
    }

    fn in_environment(&mut self, name: &str) -> Result<Option<Found>, Reported> {
        self.variables.variable(&variable(name))
    }

    fn in_file<F: TomlForm>(&mut self, key: &str, form: &F) -> Result<Option<Found>, Reported> {
        let Some((file, table)) = &self.file else {
            return Ok(None);
        };
        // A table has already been rejected.
        let Some(value) = table.get(key).filter(|value| !value.is_table()) else {
            return Ok(None);
        };
        let (file, key) = (file.clone(), key.to_owned());
        let origin = Origin::Key { file, key };
        let written = value.to_string();
        if let Some(text) = form.text(value) {
            if let Some(edge) = edge(&text) {
                return Err(self.report(origin, None, Problem::Edge(edge)));
            }
            return Ok(Some(Found {
                text,
                origin,
                written,
            }));
        }
        let shown = form.may_show(&written).then_some(written);
        let problem = Problem::Expected(form.expected_in_toml());
        Err(self.report(origin, shown, problem))
    }
}

/// Reads a secret's file: at most [`LONGEST_SECRET`] bytes, without the line end that editors add.
fn read_secret(path: &Path) -> Result<SecretString, Problem> {
    let unreadable = Problem::Unreadable;
    let mut text = Zeroizing::new(String::new());
    let file = File::open(path).map_err(unreadable)?;
    let mut file = file.take(LONGEST_SECRET + 1);
    file.read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > LONGEST_SECRET {
        let error = io::Error::other(format!("it is longer than {LONGEST_SECRET} bytes"));
        return Err(unreadable(error));
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(unreadable(io::Error::other("it is empty")));
    }
    match edge(line) {
        Some(edge) => Err(Problem::EdgeOfFile(edge)),
        None => Ok(line.into()),
    }
}

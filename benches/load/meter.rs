//! What Redis says of itself: processor time, commands, memory.

use std::collections::BTreeMap;

use anyhow::Context;
use redis::Connection;

/// A connection of the benchmark's own, by which it reads and writes what no repository offers.
pub(crate) struct Meter {
    connection: Connection,
}

/// What was spent since the server started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reading {
    /// Processor time of the whole server, in µs.
    cpu: f64,
    /// By command: how often it was called, and the µs it took. A script's own commands are counted beside the script.
    commands: BTreeMap<String, (u64, u64)>,
}

/// What was spent between two readings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spent {
    /// Processor time of the whole server, in µs: network and parsing included.
    pub(crate) cpu: f64,
    /// By command, as in a reading; only those that were called.
    pub(crate) commands: BTreeMap<String, (u64, u64)>,
}

impl Spent {
    /// The µs that scripts took, or where none ran, that commands took: without network and parsing.
    pub(crate) fn executing(&self) -> f64 {
        let total = |scripts: bool| -> u64 {
            let commands = self.commands.iter();
            let these = commands.filter(|(name, _)| name.starts_with("eval") == scripts);
            these.map(|(_, (_, us))| us).sum()
        };
        match total(true) {
            0 => total(false) as f64,
            scripts => scripts as f64,
        }
    }
}

impl Meter {
    /// A connection to the server, and the database, of this URL.
    pub(crate) fn open(url: &str) -> anyhow::Result<Self> {
        let connection = redis::Client::open(url)?.get_connection()?;
        Ok(Self { connection })
    }

    /// For commands that are not readings.
    pub(crate) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// What was spent until now.
    pub(crate) fn read(&mut self) -> anyhow::Result<Reading> {
        let mut reading = Reading::default();
        for (name, value) in self.info("cpu")? {
            if matches!(name.as_str(), "used_cpu_sys" | "used_cpu_user") {
                reading.cpu += value.parse::<f64>()? * 1e6;
            }
        }
        for (name, value) in self.info("commandstats")? {
            let field = |wanted: &str| {
                let mut fields = value.split(',').filter_map(|field| field.split_once('='));
                let found = fields.find(|(name, _)| *name == wanted);
                found
                    .context("a field of commandstats")?
                    .1
                    .parse::<u64>()
                    .context("a number")
            };
            let command = name.trim_start_matches("cmdstat_");
            if command != "info" {
                reading
                    .commands
                    .insert(command.to_owned(), (field("calls")?, field("usec")?));
            }
        }
        Ok(reading)
    }

    /// What was spent since `earlier`.
    pub(crate) fn since(&mut self, earlier: &Reading) -> anyhow::Result<Spent> {
        let now = self.read()?;
        let commands = now.commands.into_iter().filter_map(|(name, (calls, us))| {
            let (calls_before, us_before) =
                earlier.commands.get(&name).copied().unwrap_or_default();
            (calls > calls_before).then(|| (name, (calls - calls_before, us - us_before)))
        });
        Ok(Spent {
            cpu: now.cpu - earlier.cpu,
            commands: commands.collect(),
        })
    }

    /// Bytes of data: what is allocated, without the buffers of clients.
    pub(crate) fn memory(&mut self) -> anyhow::Result<f64> {
        let info = self.info("memory")?;
        let number = |name: &str| -> anyhow::Result<f64> {
            Ok(info.get(name).with_context(|| name.to_owned())?.parse()?)
        };
        Ok(number("used_memory")? - number("mem_clients_normal")?)
    }

    /// How many keys its database has.
    pub(crate) fn keys(&mut self) -> anyhow::Result<u64> {
        Ok(redis::cmd("DBSIZE").query(&mut self.connection)?)
    }

    /// The server's version.
    pub(crate) fn version(&mut self) -> anyhow::Result<String> {
        let info = self.info("server")?;
        Ok(info.get("redis_version").context("a version")?.clone())
    }

    fn info(&mut self, section: &str) -> anyhow::Result<BTreeMap<String, String>> {
        let text: String = redis::cmd("INFO")
            .arg(section)
            .query(&mut self.connection)?;
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        Ok(lines
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect())
    }
}

//! Redis's own statistics: processor time, commands, memory.

use std::collections::BTreeMap;

use anyhow::Context;
use redis::Connection;

/// The benchmark's own connection, for commands that no repository offers.
#[expect(
    missing_debug_implementations,
    reason = "a connection of `redis` has no `Debug`"
)]
pub struct Meter {
    connection: Connection,
}

/// The resources used since the server started.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Processor time of the whole server, in µs.
    cpu: f64,
    /// Calls and µs by command. The commands of a script are listed in addition to the script.
    commands: BTreeMap<String, (u64, u64)>,
}

/// The resources used between two readings.
#[derive(Clone, Debug, Default)]
pub struct Spent {
    /// Processor time of the whole server, in µs, including network and parsing.
    pub cpu: f64,
    /// Calls and µs by command; only commands that were called.
    pub commands: BTreeMap<String, (u64, u64)>,
}

impl Spent {
    /// Returns the µs that scripts took, or commands if there were no scripts: without network and parsing.
    pub fn executing(&self) -> f64 {
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
    /// Connects to the server and the database of this URL.
    pub fn open(url: &str) -> anyhow::Result<Self> {
        let connection = redis::Client::open(url)?.get_connection()?;
        Ok(Self { connection })
    }

    /// Returns the connection, for commands other than readings.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Returns the resources used so far.
    pub fn read(&mut self) -> anyhow::Result<Reading> {
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

    /// Returns the resources used since `earlier`.
    pub fn since(&mut self, earlier: &Reading) -> anyhow::Result<Spent> {
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

    /// Returns the bytes of data: allocated memory without the buffers of clients.
    pub fn memory(&mut self) -> anyhow::Result<f64> {
        let info = self.info("memory")?;
        let number = |name: &str| -> anyhow::Result<f64> {
            Ok(info.get(name).with_context(|| name.to_owned())?.parse()?)
        };
        Ok(number("used_memory")? - number("mem_clients_normal")?)
    }

    /// Returns the number of keys in its database.
    pub fn keys(&mut self) -> anyhow::Result<u64> {
        Ok(redis::cmd("DBSIZE").query(&mut self.connection)?)
    }

    /// Returns the server's version.
    pub fn version(&mut self) -> anyhow::Result<String> {
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

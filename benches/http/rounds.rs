//! Loads servers in turn, round after round.

use std::path::{Path, PathBuf};

use skriptoteket_testing::load::{
    CONNECTIONS, Server, median,
    promises::{Interval, Judgement, Promises},
    ratio, wrk,
};

use super::Scale;

/// Number of processes of each kind where a few per cent matter.
pub(crate) const PROCESSES: usize = 5;

/// One kind of server under one load.
pub(crate) struct Case<'a> {
    name: &'static str,
    /// Processes of that kind. Their memory layout makes two identical processes differ by two per cent or more for
    /// their whole life, so a smaller promised bound needs several.
    processes: Vec<Process<'a>>,
    /// The index of the case that it is compared with.
    to: usize,
    /// The promised maximum of processor time per request, as a multiple of that case.
    promised: Option<f64>,
    /// Requests per second, by round.
    rates: Vec<f64>,
    /// Processor time of the server per request in µs, by round.
    cpu: Vec<f64>,
}

/// A server and the request to it.
struct Process<'a> {
    server: &'a Server,
    url: String,
    script: PathBuf,
}

impl<'a> Case<'a> {
    /// Creates a case: a server, the `path` and the `wrk` script of its load, and the index `to` of the case that it is
    /// compared with.
    pub(crate) fn new(
        name: &'static str,
        server: &'a Server,
        path: &str,
        script: &Path,
        to: usize,
    ) -> Self {
        Self {
            name,
            processes: Vec::from([Process {
                server,
                url: server.url(path),
                script: script.to_owned(),
            }]),
            to,
            promised: None,
            rates: Vec::new(),
            cpu: Vec::new(),
        }
    }

    /// Adds a process of the same kind. The processes take turns.
    pub(crate) fn and(mut self, server: &'a Server, path: &str, script: &Path) -> Self {
        self.processes.push(Process {
            server,
            url: server.url(path),
            script: script.to_owned(),
        });
        self
    }

    /// Adds processes of the same kind under the same load.
    pub(crate) fn and_all(self, servers: &'a [Server], path: &str, script: &Path) -> Self {
        let add = |case: Self, server| case.and(server, path, script);
        servers.iter().fold(self, add)
    }

    /// Promises that a request takes at most this multiple of the processor time of the case that it is compared with.
    pub(crate) fn costs_at_most(mut self, times: f64) -> Self {
        self.promised = Some(times);
        self
    }

    /// Loads the process whose turn it is. Over all rounds each process is paired with each of another case, which has
    /// another `place`.
    fn load(&mut self, seconds: u32, place: usize) -> anyhow::Result<()> {
        let (round, processes) = (self.cpu.len(), self.processes.len());
        let turn = (round + place * (round / processes)) % processes;
        let Process {
            server,
            url,
            script,
        } = &self.processes[turn];
        let before = server.cpu_time()?;
        let load = wrk(url, script, seconds)?;
        let spent = server.cpu_time()?.since(&before);
        self.cpu.push(1e6 * spent.as_secs_f64() / load.requests);
        self.rates.push(load.rate);
        Ok(())
    }

    /// Returns the processor time of a request as a multiple of that of `to`, compared within each round.
    fn cost(&self, to: &Self) -> Option<Interval> {
        let ratios = self.cpu.iter().zip(&to.cpu).map(|(mine, its)| mine / its);
        Interval::of(&ratios.collect::<Vec<_>>())
    }
}

/// Loads the cases in turn, prints the comparison, and judges the promises. While a promise is not decided, more rounds
/// follow, up to the maximum of the scale.
pub(crate) fn compare(
    what: &str,
    cases: &mut [Case<'_>],
    scale: Scale,
    promises: &mut Promises,
) -> anyhow::Result<()> {
    let Scale { seconds, .. } = scale;
    let mut rounds = 0;
    while rounds < scale.rounds || (rounds < scale.most_rounds && is_open(cases)) {
        // Alternately forwards and backwards, so that a change in the load of the machine favours none of them.
        let mut all: Vec<_> = cases.iter_mut().enumerate().collect();
        if rounds % 2 == 1 {
            all.reverse();
        }
        for (place, case) in all {
            case.load(seconds, place)?;
        }
        rounds += 1;
    }
    println!(
        "\n# {what}\n\nwrk, 2 threads, {CONNECTIONS} connections, {rounds} rounds of {seconds} s for each. Medians. Processor time is \
         the server's own. Its ratio is compared within each round and has a confidence interval of 95 %, by which promises \
         are judged.\n"
    );
    println!(
        "| what | requests/s | ratio | processor time per request | ratio | to | promised at most |\n|---|---:|---:|---:|---:|---|---:|"
    );
    for (place, case) in cases.iter().enumerate() {
        let to = &cases[case.to];
        let cost = case.cost(to);
        let bound = case.promised.map_or_else(String::new, |times| {
            let name = format!("{what}: {} to {}", case.name, to.name);
            let judgement = promises.judge(&name, cost, times, "");
            format!("{times:.3}, {judgement}")
        });
        let (rate, cost, to) = if place == case.to {
            (String::from("1"), String::from("1"), "")
        } else {
            let rate = format!("{:.3}", ratio(&case.rates, &to.rates));
            let alone = || format!("{:.3}", ratio(&case.cpu, &to.cpu));
            let cost = cost.map_or_else(alone, |it| it.to_string());
            (rate, cost, to.name)
        };
        println!(
            "| {} | {:.0} | {rate} | {:.2} µs | {cost} | {to} | {bound} |",
            case.name,
            median(case.rates.clone()),
            median(case.cpu.clone()),
        );
    }
    Ok(())
}

/// Returns whether a promise is not decided yet.
fn is_open(cases: &[Case<'_>]) -> bool {
    cases.iter().any(|case| {
        let cost = case.cost(&cases[case.to]);
        let judgement = |times| cost.map_or(Judgement::NotDecided, |it| it.held_to(times));
        case.promised.map(judgement) == Some(Judgement::NotDecided)
    })
}

//! Servers under load in turn, round after round.

use std::path::{Path, PathBuf};

use super::{
    Scale,
    load::{CONNECTIONS, Server, median, ratio, wrk},
};

/// One server under one load.
pub(crate) struct Case<'a> {
    name: &'static str,
    server: &'a Server,
    url: String,
    script: PathBuf,
    /// The case that it is compared with, by its place.
    to: usize,
    /// The least ratio that is promised.
    promised: Option<f64>,
    rates: Vec<f64>,
    /// Over all rounds.
    requests: f64,
    cpu_seconds: f64,
}

impl<'a> Case<'a> {
    pub(crate) fn new(
        name: &'static str,
        server: &'a Server,
        path: &str,
        script: &Path,
        to: usize,
    ) -> Self {
        Self {
            name,
            server,
            url: server.url(path),
            script: script.to_owned(),
            to,
            promised: None,
            rates: Vec::new(),
            requests: 0.0,
            cpu_seconds: 0.0,
        }
    }

    pub(crate) fn promised(mut self, ratio: f64) -> Self {
        self.promised = Some(ratio);
        self
    }

    fn load(&mut self, seconds: u32) -> anyhow::Result<()> {
        let before = self.server.cpu_seconds()?;
        let load = wrk(&self.url, &self.script, seconds)?;
        self.cpu_seconds += self.server.cpu_seconds()? - before;
        self.requests += load.requests;
        self.rates.push(load.rate);
        Ok(())
    }
}

/// Loads them in turn and prints how they compare. Returns which promises were not kept.
pub(crate) fn compare(
    what: &str,
    cases: &mut [Case<'_>],
    scale: Scale,
) -> anyhow::Result<Vec<&'static str>> {
    let Scale {
        rounds, seconds, ..
    } = scale;
    for round in 0..rounds {
        // There and back, so that what gets busier or quieter meanwhile is no advantage to anyone.
        if round % 2 == 0 {
            cases.iter_mut().try_for_each(|case| case.load(seconds))?;
        } else {
            let mut back = cases.iter_mut().rev();
            back.try_for_each(|case| case.load(seconds))?;
        }
    }
    println!(
        "\n# {what}\n\nwrk, 2 threads, {CONNECTIONS} connections, {rounds} rounds of {seconds} s for each. Medians; of the ratios, \
         in brackets the least and the greatest. Processor time is the server's own.\n"
    );
    println!(
        "| what | requests/s | ratio | to | promised | processor time per request |\n|---|---:|---:|---|---:|---:|"
    );
    let mut missed = Vec::new();
    for (place, case) in cases.iter().enumerate() {
        let to = &cases[case.to];
        let (ratios, least, most) = spread(&case.rates, &to.rates);
        let (ratio, to) = if place == case.to {
            (String::from("1"), "")
        } else {
            (format!("{ratios:.3} ({least:.2}–{most:.2})"), to.name)
        };
        let promise = case.promised.map_or_else(String::new, |least| {
            if ratios < least {
                missed.push(case.name);
                format!("{least:.2} MISSED")
            } else {
                format!("{least:.2}")
            }
        });
        println!(
            "| {} | {:.0} | {ratio} | {to} | {promise} | {:.2} µs |",
            case.name,
            median(case.rates.clone()),
            1e6 * case.cpu_seconds / case.requests,
        );
    }
    Ok(missed)
}

/// The median, the least and the greatest of the ratios within a round.
fn spread(these: &[f64], to: &[f64]) -> (f64, f64, f64) {
    let ratios = these.iter().zip(to).map(|(a, b)| a / b);
    let least = ratios.clone().fold(f64::INFINITY, f64::min);
    (ratio(these, to), least, ratios.fold(0.0, f64::max))
}

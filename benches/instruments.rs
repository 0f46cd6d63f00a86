//! The cost of recording metrics, compared with a plain counter of the SDK in one run.
//!
//! `make bench` runs it. It fails if a recorder has a median above [`MOST`].

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark reports to a terminal"
)]

use std::{
    cell::RefCell, collections::BTreeMap, hint::black_box, process::ExitCode, sync::Arc,
    time::Duration,
};

use criterion::Criterion;
use opentelemetry::KeyValue;
use skriptoteket::{
    catalogue::CATALOGUE,
    clock::{Clock, SystemClock},
    metric::SERVICE_LABELS,
    services::{
        AuthFailureReason, AuthMetrics, AuthOperation, DailyUsage, RateLimitUsage, TokenStatus,
    },
    telemetry::{OtelSettings, SampledShare, Telemetry, TraceSampler},
};

/// The maximum cost of one recording.
const MOST: Duration = Duration::from_nanos(200);

/// The plain counter: for comparison, without a bound.
const PLAIN: &str = "sdk counter";

/// Number of recordings that are timed together: enough that the clock's own cost does not matter, and so few that they
/// are seldom interrupted. Then other programs do not affect the median.
const TOGETHER: u32 = 1_000;

const USAGE: RateLimitUsage = RateLimitUsage {
    requests: 40,
    allowed: 100,
    recovers_in: Duration::from_secs(10),
    daily: Some(DailyUsage {
        used: 4_000,
        allowed: 10_000,
        resets_in: Duration::from_hours(1),
    }),
};

const ONLY_THE_PAGE: OtelSettings = OtelSettings {
    disabled: false,
    metrics: None,
    traces: None,
    logs: None,
    prometheus: true,
    metric_export_interval: Duration::from_secs(15),
    sampler: TraceSampler {
        parent_based: true,
        others: SampledShare::Nothing,
    },
    resource: Vec::new(),
};

fn main() -> ExitCode {
    let clock = Arc::new(SystemClock::default());
    // The page is the only reader, as in a service without a Collector.
    let telemetry = match Telemetry::start(&ONLY_THE_PAGE, CATALOGUE) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let metrics = AuthMetrics::new(
        &telemetry.meter(),
        &telemetry.observed_meters(),
        Arc::<SystemClock>::clone(&clock),
    );
    // All labels that can exist, so that a lookup has its maximum cost.
    let ids: Vec<String> = (1..SERVICE_LABELS)
        .map(|n| format!("service-{n}"))
        .collect();
    for id in &ids {
        metrics.admit(id);
    }
    let plain = telemetry.meter().u64_counter("plain").build();

    let mut bench = Bench::new(clock);
    bench.time(PLAIN, || {
        let labels = [
            KeyValue::new("service_id", black_box("service-7")),
            KeyValue::new("status", black_box("valid")),
        ];
        plain.add(1, &labels);
    });
    for (which, id) in [
        ("admitted", ids[499].as_str()),
        ("unknown", "nobody-knows-it"),
    ] {
        bench.time(&format!("record_successful_auth {which}"), || {
            metrics.record_successful_auth(black_box(id));
        });
        bench.time(&format!("record_failed_auth {which}"), || {
            metrics.record_failed_auth(black_box(id), black_box(AuthFailureReason::InternalError));
        });
        bench.time(&format!("record_token_verification {which}"), || {
            metrics
                .record_token_verification(black_box(id), black_box(TokenStatus::StoreUnavailable));
        });
        let start = metrics.start();
        bench.time(&format!("record_auth_latency {which}"), || {
            metrics.record_auth_latency(black_box(id), AuthOperation::TokenVerification, start);
        });
        bench.time(&format!("update_rate_limit_usage {which}"), || {
            metrics.update_rate_limit_usage(black_box(id), black_box(USAGE));
        });
    }
    bench.judge()
}

/// Criterion measures and reports. The medians are kept separately, because it does not expose its own.
struct Bench {
    criterion: Criterion,
    clock: Arc<dyn Clock>,
    medians: BTreeMap<String, Duration>,
}

impl Bench {
    fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            criterion: Criterion::default()
                .warm_up_time(Duration::from_millis(500))
                .measurement_time(Duration::from_secs(2)),
            clock,
            medians: BTreeMap::new(),
        }
    }

    fn time(&mut self, name: &str, record: impl Fn()) {
        let samples = RefCell::new(Vec::new());
        let clock = Arc::clone(&self.clock);
        self.criterion.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                let mut all = Duration::ZERO;
                let mut left = iterations;
                let together = u64::from(TOGETHER);
                while left > 0 {
                    let now = left.min(together);
                    let before = clock.monotonic();
                    for _ in 0..now {
                        record();
                    }
                    let took = clock.monotonic().saturating_sub(before);
                    if now == together {
                        samples.borrow_mut().push(took);
                    }
                    all += took;
                    left -= now;
                }
                all
            });
        });
        let mut samples = samples.into_inner();
        samples.sort_unstable();
        // Without a sample, no recorder counts as cheap.
        let median = samples.get(samples.len() / 2);
        let median = median.map_or(Duration::MAX, |it| *it / TOGETHER);
        self.medians.insert(String::from(name), median);
    }

    /// Prints the table and judges whether every recorder is within the bound.
    fn judge(self) -> ExitCode {
        for (name, median) in &self.medians {
            println!("{name:40} {:>6} ns", median.as_nanos());
        }
        let mut end = ExitCode::SUCCESS;
        for (name, median) in &self.medians {
            if name != PLAIN && *median > MOST {
                println!("MISSED: {name}: {median:?}, promised at most {MOST:?}");
                end = ExitCode::FAILURE;
            }
        }
        end
    }
}

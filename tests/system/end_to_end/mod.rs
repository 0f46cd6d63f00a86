//! End-to-end tests of the pipeline: Redis, replicas of the real program, a real Collector with the shipped
//! configuration, and a real Prometheus with the shipped scrape configuration and rules. Assertions are queries to
//! Prometheus.
//!
//! | file | contents |
//! |---|---|
//! | `pace` | scaled time: the scrape configuration and the rules with every duration divided by the same number |
//! | `world` | all servers of a test, and users of the service |
//! | `machines` | machines that call the service |
//! | `truth` | Prometheus has what was done: names, labels, counters, gauges, a rolling restart, hostile requests |
//! | `ordinary` | ordinary days: no alert, and data in every panel and rule |
//! | `direct` | Prometheus scrapes the replicas directly |
//! | `attacks` | scripted attacks, and the alerts that detect them |
//! | `services` | failing and misused services, and the alerts that detect them |
//! | `register` | service metrics in Prometheus, also while the store fails |
//! | `outages` | a Collector that is down, a store that does not respond |
//! | `unreachable` | Collectors that never existed |
//!
//! **Time.** Ten seconds of production take one second here ([`pace::TEST`]): export, scrape and evaluation run every
//! 1.5 s instead of 15 s, the Collector's data expire after 3.5 s instead of 35 s, `[5m]` is `[30s]`. So five minutes
//! of ordinary load take 30 s. In them every rule is evaluated as often, with as many samples in its windows and its
//! `for`, as in five minutes of production. Counts are not scaled: an alert on 50 wrong passwords in 10 minutes gets
//! them in one minute. So an attack has ten times the rate that it needs in production, and so has the demo's traffic,
//! which makes it harder for alerts to stay silent, not easier.
//!
//! | variable | meaning |
//! |---|---|
//! | `PIPELINE_PACE` | the divisor of time in `outages` (10); with 1 all durations are those that ship |
//! | `PIPELINE_AWAY_SECONDS` | how long the Collector is down (20) |

mod attacks;
mod direct;
mod machines;
mod ordinary;
mod outages;
mod pace;
mod register;
mod services;
mod truth;
mod unreachable;
mod world;

//! The telemetry that leaves the process, seen from the receiver: a real Collector, built by `make collector`.

mod logs_and_spans;
mod metrics;
mod service;
mod tls;

use std::time::Duration;

use skriptoteket::{
    catalogue::CATALOGUE,
    telemetry::{OtlpProtocol, Telemetry},
};
use skriptoteket_testing::collector::Collector;
use tokio::runtime::Runtime;
use uuid::Uuid;

const PROTOCOLS: [OtlpProtocol; 2] = [OtlpProtocol::Grpc, OtlpProtocol::HttpProtobuf];

/// Long enough for every export to a running Collector.
const LIMIT: Duration = Duration::from_secs(30);

/// The `service.instance.id` that all replicas share.
const SERVICE: Uuid = Uuid::from_u128(7);

/// Creates telemetry that exports to a Collector, and the runtime that runs it.
fn telemetry_to(collector: &Collector, protocol: OtlpProtocol) -> (Runtime, Telemetry) {
    let runtime = Runtime::new().unwrap();
    let telemetry = {
        let _entered = runtime.enter();
        let telemetry = Telemetry::start(&collector.settings(protocol), CATALOGUE).unwrap();
        // All of them share it, as the replicas of a service do. It is created here, inside the runtime.
        telemetry.service_wide(SERVICE).unwrap();
        telemetry
    };
    (runtime, telemetry)
}

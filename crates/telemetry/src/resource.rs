//! The OpenTelemetry resource: the attributes that identify this process in everything it exports.

use opentelemetry::KeyValue;
use opentelemetry_sdk::{Resource, resource::TelemetryResourceDetector};
use uuid::Uuid;

const SERVICE_NAME: &str = "service.name";
const INSTANCE: &str = "service.instance.id";

/// Returns the resource of this process: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`, completed with name,
/// version and an instance ID.
///
/// The SDK's own detector is not used: it does not percent-decode, and lets `OTEL_RESOURCE_ATTRIBUTES` override
/// `OTEL_SERVICE_NAME`.
///
/// The instance ID is new in every process. Without it the replicas of a service would overwrite each other's series
/// in the Collector.
pub(super) fn of_this_process(given: &[(String, String)]) -> Resource {
    let own = [
        KeyValue::new(SERVICE_NAME, "skriptoteket"),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new(INSTANCE, Uuid::new_v4().to_string()),
    ];
    // Without a name the service could not be distinguished from others without one.
    let named = |(key, value): &&(String, String)| {
        !value.is_empty() || (key != SERVICE_NAME && key != INSTANCE)
    };
    let given = given.iter().filter(named);
    let given = given.map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    let sdk = Box::new(TelemetryResourceDetector);
    Resource::builder_empty()
        .with_detector(sdk)
        .with_attributes(own)
        .with_attributes(given)
        .build()
}

/// Prefixes of attributes that identify one process, or where it runs.
const OF_ONE_PROCESS: [&str; 6] = [
    "host.",
    "os.",
    "process.",
    "container.",
    "k8s.pod.",
    "k8s.node.",
];

/// Returns the resource of the service-wide metrics: that of a process, without the attributes that distinguish
/// processes.
///
/// The instance ID is `instance` whatever the environment says: the name of a single replica would end the series
/// when another replica takes over.
pub(super) fn of_the_service(process: &Resource, instance: Uuid) -> Resource {
    let shared = process.iter().filter(|(key, _)| {
        let mut own = OF_ONE_PROCESS.iter();
        !own.any(|prefix| key.as_str().starts_with(prefix))
    });
    let shared = shared.map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    Resource::builder_empty()
        .with_attributes(shared)
        .with_attribute(KeyValue::new(INSTANCE, instance.to_string()))
        .build()
}

#[cfg(test)]
mod tests {
    use opentelemetry::Key;

    use super::*;

    fn value(resource: &Resource, key: &'static str) -> Option<String> {
        let value = resource.get(&Key::from_static_str(key))?;
        Some(value.to_string())
    }

    fn given(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn a_process_without_a_name_is_skriptoteket() {
        for given in [given(&[]), given(&[("service.name", "")])] {
            let resource = of_this_process(&given);
            let named = |key| value(&resource, key);
            assert_eq!(named("service.name").as_deref(), Some("skriptoteket"));
            let version = Some(env!("CARGO_PKG_VERSION"));
            assert_eq!(named("service.version").as_deref(), version);
            assert_eq!(named("telemetry.sdk.language").as_deref(), Some("rust"));
        }
    }

    #[test]
    fn what_the_environment_says_is_kept() {
        let pairs = [
            ("service.name", "front-door"),
            ("service.instance.id", "replica-1"),
            ("deployment.environment.name", "production"),
        ];
        let resource = of_this_process(&given(&pairs));
        for (key, expected) in pairs {
            assert_eq!(value(&resource, key).as_deref(), Some(expected));
        }
    }

    #[test]
    fn the_later_of_two_values_holds() {
        let pairs = [("service.name", "platform"), ("service.name", "front-door")];
        let resource = of_this_process(&given(&pairs));
        assert_eq!(
            value(&resource, "service.name").as_deref(),
            Some("front-door")
        );
    }

    #[test]
    fn every_process_has_an_instance_id_of_its_own() {
        let ids = [of_this_process(&[]), of_this_process(&[])]
            .map(|resource| value(&resource, "service.instance.id"));
        assert!(ids[0].is_some());
        assert_ne!(ids[0], ids[1]);
    }

    #[test]
    fn what_is_of_the_service_names_no_process() {
        let process = of_this_process(&given(&[
            ("service.name", "front-door"),
            ("service.instance.id", "replica-1"),
            ("host.name", "host-1"),
            ("k8s.pod.name", "pod-1"),
            ("deployment.environment.name", "production"),
        ]));
        let instance = Uuid::new_v4();
        let shared = of_the_service(&process, instance);
        let all = |key| value(&shared, key);
        assert_eq!(all("service.name").as_deref(), Some("front-door"));
        assert_eq!(all("service.instance.id"), Some(instance.to_string()));
        assert_eq!((all("host.name"), all("k8s.pod.name")), (None, None));
        let environment = all("deployment.environment.name");
        assert_eq!(environment.as_deref(), Some("production"));
    }
}

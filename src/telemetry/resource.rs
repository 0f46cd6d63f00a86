//! What this process calls itself in everything it exports.

use opentelemetry::{Key, KeyValue, Value};
use opentelemetry_sdk::Resource;
use uuid::Uuid;

const SERVICE_NAME: &str = "service.name";
const INSTANCE: &str = "service.instance.id";

/// What the SDK calls a service that was given no name; the program's name may follow.
const UNNAMED: &str = "unknown_service";

/// The resource of this process: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` (which the SDK reads), completed
/// by name, version and an instance id.
///
/// The instance id is new in every process. Without it the replicas of a service would overwrite each other's series
/// in the Collector.
pub(super) fn of_this_process() -> Resource {
    completed(&Resource::builder().build())
}

/// What begins so names one process, or where it runs.
const OF_ONE_PROCESS: [&str; 6] = [
    "host.",
    "os.",
    "process.",
    "container.",
    "k8s.pod.",
    "k8s.node.",
];

/// The resource of what is the same truth on every replica: that of a process, without what tells the processes apart.
///
/// The instance id is `instance` whatever the environment says: a name that somebody gave to one replica would end the
/// series when another one takes over.
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

fn completed(detected: &Resource) -> Resource {
    let own = [
        KeyValue::new(SERVICE_NAME, "skriptoteket"),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new(INSTANCE, Uuid::new_v4().to_string()),
    ];
    let given = detected
        .iter()
        .filter(|(key, value)| !is_made_up(key, value))
        .map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    Resource::builder_empty()
        .with_attributes(own)
        .with_attributes(given)
        .build()
}

fn is_made_up(key: &Key, value: &Value) -> bool {
    key.as_str() == SERVICE_NAME && value.as_str().starts_with(UNNAMED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(resource: &Resource, key: &'static str) -> Option<String> {
        let value = resource.get(&Key::from_static_str(key))?;
        Some(value.to_string())
    }

    #[test]
    fn a_process_without_a_name_is_skriptoteket() {
        let detected = Resource::builder_empty()
            .with_service_name("unknown_service:skriptoteket-6f2c")
            .build();
        let resource = completed(&detected);
        assert_eq!(
            value(&resource, "service.name").as_deref(),
            Some("skriptoteket")
        );
        assert_eq!(
            value(&resource, "service.version").as_deref(),
            Some(env!("CARGO_PKG_VERSION"))
        );
    }

    #[test]
    fn what_the_environment_says_is_kept() {
        let given = [
            ("service.name", "front-door"),
            ("service.instance.id", "replica-1"),
            ("deployment.environment.name", "production"),
        ];
        let detected = Resource::builder_empty()
            .with_attributes(given.map(|(key, value)| KeyValue::new(key, value)))
            .build();
        let resource = completed(&detected);
        for (key, expected) in given {
            assert_eq!(value(&resource, key).as_deref(), Some(expected));
        }
    }

    #[test]
    fn every_process_has_an_instance_id_of_its_own() {
        let none = Resource::builder_empty().build();
        let ids = [completed(&none), completed(&none)]
            .map(|resource| value(&resource, "service.instance.id"));
        assert!(ids[0].is_some());
        assert_ne!(ids[0], ids[1]);
    }

    #[test]
    fn what_is_of_the_service_names_no_process() {
        let given = [
            ("service.name", "front-door"),
            ("service.instance.id", "replica-1"),
            ("host.name", "host-1"),
            ("k8s.pod.name", "pod-1"),
            ("deployment.environment.name", "production"),
        ];
        let process = Resource::builder_empty()
            .with_attributes(given.map(|(key, value)| KeyValue::new(key, value)))
            .build();
        let instance = Uuid::new_v4();
        let shared = of_the_service(&completed(&process), instance);
        let all = |key| value(&shared, key);
        assert_eq!(all("service.name").as_deref(), Some("front-door"));
        assert_eq!(all("service.instance.id"), Some(instance.to_string()));
        assert_eq!((all("host.name"), all("k8s.pod.name")), (None, None));
        let environment = all("deployment.environment.name");
        assert_eq!(environment.as_deref(), Some("production"));
    }
}

//! What this process calls itself in everything it exports.

use opentelemetry::{Key, KeyValue, Value};
use opentelemetry_sdk::Resource;
use uuid::Uuid;

const SERVICE_NAME: &str = "service.name";

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

fn completed(detected: &Resource) -> Resource {
    let own = [
        KeyValue::new(SERVICE_NAME, "skriptoteket"),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", Uuid::new_v4().to_string()),
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
}

//! `/api/openapi.json`: the OpenAPI document, generated from the handlers.

use std::sync::LazyLock;

use actix_web::{
    HttpResponse,
    http::header,
    web::{Bytes, Data},
};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{
        ApiKey, ApiKeyValue, ClientCredentials, Flow, Http, HttpAuthScheme, OAuth2, Scopes,
        SecurityScheme,
    },
};

use super::{
    Api, admin_audit, admin_services, admin_sessions, admin_users,
    cookie::{PLAIN_NAME, SECURE_NAME},
    login, oauth,
    openapi_responses::Problems,
    password,
    problem::ProblemBody,
    services, session, sessions,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Skriptoteket",
        description = "Login and logout, the user's own sessions, the administration of accounts and sessions, and access tokens for services.\n\n\
            Errors are `application/problem+json` (RFC 9457). Times are RFC 3339 in UTC. Bodies are \
            `application/json` of at most 16 KiB. A browser's request that changes something must come from the same \
            site. The first response after a promotion, whatever its status, sets a new session cookie; the old one is no \
            longer valid."
    ),
    tags(
        (name = "session", description = "One's own sessions"),
        (name = "admin", description = "The sessions of all users (admin), accounts and services (superuser)"),
        (name = "oauth", description = "Access tokens for services, by RFC 6749, 7009, 7523, 7662, 8414, 8707 and 9068. Errors are \
            `application/json` with `error` and `error_description`, also if the form cannot be read."),
        (name = "service", description = "Requests of a service about itself, with its access token"),
        (name = "about", description = "This document"),
    ),
    paths(
        login::log_in,
        login::log_out,
        session::show,
        sessions::list,
        sessions::end,
        sessions::end_all,
        password::change,
        admin_sessions::list,
        admin_sessions::end_all_of_user,
        admin_users::list,
        admin_users::create,
        admin_users::change,
        admin_users::delete,
        admin_audit::list,
        admin_services::list,
        admin_services::register,
        admin_services::show,
        admin_services::change,
        admin_services::delete,
        admin_services::rotate,
        oauth::token::issue,
        oauth::introspection::introspect,
        oauth::revocation::revoke,
        oauth::metadata::keys,
        oauth::metadata::server,
        services::check,
        services::heartbeat,
        show,
    ),
    components(schemas(ProblemBody, oauth::ErrorView, sessions::Kept)),
    modifiers(&Security, &Problems)
)]
struct Contract;

/// The document for each name of the session cookie, generated once.
static DOCUMENTS: [LazyLock<Bytes>; 2] = [
    LazyLock::new(|| document(PLAIN_NAME)),
    LazyLock::new(|| document(SECURE_NAME)),
];

fn document(cookie: &str) -> Bytes {
    let mut document = Contract::openapi();
    let session = ApiKeyValue::with_description(cookie, "Set by a login.");
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(session)));
    // Consists of names and texts, so this cannot fail.
    let mut json = serde_json::to_value(&document).unwrap_or_default();
    // The derive macros have no attribute for this.
    for change in ["AccountChange", "ServiceChange"] {
        if let Some(schema) = json.pointer_mut(&format!("/components/schemas/{change}")) {
            schema["minProperties"] = 1.into();
        }
    }
    Bytes::from(serde_json::to_vec(&json).unwrap_or_default())
}

/// Get this document
#[utoipa::path(
    get, path = "/api/openapi.json", operation_id = "document", tag = "about",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)),
)]
pub(super) async fn show(api: Data<Api>) -> HttpResponse {
    let document = &DOCUMENTS[usize::from(api.cookie.secure())];
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/json"))
        .body(Bytes::clone(document))
}

/// Adds the security schemes of sessions and services.
struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let client = Http::builder()
            .scheme(HttpAuthScheme::Basic)
            .description(Some(
                "A service's id and client secret. They may be in the form instead, or a signed assertion (RFC 7523).",
            ));
        components.add_security_scheme("client", SecurityScheme::Http(client.build()));
        let bearer = Http::builder()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some("An access token from `/oauth2/token`."));
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer.build()));
        let flow = Flow::ClientCredentials(ClientCredentials::new("/oauth2/token", Scopes::new()));
        components.add_security_scheme("oauth2", SecurityScheme::OAuth2(OAuth2::new([flow])));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::{
        super::{
            ROUTES, SERVICE_ROUTES, USER_ROUTES, openapi_responses::OAUTH, problem::MEDIA_TYPE,
        },
        *,
    };

    fn document() -> Value {
        serde_json::from_slice(&DOCUMENTS[0]).unwrap()
    }

    /// Returns every operation of the document with its method and path.
    fn operations(document: &Value) -> Vec<(String, String, &Value)> {
        let paths = document["paths"].as_object().unwrap();
        let of_path = |(path, item): (&String, _)| {
            let item: &Value = item;
            let operations = item.as_object().unwrap().iter();
            let named = operations.map(|(method, it)| (method.to_uppercase(), path.clone(), it));
            named.collect::<Vec<_>>()
        };
        paths.iter().flat_map(of_path).collect()
    }

    #[test]
    fn the_document_has_every_route_and_no_other() {
        let document = document();
        let documented: BTreeSet<_> = operations(&document)
            .into_iter()
            .map(|(method, path, _)| (method, path))
            .collect();
        let routes = || USER_ROUTES.iter().chain(ROUTES).chain(SERVICE_ROUTES);
        let served: BTreeSet<_> = routes()
            .map(|row| (row.method.to_string(), row.pattern.to_owned()))
            .collect();
        assert_eq!(documented, served);
        assert_eq!(served.len(), routes().count(), "a route is repeated");
    }

    #[test]
    fn it_is_openapi_3_1_and_every_reference_leads_somewhere() {
        fn references<'a>(value: &'a Value, out: &mut Vec<&'a str>) {
            match value {
                Value::Object(map) => {
                    out.extend(map.get("$ref").and_then(Value::as_str));
                    map.values().for_each(|it| references(it, out));
                }
                Value::Array(items) => items.iter().for_each(|it| references(it, out)),
                _ => {}
            }
        }
        let document = document();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.contains(&"#/components/schemas/Problem"));
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn every_error_is_documented_as_what_it_is_and_has_its_headers() {
        let document = document();
        for (method, path, operation) in operations(&document) {
            let responses = operation["responses"].as_object().unwrap();
            for status in ["500", "503"] {
                assert!(responses.contains_key(status), "{method} {path}: {status}");
            }
            for (status, response) in responses {
                let place = format!("{method} {path}: {status}");
                let content = &response["content"];
                let is_error = status.as_str() >= "400";
                let problem = content.get(MEDIA_TYPE).is_some();
                if path.starts_with(OAUTH) {
                    let own = &content["application/json"]["schema"]["$ref"];
                    let expected = "#/components/schemas/OAuthError";
                    assert_eq!(*own == *expected, is_error, "{place}");
                    assert_eq!(problem, status == "500", "{place}");
                } else {
                    assert_eq!(problem, is_error, "{place}");
                }
                let waits = response["headers"].get("Retry-After").is_some();
                assert_eq!(waits, status == "429" || status == "503", "{place}");
                assert!(
                    !response["description"].as_str().unwrap().is_empty(),
                    "{place}"
                );
            }
            for text in ["summary", "operationId"] {
                assert!(operation[text].is_string(), "{method} {path} has no {text}");
            }
        }
    }

    #[test]
    fn it_names_the_cookie_of_this_installation() {
        for (document, name) in DOCUMENTS.iter().zip([PLAIN_NAME, SECURE_NAME]) {
            let document: Value = serde_json::from_slice(document).unwrap();
            let scheme = &document["components"]["securitySchemes"]["session"];
            assert_eq!(
                (&scheme["in"], &scheme["name"]),
                (&"cookie".into(), &name.into())
            );
        }
    }

    #[test]
    fn a_change_has_one_property_at_least_and_no_null_that_says_nothing() {
        let document = document();
        let schemas = &document["components"]["schemas"];
        for change in ["AccountChange", "ServiceChange"] {
            assert_eq!(schemas[change]["minProperties"], 1);
            assert_eq!(schemas[change]["properties"]["disabled"]["type"], "boolean");
        }
        let introspection = &schemas["Introspection"];
        assert_eq!(introspection["required"], serde_json::json!(["active"]));
        let audience = schemas["Audience"]["oneOf"].as_array().unwrap();
        let types: Vec<&Value> = audience.iter().map(|it| &it["type"]).collect();
        assert_eq!(types, ["string", "array"]);
    }

    #[test]
    fn operations_have_names_of_their_own() {
        let document = document();
        let operations = operations(&document);
        let ids = operations.iter().map(|it| it.2["operationId"].as_str());
        let ids: BTreeSet<_> = ids.collect();
        assert_eq!(ids.len(), operations.len(), "{ids:?}");
    }
}

//! The responses that operations of the OpenAPI document have in common, above all the errors.

use actix_web::http::StatusCode;
use utoipa::{
    Modify, ToSchema,
    openapi::{
        Content, Header, HttpMethod, Object, Ref, RefOr, Response, ResponseBuilder, Type,
        path::{Operation, Parameter, ParameterIn},
    },
};

use super::{
    oauth,
    problem::{MEDIA_TYPE, ProblemBody},
};

/// Adds the responses that all operations of a kind have in common, which come from the extractors and the layers.
pub(super) struct Problems;

impl Modify for Problems {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for (path, item) in &mut document.paths.paths {
            let operations = [
                (HttpMethod::Get, &mut item.get),
                (HttpMethod::Post, &mut item.post),
                (HttpMethod::Patch, &mut item.patch),
                (HttpMethod::Delete, &mut item.delete),
            ];
            for (method, operation) in operations {
                if let Some(operation) = operation {
                    complete(path, operation, &method);
                }
            }
        }
    }
}

type Usual = Vec<(u16, &'static str)>;

fn complete(path: &str, operation: &mut Operation, method: &HttpMethod) {
    let mut usual: Usual = vec![
        (500, "The service failed; its log has the cause"),
        (503, "The service is temporarily unavailable"),
    ];
    let oauth = path.starts_with(OAUTH);
    usual.extend(if oauth {
        of_clients()
    } else if path.starts_with("/api/services/") {
        of_services()
    } else {
        of_people(path, operation, method)
    });
    let responses = &mut operation.responses.responses;
    for (status, description) in usual {
        let response = || RefOr::T(Response::new(description));
        responses.entry(status.to_string()).or_insert_with(response);
    }
    for (status, response) in responses {
        let status: u16 = status.parse().unwrap_or_default();
        if let (RefOr::T(response), 400..) = (response, status) {
            *response = as_error(response, status, oauth);
        }
    }
}

/// Prefix of the paths with OAuth errors.
pub(super) const OAUTH: &str = "/oauth2/";

fn of_clients() -> Usual {
    vec![
        (400, "The request is invalid; `error` says why"),
        (401, "The client is not authenticated"),
        (408, "The form did not arrive in time"),
        (413, "The form is larger than 64 KiB"),
    ]
}

fn of_services() -> Usual {
    vec![
        (400, "The Authorization header is malformed"),
        (401, "There is no access token, or it is not valid"),
    ]
}

fn of_people(path: &str, operation: &Operation, method: &HttpMethod) -> Usual {
    let admin = path.starts_with("/api/admin/");
    let changes = *method != HttpMethod::Get;
    let mut usual = Usual::new();
    let has_session = operation.security.as_ref().is_some_and(|it| it.len() == 1);
    if has_session {
        usual.push((401, "No user is logged in"));
    }
    match (changes, admin) {
        (true, true) => usual.push((
            403,
            "The request came from another site, or the role does not allow it",
        )),
        (true, false) => usual.push((403, "The request came from another site")),
        (false, true) => usual.push((403, "The role does not allow the request")),
        (false, false) => {}
    }
    if operation.request_body.is_some() {
        usual.extend([
            (400, "The body is invalid"),
            (408, "The body did not arrive in time"),
            (413, "The body is larger than 16 KiB"),
            (415, "The body is not application/json in UTF-8"),
        ]);
    }
    let in_query =
        |it: &RefOr<Parameter>| matches!(it, RefOr::T(it) if it.parameter_in == ParameterIn::Query);
    if operation.parameters.iter().flatten().any(in_query) {
        usual.push((400, "A query parameter is unknown, repeated or invalid"));
    }
    usual
}

/// Adds the body and the headers to an error response.
fn as_error(response: &Response, status: u16, oauth: bool) -> Response {
    let mut built = ResponseBuilder::new().description(response.description.clone());
    if oauth {
        let schema = Ref::from_schema_name(oauth::ErrorView::name());
        built = built.content("application/json", Content::new(Some(schema)));
    }
    // The outermost layer responds to a panic.
    if !oauth || status == 500 {
        let schema = Ref::from_schema_name(ProblemBody::name());
        built = built.content(MEDIA_TYPE, Content::new(Some(schema)));
    }
    let waits = [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    ];
    if waits.iter().any(|it| it.as_u16() == status) {
        let seconds = Object::builder()
            .schema_type(Type::Integer)
            .minimum(Some(1));
        let mut header = Header::new(seconds.build());
        header.description = Some(String::from("Seconds to wait before the next attempt"));
        built = built.header("Retry-After", header);
    }
    let mut built = built.build();
    for (name, header) in &response.headers {
        built.headers.insert(name.clone(), header.clone());
    }
    built
}

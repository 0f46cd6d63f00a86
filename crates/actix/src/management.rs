//! The management listener: metrics and probes. The public listener serves none of them.

use std::{
    io,
    net::{IpAddr, TcpListener},
};

use actix_web::{
    App, HttpRequest, HttpResponse, Resource, Route,
    body::{BoxBody, MessageBody},
    dev::{Server, ServiceRequest, ServiceResponse},
    guard,
    http::{
        StatusCode,
        header::{self, HeaderMap},
    },
    middleware::{Next, from_fn},
    web::{self, Data},
};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{
    ApiError, ConnectionLimits, Rejection, connection,
    middleware::{begin, close_where_it_ends, refused},
    problem::{Kind, Problem},
    readiness::{Readiness, ready},
    response_headers::make_safe,
    routes::no_such_path,
};
use skriptoteket_telemetry::MetricsPage;

/// What the management listener serves. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Management {
    /// The metrics page.
    pub page: MetricsPage,
    /// The bearer token that `/metrics` requires, if any.
    pub token: Option<SecretString>,
    /// The stores that must respond.
    pub readiness: Readiness,
}

/// Serves `/metrics`, `/livez` and `/readyz` on `listener`. The server runs while its future is polled; it does not
/// handle signals.
///
/// # Errors
///
/// If the listener cannot be used.
pub fn serve_management(
    management: Management,
    listener: TcpListener,
    limits: ConnectionLimits,
) -> io::Result<Server> {
    let readiness = Data::new(management.readiness.clone());
    let management = Data::new(management);
    let on_loopback = listener.local_addr()?.ip().to_canonical().is_loopback();
    let app = move || {
        App::new()
            .app_data(management.clone())
            .app_data(readiness.clone())
            .service(read("/metrics", web::to(metrics)))
            .service(read("/livez", web::to(alive)))
            .service(read("/readyz", web::to(ready)))
            .default_service(web::to(no_such_path))
            .wrap(from_fn(move |request, next| {
                guard(on_loopback, request, next)
            }))
    };
    connection::serve(app, listener, 1, limits)
}

/// Creates a resource for `GET`, and for `HEAD`, which some probes send.
fn read(path: &'static str, route: Route) -> Resource {
    let asked = guard::Any(guard::Get()).or(guard::Head());
    web::resource(path)
        .route(route.guard(asked))
        .default_service(web::to(|| async {
            let allow = header::HeaderValue::from_static("GET, HEAD");
            Err::<HttpResponse, _>(ApiError::from(Rejection::Method { allow }))
        }))
}

/// Rejects requests that a web page caused a browser to send, and adds the security headers to every response.
async fn guard(
    on_loopback: bool,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let (answering, refusal) = begin(&request);
    let mut response = if let Some(refusal) = refusal {
        request.into_response(refused(refusal).response())
    } else if on_loopback && !names_this_machine(request.headers()) {
        let problem = Problem::from(Kind::blank(StatusCode::MISDIRECTED_REQUEST));
        let problem = problem.with_detail("use an IP address of this machine, or localhost");
        request.into_response(problem.response())
    } else {
        next.call(request).await?.map_into_boxed_body()
    };
    make_safe(response.headers_mut());
    close_where_it_ends(response.response_mut(), answering.as_ref());
    Ok(response)
}

/// Returns whether the `Host` header is an address or `localhost`, or missing.
///
/// A page of another site can make its own host name resolve to this machine, and then read the responses of a listener
/// on loopback (DNS rebinding); such a request carries that host name. Listeners on other addresses are reached under
/// names that are not known here (of a container, of a service), and the network protects them from browsers.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else {
        return true;
    };
    let Ok(host) = host.to_str() else {
        return false;
    };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(address, _)| address),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let name = name.trim_end_matches('.');
    let local =
        name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost");
    local || host.is_empty() || name.parse::<IpAddr>().is_ok()
}

/// Returns the metrics, to clients that present the token if one is set.
async fn metrics(management: Data<Management>, request: HttpRequest) -> HttpResponse {
    match refusal(management.token.as_ref(), request.headers()) {
        Some(refused) => refused,
        None => rendered(&management.page),
    }
}

/// The metrics page of an application.
#[cfg(feature = "builder")]
pub(crate) struct PageOfApplication {
    /// `None` if its telemetry is not ours.
    pub(crate) page: Option<MetricsPage>,
    pub(crate) token: Option<SecretString>,
}

/// Returns the metrics of an application, or 404.
#[cfg(feature = "builder")]
pub(crate) async fn page(page: Data<PageOfApplication>, request: HttpRequest) -> HttpResponse {
    if let Some(refused) = refusal(page.token.as_ref(), request.headers()) {
        return refused;
    }
    match &page.page {
        Some(page) => rendered(page),
        None => ApiError::from(Rejection::NotFound).response(),
    }
}

/// Returns the response to a client that does not present the token.
fn refusal(token: Option<&SecretString>, headers: &HeaderMap) -> Option<HttpResponse> {
    if token.is_none_or(|token| presents(headers, token)) {
        return None;
    }
    let mut refused = Problem::from(Kind::blank(StatusCode::UNAUTHORIZED)).response();
    let challenge = header::HeaderValue::from_static(r#"Bearer realm="metrics""#);
    let headers = refused.headers_mut();
    headers.insert(header::WWW_AUTHENTICATE, challenge);
    Some(refused)
}

fn rendered(page: &MetricsPage) -> HttpResponse {
    match page.render() {
        Ok(page) => HttpResponse::Ok()
            .insert_header((header::CONTENT_TYPE, MetricsPage::CONTENT_TYPE))
            .body(page),
        Err(error) => {
            tracing::error!(error = %error, "the metrics page could not be rendered");
            Problem::from(Kind::blank(StatusCode::INTERNAL_SERVER_ERROR)).response()
        }
    }
}

/// Returns whether the request presents this bearer token. The time of the comparison reveals nothing about the token,
/// not even its length.
fn presents(headers: &HeaderMap, token: &SecretString) -> bool {
    let presented = headers.get(header::AUTHORIZATION);
    let presented = presented.and_then(|value| value.as_bytes().split_at_checked(7));
    let Some((scheme, presented)) = presented else {
        return false;
    };
    let digest = |text: &[u8]| Sha256::digest(text);
    let same = digest(presented).ct_eq(&digest(token.expose_secret().as_bytes()));
    scheme.eq_ignore_ascii_case(b"bearer ") && bool::from(same)
}

/// Liveness: the process responds.
async fn alive() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("ok\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_of_another_site_is_not_this_machine() {
        let ours = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(
                header::HOST,
                header::HeaderValue::from_bytes(host.as_bytes()).unwrap(),
            );
            names_this_machine(&headers)
        };
        for host in [
            "",
            "localhost",
            "LocalHost:9464",
            "a.localhost:1",
            "127.0.0.1:9464",
            "10.0.0.7",
            "[::1]:9464",
            "[::1]",
            "localhost.",
        ] {
            assert!(ours(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:9464",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "127.0.0.1@evil.example",
            "[evil]",
            "xlocalhost",
            "\u{e9}",
        ] {
            assert!(!ours(host), "{host}");
        }
        assert!(names_this_machine(&HeaderMap::new()));
    }
}

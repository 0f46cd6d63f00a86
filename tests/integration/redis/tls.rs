//! TLS: certificates, and mismatches between TLS and plain TCP.

use skriptoteket::store::{RedisAddress, RedisFault, RedisSettings, RedisTopology};
use skriptoteket_testing::{certificates::Certificates, ports::free_port, redis::RedisServer};

use crate::redis::harness::{Replica, fault, on_port};

/// Starts a server that speaks TLS on the returned port and plain TCP on its own port.
fn server(certificates: &Certificates) -> (RedisServer, u16) {
    server_with(certificates, &[])
}

fn server_with(certificates: &Certificates, more: &[&str]) -> (RedisServer, u16) {
    let port = free_port();
    let arguments = certificates.arguments(port);
    let own = arguments.iter().map(String::as_str);
    let arguments: Vec<&str> = own.chain(more.iter().copied()).collect();
    (RedisServer::start(&arguments), port)
}

fn over_tls(port: u16) -> RedisSettings {
    let mut settings = on_port(port);
    settings.tls = true;
    settings
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_right_authority_opens_the_way() {
    let certificates = Certificates::create();
    let (_server, port) = server(&certificates);
    let mut settings = over_tls(port);
    settings.tls_ca = Some(certificates.authority());
    Replica::open(settings).await.start().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_an_authority_that_is_not_trusted_is_said_so() {
    let certificates = Certificates::create();
    let (_server, port) = server(&certificates);
    let unknown = fault(over_tls(port)).await;
    assert!(
        matches!(unknown, RedisFault::Certificate { .. }),
        "{unknown}"
    );
    assert!(unknown.to_string().contains("`redis_tls_ca`"));

    let mut settings = over_tls(port);
    settings.tls_ca = Some(Certificates::create().authority());
    let absent = fault(settings.clone()).await;
    assert!(matches!(absent, RedisFault::Authorities { .. }), "{absent}");
    let others = Certificates::create();
    settings.tls_ca = Some(others.authority());
    let wrong = fault(settings).await;
    assert!(matches!(wrong, RedisFault::Certificate { .. }), "{wrong}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_another_name_is_not_trusted() {
    let certificates = Certificates::create();
    let (_server, port) = server_with(&certificates, &["--bind", "127.0.0.1", "127.0.0.2"]);
    let mut settings = over_tls(port);
    settings.tls_ca = Some(certificates.authority());
    settings.topology = RedisTopology::Standalone {
        server: RedisAddress {
            host: "127.0.0.2".into(),
            port,
        },
        database: 0,
    };
    let fault = fault(settings).await;
    assert!(matches!(fault, RedisFault::Certificate { .. }), "{fault}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_to_a_plain_port_is_said_so() {
    let server = RedisServer::start(&[]);
    let fault = fault(over_tls(server.port())).await;
    assert!(matches!(fault, RedisFault::PlainPort { .. }), "{fault}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_tls_to_a_tls_port_is_said_so() {
    let certificates = Certificates::create();
    let (_server, port) = server(&certificates);
    let fault = fault(on_port(port)).await;
    assert!(matches!(fault, RedisFault::TlsPort { .. }), "{fault}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_wants_to_see_certificates_of_its_clients_is_said_so() {
    let certificates = Certificates::create();
    let (_server, port) = server_with(&certificates, &["--tls-auth-clients", "yes"]);
    let mut settings = over_tls(port);
    settings.tls_ca = Some(certificates.authority());
    let fault = fault(settings).await;
    assert!(
        matches!(fault, RedisFault::ClientCertificate { .. }),
        "{fault}"
    );
}

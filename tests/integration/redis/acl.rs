//! Error messages for insufficient ACLs.

use skriptoteket::store::{RedisFault, RedisSettings};
use skriptoteket_testing::redis::{RedisServer, Wire};

use crate::redis::harness::{PREFIX, fault, on_port};

const PASSWORD: &str = "ours-only";

fn set_user(wire: &mut Wire, rule: &str) {
    let words: Vec<&str> = ["ACL", "SETUSER"]
        .into_iter()
        .chain(rule.split(' '))
        .collect();
    assert_eq!(wire.ask(&words).text(), "OK", "{rule}");
}

fn as_user(server: &RedisServer, name: &str) -> RedisSettings {
    let mut settings = on_port(server.port());
    settings.username = Some(name.into());
    settings.password = Some(PASSWORD.into());
    settings
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pattern_that_lacks_the_brace_is_told_as_such() {
    let server = RedisServer::start(&[]);
    let mut wire = server.wire();
    for (rule, is_pattern) in [
        (
            format!("app on >{PASSWORD} ~{PREFIX}* +@all -@dangerous +info"),
            true,
        ),
        (
            format!("app reset on >{PASSWORD} %R~{{{PREFIX}:* +@all"),
            true,
        ),
        (
            format!("app reset on >{PASSWORD} ~{{{PREFIX}:0*}}:* +@all"),
            true,
        ),
        (
            format!("app reset on >{PASSWORD} ~{{{PREFIX}:* +@all -zadd"),
            false,
        ),
        (
            format!("app reset on >{PASSWORD} ~{{{PREFIX}:* +@all -del"),
            false,
        ),
    ] {
        set_user(&mut wire, &rule);
        match (fault(as_user(&server, "app")).await, is_pattern) {
            (RedisFault::KeysNotPermitted { pattern, .. }, true) => {
                assert_eq!(pattern, format!("~{{{PREFIX}:*"));
            }
            (RedisFault::NotPermitted { what, .. }, false) => {
                assert!(rule.ends_with(&what.to_lowercase()), "{what}");
            }
            (other, _) => panic!("{rule}: {other}"),
        }
    }
}

//! The ACL in docs/operations.md permits everything that the service and its commands do.

use serde_json::{Value, json};
use skriptoteket_testing::{
    files::read,
    http::{client, plain},
    program::command_in,
    redis::RedisServer,
    service::{PASSWORD, Service},
};

/// The documented rule, with this password.
fn documented(password: &str) -> String {
    let page = read("docs/operations.md");
    let (_, block) = page.split_once("```acl\nuser ").unwrap();
    let rule = block.split('\n').next().unwrap();
    rule.replace(">PASSWORD", &format!(">{password}"))
}

#[test]
fn compose_gives_its_service_what_is_documented() {
    let script = read("docker/secrets.sh");
    let rule = script
        .lines()
        .find(|line| line.starts_with("user default on"));
    let rights = |rule: &str| {
        let rights = rule.split(' ').filter(|it| it.starts_with(['+', '-', '~']));
        rights.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(rights(rule.unwrap()), rights(&documented("any")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_rule_is_enough_for_everything() {
    let dir = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(&[]);
    let mut wire = redis.wire();
    let rule = documented("ours-only");
    let words: Vec<&str> = ["ACL", "SETUSER"]
        .into_iter()
        .chain(rule.split(' '))
        .collect();
    assert_eq!(wire.ask(&words).text(), "OK");
    let url = format!("redis://skriptoteket:ours-only@127.0.0.1:{}", redis.port());
    let command = |arguments: &[&str]| {
        let output = command_in(dir.path())
            .args(arguments)
            .env("SKRIPTOTEKET_REDIS_URL", &url)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    };

    // With this setting every budget can be seen to be reset: pruning is one of the scripts.
    let settings = [("redis_url", url.as_str()), ("guard_account_attempts", "3")];
    let service = Service::start(dir.path(), &settings).await;
    let admin = service.admin().await;
    service
        .add_users(&admin, &[("ada", "user"), ("bob", "user")])
        .await;
    for _ in 0..4 {
        let wrong = service.login(&client(), "bob", "wrong").await;
        assert!([401, 429].contains(&wrong.status().as_u16()));
    }
    let ada = client();
    assert_eq!(service.login(&ada, "ada", PASSWORD).await.status(), 200);
    let listed = service.enumerate(&admin).await;
    assert_eq!(listed.len(), 2);
    let changed = json!({"current": PASSWORD, "new": "quarry-lantern-tundra-14"});
    let answer = ada
        .post(service.url("/api/password"))
        .json(&changed)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 204);
    command(&["user", "set-role", "ada", "admin"]);
    assert_eq!(
        ada.get(service.url("/api/session"))
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
    assert_eq!(
        ada.post(service.url("/api/logout"))
            .send()
            .await
            .unwrap()
            .status(),
        204
    );

    let registered = command(&["service", "register", "inventory", "--json"]);
    let registered: Value = serde_json::from_str(&registered).unwrap();
    let token = plain()
        .post(service.url("/oauth2/token"))
        .basic_auth("inventory", registered["client_secret"].as_str())
        .header("content-type", "application/x-www-form-urlencoded")
        .body("grant_type=client_credentials");
    let token: Value = token.send().await.unwrap().json().await.unwrap();
    assert!(token["access_token"].is_string(), "{token}");
    command(&["service", "delete", "inventory"]);

    command(&["session", "list"]);
    command(&["session", "verify"]);
    command(&["session", "verify", "--repair"]);
    command(&["session", "stats"]);
    command(&["session", "revoke", "--all"]);
    let ready = plain()
        .get(service.management("/readyz"))
        .send()
        .await
        .unwrap();
    assert_eq!(ready.status(), 200);
    // No command was denied meanwhile.
    let log = wire.ask(&["ACL", "LOG"]).list();
    assert!(log.is_empty(), "{log:?}");
}

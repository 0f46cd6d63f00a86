//! The parameter `next`: only a path of the service is a target.

use skriptoteket::accounts::Role;

use crate::{
    api::support::{PASSWORD, spawn_app},
    pages::support::Browser,
};

/// Paths that are targets, with the target.
const PERMITTED: [(&str, &str); 9] = [
    ("/", "/"),
    ("/account", "/account"),
    ("/account/password", "/account/password"),
    ("/account?notice=x&y=%2F", "/account?notice=x&y=%2F"),
    ("/a/../account", "/account"),
    ("/a;b", "/a;b"),
    ("/account#sessions", "/account"),
    ("/%2F%2Fevil.example", "/%2F%2Fevil.example"),
    ("/\"><script>", "/%22%3E%3Cscript%3E"),
];

/// Returns texts that would lead elsewhere, or not to a page.
fn forbidden() -> Vec<String> {
    let hosts = [
        "evil.example",
        "evil.example:8080",
        "user@evil.example",
        "127.0.0.1:8080@evil.example",
        "127.0.0.1.evil.example",
        "xn--bcher-kva.example",
        "b\u{fc}cher.example",
        "\u{ff45}vil.example",
        "[::1]",
        "0x7f.1",
        "evil%2eexample",
        "evil.example%00",
        "localhost",
        "",
    ];
    let beginnings = [
        "//",
        "///",
        "////",
        "/\\",
        "\\/",
        "\\\\",
        "/\t/",
        "/\n/",
        "/\r/",
        "\t//",
        " //",
        "/.//",
        "/..//",
        "/a/..//",
        "https://",
        "https:",
        "http:",
        "HTTPS://",
        "https:\\\\",
    ];
    let mut all: Vec<String> = hosts
        .iter()
        .flat_map(|host| beginnings.map(|beginning| format!("{beginning}{host}")))
        .collect();
    let others = [
        "",
        "account",
        "?next=/",
        "#",
        ".",
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,x",
        "/login",
        "/login?next=/account",
        "/logout",
        "/continue?next=/",
        "/a/../logout",
        "/\u{0}",
        "/\u{7f}",
        "/\u{202e}",
        "\u{2f}\u{2044}evil.example",
    ];
    all.extend(others.map(str::to_owned));
    all.push(format!("/{}", "a".repeat(3_000)));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_path_of_the_service_is_a_target() {
    let app = spawn_app().await;
    app.add_user("ada", Role::User).await;
    let browser = Browser::logged_in(&app, "ada").await;
    let encoded =
        |text: &str| -> String { url::form_urlencoded::byte_serialize(text.as_bytes()).collect() };
    for (next, target) in PERMITTED {
        let page = browser
            .get(&format!("/continue?next={}", encoded(next)))
            .await;
        page.expect_status(200);
        assert_eq!(
            page.header("refresh"),
            Some(format!("0; url={target}").as_str())
        );
    }
    let forbidden = forbidden();
    assert!(forbidden.len() > 200, "{}", forbidden.len());
    for next in &forbidden {
        let page = browser
            .get(&format!("/continue?next={}", encoded(next)))
            .await;
        page.expect_status(200);
        assert_eq!(page.header("refresh"), Some("0; url=/account"), "{next:?}");
        let page = browser.get(&format!("/login?next={}", encoded(next))).await;
        assert_eq!(page.header("location"), Some("/continue"), "{next:?}");
    }
    // Repeated or unreadable parameters are no target either.
    for query in ["next=/a&next=/b", "next=%ff", "next", "x=1"] {
        let page = browser.get(&format!("/continue?{query}")).await;
        assert!(page.status == 200, "{query}: {}", page.status);
        let refresh = page.header("refresh").unwrap();
        assert!(refresh.starts_with("0; url=/"), "{refresh}");
    }
    let stranger = Browser::of(&app);
    for next in forbidden.iter().take(40) {
        let fields = [("username", "ada"), ("password", PASSWORD), ("next", next)];
        stranger
            .submit("/login", &fields)
            .await
            .expect_redirect("/continue");
    }
    app.stop().await;
}

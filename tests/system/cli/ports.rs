//! What prevents a start: a port that cannot be bound, an unusable logo. The error message, its place and its advice.

use std::{fs, net::TcpListener};

use crate::cli::harness::Harness;

#[test]
fn a_port_that_is_taken_is_told_with_the_setting_and_how_to_find_its_owner() {
    let owner = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = owner.local_addr().unwrap();
    let [free, taken_by] = ["127.0.0.1:0".to_owned(), taken.to_string()];
    for (setting, public, management) in [
        ("listen", &taken_by, &free),
        ("management_listen", &free, &taken_by),
    ] {
        let harness = Harness::new()
            .with("SKRIPTOTEKET_LISTEN", public)
            .with("SKRIPTOTEKET_MANAGEMENT_LISTEN", management);
        let said = harness.refused(&["serve"], 1);
        let port = taken.port();
        for part in [
            format!("{setting} = {taken}: cannot listen there"),
            format!("`ss -ltnp sport = :{port}` shows which"),
            "choose another port".to_owned(),
        ] {
            assert!(said.contains(&part), "{part} in {said}");
        }
    }
    for arguments in [
        &["alerts", "--listen", &taken_by][..],
        &["demo", "--listen", &taken_by, "--management-listen", &free],
    ] {
        let said = Harness::new().refused(arguments, 1);
        assert!(said.contains("choose another port"), "{said}");
    }
}

#[test]
fn an_address_of_another_machine_is_told_to_be_one() {
    // 192.0.2.0/24 is reserved for documentation, so no machine has the address.
    let harness = Harness::new()
        .with("SKRIPTOTEKET_LISTEN", "192.0.2.1:8080")
        .with("SKRIPTOTEKET_PUBLIC_URL", "https://login.example.org");
    let said = harness.refused(&["serve"], 1);
    let told =
        "listen = 192.0.2.1:8080: cannot listen there; this machine does not have that address";
    assert!(said.contains(told), "{said}");
}

#[test]
fn a_port_that_needs_a_privilege_is_told_with_the_ways_to_one() {
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    if first.trim().parse::<u16>().unwrap() <= 80 {
        // In Docker containers any user may bind any port. The message has a unit test in `app::listeners`.
        return;
    }
    let harness = Harness::new().with("SKRIPTOTEKET_LISTEN", "127.0.0.1:80");
    let answer = harness.run_without_privileges(&["serve"]);
    let said = answer.stderr;
    assert_eq!(answer.code, 1, "{said}");
    for part in [
        "listen = 127.0.0.1:80: cannot listen there",
        "a port from 1024 on behind a proxy",
        "CAP_NET_BIND_SERVICE",
        "net.ipv4.ip_unprivileged_port_start",
        "Permission denied",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[test]
fn an_unusable_logo_is_told_before_anything_is_changed() {
    for (file, complaint) in [
        ("none.svg", "none.svg: cannot be read"),
        ("logo.gif", "logo.gif: expected an SVG or PNG image"),
    ] {
        let harness = Harness::new()
            .with("SKRIPTOTEKET_LISTEN", "127.0.0.1:0")
            .with("SKRIPTOTEKET_LOGO_FILE", file);
        harness.write("logo.gif", "GIF89a");
        let said = harness.refused(&["serve"], 1);
        assert!(
            said.contains("logo_file") && said.contains(complaint),
            "{said}"
        );
        assert!(!harness.path("skriptoteket-data").exists());
    }
}

//! Determines the client address behind proxies.

use std::net::IpAddr;

use ipnet::IpNet;

/// Returns the client's address: the last hop that is not a trusted proxy.
///
/// `X-Forwarded-For` is read from right to left, because each proxy appends the address that it saw, and a client can
/// forge everything further left. A hop is trusted only while the hop to its right is trusted; the first untrusted hop
/// is the client. If no proxy is trusted, or the header cannot be read, the peer is the client.
///
/// `forwarded` holds the values of all `X-Forwarded-For` headers in the order they were received.
#[must_use]
pub fn client_address<'a>(
    peer: IpAddr,
    forwarded: impl DoubleEndedIterator<Item = &'a str>,
    trusted: &[IpNet],
) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
    let mut client = peer.to_canonical();
    for hop in forwarded.rev().flat_map(|value| value.rsplit(',')) {
        if !is_trusted(client) {
            break;
        }
        match parse_hop(hop.trim()) {
            Some(address) => client = address.to_canonical(),
            // The trusted proxy did not name a readable address, so the proxy itself counts as the client.
            None => break,
        }
    }
    client
}

/// Parses an address as proxies write it: bare, with a port, or an IPv6 address in brackets.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let bare = || hop.parse::<IpAddr>().ok();
    let with_port = || hop.parse::<std::net::SocketAddr>().ok().map(|it| it.ip());
    let in_brackets = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    bare().or_else(with_port).or_else(in_brackets)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn client(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        client_address(peer.parse().unwrap(), forwarded.iter().copied(), &trusted).to_string()
    }

    #[test]
    fn a_stranger_is_not_believed() {
        assert_eq!(
            client("203.0.113.9", &["10.0.0.1"], &["127.0.0.0/8"]),
            "203.0.113.9"
        );
        assert_eq!(client("203.0.113.9", &["10.0.0.1"], &[]), "203.0.113.9");
    }

    #[test]
    fn what_the_client_wrote_itself_stays_unread() {
        let forwarded = ["1.1.1.1, 198.51.100.4"];
        assert_eq!(
            client("127.0.0.1", &forwarded, &["127.0.0.0/8"]),
            "198.51.100.4"
        );
    }

    #[test]
    fn a_chain_of_trusted_proxies_is_followed_over_several_headers() {
        let forwarded = ["9.9.9.9, 198.51.100.4", "10.0.0.2"];
        let trusted = ["127.0.0.1/32", "10.0.0.0/8"];
        assert_eq!(client("127.0.0.1", &forwarded, &trusted), "198.51.100.4");
        assert_eq!(
            client("::ffff:127.0.0.1", &forwarded, &trusted),
            "198.51.100.4"
        );
    }

    #[test]
    fn ports_and_brackets_are_understood_and_junk_ends_the_chain() {
        let trusted = ["127.0.0.0/8"];
        assert_eq!(
            client("127.0.0.1", &["198.51.100.4:4711"], &trusted),
            "198.51.100.4"
        );
        assert_eq!(
            client("127.0.0.1", &["[2001:db8::7]:443"], &trusted),
            "2001:db8::7"
        );
        assert_eq!(
            client("127.0.0.1", &["[2001:db8::7]"], &trusted),
            "2001:db8::7"
        );
        assert_eq!(
            client("127.0.0.1", &["1.1.1.1, unknown"], &trusted),
            "127.0.0.1"
        );
        assert_eq!(client("127.0.0.1", &[""], &trusted), "127.0.0.1");
    }

    proptest! {
        #[test]
        fn an_untrusted_peer_is_the_client_whatever_it_sends(text in "\\PC{0,60}") {
            prop_assert_eq!(client("203.0.113.9", &[&text], &["127.0.0.0/8"]), "203.0.113.9");
        }
    }
}

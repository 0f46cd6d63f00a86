//! Network addresses: the network of a client, and URLs that lead to the local machine.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Serialize, Serializer};
use url::{Host, Url};

/// A client address that is truncated so that it identifies no single host: the /24 of an IPv4 address, the /48 of an
/// IPv6 address. IPv4-mapped IPv6 addresses count as IPv4.
///
/// Its text is the network in CIDR notation, for example `192.0.2.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientNetwork(IpAddr);

/// The text is not a [`ClientNetwork`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a client network: expected an IPv4 /24 or an IPv6 /48, for example 192.0.2.0/24")]
pub struct InvalidClientNetwork;

impl From<IpAddr> for ClientNetwork {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                Ipv4Addr::new(a, b, c, 0).into()
            }
            IpAddr::V6(address) => {
                let [a, b, c, ..] = address.segments();
                Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into()
            }
        })
    }
}

impl fmt::Display for ClientNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = if self.0.is_ipv4() { 24 } else { 48 };
        write!(f, "{}/{bits}", self.0)
    }
}

impl FromStr for ClientNetwork {
    type Err = InvalidClientNetwork;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let address = text.split_once('/').and_then(|(it, _)| it.parse().ok());
        let network = address.map(|address: IpAddr| Self::from(address));
        // A longer prefix or bits of the host would identify more than the network.
        let network = network.filter(|it| it.to_string() == text);
        network.ok_or(InvalidClientNetwork)
    }
}

impl Serialize for ClientNetwork {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Returns the network of one client: an IPv4 address, or the /64 of an IPv6 address, because one host may own a
/// whole /64. IPv4-mapped IPv6 addresses count as IPv4.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Returns true if the URL leads to the local machine: a loopback address or `localhost`.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_ipv6_the_first_half_counts_and_ipv4_is_itself() {
        let of = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(of("2001:db8:0:1:ffff::2"), "2001:db8:0:1::");
        assert_eq!(of("192.0.2.7"), "192.0.2.7");
        assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
    }

    #[test]
    fn the_network_of_a_client_identifies_no_host() {
        for (address, network) in [
            ("192.0.2.7", "192.0.2.0/24"),
            ("::ffff:192.0.2.7", "192.0.2.0/24"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
            ("::1", "::/48"),
        ] {
            let of: ClientNetwork = address.parse::<IpAddr>().unwrap().into();
            assert_eq!(of.to_string(), network);
            assert_eq!(network.parse(), Ok(of));
        }
        for text in [
            "",
            "192.0.2.7/24",
            "192.0.2.7/32",
            "192.0.2.0",
            "192.0.2.0/25",
            "2001:db8:1:2::/48",
            "2001:DB8:1::/48",
            "::ffff:192.0.2.0/24",
        ] {
            let parsed = text.parse::<ClientNetwork>();
            assert_eq!(parsed, Err(InvalidClientNetwork), "{text}");
        }
    }
}

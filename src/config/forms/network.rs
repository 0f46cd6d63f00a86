//! The forms of network settings: addresses, networks, the origin.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use skriptoteket_config::{
    Problem,
    forms::{Form, has_credentials, quoted},
};
use url::Url;

use crate::network::is_loopback;

use super::TomlForm;

/// An address and a port to listen on.
pub(in crate::config) struct Address;

impl Form for Address {
    type Value = SocketAddr;

    fn expected(&self) -> String {
        "an IP address and a port, for example 127.0.0.1:8080 or [::1]:8080".into()
    }

    fn read(&self, text: &str) -> Result<SocketAddr, Problem> {
        text.parse().map_err(|_| self.unexpected())
    }
}

impl TomlForm for Address {}

/// Networks and single addresses: an array in TOML, or a comma-separated text.
pub(in crate::config) struct Networks;

impl Form for Networks {
    type Value = Vec<IpNet>;

    fn expected(&self) -> String {
        "addresses and networks in CIDR form, for example 127.0.0.1, 10.0.0.0/8, fd00::/8".into()
    }

    fn read(&self, text: &str) -> Result<Vec<IpNet>, Problem> {
        if text.trim().is_empty() {
            return Ok(Vec::new());
        }
        text.split(',')
            .map(|item| self.network(item.trim()))
            .collect()
    }
}

impl TomlForm for Networks {
    fn expected_in_toml(&self) -> String {
        format!("{}, in an array or written in quotes", self.expected())
    }

    fn text(&self, value: &toml::Value) -> Option<String> {
        let Some(array) = value.as_array() else {
            return value.as_str().map(str::to_owned);
        };
        let items: Option<Vec<&str>> = array.iter().map(toml::Value::as_str).collect();
        items.map(|items| items.join(","))
    }

    fn toml(&self, text: &str) -> String {
        let items = text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty());
        let items: Vec<String> = items.map(quoted).collect();
        format!("[{}]", items.join(", "))
    }
}

impl Networks {
    fn network(&self, item: &str) -> Result<IpNet, Problem> {
        if let Ok(address) = item.parse::<IpAddr>() {
            return Ok(address.into());
        }
        let network: IpNet = item.parse().map_err(|_| self.unexpected())?;
        // 10.0.0.1/8 could mean one host or sixteen million, and trust must not be guessed.
        if network != network.trunc() {
            return Err(Problem::Expected(format!(
                "the network {} or the address {}, not both in one",
                network.trunc(),
                network.addr()
            )));
        }
        Ok(network)
    }
}

/// The origin under which browsers reach the service.
pub(in crate::config) struct WebOrigin;

impl Form for WebOrigin {
    type Value = Url;

    fn expected(&self) -> String {
        "https://HOST[:PORT], or http:// with a host on loopback".into()
    }

    fn may_show(&self, text: &str) -> bool {
        // The user may have written a password into it.
        !text.contains('@')
    }

    fn read(&self, text: &str) -> Result<Url, Problem> {
        let url = Url::parse(text).map_err(|_| self.unexpected())?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if has_credentials(&url) || !bare {
            return Err(Problem::Expected(format!(
                "{}, without user name, path or query",
                self.expected()
            )));
        }
        match url.scheme() {
            "https" => Ok(url),
            "http" if is_loopback(&url) => Ok(url),
            "http" => Err(Problem::Expected(
                "https://, because the session cookie would travel in the clear; http:// is for localhost, 127.0.0.0/8 and [::1] only"
                    .into(),
            )),
            _ => Err(self.unexpected()),
        }
    }
}

impl TomlForm for WebOrigin {}

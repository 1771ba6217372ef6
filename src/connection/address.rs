//! A host and a port, as URLs and servers name them.

use std::fmt;

/// Where a server or a Sentinel listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Address {
    pub(super) host: Box<str>,
    pub(super) port: u16,
}

impl Address {
    pub(super) fn new(host: &str, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// Reads `host`, `host:port`, `[v6]` or `[v6]:port`.
    pub(super) fn parse(text: &str, default_port: u16) -> Result<Self, &'static str> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or("a [ without its ]")?;
                match rest.strip_prefix(':') {
                    Some(port) => (host, Some(port)),
                    None if rest.is_empty() => (host, None),
                    None => return Err("more than a port after ]"),
                }
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let odd = |c: char| c.is_whitespace() || c.is_control() || "/?#@[]".contains(c);
        if host.is_empty() || host.contains(odd) {
            return Err("a host is missing or has characters that no host has");
        }
        let port = match port {
            None => default_port,
            Some(port) => {
                port.parse().ok().filter(|&port| port > 0).ok_or("a port is no number")?
            }
        };
        Ok(Self::new(host, port))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_may_come_with_a_port_and_in_brackets() {
        for (text, host, port) in [
            ("h", "h", 7),
            ("h:1", "h", 1),
            ("10.0.0.1:65535", "10.0.0.1", 65535),
            ("[::1]", "::1", 7),
            ("[::1]:8", "::1", 8),
        ] {
            let address = Address::parse(text, 7).unwrap();
            assert_eq!((&*address.host, address.port), (host, port), "{text}");
            assert_eq!(Address::parse(&address.to_string(), 9).unwrap(), address);
        }
        for text in ["", ":1", "h:", "h:0", "h:65536", "h:x", "::1", "[::1", "[::1]8", "a b", "a@b"]
        {
            assert!(Address::parse(text, 7).is_err(), "{text}");
        }
    }
}

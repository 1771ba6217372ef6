//! URLs: where a handle connects, and as whom. No message repeats the URL: it may hold a password.

use percent_encoding::percent_decode_str;
use redis::{ConnectionAddr, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo};

use super::address::Address;
use crate::error::{Error, Result, in_one_line};

pub(super) const SERVER_PORT: u16 = 6379;
pub(super) const SENTINEL_PORT: u16 = 26379;

/// What a URL says.
pub(super) struct Endpoint {
    pub(super) place: Place,
    /// TLS to every server and Sentinel, and whether their certificates go unchecked.
    pub(super) tls: Option<Insecure>,
    pub(super) settings: RedisConnectionInfo,
    pub(super) names_protocol: bool,
}

pub(super) type Insecure = bool;

/// Where the data is.
#[derive(Debug, PartialEq)]
pub(super) enum Place {
    /// One server.
    Server(ServerAddress),
    /// The primary that the Sentinels name.
    Sentinel { sentinels: Vec<Address>, service: String, login: Login },
    /// The primaries of a cluster that these nodes belong to.
    Cluster(Vec<Address>),
}

/// How one server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ServerAddress {
    Tcp(Address),
    Unix(std::path::PathBuf),
}

/// How to log in to the Sentinels.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Login {
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("username", &self.username).finish_non_exhaustive()
    }
}

impl Endpoint {
    pub(super) fn parse(url: &str) -> Result<Self> {
        let (scheme, rest) = url.split_once("://").unwrap_or((url, ""));
        let (product, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        let tls = match product {
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            "unix" if kind.is_empty() => false,
            _ => return Err(unknown_scheme()),
        };
        if tls && cfg!(not(feature = "tls")) {
            let why = format!("{product}:// needs the feature `tls` of auth-adapter-redis");
            return Err(Error::Config(why));
        }
        match kind {
            "" => server(url),
            "unix" if !tls => server(url),
            "sentinel" => sentinel(tls, &Parts::of(rest)?),
            "cluster" => cluster(tls, &Parts::of(rest)?),
            _ => Err(unknown_scheme()),
        }
    }
}

fn unknown_scheme() -> Error {
    let known = "redis://, rediss://, unix://, redis+sentinel://, rediss+sentinel://, \
                 redis+cluster:// or rediss+cluster://";
    Error::Config(format!("the URL must begin with {known}"))
}

/// One server, by the redis crate's own parser.
fn server(url: &str) -> Result<Endpoint> {
    let url = redis::parse_redis_url(url).ok_or_else(|| config("the URL does not parse"))?;
    let protocols = url.query_pairs().filter(|(name, _)| name == "protocol");
    let protocols: Vec<_> = protocols.map(|(_, value)| protocol(&value)).collect::<Result<_>>()?;
    let info = url.into_connection_info().map_err(|error| Error::Config(in_one_line(&error)))?;
    let (address, tls) = match info.addr() {
        ConnectionAddr::Tcp(host, port) => (ServerAddress::Tcp(Address::new(host, *port)), None),
        ConnectionAddr::TcpTls { host, port, insecure, .. } => {
            (ServerAddress::Tcp(Address::new(host, *port)), Some(*insecure))
        }
        ConnectionAddr::Unix(path) => (ServerAddress::Unix(path.clone()), None),
        _ => return Err(unknown_scheme()),
    };
    Ok(Endpoint {
        place: Place::Server(address),
        tls,
        settings: info.redis_settings().clone(),
        names_protocol: !protocols.is_empty(),
    })
}

/// `[user:password@]host[:26379],host,…/service[/db]?sentinel_username=&sentinel_password=`
fn sentinel(tls: bool, parts: &Parts<'_>) -> Result<Endpoint> {
    let (service, db) = match parts.path.split_once('/') {
        Some((service, db)) => (service, Some(db)),
        None => (parts.path, None),
    };
    let service = decode("the service", service)?;
    if service.is_empty() || service.contains(|c: char| c.is_whitespace() || c.is_control()) {
        let why = "the path names the service that the Sentinels watch, as in /mymaster";
        return Err(Error::Config(why.to_owned()));
    }
    let mut settings = parts.settings()?;
    if let Some(db) = db.filter(|db| !db.is_empty()) {
        let db: u32 = db.parse().map_err(|_| config("the database is no number"))?;
        settings = settings.set_db(db.into());
    }
    let mut login = Login::default();
    for (name, value) in &parts.query {
        match *name {
            "sentinel_username" => login.username = Some(value.clone()),
            "sentinel_password" => login.password = Some(value.clone()),
            "protocol" => {}
            _ => return Err(unknown_parameter()),
        }
    }
    let sentinels = parts.addresses(SENTINEL_PORT)?;
    let place = Place::Sentinel { sentinels, service, login };
    Ok(parts.endpoint(place, tls, settings))
}

/// `[user:password@]host[:6379],host,…`
fn cluster(tls: bool, parts: &Parts<'_>) -> Result<Endpoint> {
    if !parts.path.is_empty() {
        return Err(config("a cluster has one database and no path"));
    }
    if parts.query.iter().any(|(name, _)| *name != "protocol") {
        return Err(unknown_parameter());
    }
    let place = Place::Cluster(parts.addresses(SERVER_PORT)?);
    Ok(parts.endpoint(place, tls, parts.settings()?))
}

/// The parts of a URL with several hosts, which general parsers refuse.
struct Parts<'a> {
    user: Option<&'a str>,
    hosts: &'a str,
    path: &'a str,
    query: Vec<(&'a str, String)>,
}

impl<'a> Parts<'a> {
    fn of(rest: &'a str) -> Result<Self> {
        if rest.contains('#') {
            return Err(config("a fragment means nothing here"));
        }
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        if rest[authority.len()..].contains('@') {
            let why = "an @ after the hosts: a name or a password is to be percent-encoded";
            return Err(config(why));
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (Some(user), hosts),
            None => (None, authority),
        };
        let query = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((name, decode("a parameter", value)?))
        });
        Ok(Self { user, hosts, path, query: query.collect::<Result<_>>()? })
    }

    fn addresses(&self, default_port: u16) -> Result<Vec<Address>> {
        addresses(self.hosts.split(','), default_port)
    }

    fn settings(&self) -> Result<RedisConnectionInfo> {
        let mut settings = RedisConnectionInfo::default();
        if let Some(user) = self.user {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            if !name.is_empty() {
                settings = settings.set_username(decode("the user", name)?);
            }
            if !password.is_empty() {
                settings = settings.set_password(decode("the password", password)?);
            }
        }
        for (_, value) in self.query.iter().filter(|(name, _)| *name == "protocol") {
            settings = settings.set_protocol(protocol(value)?);
        }
        Ok(settings)
    }

    fn endpoint(&self, place: Place, tls: bool, settings: RedisConnectionInfo) -> Endpoint {
        let names_protocol = self.query.iter().any(|(name, _)| *name == "protocol");
        Endpoint { place, tls: tls.then_some(false), settings, names_protocol }
    }
}

/// Several hosts, each with its port or the usual one.
pub(super) fn addresses<'a>(
    hosts: impl IntoIterator<Item = &'a str>,
    default_port: u16,
) -> Result<Vec<Address>> {
    let addresses =
        hosts.into_iter().map(|host| Address::parse(host, default_port).map_err(config));
    let addresses: Vec<_> = addresses.collect::<Result<_>>()?;
    match addresses.is_empty() {
        true => Err(config("no host is named")),
        false => Ok(addresses),
    }
}

/// The redis crate's own error would repeat it.
fn protocol(value: &str) -> Result<ProtocolVersion> {
    match value {
        "resp2" | "2" => Ok(ProtocolVersion::RESP2),
        "resp3" | "3" => Ok(ProtocolVersion::RESP3),
        _ => Err(config("the protocol is resp2 or resp3")),
    }
}

fn decode(what: &str, text: &str) -> Result<String> {
    let text = percent_decode_str(text).decode_utf8();
    Ok(text.map_err(|_| Error::Config(format!("{what} is not UTF-8")))?.into_owned())
}

fn unknown_parameter() -> Error {
    config(
        "a parameter means nothing here: protocol does, and sentinel_username and \
            sentinel_password where there are Sentinels",
    )
}

fn config(why: &str) -> Error {
    Error::Config(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(names: &[(&str, u16)]) -> Vec<Address> {
        names.iter().map(|(host, port)| Address::new(host, *port)).collect()
    }

    #[test]
    fn a_sentinel_url_says_all_that_it_can() {
        let url = "redis+sentinel://us%3Aer:p%40ss@a,b:1,[::1]:2/my%20primary?sentinel_username=s";
        assert!(Endpoint::parse(url).is_err(), "no service has a space");
        let url = "redis+sentinel://us%3Aer:p%40ss@a,b:1,[::1]:2/main/3?sentinel_username=s\
                   &sentinel_password=t%26&protocol=resp2";
        let endpoint = Endpoint::parse(url).unwrap();
        let login = Login { username: Some("s".into()), password: Some("t&".into()) };
        let sentinels = hosts(&[("a", 26379), ("b", 1), ("::1", 2)]);
        let expected = Place::Sentinel { sentinels, service: "main".into(), login };
        assert_eq!(endpoint.place, expected);
        assert_eq!(endpoint.settings.username(), Some("us:er"));
        assert_eq!(endpoint.settings.password(), Some("p@ss"));
        assert_eq!(endpoint.settings.db(), 3);
        assert_eq!(endpoint.settings.protocol(), ProtocolVersion::RESP2);
        assert!(endpoint.names_protocol && endpoint.tls.is_none());
    }

    #[test]
    fn a_cluster_url_names_some_of_its_nodes() {
        for scheme in ["redis", "valkey"] {
            let endpoint = Endpoint::parse(&format!("{scheme}+cluster://:pw@a,b:7000/")).unwrap();
            assert_eq!(endpoint.place, Place::Cluster(hosts(&[("a", 6379), ("b", 7000)])));
            assert_eq!(endpoint.settings.username(), None);
            assert_eq!(endpoint.settings.password(), Some("pw"));
            assert!(!endpoint.names_protocol);
        }
    }

    #[test]
    fn what_is_wrong_is_told_without_the_url() {
        for url in [
            "redis+sentinel://hunter2@h",
            "redis+sentinel://hunter2@h/",
            "redis+sentinel://hunter2@/s",
            "redis+sentinel://hunter2@h,,i/s",
            "redis+sentinel://hunter2@h/s/x",
            "redis+sentinel://hunter2@h/s/-1",
            "redis+sentinel://hunter2@h/s?db=3",
            "redis+sentinel://hunter2@h/s#insecure",
            "redis+sentinel://:%ff@hunter2/s",
            "redis+cluster://:p?hunter2@h:6379",
            "redis+cluster://h?hunter2=3",
            "redis+sentinel://:a/b?hunter2@h/s",
            "redis+sentinel://user:12/hunter2@h",
            "redis+cluster://hunter2@",
            "redis+cluster://hunter2@h/3",
            "redis+cluster://hunter2@h:99999",
            "redis+cluster://hunter2@h?protocol=9",
            "redis+cluster://hunter2@h?sentinel_username=s",
            "redis+clusters://hunter2@h",
            "unix+cluster://hunter2@h",
            "redis://h?protocol=hunter2",
            "unix:///s?pass=a&protocol=hunter2",
            "rediss+hunter2://h",
            "rediss+:hunter2@h",
            "hunter2",
        ] {
            let Err(Error::Config(why)) = Endpoint::parse(url) else { panic!("{url}") };
            assert!(!why.contains("hunter2"), "{why}");
        }
    }

    #[test]
    fn only_a_parameter_names_the_protocol() {
        for (url, names) in [
            ("redis://h?protocol=3", true),
            ("unix:///s?db=1&protocol=resp2", true),
            ("redis://:protocol=@h", false),
            ("redis://h?no_protocol=3", false),
            ("unix:///protocol=3", false),
        ] {
            assert_eq!(Endpoint::parse(url).unwrap().names_protocol, names, "{url}");
        }
    }

    #[test]
    #[cfg(feature = "tls")]
    fn tls_is_for_the_servers_and_the_sentinels() {
        for url in ["rediss+sentinel://h/s", "valkeys+cluster://h", "rediss://h"] {
            assert_eq!(Endpoint::parse(url).unwrap().tls, Some(false), "{url}");
        }
    }

    #[test]
    #[cfg(not(feature = "tls"))]
    fn tls_without_the_feature_is_an_error_that_names_it() {
        for url in ["rediss+sentinel://h/s", "valkeys+cluster://h", "rediss://h"] {
            let Err(Error::Config(why)) = Endpoint::parse(url) else { panic!("{url}") };
            assert!(why.contains("feature `tls`"), "{why}");
        }
    }
}

//! The settings of a handle.

mod build;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use redis::ProtocolVersion;
use redis::io::tcp::TcpSettings;

use super::backoff::{Backoff, DEFAULT_BACKOFF};
use super::deadline::DEFAULT_CALL_DEADLINE;
use super::url::Login;
use crate::key::Layout;

/// The settings of a [`Redis`](crate::Redis) handle. What is not set comes from the URL, or has the default that
/// its method names.
#[derive(Clone)]
pub struct RedisBuilder {
    url: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    unix_socket: Option<PathBuf>,
    sentinel: Option<(Vec<String>, String)>,
    sentinel_login: Login,
    cluster: Option<Vec<String>>,
    tls: bool,
    #[cfg(feature = "tls")]
    certificates: Option<redis::TlsCertificates>,
    username: Option<String>,
    password: Option<String>,
    db: Option<u32>,
    resp: Option<ProtocolVersion>,
    tcp: TcpSettings,
    client_name: Option<String>,
    prefix: String,
    layout: Option<Layout>,
    connect_timeout: Duration,
    call_deadline: Duration,
    backoff: Backoff,
}

impl Default for RedisBuilder {
    fn default() -> Self {
        Self {
            url: None,
            host: None,
            port: None,
            unix_socket: None,
            sentinel: None,
            sentinel_login: Login::default(),
            cluster: None,
            tls: false,
            #[cfg(feature = "tls")]
            certificates: None,
            username: None,
            password: None,
            db: None,
            resp: None,
            tcp: TcpSettings::default().set_nodelay(true),
            client_name: None,
            prefix: String::new(),
            layout: None,
            connect_timeout: Duration::from_secs(1),
            call_deadline: DEFAULT_CALL_DEADLINE,
            backoff: DEFAULT_BACKOFF,
        }
    }
}

impl RedisBuilder {
    /// A URL as [`Redis::connect`](crate::Redis::connect) takes it. The other settings override what it says, but for where
    /// to connect: the host and the port, the socket, the Sentinels and the cluster belong to the
    /// URL where there is one.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// The host, by default `127.0.0.1`.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// The port, by default 6379.
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// A unix socket instead of a host and a port.
    pub fn unix_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.unix_socket = Some(path.into());
        self
    }

    /// The primary of `service`, as these Sentinels name it, instead of a host and a port. Each is a
    /// host or `host:port`, by default with port 26379.
    ///
    /// Whenever the connection is lost, its server is no longer the primary, or a Sentinel tells of
    /// another one, all Sentinels are asked again.
    pub fn sentinel<H: Into<String>>(
        mut self,
        sentinels: impl IntoIterator<Item = H>,
        service: impl Into<String>,
    ) -> Self {
        let sentinels = sentinels.into_iter().map(Into::into).collect();
        self.sentinel = Some((sentinels, service.into()));
        self
    }

    /// The user at the Sentinels, by default none.
    pub fn sentinel_username(mut self, username: impl Into<String>) -> Self {
        self.sentinel_login.username = Some(username.into());
        self
    }

    /// The password at the Sentinels, by default none: that of the servers is not tried.
    pub fn sentinel_password(mut self, password: impl Into<String>) -> Self {
        self.sentinel_login.password = Some(password.into());
        self
    }

    /// The cluster of these nodes, instead of a host and a port. Each is a host or `host:port`, by
    /// default with port 6379. They are asked for the others.
    pub fn cluster<H: Into<String>>(mut self, nodes: impl IntoIterator<Item = H>) -> Self {
        self.cluster = Some(nodes.into_iter().map(Into::into).collect());
        self
    }

    /// What to trust instead of the system's roots, and what to show to a server that asks for a
    /// certificate, all in PEM. It needs TLS, by the URL or by [`tls`](Self::tls).
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn certificates(mut self, certificates: redis::TlsCertificates) -> Self {
        self.certificates = Some(certificates);
        self
    }

    /// TLS to the host, or to all Sentinels and servers. Needs the feature `tls`.
    pub fn tls(mut self, tls: bool) -> Self {
        self.tls = tls;
        self
    }

    /// The ACL user, by default the server's `default` user.
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self
    }

    /// The password, by default none.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// The database number, by default 0.
    pub fn db(mut self, db: u32) -> Self {
        self.db = Some(db);
        self
    }

    /// The protocol version, by default RESP3. Over RESP2 a connection that is closed while
    /// nothing is asked is noticed only by the next call, which is then sent again.
    pub fn resp(mut self, version: ProtocolVersion) -> Self {
        self.resp = Some(version);
        self
    }

    /// The options of the TCP socket, by default those of the system but with `TCP_NODELAY`.
    pub fn tcp(mut self, settings: TcpSettings) -> Self {
        self.tcp = settings;
        self
    }

    /// The name that `CLIENT LIST` shows, by default none.
    pub fn client_name(mut self, name: impl Into<String>) -> Self {
        self.client_name = Some(name.into());
        self
    }

    /// What is written before every key, verbatim; by default nothing.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The spelling of [`Redis::keys`](crate::Redis::keys), by default [`Layout::HashTagged`] on a cluster and
    /// [`Layout::Plain`] elsewhere.
    pub fn layout(mut self, layout: Layout) -> Self {
        self.layout = Some(layout);
        self
    }

    /// How long one attempt to connect may take in all, by default one second.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a call may take in all, by default 250 ms.
    pub fn call_deadline(mut self, deadline: Duration) -> Self {
        self.call_deadline = deadline;
        self
    }

    /// How long to wait between attempts to connect: doubling from `min` to `max` with jitter, by
    /// default from 50 ms to 2 s.
    pub fn backoff(mut self, min: Duration, max: Duration) -> Self {
        self.backoff = Backoff { min, max };
        self
    }
}

impl fmt::Debug for RedisBuilder {
    /// Leaves out the URL and the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBuilder")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("unix_socket", &self.unix_socket)
            .field("sentinel", &self.sentinel)
            .field("cluster", &self.cluster)
            .field("username", &self.username)
            .field("db", &self.db)
            .field("client_name", &self.client_name)
            .field("prefix", &self.prefix)
            .field("layout", &self.layout)
            .field("connect_timeout", &self.connect_timeout)
            .field("call_deadline", &self.call_deadline)
            .field("backoff", &self.backoff)
            .finish_non_exhaustive()
    }
}

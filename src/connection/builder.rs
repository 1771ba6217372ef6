//! The settings of a handle, checked when it is built.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use redis::io::tcp::TcpSettings;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};

use super::link::Link;
use super::supervisor::{Backoff, Target};
use super::{Backend, DEFAULT_CALL_DEADLINE, Redis, check_deadline};
use crate::error::{Error, Result};
use crate::key::Layout;

/// The settings of a [`Redis`] handle. What is not set comes from the URL, or has the default that
/// its method names.
#[derive(Clone)]
pub struct RedisBuilder {
    url: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    unix_socket: Option<PathBuf>,
    tls: bool,
    username: Option<String>,
    password: Option<String>,
    db: Option<u32>,
    resp: Option<ProtocolVersion>,
    tcp: TcpSettings,
    client_name: Option<String>,
    prefix: String,
    layout: Layout,
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
            tls: false,
            username: None,
            password: None,
            db: None,
            resp: None,
            tcp: TcpSettings::default().set_nodelay(true),
            client_name: None,
            prefix: String::new(),
            layout: Layout::Plain,
            connect_timeout: Duration::from_secs(1),
            call_deadline: DEFAULT_CALL_DEADLINE,
            backoff: Backoff { min: Duration::from_millis(50), max: Duration::from_secs(2) },
        }
    }
}

impl RedisBuilder {
    /// A URL as [`Redis::connect`] takes it. The other settings override what it says; the host,
    /// the port and the socket belong to the URL where there is one.
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

    /// TLS to the host. Needs the feature `tls`.
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

    /// The spelling of [`Redis::keys`], by default [`Layout::Plain`].
    pub fn layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
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

    /// Starts connecting in the background and returns at once; the server may be down.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] where the URL or the combination of settings cannot be used, or outside a
    /// Tokio runtime. [`Error::InvalidInput`] for a bad prefix, a zero duration, or a deadline of a
    /// day or more.
    pub fn build(self) -> Result<Redis> {
        check_deadline(self.call_deadline)?;
        if self.connect_timeout.is_zero() {
            return Err(Error::invalid("connect time-out", "must not be zero"));
        }
        if self.backoff.min.is_zero() || self.backoff.max < self.backoff.min {
            return Err(Error::invalid("back-off", "must be above zero, min before max"));
        }
        if self.client_name.as_deref().is_some_and(|name| {
            name.is_empty() || name.bytes().any(|byte| !(b'!'..=b'~').contains(&byte))
        }) {
            return Err(Error::invalid("client name", "must be printable ASCII without spaces"));
        }
        let target = Target {
            client: redis::Client::open(self.connection_info()?).map_err(config_error)?,
            client_name: self.client_name,
            connect_timeout: self.connect_timeout,
            ping_timeout: self.call_deadline,
            backoff: self.backoff,
        };
        let link = Backend::Link(Link::open(target)?.into());
        Redis::from_backend(link, self.layout)
            .with_prefix(&self.prefix)?
            .with_call_deadline(self.call_deadline)
    }

    fn connection_info(&self) -> Result<ConnectionInfo> {
        let info = match &self.url {
            Some(_) if self.host.is_some() || self.port.is_some() || self.unix_socket.is_some() => {
                return Err(Error::Config("a URL and a host, port or socket".to_owned()));
            }
            Some(url) => {
                let info = parse(url)?;
                if self.tls && !matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
                    return Err(Error::Config("TLS to a URL without it: write rediss".to_owned()));
                }
                info
            }
            None => self.address()?.into_connection_info().map_err(config_error)?,
        };
        if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            install_tls_provider()?;
        }
        let named = self.url.as_deref().is_some_and(|url| url.contains("protocol="));
        let mut settings = info.redis_settings().clone();
        settings = match self.resp {
            Some(version) => settings.set_protocol(version),
            None if named => settings,
            None => settings.set_protocol(ProtocolVersion::RESP3),
        };
        if let Some(username) = &self.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(password);
        }
        if let Some(db) = self.db {
            settings = settings.set_db(db.into());
        }
        if settings.db() < 0 {
            return Err(Error::Config("the database number is negative".to_owned()));
        }
        Ok(info.set_tcp_settings(self.tcp.clone()).set_redis_settings(settings))
    }

    fn address(&self) -> Result<ConnectionAddr> {
        let host = self.host.clone();
        let address = match &self.unix_socket {
            Some(_) if host.is_some() || self.port.is_some() || self.tls => {
                return Err(Error::Config("a unix socket has no host, port or TLS".to_owned()));
            }
            Some(path) => return Ok(ConnectionAddr::Unix(path.clone())),
            None => (host.unwrap_or_else(|| "127.0.0.1".to_owned()), self.port.unwrap_or(6379)),
        };
        if !self.tls {
            return Ok(ConnectionAddr::Tcp(address.0, address.1));
        }
        Ok(ConnectionAddr::TcpTls {
            host: address.0,
            port: address.1,
            insecure: false,
            tls_params: None,
        })
    }
}

impl fmt::Debug for RedisBuilder {
    /// Leaves out the URL and the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBuilder")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("unix_socket", &self.unix_socket)
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

/// The schemes that the redis crate knows. No message repeats the URL: it may hold a password.
fn parse(url: &str) -> Result<ConnectionInfo> {
    let scheme = url.split(':').next().unwrap_or_default();
    match scheme {
        "rediss" | "valkeys" if cfg!(not(feature = "tls")) => {
            let why = format!("{scheme}:// needs the feature `tls` of auth-adapter-redis");
            Err(Error::Config(why))
        }
        "redis" | "rediss" | "valkey" | "valkeys" | "unix" | "redis+unix" | "valkey+unix" => {
            url.into_connection_info().map_err(config_error)
        }
        _ => {
            Err(Error::Config("the URL must begin with redis://, rediss:// or unix://".to_owned()))
        }
    }
}

fn config_error(error: redis::RedisError) -> Error {
    Error::Config(error.to_string())
}

/// The redis crate panics at the first TLS connection of a process that has no provider.
#[cfg(feature = "tls")]
#[expect(clippy::unnecessary_wraps, reason = "the twin without the feature fails")]
fn install_tls_provider() -> Result<()> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error means that another thread has just installed one: that serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    Ok(())
}

#[cfg(not(feature = "tls"))]
fn install_tls_provider() -> Result<()> {
    Err(Error::Config("TLS needs the feature `tls` of auth-adapter-redis".to_owned()))
}

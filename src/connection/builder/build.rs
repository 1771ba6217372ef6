//! Settings checked, and what they come to.

use std::sync::Arc;

use redis::{ProtocolVersion, RedisConnectionInfo};
use tokio::runtime::Handle;

use super::super::address::Address;
use super::super::cluster::Cluster;
use super::super::deadline::check_deadline;
use super::super::dial::{Dialer, Tls};
use super::super::link::Link;
use super::super::sentinel::Sentinels;
use super::super::target::{Manner, Target, Where};
use super::super::url::{
    Endpoint, Login, Place, SENTINEL_PORT, SERVER_PORT, ServerAddress, addresses,
};
use super::super::{Backend, Redis};
use super::RedisBuilder;
use crate::error::{Error, Result};
use crate::key::{Layout, check_prefix};

impl RedisBuilder {
    /// Starts connecting in the background and returns at once; the server may be down.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] where the URL or the combination of settings cannot be used, or outside a
    /// Tokio runtime. [`Error::InvalidInput`] for a bad prefix, a zero duration, or a deadline of a
    /// day or more.
    pub fn build(self) -> Result<Redis> {
        check_deadline(self.call_deadline)?;
        check_prefix(&self.prefix)?;
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
        let runtime = Handle::try_current()
            .map_err(|_| Error::Config("a handle is built inside a Tokio runtime".to_owned()))?;
        let Endpoint { place, tls, settings, names_protocol } = self.endpoint()?;
        let tls = tls.map(|insecure| Tls {
            insecure,
            #[cfg(feature = "tls")]
            certificates: self.certificates.clone(),
        });
        let dialer =
            Dialer { settings: self.settings(settings, names_protocol)?, tcp: self.tcp, tls };
        dialer.check()?;
        let manner = Arc::new(Manner {
            dialer,
            client_name: self.client_name,
            connect_timeout: self.connect_timeout,
            ping_timeout: self.call_deadline,
            backoff: self.backoff,
            panel: Arc::default(),
            register: Arc::default(),
        });
        let (backend, layout) = match place {
            Place::Cluster(_) if manner.dialer.settings.db() != 0 => {
                return Err(Error::Config("a cluster has database 0 alone".to_owned()));
            }
            Place::Cluster(seeds) => {
                (Backend::Cluster(Cluster::open(seeds, manner, runtime).into()), Layout::HashTagged)
            }
            Place::Server(address) => (link(Where::At(address), manner, &runtime), Layout::Plain),
            Place::Sentinel { sentinels, service, login } => {
                let mut dialer = manner.dialer.clone();
                dialer.settings = login_only(&login, manner.dialer.settings.protocol());
                let sentinels = Sentinels {
                    dialer,
                    addresses: sentinels,
                    service,
                    ask_within: self.connect_timeout / 2,
                    backoff: self.backoff,
                };
                (link(Where::Named(sentinels.into()), manner, &runtime), Layout::Plain)
            }
        };
        Redis::from_backend(backend, self.layout.unwrap_or(layout))
            .with_prefix(&self.prefix)?
            .with_call_deadline(self.call_deadline)
    }

    /// Where to connect, by the URL or by the settings that stand for one.
    fn endpoint(&self) -> Result<Endpoint> {
        let one_server = self.host.is_some() || self.port.is_some();
        let ways = [
            self.url.is_some(),
            one_server,
            self.unix_socket.is_some(),
            self.sentinel.is_some(),
            self.cluster.is_some(),
        ];
        if ways.into_iter().filter(|&way| way).count() > 1 {
            let why = "more than one of a URL, a host and port, a socket, Sentinels and a cluster";
            return Err(Error::Config(why.to_owned()));
        }
        let mut endpoint = match &self.url {
            Some(url) => Endpoint::parse(url)?,
            None => Endpoint {
                place: self.place()?,
                tls: self.tls.then_some(false),
                settings: RedisConnectionInfo::default(),
                names_protocol: false,
            },
        };
        if let Place::Sentinel { login, .. } = &mut endpoint.place {
            login.username = self.sentinel_login.username.clone().or(login.username.take());
            login.password = self.sentinel_login.password.clone().or(login.password.take());
        } else if self.sentinel_login != Login::default() {
            return Err(Error::Config("a login at Sentinels, and no Sentinels".to_owned()));
        }
        if self.tls && endpoint.tls.is_none() {
            return Err(Error::Config("TLS to a URL without it: write rediss".to_owned()));
        }
        match endpoint.tls {
            Some(_) => install_tls_provider()?,
            #[cfg(feature = "tls")]
            None if self.certificates.is_some() => {
                return Err(Error::Config("certificates, and no TLS: write rediss".to_owned()));
            }
            None => {}
        }
        Ok(endpoint)
    }

    fn place(&self) -> Result<Place> {
        if let Some((sentinels, service)) = &self.sentinel {
            if service.is_empty() {
                return Err(Error::Config(
                    "the service that Sentinels watch has a name".to_owned(),
                ));
            }
            let sentinels = addresses(sentinels.iter().map(String::as_str), SENTINEL_PORT)?;
            let (service, login) = (service.clone(), Login::default());
            return Ok(Place::Sentinel { sentinels, service, login });
        }
        if let Some(nodes) = &self.cluster {
            return Ok(Place::Cluster(addresses(nodes.iter().map(String::as_str), SERVER_PORT)?));
        }
        Ok(Place::Server(match &self.unix_socket {
            Some(_) if self.tls => {
                return Err(Error::Config("a unix socket has no TLS".to_owned()));
            }
            Some(path) => ServerAddress::Unix(path.clone()),
            None => {
                let host = self.host.as_deref().unwrap_or("127.0.0.1");
                ServerAddress::Tcp(Address::new(host, self.port.unwrap_or(SERVER_PORT)))
            }
        }))
    }

    /// What the URL says, unless it was set.
    fn settings(
        &self,
        url: RedisConnectionInfo,
        names_protocol: bool,
    ) -> Result<RedisConnectionInfo> {
        let mut settings = match self.resp {
            Some(version) => url.set_protocol(version),
            None if names_protocol => url,
            None => url.set_protocol(ProtocolVersion::RESP3),
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
        match settings.db() < 0 {
            true => Err(Error::Config("the database number is negative".to_owned())),
            // One right less that a user of the server needs, or one refusal less in its log.
            false => Ok(settings.set_skip_set_lib_name()),
        }
    }
}

/// A connection that is kept up. Nobody but its callers cares when it is lost.
fn link(place: Where, manner: Arc<Manner>, runtime: &Handle) -> Backend {
    Backend::Link(Link::open(Target::new(place, manner), Arc::default(), runtime).into())
}

fn login_only(login: &Login, protocol: ProtocolVersion) -> RedisConnectionInfo {
    let settings = RedisConnectionInfo::default().set_protocol(protocol);
    let mut settings = settings.set_skip_set_lib_name();
    if let Some(username) = &login.username {
        settings = settings.set_username(username);
    }
    if let Some(password) = &login.password {
        settings = settings.set_password(password);
    }
    settings
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

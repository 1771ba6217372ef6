//! Opening a connection, and asking on it before anyone else does.

use std::fmt;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, Value,
};

use super::address::Address;
use super::url::{Insecure, ServerAddress};
use crate::error::{Error, Result, in_one_line};

/// How many commands may wait for the socket; beyond that, callers wait for room.
const PIPELINE_BUFFER: usize = 1024;

/// Who connects, and how, wherever that is.
#[derive(Clone)]
pub(super) struct Dialer {
    pub(super) settings: RedisConnectionInfo,
    pub(super) tcp: TcpSettings,
    pub(super) tls: Option<Tls>,
}

/// TLS, and what to show and to trust.
#[derive(Clone, Default)]
pub(super) struct Tls {
    pub(super) insecure: Insecure,
    #[cfg(feature = "tls")]
    pub(super) certificates: Option<redis::TlsCertificates>,
}

impl Dialer {
    /// What connects to `address`. Nothing is sent yet.
    pub(super) fn client(&self, address: &ServerAddress) -> Result<redis::Client> {
        let info = self.address(address).into_connection_info().map_err(config_error)?;
        let info = info.set_tcp_settings(self.tcp.clone());
        let info = info.set_redis_settings(self.settings.clone());
        #[cfg(feature = "tls")]
        if let Some(certificates) = self.tls.as_ref().and_then(|tls| tls.certificates.clone()) {
            return redis::Client::build_with_tls(info, certificates).map_err(config_error);
        }
        redis::Client::open(info).map_err(config_error)
    }

    /// Whether the certificates can be read.
    pub(super) fn check(&self) -> Result<()> {
        match self.tls {
            Some(_) => self.client(&ServerAddress::Tcp(Address::new("localhost", 1))).map(drop),
            None => Ok(()),
        }
    }

    fn address(&self, address: &ServerAddress) -> ConnectionAddr {
        match (address, &self.tls) {
            (ServerAddress::Unix(path), _) => ConnectionAddr::Unix(path.clone()),
            (ServerAddress::Tcp(at), None) => ConnectionAddr::Tcp(at.host.to_string(), at.port),
            (ServerAddress::Tcp(at), Some(tls)) => ConnectionAddr::TcpTls {
                host: at.host.to_string(),
                port: at.port,
                insecure: tls.insecure,
                tls_params: None,
            },
        }
    }

    /// Connects, logs in, and gives the connection, or why there is none in words.
    pub(super) async fn connect(
        &self,
        address: &ServerAddress,
        config: AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, String> {
        let client = self.client(address).map_err(|error| error.to_string())?;
        let connected = client.get_multiplexed_async_connection_with_config(&config).await;
        connected.map_err(|error| in_one_line(&error))
    }
}

/// Whoever awaits something on a connection has a deadline: another timer in each call buys nothing.
pub(super) fn without_timers() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_response_timeout(None)
        .set_connection_timeout(None)
        .set_pipeline_buffer_size(PIPELINE_BUFFER)
}

/// One command; an error reply or a broken connection in words.
pub(super) async fn ask(
    connection: &MultiplexedConnection,
    words: &[&str],
) -> Result<Value, String> {
    let mut cmd = redis::Cmd::new();
    for word in words {
        cmd.arg(*word);
    }
    let reply = connection.clone().send_packed_command(&cmd).await;
    match reply.and_then(Value::extract_error) {
        Ok(value) => Ok(value),
        Err(error) => {
            Err(in_one_line(&format_args!("{} {error}", error.code().unwrap_or_default())))
        }
    }
}

/// Whether the server understood and declined, as an ACL, an older version or a proxy does: the
/// connection itself can be used.
pub(super) fn is_refusal(why: &str) -> bool {
    why.starts_with("NOPERM") || why.starts_with("ERR")
}

/// The text of a reply, if it is one.
pub(super) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::VerbatimString { text, .. } | Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

/// Locks and sessions must not be evicted: says so once where the server is set to.
pub(super) async fn warn_of_eviction(connection: &MultiplexedConnection) {
    let Ok(info) = ask(connection, &["INFO", "memory"]).await else {
        return;
    };
    let policy = field(&info, "maxmemory_policy").unwrap_or_default();
    let limited = field(&info, "maxmemory").is_some_and(|limit| limit != "0");
    if limited && policy != "noeviction" {
        tracing::warn!(policy, "this server may evict locks: set maxmemory-policy noeviction");
    }
}

/// A field of an `INFO` reply.
pub(super) fn field(info: &Value, name: &str) -> Option<String> {
    let text = text(info)?;
    let of = |line: &str| Some(line.split_once(':')?.1.trim().to_owned());
    let mut lines = text.lines();
    lines.find(|line| line.split(':').next() == Some(name)).and_then(of)
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

fn config_error(error: redis::RedisError) -> Error {
    Error::Config(in_one_line(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let info = Value::BulkString(b"# Memory\r\nmaxmemory:7\r\nmaxmemory_policy:x\r\n".to_vec());
        assert_eq!(field(&info, "maxmemory").as_deref(), Some("7"));
        assert_eq!(field(&info, "maxmemory_policy").as_deref(), Some("x"));
        assert_eq!(field(&info, "max"), None);
    }
}

//! How a Sentinel group is to be started.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use super::super::launch::Launch;
use super::super::server::Refused;
use super::super::{Proxy, Server, ServerBuilder, StartError, group, new_id, ports};
use super::{SERVICE, SentinelGroup, hurry};

/// How a [`SentinelGroup`] is to be started; made by [`SentinelGroup::builder`].
///
/// # Examples
///
/// ```
/// use auth_adapter_redis::testing::SentinelGroup;
/// use std::time::Duration;
///
/// // Breaking the way to the primary leaves this one calm.
/// let group = SentinelGroup::builder()
///     .replicas(0)
///     .sentinels(1)
///     .down_after(Duration::from_secs(3600))
///     .primary_behind_proxy()
///     .start()?;
/// let asked = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", group.service()];
/// let told = group.sentinels()[0].command(&asked)?;
/// let port = told.array().and_then(|addr| addr[1].text());
/// assert_eq!(port, group.proxy().map(|proxy| proxy.port().to_string()).as_deref());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct SentinelGroupBuilder {
    server: ServerBuilder,
    replicas: usize,
    sentinels: usize,
    quorum: Option<usize>,
    down_after: Option<Duration>,
    failover_timeout: Duration,
    behind_proxy: bool,
    password: Option<String>,
    sentinel_password: Option<String>,
}

impl SentinelGroupBuilder {
    pub(super) fn new() -> Self {
        Self {
            server: ServerBuilder::new(),
            replicas: 2,
            sentinels: 3,
            quorum: None,
            down_after: None,
            failover_timeout: Duration::from_millis(1500),
            behind_proxy: false,
            password: None,
            sentinel_password: None,
        }
    }

    /// How many replicas the primary has; two by default.
    pub fn replicas(mut self, count: usize) -> Self {
        self.replicas = count;
        self
    }

    /// How many Sentinels there are; three by default.
    ///
    /// # Panics
    ///
    /// When it is none.
    pub fn sentinels(mut self, count: usize) -> Self {
        assert!(count > 0, "a group without Sentinels is none");
        self.sentinels = count;
        self
    }

    /// How many Sentinels must find the primary down; the majority by default.
    pub fn quorum(mut self, count: usize) -> Self {
        self.quorum = Some(count);
        self
    }

    /// How long a server must be silent to be down; 300 ms by default, but 1.5 s before Redis 7.
    ///
    /// A Sentinel of Redis 6.2 tries to connect once a second. With less than that it may find the
    /// new primary down before it has spoken to it, and replace that too.
    pub fn down_after(mut self, time: Duration) -> Self {
        self.down_after = Some(time);
        self
    }

    /// After how long a failover that did not come to its end is given up; 1.5 s by default.
    ///
    /// Another one begins no sooner than twice that after it. With less, one in ten is given up:
    /// a Sentinel looks once a second whether its replica has become the primary.
    pub fn failover_timeout(mut self, time: Duration) -> Self {
        self.failover_timeout = time;
        self
    }

    /// Puts a [`Proxy`] before the primary that the group starts with: the Sentinels, clients and
    /// replicas know it by the proxy's address only.
    pub fn primary_behind_proxy(mut self) -> Self {
        self.behind_proxy = true;
        self
    }

    /// The password of the default user of the data servers; none by default. Without white space.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// The password that the Sentinels want of clients and of each other; none by default. Without
    /// white space.
    pub fn sentinel_password(mut self, password: impl Into<String>) -> Self {
        self.sentinel_password = Some(password.into());
        self
    }

    /// Users that every data server knows; see [`ServerBuilder::acl`].
    pub fn acl(mut self, lines: impl Into<String>) -> Self {
        self.server = self.server.acl(lines);
        self
    }

    /// The server program of every server and Sentinel; see [`ServerBuilder::binary`].
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.server = self.server.binary(path);
        self
    }

    /// One more argument of every data server's command line; see [`ServerBuilder::arg`].
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.server = self.server.arg(arg);
        self
    }

    /// More arguments; see [`arg`](Self::arg).
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.server = self.server.args(args);
        self
    }

    /// Whether a restart of a data server waits until its data is loaded, as it does by default;
    /// see [`ServerBuilder::wait_until_ready`]. [`start`](Self::start) waits for the whole group.
    pub fn wait_until_ready(mut self, wait: bool) -> Self {
        self.server = self.server.wait_until_ready(wait);
        self
    }

    /// Starts the group and waits until the replicas are in sync and the Sentinels know everyone.
    ///
    /// # Errors
    ///
    /// [`StartError`], which carries the last lines that a server, or each of them, logged.
    pub fn start(self) -> Result<SentinelGroup, StartError> {
        let mut launch = self.server.clone().launch()?;
        launch.hurry_replication();
        launch.password.clone_from(&self.password);
        if let Some(password) = &self.password {
            launch.set("--masterauth", password);
        }
        let group = ports::retried(|| self.start_servers(&launch))?;
        group::wait_until_ready(group.sentinels(), || group.is_settled())?;
        group::open_streams(group.servers())?;
        hurry::end_meeting(group.sentinels()).map_err(StartError::io("hurry the Sentinels"))?;
        Ok(group)
    }

    fn start_servers(&self, launch: &Launch) -> Result<SentinelGroup, Refused> {
        let count = 1 + self.replicas + self.sentinels;
        let free = ports::several(count, false).map_err(StartError::io("find free ports"))?;
        let (data, sentinels) = free.split_at(1 + self.replicas);
        let proxy =
            self.behind_proxy.then(|| Proxy::to_addr((Ipv4Addr::LOCALHOST, data[0]).into()));
        let proxy = proxy.transpose().map_err(StartError::io("start a proxy"))?;
        let primary = proxy.as_ref().map_or(data[0], Proxy::port);
        let servers = start_data(launch, primary, data)?;
        // Before the Sentinels, since they ask a replica only every ten seconds how it is.
        group::wait_until_ready(&servers, || group::replicas_in_sync(&servers))?;
        let sentinels =
            group::start_all(&self.sentinel_launches(launch, primary, &data[1..], sentinels)?)?;
        hurry::begin_meeting(&sentinels).map_err(StartError::io("hurry the Sentinels"))?;
        Ok(SentinelGroup { servers, sentinels, proxy })
    }

    /// Each Sentinel is told of the replicas before it starts, and of the others if they would not
    /// find each other soon: one that is not there yet is tried again only after a second.
    fn sentinel_launches(
        &self,
        launch: &Launch,
        primary: u16,
        replicas: &[u16],
        ports: &[u16],
    ) -> Result<Vec<(Launch, u16)>, StartError> {
        let ids = ports.iter().map(|_| new_id()).collect::<Result<Vec<_>, _>>();
        let ids = ids.map_err(StartError::io("get randomness"))?;
        let down_after = if hurry::is_possible(launch.binary.version) { 300 } else { 1500 };
        let down_after = self.down_after.unwrap_or(Duration::from_millis(down_after));
        let quorum = self.quorum.unwrap_or(self.sentinels / 2 + 1);
        let mut common = format!("sentinel monitor {SERVICE} 127.0.0.1 {primary} {quorum}\n");
        let mut set = |option: &str, value: &str| {
            common.push_str(&format!("sentinel {option} {SERVICE} {value}\n"));
        };
        set("down-after-milliseconds", &down_after.as_millis().to_string());
        set("failover-timeout", &self.failover_timeout.as_millis().to_string());
        set("parallel-syncs", &self.replicas.max(1).to_string());
        if let Some(password) = &self.password {
            set("auth-pass", &quoted(password));
        }
        for replica in replicas {
            set("known-replica", &format!("127.0.0.1 {replica}"));
        }
        if let Some(password) = &self.sentinel_password {
            common.push_str(&format!("sentinel sentinel-pass {}\n", quoted(password)));
        }
        let launches = ports.iter().enumerate().map(|(me, port)| {
            let mut conf = format!("sentinel myid {}\n{common}", ids[me]);
            let others = ports.iter().enumerate().filter(|(other, _)| *other != me);
            for (other, port) in others.filter(|_| !hurry::is_possible(launch.binary.version)) {
                let known = format!("127.0.0.1 {port} {}", ids[other]);
                conf.push_str(&format!("sentinel known-sentinel {SERVICE} {known}\n"));
            }
            let mut launch = Launch::new(launch.binary.clone());
            launch.sentinel = true;
            launch.once_up = hurry::is_possible(launch.binary.version).then_some(hurry::ALWAYS);
            launch.password.clone_from(&self.sentinel_password);
            launch.config = Some("sentinel.conf");
            launch.files.push(("sentinel.conf", conf));
            (launch, *port)
        });
        Ok(launches.collect())
    }
}

/// Starts the primary, which is known by a port of its own or a proxy's, and then its replicas: one
/// that did not find it would try again only after a second.
fn start_data(launch: &Launch, primary: u16, ports: &[u16]) -> Result<Vec<Server>, Refused> {
    let with_role = |role: &str, port: &u16| {
        let mut launch = launch.clone();
        // In a file, not an argument: a Sentinel has it written anew when the role changes.
        launch.config = Some("server.conf");
        launch.files.push(("server.conf", role.to_owned()));
        (launch, *port)
    };
    let replica = format!("replicaof 127.0.0.1 {primary}\n");
    let replicas: Vec<_> = ports[1..].iter().map(|port| with_role(&replica, port)).collect();
    let mut servers = group::start_all(&[with_role("", &ports[0])])?;
    servers.extend(group::start_all(&replicas)?);
    Ok(servers)
}

/// A word of a configuration file.
fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}

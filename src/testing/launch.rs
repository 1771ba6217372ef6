//! All that one server is started with.

use std::ffi::OsString;
use std::path::Path;
use std::{fs, io};

use super::binary::Binary;

/// Its name in the server's directory, which is where a server looks for it.
const ACL_FILE: &str = "users.acl";

/// What a server is started with, but for its port and its directory.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    pub(super) binary: Binary,
    /// Options of the group a server belongs to.
    pub(super) of_group: Vec<OsString>,
    /// Options of whoever wrote the test, which win over those.
    pub(super) asked_for: Vec<OsString>,
    /// `NAME=VALUE`, for its process alone.
    pub(super) env: Vec<OsString>,
    /// Lines of its ACL file.
    pub(super) acl: Option<String>,
    /// The password of the default user.
    pub(super) password: Option<String>,
    /// Which of the files it reads first, and writes anew when it is told to be another.
    pub(super) config: Option<&'static str>,
    /// Whether it is a Sentinel.
    pub(super) sentinel: bool,
    /// Whether its port is one for TLS.
    pub(super) tls: bool,
    /// A command it is sent whenever it has started.
    pub(super) once_up: Option<&'static [&'static str]>,
    /// Files of its directory, by name. They say who the server is, so a loss of data leaves them.
    pub(super) files: Vec<(&'static str, String)>,
    pub(super) wait_until_ready: bool,
}

impl Launch {
    pub(super) fn new(binary: Binary) -> Self {
        Self {
            binary,
            of_group: Vec::new(),
            asked_for: Vec::new(),
            env: Vec::new(),
            acl: None,
            password: None,
            config: None,
            sentinel: false,
            tls: false,
            once_up: None,
            files: Vec::new(),
            wait_until_ready: true,
        }
    }

    /// Adds an option of the group.
    pub(super) fn set(&mut self, option: &str, value: impl Into<OsString>) {
        self.of_group.extend([option.into(), value.into()]);
    }

    /// Spares a replica the waiting for Valkey's look once a second at a copy that went to the disk,
    /// and for what follows a copy that did not: a primary holds that back until the replica has
    /// reported, which it does once a second.
    pub(super) fn hurry_replication(&mut self) {
        self.set("--repl-diskless-sync", "no");
        self.set("--repl-diskless-load", "on-empty-db");
    }

    /// Writes the files that a server finds at its first start.
    pub(super) fn write_files(&self, dir: &Path) -> io::Result<()> {
        if let Some(acl) = &self.acl {
            // An ACL file without the default user would open it to all.
            let default = self
                .password
                .as_ref()
                .map(|password| format!("user default on >{password} ~* &* +@all\n"));
            fs::write(dir.join(ACL_FILE), default.unwrap_or_default() + acl + "\n")?;
        }
        self.files.iter().try_for_each(|(name, text)| fs::write(dir.join(name), text))
    }

    /// The names of the files that a loss of data leaves.
    pub(super) fn kept_files(&self) -> Vec<&str> {
        self.files.iter().map(|(name, _)| *name).chain([ACL_FILE]).collect()
    }

    /// Whether the server did not start since it was built without TLS.
    pub(super) fn lacks_tls(&self, log: &str) -> bool {
        // Older ones name the first option that they do not know, newer ones say what they miss.
        let unknown = log.contains(">>> 'tls-") && log.contains("Bad directive");
        self.tls && (unknown || log.contains("Failed finding TLS support"))
    }

    /// The command line: defaults, then what was asked for, then what is the server's own.
    pub(super) fn command_line(&self, port: u16, socket: &Path, dir: &Path) -> Vec<OsString> {
        let mut line = Vec::new();
        if !self.env.is_empty() {
            line.push("/usr/bin/env".into());
            line.extend_from_slice(&self.env);
        }
        line.push(self.binary.path.clone().into_os_string());
        line.extend(self.config.map(|name| dir.join(name).into()));
        let mut set = |option: &str, value: OsString| line.extend([option.into(), value]);
        set("--save", OsString::new());
        set("--appendonly", "no".into());
        set("--bind", "127.0.0.1".into());
        set("--loglevel", "notice".into());
        // Older servers allow the command always, and refuse options they do not know.
        if self.binary.version.0 >= 7 {
            set("--enable-debug-command", "local".into());
        }
        match (&self.acl, &self.password) {
            (Some(_), _) => set("--aclfile", ACL_FILE.into()),
            (None, Some(password)) => set("--requirepass", password.into()),
            (None, None) => {}
        }
        line.extend_from_slice(&self.of_group);
        line.extend_from_slice(&self.asked_for);
        let mut set = |option: &str, value: OsString| line.extend([option.into(), value]);
        if self.tls {
            set("--port", "0".into());
            set("--tls-port", port.to_string().into());
        } else {
            set("--port", port.to_string().into());
        }
        set("--unixsocket", socket.into());
        set("--dir", dir.into());
        set("--daemonize", "no".into());
        set("--logfile", OsString::new());
        if self.sentinel {
            line.push("--sentinel".into());
        }
        line
    }
}

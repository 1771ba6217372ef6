//! All that one server is started with.

use std::ffi::OsString;
use std::path::Path;
use std::{fs, io};

use super::binary::Binary;

/// What a server is started with, but for its port and its directory.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    pub(super) binary: Binary,
    /// Options of the group a server belongs to.
    pub(super) of_group: Vec<OsString>,
    /// Options of whoever wrote the test, which win over those.
    pub(super) asked_for: Vec<OsString>,
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
            files: Vec::new(),
            wait_until_ready: true,
        }
    }

    /// Adds an option of the group.
    pub(super) fn set(&mut self, option: &str, value: impl Into<OsString>) {
        self.of_group.extend([option.into(), value.into()]);
    }

    /// Writes the files that a server finds at its first start.
    pub(super) fn write_files(&self, dir: &Path) -> io::Result<()> {
        self.files.iter().try_for_each(|(name, text)| fs::write(dir.join(name), text))
    }

    /// The command line: defaults, then what was asked for, then what is the server's own.
    pub(super) fn command_line(&self, port: u16, socket: &Path, dir: &Path) -> Vec<OsString> {
        let mut line = vec![self.binary.path.clone().into_os_string()];
        let mut set = |option: &str, value: OsString| line.extend([option.into(), value]);
        set("--save", OsString::new());
        set("--appendonly", "no".into());
        set("--bind", "127.0.0.1".into());
        set("--loglevel", "notice".into());
        // Older servers allow the command always, and refuse options they do not know.
        if self.binary.version.0 >= 7 {
            set("--enable-debug-command", "local".into());
        }
        line.extend_from_slice(&self.of_group);
        line.extend_from_slice(&self.asked_for);
        let mut set = |option: &str, value: OsString| line.extend([option.into(), value]);
        set("--port", port.to_string().into());
        set("--unixsocket", socket.into());
        set("--dir", dir.into());
        set("--daemonize", "no".into());
        set("--logfile", OsString::new());
        line
    }
}

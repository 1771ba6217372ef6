//! Finding the server program, and which program it is.

use std::collections::HashMap;
use std::env;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use super::StartError;

/// A server program and what it says it is.
#[derive(Clone, Debug)]
pub(super) struct Binary {
    pub(super) path: PathBuf,
    pub(super) version: (u32, u32, u32),
    pub(super) valkey: bool,
}

impl Binary {
    /// The program asked for, else that of `REDIS_SERVER_BIN`, else the first on `PATH`.
    pub(super) fn find(wanted: Option<&Path>) -> Result<Self, StartError> {
        let path = match wanted {
            Some(wanted) => named(wanted.as_os_str(), "the one asked for")?,
            None => match env::var_os("REDIS_SERVER_BIN").filter(|name| !name.is_empty()) {
                Some(name) => named(&name, "REDIS_SERVER_BIN")?,
                None => ["valkey-server", "redis-server"]
                    .into_iter()
                    .find_map(|name| on_path(OsStr::new(name)))
                    .ok_or_else(|| StartError::NotFound {
                        looked_for: "neither valkey-server nor redis-server is on PATH".into(),
                    })?,
            },
        };
        Self::identify(path)
    }

    /// Asks the program for its version, once per program and process.
    fn identify(path: PathBuf) -> Result<Self, StartError> {
        static KNOWN: Mutex<Option<HashMap<PathBuf, Binary>>> = Mutex::new(None);
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_or_insert_default();
        if let Some(binary) = known.get(&path) {
            return Ok(binary.clone());
        }
        let said = Command::new(&path)
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
            .map_err(|error| StartError::NotAServer {
                binary: path.clone(),
                said: error.to_string(),
            })?;
        let Some(version) = parse_version(&said) else {
            return Err(StartError::NotAServer { binary: path, said });
        };
        let valkey = said.starts_with("Valkey");
        let binary = Self { path, version, valkey };
        known.insert(binary.path.clone(), binary.clone());
        Ok(binary)
    }
}

/// A program by its path, or by its name on `PATH`; `by` says whose wish it is.
fn named(name: &OsStr, by: &str) -> Result<PathBuf, StartError> {
    let path = Path::new(name);
    let found = if path.components().count() > 1 {
        // Made absolute, since the current directory may change before a restart.
        std::path::absolute(path).ok().filter(|path| is_executable(path))
    } else {
        on_path(name)
    };
    found.ok_or_else(|| StartError::NotFound {
        looked_for: format!("{by}, {}, is not an executable file", path.display()),
    })
}

fn on_path(name: &OsStr) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .filter_map(|dir| std::path::absolute(dir.join(name)).ok())
        .find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// The `7.0.15` of `Redis server v=7.0.15 sha=...`.
fn parse_version(said: &str) -> Option<(u32, u32, u32)> {
    let version = said.split_whitespace().find_map(|word| word.strip_prefix("v="))?;
    let mut numbers = version.split('.').map(|number| {
        let digits = number.split(|c: char| !c.is_ascii_digit()).next();
        digits.and_then(|digits| digits.parse().ok())
    });
    Some((numbers.next()??, numbers.next()??, numbers.next().flatten().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::parse_version;

    #[test]
    fn versions() {
        let version = |said| parse_version(said);
        assert_eq!(version("Redis server v=6.2.14 sha=0:0 bits=64"), Some((6, 2, 14)));
        assert_eq!(version("Valkey server v=9.1.0-rc1 sha=0:1"), Some((9, 1, 0)));
        assert_eq!(version("Redis server v=8.0 sha=0:1"), Some((8, 0, 0)));
        assert_eq!(version("bash 5.2"), None);
    }
}

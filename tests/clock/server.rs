//! A server whose clock a test can step.

use std::env;
use std::fs;
use std::ops::Deref;
use std::path::PathBuf;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use auth_adapter_redis::testing::Server;

use super::support::HANG;

/// What of libfaketime is loaded into the server.
const LIBRARY: &str = "libfaketime.so.1";
/// Its file, in the server's directory.
const CLOCK: &str = "clock";

/// A server with a clock of its own; it shows the machine's time at first.
pub struct Stepped(Server);

impl Stepped {
    pub fn start() -> Self {
        // Debian's server allocates by jemalloc, which asks for the time before libfaketime can tell it.
        // Glibc's own allocator, before it, does not.
        let mut preload = String::from("libc_malloc_debug.so.0:");
        preload.push_str(library().to_str().expect("its path is text"));
        let server = Server::builder()
            .env("LD_PRELOAD", preload)
            // The server changes to its directory.
            .env("FAKETIME_TIMESTAMP_FILE", CLOCK)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        Self(server.start().unwrap_or_else(|error| panic!("{error}")))
    }

    /// Has its clock go on from so many seconds after the machine's, or before.
    pub fn step(&self, seconds: i64) {
        let (clock, next) = (self.dir().join(CLOCK), self.dir().join("next"));
        fs::write(&next, format!("{seconds:+}\n")).unwrap();
        // In one step, since the server may read it at any time.
        fs::rename(next, clock).unwrap();
        // Valkey 9.1 shows the time by which its last turn ended once more.
        let deadline = Instant::now() + HANG;
        while self.is_off(seconds) {
            assert!(Instant::now() < deadline, "{LIBRARY} does not step this server's clock");
        }
    }

    /// Whether its clock shows another time than so many seconds after the machine's.
    fn is_off(&self, seconds: i64) -> bool {
        let machine = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let off = (self.micros() / 1_000_000).abs_diff(machine.saturating_add_signed(seconds));
        off > 1
    }

    /// What its clock shows, in microseconds.
    pub fn micros(&self) -> u64 {
        let now = self.command(&["TIME"]).unwrap();
        let parts = now.array().unwrap().iter();
        let parts = parts.map(|part| part.text().unwrap().parse::<u64>().unwrap());
        parts.fold(0, |micros, part| micros * 1_000_000 + part)
    }
}

impl Deref for Stepped {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

/// The one that `LIBFAKETIME` names, else that of an installed package.
#[track_caller]
fn library() -> PathBuf {
    if let Some(named) = env::var_os("LIBFAKETIME").filter(|name| !name.is_empty()) {
        let named = PathBuf::from(named);
        assert!(named.is_file(), "LIBFAKETIME, {}, is no file", named.display());
        return named;
    }
    let dirs = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(PathBuf::from).into_iter();
    // Debian has a directory for each architecture.
    let of_architectures = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut libraries = dirs
        .chain(of_architectures.map(|entry| entry.path()))
        .map(|dir| dir.join("faketime").join(LIBRARY));
    libraries.find(|library| library.is_file()).unwrap_or_else(|| {
        panic!(
            "no {LIBRARY}, which steps the server's clock: install the package faketime, name the \
             file in LIBFAKETIME, or run `make test`, which gets it"
        )
    })
}

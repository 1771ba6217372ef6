//! The private directory of a server.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::{env, fs, io};

use tempfile::TempDir;

/// A directory only this user can enter, with a path short enough for a socket in it.
pub(super) fn private() -> io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("server-").permissions(fs::Permissions::from_mode(0o700));
    let temp = env::temp_dir();
    // A socket's path has at most 104 bytes where it has the fewest.
    if temp.as_os_str().len() > 70 {
        builder.tempdir_in("/tmp")
    } else {
        builder.tempdir_in(std::path::absolute(temp)?)
    }
}

/// Empties a directory, but for the files of these names.
pub(super) fn empty(dir: &Path, kept: &[&str]) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if kept.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

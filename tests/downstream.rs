//! A crate of another author that embeds scripts of its own: it depends on this crate alone, and is
//! built and tested for itself.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Lays the crate out below the target folder, so that nothing is written among the sources: links
/// to its folders, its manifest, and our own `Cargo.lock`. Cargo takes from that what the crate
/// needs, so it builds with the versions that we build with, which are on this machine already.
fn lay_out() -> PathBuf {
    let source = Path::new(ROOT).join("tests/downstream");
    let crate_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("downstream");
    fs::create_dir_all(&crate_dir).unwrap();
    for folder in ["src", "scripts", "broken", "tests"] {
        let link = crate_dir.join(folder);
        // One from before may lead to another checkout.
        let _ = fs::remove_file(&link);
        match symlink(source.join(folder), link) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => panic!("{folder}: {error}"),
            _ => {}
        }
    }
    let manifest = fs::read_to_string(source.join("Cargo.toml")).unwrap();
    let alone = "[dependencies]\nauth-adapter-redis = { path = \"../..\" }\n\n[";
    assert!(manifest.contains(alone), "it depends on this crate alone");
    let manifest = manifest.replace("\"../..\"", &format!("{ROOT:?}"));
    fs::write(crate_dir.join("Cargo.toml"), manifest).unwrap();
    fs::copy(Path::new(ROOT).join("Cargo.lock"), crate_dir.join("Cargo.lock")).unwrap();
    crate_dir
}

fn cargo_test(crate_dir: &Path) -> Output {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--tests", "--offline", "--manifest-path"]);
    cargo.arg(crate_dir.join("Cargo.toml"));
    cargo.arg("--target-dir").arg(crate_dir.join("target"));
    // Tests run in the folder of their own crate, where a relative path would lead elsewhere.
    if let Some(server) = std::env::var_os("REDIS_SERVER_BIN").map(PathBuf::from)
        && server.components().count() > 1
    {
        cargo.env("REDIS_SERVER_BIN", std::path::absolute(server).unwrap());
    }
    cargo.output().unwrap()
}

#[test]
fn a_crate_with_scripts_of_its_own_needs_no_other_dependency() {
    let output = cargo_test(&lay_out());
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|out| String::from_utf8_lossy(out));
    assert!(output.status.success(), "{stderr}{stdout}");
}

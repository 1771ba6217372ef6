//! The example that serves them to Prometheus.

use std::process::Command;

use auth_adapter_redis::metrics::{
    CALL_SECONDS, CALLS, CIRCUIT_STATE, DELETES_PENDING, LOCK_HOLD_SECONDS, LOCK_RENEWALS,
    LOCK_WAIT_SECONDS, READS,
};

use super::*;

#[test]
fn it_serves_what_its_own_traffic_came_to() {
    let server = Server::start().unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--quiet", "--offline", "--features", "metrics,spans"]);
    cargo.args(["--example", "prometheus", "--", "--once"]);
    let output = cargo.env("REDIS_URL", server.url()).output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (told, complained) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{told}{complained}");
    assert!(told.contains("http://127.0.0.1:"), "{told}");
    for name in [
        CALLS,
        CALL_SECONDS,
        CIRCUIT_STATE,
        DELETES_PENDING,
        LOCK_HOLD_SECONDS,
        LOCK_RENEWALS,
        LOCK_WAIT_SECONDS,
        READS,
    ] {
        assert!(told.contains(&format!("# HELP {name} ")), "{name} in {told}");
        assert!(told.lines().any(|line| line.starts_with(name)), "{name} in {told}");
    }
    assert!(told.contains(&format!("{READS}{{outcome=\"hit\"}} 1\n")), "{told}");
}

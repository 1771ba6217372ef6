//! A span for each call.

use auth_adapter_redis::Cache;
use auth_adapter_redis::lock::Leases;
use auth_adapter_redis::testing::Cluster;
use tracing::Instrument;
use tracing_subscriber::fmt::format::FmtSpan;

use super::support::{Log, events_and};
use super::*;

/// The spans of this thread, each in the line with which it ends.
fn spans() -> (Log, tracing::subscriber::DefaultGuard) {
    events_and(FmtSpan::CLOSE)
}

#[tokio::test]
async fn each_call_is_one_with_the_names_of_opentelemetry_and_no_key() {
    let (log, _listening) = spans();
    let server = Server::start().unwrap();
    let (_expected, tokens) = every_operation::all(&on(&server).await, &server).await;
    let text = log.text();
    let get = r#"redis.call{otel.kind="client" otel.name="GET" db.system.name="redis" db.operation.name="GET" outcome="ok"}"#;
    assert_eq!(text.matches(get).count(), 3, "{text}");
    let peek = r#"redis.call{otel.kind="client" otel.name="lock/peek" db.system.name="redis" db.operation.name="EVALSHA" db.stored_procedure.name="lock/peek" outcome="ok"}"#;
    assert_eq!(text.matches(peek).count(), 2, "{text}");
    assert!(!text.contains(PRIVATE), "{text}");
    for token in tokens {
        assert!(!text.contains(&token), "{token} in {text}");
    }
}

#[tokio::test]
async fn what_failed_says_why_and_what_was_dropped_has_ended() {
    let (log, _listening) = spans();
    let server = Server::start().unwrap();
    let redis = on(&server).await;
    let (cache, leases) = (Cache::new(redis.clone()), Leases::new(redis.clone()));
    server.command(&["LPUSH", "private:private-list", "x"]).unwrap();
    cache.get("private-list").await.unwrap_err();
    tokio::select! {
        biased;
        told = leases.peek("private-key") => panic!("{told:?}"),
        () = std::future::ready(()) => {}
    }
    let of = |name: &str| {
        let text = log.text();
        let line = text.lines().find(|line| line.contains(&format!("otel.name=\"{name}\"")));
        line.expect("it has ended").to_owned()
    };
    let get = of("GET");
    for part in ["otel.status_code=\"ERROR\"", "error.type=WrongType", "outcome=\"refused\""] {
        assert!(get.contains(part), "{part} in {get}");
    }
    assert!(of("lock/peek").contains("outcome=\"cancelled\""));
    server.kill().unwrap();
    until(|| !redis.is_connected()).await;
    cache.delete("private-key").await.unwrap_err();
    let delete = of("DEL");
    assert!(delete.contains("error.type=\"unavailable\""), "{delete}");
    assert!(!log.text().contains(PRIVATE));
}

/// One call for each slot, in a task of its own.
#[tokio::test]
async fn those_of_a_call_over_many_slots_are_within_its_callers() {
    let (log, _listening) = spans();
    let cluster = Cluster::builder().replicas_each(0).start().unwrap();
    let cache = Cache::new(connected(private(cluster.url())).await);
    let callers = tracing::info_span!("logout");
    let delete = cache.delete_many_by_slot(&["private-1", "private-2"]);
    delete.instrument(callers).await.unwrap();
    let within = "logout:redis.call{otel.kind=\"client\" otel.name=\"cache/delete_many\"";
    assert_eq!(log.count(within), 2, "{}", log.text());
}

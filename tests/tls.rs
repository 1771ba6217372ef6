//! TLS with a client's certificate, to a server and to a cluster. It needs a server program that has
//! TLS, as Debian's `redis-server` has: `cargo test --features testing-tls --test tls`.
#![cfg(feature = "testing-tls")]

mod support;

use auth_adapter_redis::redis::{ClientTlsConfig, TlsCertificates};
use auth_adapter_redis::testing::{Certificates, Data, Server};
use auth_adapter_redis::{Cache, Error, Redis, RedisBuilder};
use support::{LONG, comes_alive, quick, until};

fn certificates(trusted: &Certificates, shown: Option<&Certificates>) -> TlsCertificates {
    let client_tls = shown.map(|shown| ClientTlsConfig {
        client_cert: shown.client_certificate().into(),
        client_key: shown.client_key().into(),
    });
    TlsCertificates { client_tls, root_cert: Some(trusted.ca().into()) }
}

fn trusting(server: &Server, ours: &Certificates) -> RedisBuilder {
    quick(server.url()).certificates(certificates(ours, Some(ours)))
}

#[tokio::test]
async fn a_certificate_is_shown_and_the_connection_replaces_itself() {
    let ours = Certificates::generate().unwrap();
    let server = Server::builder().tls(&ours).start().unwrap();
    assert!(server.url().starts_with("rediss://"));
    let redis = trusting(&server, &ours).call_deadline(LONG).build().unwrap();
    redis.connected().await;
    Cache::new(redis.clone()).set("k", "v", LONG).await.unwrap();
    assert_eq!(server.command(&["GET", "k"]).unwrap().text(), Some("v"));
    server.command(&["CLIENT", "KILL", "TYPE", "normal"]).unwrap();
    redis.ping().await.unwrap();
    server.restart(Data::Lost).unwrap();
    comes_alive(&redis).await;

    let by_parts = Redis::builder().host("127.0.0.1").port(server.port()).tls(true);
    let by_parts = by_parts.certificates(certificates(&ours, Some(&ours))).build().unwrap();
    comes_alive(&by_parts).await;
}

#[tokio::test]
async fn nobody_is_let_in_or_trusted_without_the_right_certificate() {
    let [ours, others] = [(); 2].map(|()| Certificates::generate().unwrap());
    let server = Server::builder().tls(&ours).start().unwrap();
    for wrong in [
        certificates(&ours, None),
        certificates(&ours, Some(&others)),
        certificates(&others, Some(&ours)),
    ] {
        let redis = quick(server.url()).certificates(wrong).build().unwrap();
        let told = async {
            loop {
                match redis.ping().await {
                    Err(Error::Unavailable(why)) if !why.contains("deadline") => return why,
                    Err(_) => {}
                    Ok(()) => panic!("it is let in"),
                }
            }
        };
        let why = tokio::time::timeout(support::HANG, told).await.unwrap();
        assert_eq!(why.lines().count(), 1, "{why}");
        assert!(!redis.is_connected());
    }
    // Without any of these the system's roots count, and they do not know this authority.
    let redis = Redis::connect(&server.url()).await.unwrap();
    assert!(!redis.is_connected());
}

#[tokio::test]
async fn each_node_of_a_cluster_is_spoken_to_in_the_same_way() {
    let ours = Certificates::generate().unwrap();
    let cluster = ["--cluster-enabled", "yes", "--tls-cluster", "yes"];
    let server = Server::builder().tls(&ours).args(cluster).start().unwrap();
    let slots = server.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).unwrap();
    assert_eq!(slots.text(), Some("OK"), "{slots:?}");
    until(|| server.command(&["GET", "k"]).unwrap().is_nil()).await;
    let url = server.url().replace("rediss://", "rediss+cluster://");
    let redis = quick(url).certificates(certificates(&ours, Some(&ours))).build().unwrap();
    comes_alive(&redis).await;
    Cache::new(redis).set("k", "v", LONG).await.unwrap();
    assert_eq!(server.command(&["GET", "k"]).unwrap().text(), Some("v"));
}

#[tokio::test]
async fn what_cannot_be_read_or_used_is_told_before_anything_is_tried() {
    let ours = Certificates::generate().unwrap();
    let good = || certificates(&ours, Some(&ours));
    let broken = |key: &str| TlsCertificates {
        client_tls: Some(ClientTlsConfig {
            client_cert: ours.client_certificate().into(),
            client_key: key.into(),
        }),
        root_cert: None,
    };
    for builder in [
        Redis::builder().url("redis://h").certificates(good()),
        Redis::builder().host("h").certificates(good()),
        Redis::builder().url("rediss://h").certificates(broken("hunter2")),
        Redis::builder().url("rediss+cluster://h").certificates(broken("")),
    ] {
        let shown = format!("{builder:?}");
        let outcome = builder.build();
        let Err(Error::Config(why)) = &outcome else { panic!("{outcome:?}") };
        assert!(!why.contains("hunter2") && !shown.contains("PRIVATE"), "{why}");
    }
}

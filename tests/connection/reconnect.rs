//! Connections that end, hang or come back, and what their late bytes may do.

use super::*;

/// Panics unless the server answers on this connection.
fn ping(stream: &mut TcpStream) {
    stream.write_all(b"PING\r\n").unwrap();
    let mut reply = [0; 7];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"+PONG\r\n");
}

#[tokio::test]
async fn a_password_that_is_mended_after_failures_connects() {
    let server = Server::builder().args(["--requirepass", "old"]).start().unwrap();
    let redis = quick(server.url()).password("new").build().unwrap();
    is_down(&redis).await;
    let before = Instant::now();
    until(|| !redis.is_connected() && before.elapsed() > DEADLINE).await;
    let client = Client::open(server.url().replace("redis://", "redis://:old@")).unwrap();
    let mut admin = client.get_multiplexed_async_connection().await.unwrap();
    let mut mend = auth_adapter_redis::redis::cmd("CONFIG");
    mend.arg(&["SET", "requirepass", "new"]);
    mend.exec_async(&mut admin).await.unwrap();
    comes_alive(&redis).await;
}

#[tokio::test]
async fn a_server_at_its_client_limit_is_connected_once_there_is_room() {
    let server = Server::builder().args(["--maxclients", "2"]).start().unwrap();
    let mut occupants = [(); 2].map(|()| TcpStream::connect(server.addr()).unwrap());
    occupants.iter_mut().for_each(ping);
    let redis = quick(server.url()).build().unwrap();
    is_down(&redis).await;
    drop(occupants);
    comes_alive(&redis).await;
}

#[tokio::test]
async fn a_restart_between_two_calls_is_not_noticed() {
    for version in [ProtocolVersion::RESP2, ProtocolVersion::RESP3] {
        let server = Server::start().unwrap();
        let redis = patient(&server).resp(version).build().unwrap();
        redis.connected().await;
        redis.ping().await.unwrap();
        server.kill().unwrap();
        server.restart(Data::Lost).unwrap();
        comes_alive(&redis).await;
    }
}

#[tokio::test]
async fn a_connection_that_the_server_closed_costs_no_call() {
    for version in [ProtocolVersion::RESP2, ProtocolVersion::RESP3] {
        let server = Server::start().unwrap();
        let redis = patient(&server).resp(version).build().unwrap();
        redis.connected().await;
        for _ in 0..20 {
            server.command(&["CLIENT", "KILL", "TYPE", "normal"]).unwrap();
            redis.ping().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_call_whose_connection_is_cut_is_sent_again() {
    let server = Server::start().unwrap();
    let proxy = Proxy::to(&server).unwrap();
    let redis = quick(proxy.url()).call_deadline(LONG).build().unwrap();
    redis.connected().await;
    let locks = Leases::new(redis.clone());
    proxy.drop_reply_to("EVAL");
    let outcome = locks.acquire("k", LONG).await.unwrap();
    let Acquire::Acquired(token) = outcome else { panic!("{outcome:?}") };
    assert_eq!(proxy.connections(), 2);
    assert_eq!(locks.release("k", &token).await.unwrap(), Release::Freed);
    for break_reply_to in [Proxy::half_reply_to, Proxy::drop_reply_to] {
        break_reply_to(&proxy, "SET");
        Cache::new(redis.clone()).set("k", "v", LONG).await.unwrap();
    }
    assert_eq!(proxy.connections(), 4);
}

#[tokio::test]
async fn a_black_holed_socket_is_replaced_while_new_ones_work() {
    let server = Server::start().unwrap();
    let proxy = Proxy::to(&server).unwrap();
    let redis = through(&proxy).await;
    proxy.freeze_present();
    let began = Instant::now();
    let outcome = redis.ping().await;
    assert!(matches!(outcome, Err(Error::Unanswered { .. })), "{outcome:?}");
    assert!(began.elapsed() < DEADLINE + SLACK, "{:?}", began.elapsed());
    comes_alive(&redis).await;
    assert_eq!(proxy.connections(), 2);
    let took = began.elapsed();
    assert!(took < DEADLINE * 2 + SLACK * 3, "a deadline and a PING, not {took:?}");
}

#[tokio::test]
async fn a_slow_answer_is_no_reason_to_replace_the_connection() {
    /// Also how long the `PING` waits after it: no busy machine may be slower than that.
    const DEADLINE: Duration = Duration::from_secs(2);
    let server = Server::start().unwrap();
    let proxy = Proxy::to(&server).unwrap();
    let redis = quick(proxy.url()).call_deadline(DEADLINE).build().unwrap();
    redis.connected().await;
    server.pause().unwrap();
    let outcome = redis.ping().await;
    assert!(matches!(outcome, Err(Error::Unanswered { .. })), "{outcome:?}");
    server.resume().unwrap();
    comes_alive(&redis).await;
    assert_eq!(proxy.connections(), 1);
}

#[tokio::test]
async fn late_bytes_of_the_old_connection_never_execute() {
    let server = Server::start().unwrap();
    let proxy = Proxy::to(&server).unwrap();
    let redis = through(&proxy).await;
    let cache = Cache::new(redis.clone());
    proxy.freeze_present();
    let lost = cache.set("k", "old", LONG).await;
    assert!(matches!(lost, Err(Error::Unanswered { .. })), "{lost:?}");
    assert!(proxy.held_bytes() > 0, "the write is on its way");
    comes_alive(&redis).await;
    cache.set("k", "new", LONG).await.unwrap();
    proxy.thaw();
    assert!(proxy.wait_until(|stats| stats.open == 1, HANG), "the old one ends");
    assert_eq!(cache.get("k").await.unwrap().as_deref(), Some("new"));
}

/// The proof that the test above can fail: without the right to end the old connection its
/// bytes do execute.
#[tokio::test]
async fn without_the_right_to_kill_late_bytes_execute_and_it_is_logged() {
    let (log, _listening) = events();
    let server = Server::start().unwrap();
    let user = ["ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all", "-client|kill"];
    if server.command(&user).unwrap().is_error() {
        // Redis 6.2 cannot take one subcommand away: take the container, then give back.
        let user =
            ["ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all", "-client", "+client|id"];
        assert_eq!(server.command(&user).unwrap().text(), Some("OK"));
    }
    let proxy = Proxy::to(&server).unwrap();
    let builder = quick(proxy.url()).call_deadline(DEADLINE);
    let redis = builder.username("app").password("pw").build().unwrap();
    redis.connected().await;
    let cache = Cache::new(redis.clone());
    proxy.freeze_present();
    assert!(cache.set("k", "old", LONG).await.is_err());
    comes_alive(&redis).await;
    cache.set("k", "new", LONG).await.unwrap();
    proxy.thaw();
    let late = async { while cache.get("k").await.unwrap().as_deref() != Some("old") {} };
    tokio::time::timeout(HANG, late).await.expect("the late write executes");
    assert_eq!(log.count("CLIENT KILL was refused"), 1, "{}", log.text());
}

/// Connection ids begin anew with the server's process.
#[tokio::test]
async fn the_old_id_on_a_restarted_server_is_not_killed() {
    let server = Server::start().unwrap();
    let proxy = Proxy::to(&server).unwrap();
    let redis = through(&proxy).await;
    proxy.refuse();
    server.restart(Data::Lost).unwrap();
    let mut others = [(); 32].map(|()| TcpStream::connect(server.addr()).unwrap());
    others.iter_mut().for_each(ping);
    proxy.pass();
    comes_alive(&redis).await;
    others.iter_mut().for_each(ping);
}

//! A Sentinel group: that it starts, replaces its primary, and keeps to its passwords.

use std::thread;
use std::time::{Duration, Instant};

use auth_adapter_redis::testing::{Data, Reply, SentinelGroup, Server};

use super::{Client, LONG, Outcome, set_on_all};

/// The primary's port, as a Sentinel tells it.
fn told(sentinel: &Server) -> Option<u16> {
    let words = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "primary"];
    sentinel.command(&words).ok()?.array()?[1].text()?.parse().ok()
}

fn ports(servers: &[Server]) -> Vec<u16> {
    servers.iter().map(Server::port).collect()
}

#[test]
fn all_know_each_other_once_started() -> Outcome {
    let began = Instant::now();
    let group = SentinelGroup::start()?;
    let took = began.elapsed();
    println!("a primary, two replicas and three Sentinels started in {took:?}");
    assert!(took < LONG, "{took:?}");
    let addrs: Vec<_> = group.sentinels().iter().map(|node| node.addr().to_string()).collect();
    assert_eq!(group.url(), format!("redis+sentinel://{}/primary", addrs.join(",")));
    assert_eq!((group.servers().len(), group.service()), (3, "primary"));
    let primary = group.primary()?;
    assert_eq!(primary.port(), group.servers()[0].port());
    for sentinel in group.sentinels() {
        assert_eq!(told(sentinel), Some(primary.port()));
        let quorum = sentinel.command(&["SENTINEL", "CKQUORUM", "primary"])?;
        assert!(quorum.text().is_some_and(|text| text.starts_with("OK 3 usable")), "{quorum:?}");
    }
    set_on_all(primary, 2)?;
    for server in group.servers() {
        assert_eq!(server.command(&["GET", "k"])?.text(), Some("v"));
    }
    assert_eq!(group.command_calls("set"), 1, "what replicas copy is not counted");
    group.wait_until_settled(Duration::ZERO)?;
    Ok(())
}

#[test]
fn a_replica_takes_over_from_a_killed_primary_which_comes_back_as_its_replica() -> Outcome {
    let group = SentinelGroup::start()?;
    let last = group.primary()?;
    set_on_all(last, 2)?;
    last.kill()?;
    let began = Instant::now();
    let promoted = group.wait_for_primary_other_than(last, LONG)?;
    println!("a replica was promoted {:?} after the kill of the primary", began.elapsed());
    assert_ne!(promoted.port(), last.port());
    assert_eq!(group.command(&["GET", "k"])?.text(), Some("v"));
    last.restart(Data::Lost)?;
    group.wait_until_settled(LONG)?;
    assert_eq!(group.primary()?.port(), promoted.port());
    let role = last.info_field("replication", "role");
    assert_eq!(role.as_deref(), Some("slave"), "it has joined those that it led");
    assert_eq!(last.command(&["GET", "k"])?.text(), Some("v"));
    Ok(())
}

#[test]
fn a_primary_that_stood_still_finds_itself_replaced() -> Outcome {
    let group = SentinelGroup::start()?;
    let last = group.primary()?;
    last.pause()?;
    let promoted = group.wait_for_primary_other_than(last, LONG)?;
    last.resume()?;
    group.wait_until_settled(LONG)?;
    assert_eq!(group.primary()?.port(), promoted.port());
    assert_eq!(last.info_field("replication", "role").as_deref(), Some("slave"));
    Ok(())
}

#[test]
fn a_failover_that_was_asked_for_survives_a_restart_of_all() -> Outcome {
    let group = SentinelGroup::start()?;
    let last = group.primary()?;
    group.failover()?;
    let promoted = group.wait_for_primary_other_than(last, LONG)?;
    group.wait_until_settled(LONG)?;
    let name = |sentinel: &Server| sentinel.command(&["SENTINEL", "MYID"]).ok();
    let names: Vec<Option<Reply>> = group.sentinels().iter().map(name).collect();
    assert!(names.iter().all(|name| name.as_ref().is_some_and(|name| name.text().is_some())));
    for server in group.servers().iter().chain(group.sentinels()) {
        server.kill()?;
    }
    assert!(group.primary().is_err() && group.failover().is_err(), "nobody is there to ask");
    thread::scope(|scope| {
        for server in group.servers().iter().chain(group.sentinels()) {
            scope.spawn(|| server.restart(Data::Lost).expect("it starts again"));
        }
    });
    group.wait_until_settled(LONG)?;
    assert_eq!(group.primary()?.port(), promoted.port());
    assert_eq!(group.sentinels().iter().map(name).collect::<Vec<_>>(), names);
    Ok(())
}

#[test]
fn two_of_three_sentinels_are_enough() -> Outcome {
    let group = SentinelGroup::builder().replicas(1).start()?;
    let last = group.primary()?;
    group.sentinels()[0].pause()?;
    assert_eq!(group.primary()?.port(), last.port());
    last.kill()?;
    let promoted = group.wait_for_primary_other_than(last, LONG)?;
    assert_eq!(promoted.port(), group.servers()[1].port());
    let late = &group.sentinels()[0];
    late.resume()?;
    group.wait_until_settled(LONG)?;
    assert_eq!(told(late), Some(promoted.port()));
    Ok(())
}

#[test]
fn passwords_are_wanted_and_known_to_those_who_belong() -> Outcome {
    // With an ACL file too, which alone would open the servers to all.
    for acl in ["", "user app on >secret ~app:* +get +set"] {
        let group = SentinelGroup::builder()
            .replicas(1)
            .password("p\"w")
            .sentinel_password("s\\w")
            .acl(acl)
            .start()?;
        for (servers, password) in [(group.servers(), "p\"w"), (group.sentinels(), "s\\w")] {
            for server in servers {
                let mut client = Client::connect(server.addr())?;
                let refused = client.ask("PING")?;
                assert!(refused.starts_with("-NOAUTH"), "{refused}");
                let auth = password.replace('\\', "\\\\").replace('"', "\\\"");
                assert_eq!(client.ask(&format!("AUTH \"{auth}\""))?, "+OK");
                assert_eq!(client.ask("PING")?, "+PONG");
            }
        }
        let mut client = Client::connect(group.primary()?.addr())?;
        let auth = client.ask("AUTH app secret")?;
        assert_eq!(auth == "+OK", !acl.is_empty(), "{auth}");
        let last = group.primary()?;
        last.kill()?;
        let promoted = group.wait_for_primary_other_than(last, LONG)?;
        last.restart(Data::Kept)?;
        group.wait_until_settled(LONG)?;
        assert_eq!(group.primary()?.port(), promoted.port());
    }
    Ok(())
}

#[test]
fn the_primary_is_known_by_its_proxy_and_nothing_replaces_it() -> Outcome {
    let group = SentinelGroup::builder()
        .replicas(0)
        .sentinels(1)
        .down_after(Duration::from_secs(3600))
        .primary_behind_proxy()
        .start()?;
    let proxy = group.proxy().ok_or("no proxy")?;
    let sentinel = &group.sentinels()[0];
    assert_eq!(told(sentinel), Some(proxy.port()));
    assert_eq!(group.primary()?.port(), group.servers()[0].port());
    assert_eq!(Client::connect(proxy.addr())?.ask("PING")?, "+PONG");
    let before = proxy.connections();
    proxy.refuse();
    proxy.pass();
    assert!(proxy.wait_until(|stats| stats.connections > before, LONG), "the Sentinel comes back");
    group.wait_until_settled(LONG)?;
    assert_eq!(told(sentinel), Some(proxy.port()));
    Ok(())
}

#[test]
fn replicas_follow_the_primary_behind_its_proxy() -> Outcome {
    let group = SentinelGroup::builder().primary_behind_proxy().start()?;
    let proxy = group.proxy().ok_or("no proxy")?;
    for replica in &group.servers()[1..] {
        let port = replica.info_field("replication", "master_port");
        assert_eq!(port, Some(proxy.port().to_string()));
    }
    let last = group.primary()?;
    proxy.refuse();
    let promoted = group.wait_for_primary_other_than(last, LONG)?;
    assert!(ports(&group.servers()[1..]).contains(&promoted.port()));
    Ok(())
}

#[test]
fn has_the_shape_and_the_options_that_were_asked_for() -> Outcome {
    let group = SentinelGroup::builder()
        .replicas(1)
        .sentinels(2)
        .quorum(1)
        .down_after(Duration::from_millis(700))
        .failover_timeout(Duration::from_millis(1500))
        .arg("--maxmemory")
        .arg("64mb")
        .args(["--maxmemory-policy", "allkeys-lru"])
        .start()?;
    assert_eq!((group.servers().len(), group.sentinels().len()), (2, 2));
    for server in group.servers() {
        assert_eq!(server.info_field("memory", "maxmemory").as_deref(), Some("67108864"));
    }
    let master = group.sentinels()[0].command(&["SENTINEL", "MASTER", "primary"])?;
    let fields: Vec<_> = master.array().unwrap_or_default().iter().map(Reply::text).collect();
    for (name, value) in
        [("quorum", "1"), ("down-after-milliseconds", "700"), ("failover-timeout", "1500")]
    {
        assert!(fields.chunks(2).any(|pair| pair == [Some(name), Some(value)]), "{name}");
    }
    let sha = group.command(&["SCRIPT", "LOAD", "return 1"])?.text().ok_or("no SHA")?.to_owned();
    assert_eq!(group.command(&["EVALSHA", &sha, "0"])?.int(), Some(1));
    assert_eq!(group.command_calls("evalsha"), 1);
    group.flush_scripts()?;
    let reply = group.command(&["EVALSHA", &sha, "0"])?;
    assert!(reply.error().is_some_and(|error| error.starts_with("NOSCRIPT")), "{reply:?}");
    Ok(())
}

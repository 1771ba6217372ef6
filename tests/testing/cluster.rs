//! A cluster: that it starts, survives, and can be stopped between two states.

use std::thread;
use std::time::{Duration, Instant};

use auth_adapter_redis::testing::{Cluster, Data, Server};

use super::{Client, LONG, Outcome, set_on_all};

fn role(node: &Server) -> Option<String> {
    node.info_field("replication", "role")
}

fn id(node: &Server) -> String {
    let reply = node.command(&["CLUSTER", "MYID"]).expect("it answers");
    reply.text().expect("it is a text").to_owned()
}

/// Waits until a node is a replica in sync, which nothing announces.
fn wait_until_replica(node: &Server) {
    let since = Instant::now();
    let in_sync = || node.info_field("replication", "master_link_status").as_deref() == Some("up");
    while !in_sync() {
        assert!(since.elapsed() < LONG, "it stays {:?}", role(node));
        thread::sleep(Duration::from_millis(10));
    }
}

/// Two primaries without replicas, and a slot of the first that has these keys.
fn two_primaries(keys: impl Iterator<Item = String>) -> Result<(Cluster, u16), super::AnyError> {
    let cluster = Cluster::builder().primaries(2).replicas_each(0).start()?;
    // Slots below 8192 are the first node's.
    let slot = cluster.slot("{b}")?;
    assert!(slot < 8192 && cluster.primary_of_slot(slot)?.port() == cluster.nodes()[0].port());
    for key in keys {
        assert_eq!(cluster.command(&["SET", &key, &key])?.text(), Some("OK"));
    }
    Ok((cluster, slot))
}

#[test]
fn serves_every_slot_once_started() -> Outcome {
    let began = Instant::now();
    let cluster = Cluster::start()?;
    let took = began.elapsed();
    println!("a cluster of three primaries and three replicas started in {took:?}");
    assert!(took < LONG, "{took:?}");
    assert_eq!(cluster.nodes().len(), 6);
    let ports: Vec<_> = cluster.nodes().iter().map(|node| node.addr().to_string()).collect();
    assert_eq!(cluster.url(), format!("redis+cluster://{}", ports.join(",")));
    let primaries = cluster.primaries()?;
    assert_eq!(primaries.len(), 3);
    for (at, primary) in primaries.into_iter().enumerate() {
        assert_eq!(primary.port(), cluster.nodes()[at].port());
        let replicas = cluster.replicas_of(primary)?;
        let ports: Vec<_> = replicas.iter().map(|replica| replica.port()).collect();
        assert_eq!(ports, [cluster.nodes()[at + 3].port()]);
        wait_until_replica(replicas[0]);
    }
    for (slot, at) in [(0, 0), (5460, 0), (5461, 1), (10_921, 1), (10_922, 2), (16_383, 2)] {
        assert_eq!(cluster.primary_of_slot(slot)?.port(), cluster.nodes()[at].port());
    }
    assert!(cluster.primary_of_slot(16_384).is_err());
    for number in 0..50 {
        let key = format!("k{number}");
        assert_eq!(cluster.command(&["SET", &key, "v"])?.text(), Some("OK"));
        let owner = cluster.primary_of_key(&key)?;
        assert_eq!(owner.command(&["GET", &key])?.text(), Some("v"));
    }
    assert_eq!(cluster.command_calls("set"), 50, "what replicas copy is not counted");
    cluster.wait_until_settled(Duration::ZERO)?;
    Ok(())
}

#[test]
fn has_the_shape_and_the_options_that_were_asked_for() -> Outcome {
    let cluster = Cluster::builder()
        .primaries(1)
        .replicas_each(2)
        .arg("--maxmemory")
        .arg("64mb")
        .args(["--cluster-node-timeout", "700"])
        .start()?;
    assert_eq!(cluster.nodes().len(), 3);
    assert_eq!(cluster.replicas_of(&cluster.nodes()[0])?.len(), 2);
    assert!(cluster.replicas_of(&cluster.nodes()[1])?.is_empty());
    for node in cluster.nodes() {
        assert_eq!(node.info_field("memory", "maxmemory").as_deref(), Some("67108864"));
        let timeout = node.command(&["CONFIG", "GET", "cluster-node-timeout"])?;
        assert_eq!(timeout.array().and_then(|pair| pair[1].text()), Some("700"));
    }
    let stranger = Server::start()?;
    assert!(cluster.replicas_of(&stranger).is_err() && cluster.move_slot(0, &stranger).is_err());
    Ok(())
}

#[test]
fn scripts_go_where_their_keys_are() -> Outcome {
    let cluster = Cluster::builder().replicas_each(0).start()?;
    let script = "return redis.call('INCR', KEYS[1])";
    let mut sha = String::new();
    for node in cluster.nodes() {
        sha = node.command(&["SCRIPT", "LOAD", script])?.text().ok_or("no SHA")?.to_owned();
    }
    for key in ["a", "b", "c", "d"] {
        assert_eq!(cluster.command(&["EVALSHA", &sha, "1", key])?.int(), Some(1));
        assert_eq!(cluster.command(&["EVAL", script, "1", key])?.int(), Some(2));
    }
    assert_eq!((cluster.command_calls("evalsha"), cluster.command_calls("incr")), (4, 8));
    assert_eq!(cluster.command(&["EVAL", "return 7", "0"])?.int(), Some(7));
    assert_eq!(cluster.command(&["PING"])?.text(), Some("PONG"));
    cluster.flush_scripts()?;
    for key in ["a", "b", "c", "d"] {
        let reply = cluster.command(&["EVALSHA", &sha, "1", key])?;
        assert!(reply.error().is_some_and(|error| error.starts_with("NOSCRIPT")), "{reply:?}");
    }
    Ok(())
}

#[test]
fn a_replica_takes_over_from_a_killed_primary_which_comes_back_as_its_replica() -> Outcome {
    let cluster = Cluster::start()?;
    let slot = cluster.slot("k")?;
    let primary = cluster.primary_of_slot(slot)?;
    let replica = cluster.replicas_of(primary)?[0];
    set_on_all(primary, 1)?;
    let name = id(primary);

    primary.kill()?;
    let began = Instant::now();
    assert!(cluster.wait_until_settled(Duration::ZERO).is_err(), "its slots have nobody");
    // Waits for the one that takes over.
    assert_eq!(cluster.command(&["GET", "k"])?.text(), Some("v"));
    println!("served again {:?} after the kill of a primary", began.elapsed());
    assert_eq!(cluster.primary_of_slot(slot)?.port(), replica.port());
    cluster.wait_until_settled(LONG)?;
    assert_eq!(role(replica).as_deref(), Some("master"));

    primary.restart(Data::Lost)?;
    assert_eq!(id(primary), name, "it lost its data and not its name");
    wait_until_replica(primary);
    cluster.wait_until_settled(LONG)?;
    assert_eq!(cluster.primary_of_slot(slot)?.port(), replica.port());
    let replicas = cluster.replicas_of(replica)?;
    assert_eq!(replicas.iter().map(|node| node.port()).collect::<Vec<_>>(), [primary.port()]);
    Ok(())
}

#[test]
fn a_primary_that_stood_still_finds_itself_replaced() -> Outcome {
    let cluster = Cluster::builder().primaries(3).start()?;
    let primary = cluster.primary_of_slot(0)?;
    primary.pause()?;
    let began = Instant::now();
    cluster.wait_until_settled(LONG)?;
    println!("settled {:?} after the pause of a primary", began.elapsed());
    let promoted = cluster.primary_of_slot(0)?;
    assert_ne!(promoted.port(), primary.port());
    assert!(began.elapsed() < LONG, "the paused one was not waited for");
    primary.resume()?;
    wait_until_replica(primary);
    cluster.wait_until_settled(LONG)?;
    assert_eq!(cluster.primary_of_slot(0)?.port(), promoted.port());
    Ok(())
}

#[test]
fn a_slot_moves_with_all_its_keys() -> Outcome {
    let keys = || (0..350).map(|number| format!("{{b}}{number}"));
    let (cluster, slot) = two_primaries(keys())?;
    let (from, to) = (&cluster.nodes()[0], &cluster.nodes()[1]);
    from.command(&["PEXPIRE", "{b}0", "60000"])?;
    cluster.move_slot(slot, to)?;
    cluster.wait_until_settled(LONG)?;
    assert_eq!(cluster.primary_of_slot(slot)?.port(), to.port());
    assert_eq!(from.command(&["DBSIZE"])?.int(), Some(0));
    assert_eq!(to.command(&["DBSIZE"])?.int(), Some(350));
    for key in keys() {
        assert_eq!(to.command(&["GET", &key])?.text(), Some(&*key));
    }
    assert!((1..=60_000).contains(&to.command(&["PTTL", "{b}0"])?.int().unwrap_or(0)));
    assert_eq!(to.command(&["PTTL", "{b}1"])?.int(), Some(-1));
    let moved = from.command(&["GET", "{b}1"])?;
    assert!(moved.error().is_some_and(|error| error.starts_with("MOVED")), "{moved:?}");
    assert!(cluster.begin_move(slot, to).is_err(), "it is there already");
    cluster.move_slot(slot, from)?;
    cluster.wait_until_settled(LONG)?;
    assert_eq!(cluster.command(&["GET", "{b}349"])?.text(), Some("{b}349"));
    assert_eq!(cluster.primary_of_slot(slot)?.port(), from.port());
    Ok(())
}

#[test]
fn a_half_moved_slot_answers_ask_and_tryagain() -> Outcome {
    let keys = ["{b}0", "{b}1"];
    let (cluster, slot) = two_primaries(keys.iter().map(|key| key.to_string()))?;
    let (from, to) = (&cluster.nodes()[0], &cluster.nodes()[1]);
    let half = cluster.begin_move(slot, to)?;
    assert_eq!((half.from().port(), half.to().port()), (from.port(), to.port()));
    assert_eq!(half.move_keys(1)?, 1);
    assert_eq!(from.command(&["DBSIZE"])?.int(), Some(1));
    assert_eq!(cluster.primary_of_slot(slot)?.port(), from.port());

    let ask = format!("-ASK {slot} 127.0.0.1:{}", to.port());
    let mut source = Client::connect(from.addr())?;
    let remains = from.command(&["KEYS", "*"])?;
    let remains = remains.array().and_then(|keys| keys[0].text()).ok_or("no key")?;
    let gone = keys[usize::from(remains == keys[0])];
    assert_eq!(source.ask(&format!("GET {gone}"))?, ask);
    for key in keys {
        assert_eq!(cluster.command(&["GET", key])?.text(), Some(key));
    }
    // Either the source says so at once, or it sends on to who does: versions differ.
    let both = format!("MGET {} {}", keys[0], keys[1]);
    let mut answer = source.ask(&both)?;
    if answer == ask {
        let mut target = Client::connect(to.addr())?;
        assert_eq!(target.ask("ASKING")?, "+OK");
        answer = target.ask(&both)?;
    }
    assert!(answer.starts_with("-TRYAGAIN"), "{answer}");
    let script = "return #redis.call('MGET', unpack(KEYS))";
    let waited = thread::scope(|scope| {
        let asked = scope.spawn(|| cluster.command(&["EVAL", script, "2", keys[0], keys[1]]));
        half.finish().map(|()| asked.join())
    })?;
    assert_eq!(waited.map_err(|_| "it panicked")??.int(), Some(2));
    assert_eq!(cluster.primary_of_slot(slot)?.port(), to.port());
    Ok(())
}

#[test]
fn one_node_tells_its_clients_the_port_of_its_proxy() -> Outcome {
    let cluster = Cluster::builder().primaries(1).replicas_each(0).behind_proxies().start()?;
    let (node, proxy) = (&cluster.nodes()[0], &cluster.proxies()[0]);
    assert_eq!(cluster.url(), format!("redis+cluster://{}", proxy.addr()));
    assert_eq!(Client::connect(proxy.addr())?.ask("SET k v")?, "+OK");
    assert_eq!(cluster.command(&["GET", "k"])?.text(), Some("v"));
    for _ in 0..2 {
        let slots = node.command(&["CLUSTER", "SLOTS"])?;
        let range = slots.array().and_then(|ranges| ranges[0].array()).ok_or("no range")?;
        let told = range[2].array().ok_or("no node")?;
        let told = (told[0].text(), told[1].int());
        assert_eq!(told, (Some("127.0.0.1"), Some(i64::from(proxy.port()))));
        node.restart(Data::Lost)?;
        cluster.wait_until_settled(LONG)?;
    }
    proxy.refuse();
    assert!(Client::connect(proxy.addr()).is_err());
    assert_eq!(cluster.command(&["SET", "k", "w"])?.text(), Some("OK"), "it goes past the proxy");
    Ok(())
}

#[test]
fn clients_are_sent_from_proxy_to_proxy() -> Outcome {
    let cluster = Cluster::builder().primaries(2).behind_proxies().start()?;
    let key = "k";
    let owner = cluster.primary_of_key(key)?.port();
    let at = cluster.nodes().iter().position(|node| node.port() == owner).ok_or("no owner")?;
    let other = &cluster.proxies()[1 - at];
    let moved = Client::connect(other.addr())?.ask(&format!("GET {key}"))?;
    let port = cluster.proxies()[at].port().to_string();
    assert!(moved.starts_with("-MOVED") && moved.ends_with(&port), "{moved}");
    assert_eq!(cluster.command(&["SET", key, "v"])?.text(), Some("OK"));
    Ok(())
}

//! Another primary: by a switch on request, by the death of the last, and by one that stands still.

use super::*;

/// Calls until one is answered, and gives what was told meanwhile.
async fn first_success(cache: &Cache) -> Vec<Error> {
    let mut told = Vec::new();
    let answered = async {
        while let Err(error) = cache.set("after", "v", LONG).await {
            told.push(error);
        }
    };
    tokio::time::timeout(HANG, answered).await.expect("another primary answers");
    told
}

/// Whether a server follows another. Sentinels that make it do so end its connections.
fn follows(server: &Server) -> bool {
    let role = server.command(&["ROLE"]).ok();
    let says = |role: Reply| {
        let words = role.array().unwrap_or_default();
        [words.first(), words.get(3)].map(|word| word.and_then(Reply::text).map(str::to_owned))
    };
    role.map(says) == Some([Some("slave".to_owned()), Some("connected".to_owned())])
}

pub async fn on_every_server(group: &SentinelGroup, key: &str) {
    let there = |server: &Server| server.command(&["EXISTS", key]).unwrap().int() == Some(1);
    until(|| group.servers().iter().all(there)).await;
}

#[tokio::test]
async fn a_switch_on_request_loses_no_call() {
    let group = SentinelGroup::builder().down_after(LONG * 60).start().unwrap();
    let redis = patient(&group).await;
    let (cache, locks) = (Cache::new(redis.clone()), Leases::new(redis));
    let last = group.primary().unwrap();
    let Acquire::Acquired(token) = locks.acquire("lock", LONG).await.unwrap() else {
        panic!("it is free")
    };
    on_every_server(&group, "lock").await;
    group.failover().unwrap();
    let (began, mut requested) = (Instant::now(), Instant::now());
    let mut answered = 0;
    // Until some time after the roles have changed.
    let switched = || group.primary().is_ok_and(|primary| primary.port() != last.port());
    let mut after = 0;
    while after < 20 {
        cache.set("k", &answered.to_string(), LONG).await.unwrap();
        answered += 1;
        after += u32::from(switched());
        assert!(began.elapsed() < HANG);
        if after == 0 && requested.elapsed() > Duration::from_secs(3) {
            // On a busy machine the Sentinels give one up.
            let _under_way = group.failover();
            requested = Instant::now();
        }
    }
    let now = group.primary().unwrap();
    let value = (answered - 1).to_string();
    assert_eq!(now.command(&["GET", "k"]).unwrap().text(), Some(&*value));
    assert_eq!(locks.release("lock", &token).await.unwrap(), Release::Freed);
    assert_eq!(now.command_calls("eval"), 1, "it was given the script that it lacked");
}

#[tokio::test]
async fn a_dead_primary_is_left_for_the_one_that_is_promoted() {
    let group = SentinelGroup::start().unwrap();
    let redis = patient(&group).await;
    let cache = Cache::new(redis.clone());
    cache.set("before", "v", LONG).await.unwrap();
    on_every_server(&group, "before").await;
    let last = group.primary().unwrap();
    last.kill().unwrap();
    for error in first_success(&cache).await {
        assert!(error.is_node_fault(), "{error}");
    }
    // The handle may know before most Sentinels do.
    let now = group.wait_for_primary_other_than(last, HANG).unwrap();
    assert_eq!(cache.get("before").await.unwrap().as_deref(), Some("v"));

    // The last one comes back, as a replica, and is left alone.
    last.restart(Data::Lost).unwrap();
    until(|| follows(last)).await;
    cache.set("back", "v", LONG).await.unwrap();
    assert_eq!(now.command(&["GET", "back"]).unwrap().text(), Some("v"));
}

/// Its connections stay open: a Sentinel's word is what ends them, or the silence.
#[tokio::test]
async fn a_primary_that_stands_still_is_left_for_the_one_that_is_promoted() {
    let group = SentinelGroup::start().unwrap();
    let redis = patient(&group).await.with_call_deadline(Duration::from_millis(200)).unwrap();
    let cache = Cache::new(redis);
    let last = group.primary().unwrap();
    last.pause().unwrap();
    first_success(&cache).await;
    let now = group.wait_for_primary_other_than(last, HANG).unwrap();
    last.resume().unwrap();
    until(|| follows(last)).await;
    cache.set("back", "v", LONG).await.unwrap();
    assert_eq!(now.command(&["GET", "back"]).unwrap().text(), Some("v"));
}

/// Nobody calls and the server does not close: the Sentinels' word alone moves the handle.
#[tokio::test]
async fn an_idle_handle_follows_the_word_of_a_sentinel() {
    let group = SentinelGroup::start().unwrap();
    let redis = quick(group.url()).client_name("idle").call_deadline(LONG).build().unwrap();
    redis.connected().await;
    let last = group.primary().unwrap();
    last.pause().unwrap();
    let now = group.wait_for_primary_other_than(last, HANG).unwrap();
    let connected = || {
        let clients = now.command(&["CLIENT", "LIST", "TYPE", "NORMAL"]).unwrap();
        clients.text().unwrap().lines().any(|client| client.contains("cmd=ping"))
    };
    until(connected).await;
    last.resume().unwrap();
    Cache::new(redis).set("k", "v", LONG).await.unwrap();
    assert_eq!(now.command(&["GET", "k"]).unwrap().text(), Some("v"));
}

//! Locks that are freed in the background.

use super::*;

/// A handler on a runtime of its own, which ends with it.
#[test]
fn the_runtime_of_who_released_may_end() {
    let main = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let (main, server) = (main.unwrap(), own_behind_proxy());
    let adapter = main.block_on(async {
        let redis = quick(server.url()).call_deadline(DEADLINE).build().unwrap();
        comes_alive(&redis).await;
        let adapter = RedisCacheAdapter::new(redis);
        assert!(adapter.acquire_lock("job", LONG).await);
        adapter
    });
    server.proxy().black_hole();
    let short = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    short.block_on(adapter.release_lock("job"));
    drop(short);
    let there = || server.command(&["EXISTS", "job"]).unwrap().int();
    assert_eq!((there(), adapter.health().swallowed.release_lock), (Some(1), 1));
    server.proxy().pass();
    main.block_on(until(|| there() == Some(0)));
}

//! Nobody waits much longer than others: those who wait are served in the order in which they came.

use std::sync::Mutex;

use super::support::target::own;
use super::support::{HANG, patient};
use super::*;

const PROCESSES: usize = 16;
const TURNS: usize = 20;

/// As many handles with connections of their own as there would be processes, one worker each, who wants
/// the lock again as soon as he has released it. Between asking and being served, how many others were?
#[tokio::test]
async fn nobody_waits_longer_than_twice_the_mean_number_of_turns() {
    let server = own();
    let served = Arc::new(Mutex::new(0));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..PROCESSES {
        let redis = patient(&server).build().unwrap();
        redis.connected().await;
        let (locks, served) = (Locks::new(redis), Arc::clone(&served));
        workers.spawn(async move {
            let mut waits = Vec::new();
            for _ in 0..TURNS {
                let asked = *served.lock().unwrap();
                let guard = won(locks.acquire("lock", LONG, LONG).await);
                {
                    let mut served = served.lock().unwrap();
                    waits.push(*served - asked);
                    *served += 1;
                }
                // So long that whoever was served before is in the queue again.
                tokio::time::sleep(Duration::from_millis(5)).await;
                assert_eq!(guard.release().await.unwrap(), Release::Freed);
            }
            waits
        });
    }
    let waits = tokio::time::timeout(HANG * 3, workers.join_all()).await.unwrap();
    // At the end fewer and fewer are left to wait for, and at the start none has come yet.
    let whole = |waits: Vec<usize>| waits[1..TURNS - 1].to_vec();
    let waits: Vec<usize> = waits.into_iter().flat_map(whole).collect();
    let mean = waits.iter().sum::<usize>() as f64 / waits.len() as f64;
    let longest = *waits.iter().max().unwrap() as f64;
    assert!(mean > 5.0, "they did wait for each other: {mean}");
    assert!(longest <= 2.0 * mean, "{longest} turns, and {mean} in the mean");
}

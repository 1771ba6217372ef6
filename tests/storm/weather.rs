//! What happens to the server meanwhile.

use std::sync::Arc;
use std::time::Duration;

use auth_adapter_redis::testing::{Data, Server};
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, sleep, sleep_until};

/// Between two flushes of the scripts.
const FLUSHES: Duration = Duration::from_secs(1);
/// How long the server is away each time.
const AWAY: Duration = Duration::from_millis(500);

pub struct Weather {
    kills: JoinHandle<usize>,
    flushes: JoinHandle<()>,
}

impl Weather {
    /// Kills the server every ten seconds, in a short storm every other second.
    pub fn over(server: Arc<Server>, lasts: Duration) -> Self {
        let ends = Instant::now() + lasts;
        let between = Duration::from_secs(if lasts.as_secs() < 30 { 2 } else { 10 });
        let flushed = Arc::clone(&server);
        let flushes = tokio::spawn(async move {
            let mut ticks = interval(FLUSHES);
            loop {
                ticks.tick().await;
                // It may be dead just now.
                let _away = on(&flushed, |server| drop(server.command(&["SCRIPT", "FLUSH"]))).await;
            }
        });
        let kills = tokio::spawn(async move {
            let mut deaths = 0;
            while Instant::now() + between < ends {
                sleep(between).await;
                on(&server, |server| server.kill().unwrap()).await;
                sleep(AWAY).await;
                on(&server, |server| server.restart(Data::Kept).unwrap()).await;
                deaths += 1;
            }
            sleep_until(ends).await;
            deaths
        });
        Self { kills, flushes }
    }

    /// Waits until it is over. How often the server died.
    pub async fn passes(self) -> usize {
        let deaths = self.kills.await.expect("the server comes back");
        self.flushes.abort();
        deaths
    }
}

async fn on(server: &Arc<Server>, act: impl FnOnce(&Server) + Send + 'static) {
    let server = Arc::clone(server);
    tokio::task::spawn_blocking(move || act(&server)).await.unwrap();
}

//! A walk through the crate: three instances of an auth server, and what happens to them.
//!
//! It runs on a private server that it starts and ends, or on the one at `REDIS_URL`, where it
//! writes under a random prefix, leaves nothing, and breaks nothing. All figures are measured while
//! it runs, and every line with a mark is checked: the exit code tells whether all of them held.

mod caching;
mod claims;
mod cleanup;
mod database;
mod limit;
mod locks;
mod outage;
mod sessions;
mod stage;
mod tokens;

use std::error::Error;
use std::io::{IsTerminal, stdout};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use claims::Claims;
use database::Database;
use stage::Stage;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> ExitCode {
    let stage = match Stage::set().await {
        Ok(stage) => Arc::new(stage),
        Err(why) => return stop(&format!("{why}")),
    };
    // A task of its own, so that the stage is cleared also after a panic or Ctrl-C.
    let mut story = tokio::spawn(tell(Arc::clone(&stage)));
    let told = tokio::select! {
        told = &mut story => told,
        _ = tokio::signal::ctrl_c() => {
            story.abort();
            story.await
        }
    };
    let cleared = stage.clear().await;
    match told {
        Ok(Ok(mut claims)) => {
            if let Some(cleared) = cleared {
                claims.claim(cleared, "Nothing of the tour is left on this server.");
            }
            claims.sum_up()
        }
        Ok(Err(why)) => stop(&format!("{why}")),
        Err(ended) if ended.is_cancelled() => stop("interrupted"),
        Err(ended) => stop(&format!("{ended}")),
    }
}

async fn tell(stage: Arc<Stage>) -> Result<Claims> {
    let mut claims = Claims::default();
    let mut instances = stage.instances(&mut claims).await?;

    chapter("1. A cache that all instances share").await;
    caching::fill_and_hit(&instances, &mut claims).await?;
    chapter("2. A user logs out").await;
    caching::log_out(&stage, &instances, &mut claims).await?;
    chapter("3. Three instances, one cleanup job").await;
    cleanup::one_works_per_tick(&instances, &mut claims).await;
    chapter("4. The holder of the lock dies").await;
    cleanup::holder_dies(&stage, &mut instances, &mut claims).await?;

    chapter("5. Who waits for a lock is woken").await;
    locks::handed_over(&instances, &mut claims).await?;
    chapter("6. The holder of the lock stands still").await;
    let two = locks::stands_still(&instances, &mut claims).await?;
    chapter("7. What it had sent arrives too late").await;
    locks::too_late(&instances, two, &mut claims).await?;

    let database = Database::default();
    chapter("8. A login on five devices").await;
    sessions::five_devices(&instances, &database, &mut claims).await?;
    chapter("9. Log out everywhere").await;
    sessions::log_out_everywhere(&instances, &database, &mut claims).await?;
    chapter("10. Two tabs refresh at once").await;
    tokens::second_tab(&instances, &database, &mut claims).await?;
    chapter("11. A token is stolen").await;
    tokens::thief(&instances, &database, &mut claims).await?;
    chapter("12. A rate limit that all instances share").await;
    limit::guess_passwords(&instances, &mut claims).await?;

    let Some(server) = stage.server() else {
        println!(
            "\nThe outage (chapters 13 and 14) is left out: this server is not the tour's own."
        );
        return Ok(claims);
    };
    chapter("13. Redis hangs, then dies").await;
    outage::redis_dies(server, &instances, &mut claims).await?;
    chapter("14. Redis comes back").await;
    outage::redis_comes_back(server, &instances, &mut claims).await?;
    Ok(claims)
}

/// Leaves a reader the time to read what came before.
async fn chapter(title: &str) {
    if stdout().is_terminal() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    println!("\n{title}");
}

fn stop(why: &str) -> ExitCode {
    eprintln!("tour: {why}");
    ExitCode::FAILURE
}

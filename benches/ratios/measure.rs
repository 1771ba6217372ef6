//! How a ratio is measured: pairs of batches in turns, and the middle of what the pairs say.

use std::time::Duration;

/// Odd, so that the median is one of the pairs.
const PAIRS: usize = 31;
/// How long a batch is to last: enough calls to level out single stalls, short enough for many
/// pairs.
const BATCH: Duration = Duration::from_millis(75);

/// What a ratio should be.
#[derive(Clone, Copy)]
pub enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// It is told, no more.
    None,
}

/// One figure of the report.
pub struct Ratio {
    pub name: &'static str,
    pub goal: Goal,
    pub samples: Vec<f64>,
    /// What is put in relation to what, and in which unit.
    pub what: &'static str,
}

impl Ratio {
    /// The figure itself.
    pub fn value(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The sample below which this part of the samples lies.
    pub fn quantile(&self, part: f64) -> f64 {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len() - 1;
        sorted[(part * last as f64).round() as usize]
    }

    /// Whether the goal is reached, by the figure before it is rounded.
    pub fn met(&self) -> bool {
        match self.goal {
            Goal::AtLeast(goal) => self.value() >= goal,
            Goal::AtMost(goal) => self.value() <= goal,
            Goal::None => true,
        }
    }
}

/// How many calls fill a batch, a multiple of `step`, by what `trial` takes for a given number.
pub async fn batch(step: usize, mut trial: impl AsyncFnMut(usize) -> Duration) -> usize {
    let mut calls = step;
    loop {
        let took = trial(calls).await;
        if took * 4 >= BATCH {
            let more = BATCH.as_secs_f64() / took.as_secs_f64();
            return ((calls as f64 * more) as usize).max(1).next_multiple_of(step);
        }
        calls *= 2;
    }
}

/// How many times faster `ours` is than `theirs`: a sample for each pair of batches, which run right
/// after one another and take turns at going first, so that what slows the machine down for a while
/// slows down both. The first pair warms up and does not count.
pub async fn speedup(
    mut ours: impl AsyncFnMut() -> Duration,
    mut theirs: impl AsyncFnMut() -> Duration,
) -> Vec<f64> {
    let mut samples = Vec::with_capacity(PAIRS);
    for pair in 0..=PAIRS {
        let (ours, theirs) = if pair % 2 == 0 {
            (ours().await, theirs().await)
        } else {
            let theirs = theirs().await;
            (ours().await, theirs)
        };
        if pair > 0 {
            samples.push(theirs.as_secs_f64() / ours.as_secs_f64());
        }
    }
    samples
}

//! How long a contended lock takes from one holder to the next, and how many tries that costs.

mod by_hand;
mod ours;
mod race;

use std::time::Duration;

use crate::measure::{Goal, Ratio};
use by_hand::{Poll, PubSub};
use ours::Ours;
use race::Race;

const ROUNDS: usize = 11;
const LASTS: Duration = Duration::from_millis(400);

/// What the races of so many workers came to, a race of each kind in each round.
struct Races {
    ours: Vec<Race>,
    poll: Vec<Race>,
    pub_sub: Vec<Race>,
}

pub fn of_2() -> Vec<Ratio> {
    let races = Races::run(2);
    vec![
        Ratio {
            name: "handover_rtt_2",
            goal: Goal::AtMost(1.5),
            samples: in_round_trips(&races.ours),
            what: "round trips from a release to the next acquire by Locks, 2 workers",
        },
        Ratio {
            name: "handover_rtt_2_p99",
            goal: Goal::None,
            samples: vec![worst(&races.ours)],
            what: "the same at the 99th percentile",
        },
        Ratio {
            name: "handover_vs_poll_2",
            goal: Goal::None,
            samples: races.against(&races.poll),
            what: "time: a handover to who tries every 10 ms over one by Locks, 2 workers",
        },
        Ratio {
            name: "handover_vs_pubsub_2",
            goal: Goal::None,
            samples: races.against(&races.pub_sub),
            what: "time: a handover by pub/sub and retries over one by Locks, 2 workers",
        },
    ]
}

pub fn of_16() -> Vec<Ratio> {
    let races = Races::run(16);
    vec![
        Ratio {
            name: "handover_rtt_16",
            goal: Goal::AtMost(2.0),
            samples: in_round_trips(&races.ours),
            what: "round trips from a release to the next acquire by Locks, 16 workers",
        },
        Ratio {
            name: "handover_rtt_16_p99",
            goal: Goal::None,
            samples: vec![worst(&races.ours)],
            what: "the same at the 99th percentile",
        },
        Ratio {
            name: "handover_tries_16",
            goal: Goal::AtMost(1.1),
            samples: races.ours.iter().map(Race::tries_each).collect(),
            what: "calls that try to take the lock or to queue, for each acquire by Locks, 16 workers",
        },
        Ratio {
            name: "handover_vs_poll_16",
            goal: Goal::None,
            samples: races.against(&races.poll),
            what: "time: a handover to who tries every 10 ms over one by Locks, 16 workers",
        },
        Ratio {
            name: "handover_vs_pubsub_16",
            goal: Goal::None,
            samples: races.against(&races.pub_sub),
            what: "time: a handover by pub/sub and retries over one by Locks, 16 workers",
        },
    ]
}

impl Races {
    fn run(workers: usize) -> Self {
        let server = race::server();
        let mut races = Self { ours: Vec::new(), poll: Vec::new(), pub_sub: Vec::new() };
        for _ in 0..ROUNDS {
            races.ours.push(Race::run::<Ours>(&server, workers, LASTS));
            races.poll.push(Race::run::<Poll>(&server, workers, LASTS));
            races.pub_sub.push(Race::run::<PubSub>(&server, workers, LASTS));
        }
        Race::all(&races.ours).tell("Locks", workers);
        Race::all(&races.poll).tell("poll of 10 ms", workers);
        Race::all(&races.pub_sub).tell("pub/sub", workers);
        races
    }

    /// A sample for each round.
    fn against(&self, theirs: &[Race]) -> Vec<f64> {
        let rounds = self.ours.iter().zip(theirs);
        rounds.map(|(ours, theirs)| theirs.micros(0.5) / ours.micros(0.5)).collect()
    }
}

/// Each handover in round trips of its own race.
fn in_round_trips(races: &[Race]) -> Vec<f64> {
    let of = |race: &Race| {
        let round_trip = race.round_trip();
        race.handovers.iter().map(|took| took.as_secs_f64() * 1e6 / round_trip).collect::<Vec<_>>()
    };
    races.iter().flat_map(of).collect()
}

fn worst(races: &[Race]) -> f64 {
    let all = Race::all(races);
    all.micros(0.99) / all.round_trip()
}

//! What the harness breaks during a storm, and mends again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use auth_adapter_redis::testing::{Data, Proxy, Server};

use super::process::Process;
use super::random::Random;
use super::worker::{Orders, TTL};

/// What can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// `kill -9` of a process of workers, and another in its place.
    KillWorkers,
    /// SIGSTOP, mostly past the leases, and SIGCONT.
    StopWorkers,
    /// `kill -9` of the server, and a restart with the data that it acknowledged.
    KillServer,
    /// SIGSTOP of the server and SIGCONT.
    StopServer,
    /// SCRIPT FLUSH.
    FlushScripts,
    /// All connections of a process are closed.
    Cut,
    /// Replies arrive late.
    DelayReplies,
    /// One call is executed and its reply is lost, with the connection.
    LoseReply,
    /// Calls are executed, and nothing is answered.
    Silence,
    /// What was sent is executed late, when its caller may have gone on over another connection.
    Freeze,
}

/// What is to be mended.
#[derive(Clone, Copy, Debug)]
enum Mend {
    Continue { process: u64 },
    Restart,
    Resume,
    Pass { place: usize },
    Thaw { place: usize },
}

/// A server and processes of workers, each behind a proxy of its own.
pub struct Weather<'a> {
    server: &'a Server,
    pub random: Random,
    places: Vec<Place>,
    /// How often each thing was broken.
    pub broken: BTreeMap<Fault, u32>,
    to_mend: Vec<(Instant, Mend)>,
    /// Whether the server answers.
    is_up: bool,
    /// How many were started so far.
    processes: u64,
}

/// Where a process of workers is started, and started anew.
struct Place {
    proxy: Proxy,
    orders: Orders,
    /// None while it is started anew, and when it has been asked to end.
    process: Option<Process>,
    /// Whether the proxy is in a mode that ends.
    is_broken: bool,
}

impl<'a> Weather<'a> {
    /// Starts so many processes, with orders but for what is each one's own.
    pub fn start(server: &'a Server, processes: usize, orders: &Orders) -> Self {
        let random = Random::new(orders.seed);
        let places = (0..processes).map(|_| {
            let proxy = Proxy::to(server).unwrap();
            let orders = Orders { url: proxy.url(), ..orders.clone() };
            Place { proxy, orders, process: None, is_broken: false }
        });
        let mut weather = Self {
            server,
            random,
            places: places.collect(),
            broken: Default::default(),
            to_mend: Vec::new(),
            is_up: true,
            processes: 0,
        };
        for place in 0..processes {
            weather.start_process(place);
        }
        weather
    }

    fn start_process(&mut self, place: usize) {
        self.processes += 1;
        let seed = self.random.next();
        let place = &mut self.places[place];
        place.orders = Orders { process: self.processes, seed, ..place.orders.clone() };
        place.process = Some(Process::start(&place.orders));
    }

    /// Breaks something, unless it is broken already.
    pub fn brings(&mut self, fault: Fault) {
        let at = self.random.below(self.places.len());
        let place = &mut self.places[at];
        let mend = match fault {
            Fault::KillWorkers => {
                place.process.take().expect("each place has one").kill();
                self.start_process(at);
                None
            }
            Fault::StopWorkers => {
                let process = place.orders.process;
                if self.to_mend.iter().any(|(_, mend)| mend.continues(process)) {
                    return;
                }
                place.process.as_ref().expect("each place has one").stop();
                Some((Mend::Continue { process }, self.random.millis(TTL.0, TTL.1 * 2)))
            }
            Fault::KillServer | Fault::StopServer | Fault::FlushScripts if !self.is_up => return,
            Fault::KillServer => {
                self.server.kill().unwrap();
                self.is_up = false;
                Some((Mend::Restart, self.random.millis(0, TTL.1)))
            }
            Fault::StopServer => {
                self.server.pause().unwrap();
                self.is_up = false;
                Some((Mend::Resume, self.random.millis(0, TTL.1)))
            }
            Fault::FlushScripts => {
                self.server.flush_scripts().unwrap();
                None
            }
            Fault::Cut => {
                place.proxy.cut();
                None
            }
            Fault::LoseReply => {
                place.proxy.drop_reply_to("");
                None
            }
            _ if place.is_broken => return,
            Fault::DelayReplies => {
                place.proxy.delay(self.random.millis(1, 200));
                Some((Mend::Pass { place: at }, self.random.millis(100, 1000)))
            }
            Fault::Silence => {
                place.proxy.silence_replies();
                Some((Mend::Pass { place: at }, self.random.millis(10, 400)))
            }
            Fault::Freeze => {
                place.proxy.freeze_present();
                Some((Mend::Thaw { place: at }, self.random.millis(10, 600)))
            }
        };
        *self.broken.entry(fault).or_default() += 1;
        if let Some((mend, after)) = mend {
            if let Mend::Pass { place } | Mend::Thaw { place } = mend {
                self.places[place].is_broken = true;
            }
            self.to_mend.push((Instant::now() + after, mend));
        }
    }

    /// Mends what is due.
    pub fn mend(&mut self) {
        self.mend_until(Instant::now());
    }

    /// Mends everything.
    pub fn clear(&mut self) {
        let last = self.to_mend.iter().map(|(due, _)| *due).max();
        self.mend_until(last.unwrap_or_else(Instant::now));
        for place in &self.places {
            // It also forgets a reply that was to be lost and has not come.
            place.proxy.pass();
        }
    }

    fn mend_until(&mut self, now: Instant) {
        let due: Vec<_> = self.to_mend.extract_if(.., |(due, _)| *due <= now).collect();
        for (_, mend) in due {
            match mend {
                Mend::Continue { process } => {
                    // It may have been killed meanwhile.
                    let place = self.places.iter().find(|place| place.orders.process == process);
                    if let Some(process) = place.and_then(|place| place.process.as_ref()) {
                        process.go_on();
                    }
                }
                Mend::Restart => {
                    self.server.restart(Data::Kept).unwrap();
                    self.is_up = true;
                }
                Mend::Resume => {
                    self.server.resume().unwrap();
                    self.is_up = true;
                }
                Mend::Pass { place } => {
                    self.places[place].proxy.pass();
                    self.places[place].is_broken = false;
                }
                Mend::Thaw { place } => {
                    self.places[place].proxy.thaw();
                    self.places[place].is_broken = false;
                }
            }
        }
    }

    /// Asks all workers to end, and tells whether they do within this time.
    pub fn ends(&mut self, within: Duration) -> bool {
        let until = Instant::now() + within;
        let mut processes: Vec<_> =
            self.places.iter_mut().filter_map(|place| place.process.take()).collect();
        for process in &mut processes {
            process.ask_to_end();
        }
        processes.iter_mut().all(|process| match process.wait(until) {
            Some(status) => {
                assert!(status.success(), "a process of workers failed: {status}");
                true
            }
            None => false,
        })
    }
}

impl Mend {
    fn continues(self, which: u64) -> bool {
        matches!(self, Self::Continue { process } if process == which)
    }
}

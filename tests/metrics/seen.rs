//! What a recorder got in one thread, which is where each test has all its tasks.

use std::collections::BTreeMap;

use metrics::LocalRecorderGuard;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

/// A part of each key, prefix, id, owner, value and password of these tests.
pub const PRIVATE: &str = "private";

/// What of it was there, by name and labels, as in `calls_total{operation=GET,outcome=ok}`.
#[derive(Debug)]
pub struct Seen(pub BTreeMap<String, DebugValue>);

pub struct Watch {
    snapshots: Snapshotter,
    _here: LocalRecorderGuard<'static>,
}

/// Has this thread count from now on.
pub fn watch() -> Watch {
    let recorder = Box::leak(Box::new(DebuggingRecorder::new()));
    let snapshots = recorder.snapshotter();
    Watch { snapshots, _here: metrics::set_default_local_recorder(recorder) }
}

impl Watch {
    /// What came since the last time.
    #[track_caller]
    pub fn seen(&self) -> Seen {
        let mut seen = BTreeMap::new();
        for (key, _, _, value) in self.snapshots.snapshot().into_vec() {
            let key = key.key();
            let mut labels: Vec<_> =
                key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            labels.sort();
            let name = key.name().strip_prefix("auth_adapter_redis_").expect("its own prefix");
            let name = match labels.is_empty() {
                true => name.to_owned(),
                false => format!("{name}{{{}}}", labels.join(",")),
            };
            assert!(!name.contains(PRIVATE), "{name}");
            seen.insert(name, value);
        }
        Seen(seen)
    }

    /// Each name with its kind, its description and the names of its labels.
    pub fn described(&self) -> BTreeMap<String, (&'static str, Option<String>, Vec<String>)> {
        let told = self.snapshots.snapshot().into_vec().into_iter().map(|(key, _, what, value)| {
            let kind = match value {
                DebugValue::Counter(_) => "counter",
                DebugValue::Gauge(_) => "gauge",
                DebugValue::Histogram(_) => "histogram",
            };
            let key = key.key();
            let labels = key.labels().map(|label| label.key().to_owned()).collect();
            (key.name().to_owned(), (kind, what.map(|what| what.to_string()), labels))
        });
        told.collect()
    }
}

impl Seen {
    /// The counters of this name that are not zero, by what is between the braces.
    pub fn counts(&self, name: &str) -> BTreeMap<&str, u64> {
        let of_name = self.0.iter().filter_map(|(key, value)| match value {
            DebugValue::Counter(count) if *count > 0 => Some((labels(key, name)?, *count)),
            _ => None,
        });
        of_name.collect()
    }

    pub fn level(&self, key: &str) -> f64 {
        match self.0.get(key) {
            Some(DebugValue::Gauge(level)) => level.0,
            other => panic!("{key}: {other:?} of {self:?}"),
        }
    }

    /// How many times there are in the histograms of this name, and the least and the most of them.
    pub fn times(&self, name: &str) -> BTreeMap<&str, (usize, f64, f64)> {
        let of_name = self.0.iter().filter_map(|(key, value)| match value {
            DebugValue::Histogram(times) if !times.is_empty() => {
                let (least, most) = (times.iter().min().unwrap().0, times.iter().max().unwrap().0);
                Some((labels(key, name)?, (times.len(), least, most)))
            }
            _ => None,
        });
        of_name.collect()
    }
}

/// What is between the braces of a key of this name.
fn labels<'k>(key: &'k str, name: &str) -> Option<&'k str> {
    let rest = key.strip_prefix(name)?;
    match rest.is_empty() {
        true => Some(""),
        false => rest.strip_prefix('{')?.strip_suffix('}'),
    }
}

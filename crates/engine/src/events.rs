//! Kubernetes Events (events.k8s.io/v1) about the objects a controller plans.
//!
//! Laws:
//! - recording never blocks and never fails a plan: the queue is bounded, what does not fit is
//!   dropped and counted;
//! - the same event again within [`WINDOW`] is a series of one Event object, not another object;
//! - names of Event objects sort by time within one writer, because that is the order in which
//!   clients show events of the same second;
//! - a note is at most [`NOTE_LIMIT`] bytes, cut between characters, because the API refuses more.

use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::api::{ApiClient, ApiError, Fault};
use crate::kind::{Kind, ObjectKey};
use crate::metrics::Metrics;
use crate::object::Object;
use crate::plan::{EventNote, Severity};

/// How long after its last occurrence the same event continues a series, as client-go has it.
pub const WINDOW: SignedDuration = SignedDuration::from_mins(6);

/// How often the count of a running series is written.
const REFRESH: SignedDuration = SignedDuration::from_mins(1);

/// The longest note the API accepts, in bytes.
pub const NOTE_LIMIT: usize = 1024;

/// Events waiting to be written: a thousand applications that start at once tell a few things each
/// before the writer has caught up.
const QUEUE: usize = 8192;

/// Series remembered at once; the least recently seen are forgotten first.
const SERIES: usize = 4096;

/// Takes events from plans. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recorder {
    queue: mpsc::Sender<Occurrence>,
    metrics: Metrics,
}

/// Writes what recorders took. Runs as one task.
#[derive(Debug)]
pub(crate) struct EventWriter {
    queue: mpsc::Receiver<Occurrence>,
    api: ApiClient,
    metrics: Metrics,
    series: SeriesBook,
    manager: String,
}

/// One thing that happened to one object.
#[derive(Debug, Clone, PartialEq)]
struct Occurrence {
    at: Timestamp,
    regarding: Regarding,
    note: EventNote,
    /// The controller that says so.
    reporter: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Regarding {
    api_version: String,
    kind: String,
    namespace: Option<String>,
    name: String,
    uid: String,
}

/// A recorder and the task behind it. `component` and `instance` name the reporting process.
pub(crate) fn recorder(
    api: ApiClient,
    metrics: Metrics,
    component: &str,
    instance: &str,
) -> (Recorder, EventWriter) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let writer = EventWriter {
        queue: receiver,
        api,
        metrics: metrics.clone(),
        series: SeriesBook::new(component, instance),
        manager: component.to_owned(),
    };
    (
        Recorder {
            queue: sender,
            metrics,
        },
        writer,
    )
}

impl Recorder {
    /// Notes that something happened to an object. Never waits.
    pub fn record(&self, reporter: &'static str, object: &Object, note: EventNote, at: Timestamp) {
        let regarding = Regarding {
            api_version: object.api_version().to_owned(),
            kind: object.kind().to_owned(),
            namespace: object.namespace().map(str::to_owned),
            name: object.name().to_owned(),
            uid: object.uid().to_owned(),
        };
        if self
            .queue
            .try_send(Occurrence {
                at,
                regarding,
                note,
                reporter,
            })
            .is_err()
        {
            self.metrics.event("dropped");
        }
    }
}

impl EventWriter {
    /// Writes events until `stop`, then what is still queued, within the API's timeout each.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut refresh = tokio::time::interval(Duration::from_secs(15));
        refresh.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                occurrence = self.queue.recv() => match occurrence {
                    Some(occurrence) => self.take(occurrence).await,
                    None => break,
                },
                _ = refresh.tick() => {
                    for write in self.series.due(Timestamp::now()) {
                        self.write(write).await;
                    }
                }
            }
        }
        while let Ok(occurrence) = self.queue.try_recv() {
            self.take(occurrence).await;
        }
        for write in self.series.close() {
            self.write(write).await;
        }
    }

    async fn take(&mut self, occurrence: Occurrence) {
        if let Some(write) = self.series.observe(occurrence) {
            self.write(write).await;
        }
    }

    async fn write(&mut self, write: Write) {
        let outcome = match self.send(&write).await {
            Ok(()) => "written",
            Err(error) => {
                tracing::warn!(%error, "an event could not be written");
                if let Write::Series {
                    namespace, name, ..
                } = &write
                {
                    // The Event object has expired or is not ours: the next occurrence makes one.
                    self.series.forget(namespace, name);
                }
                "failed"
            }
        };
        self.metrics.event(outcome);
    }

    async fn send(&self, write: &Write) -> Result<(), ApiError> {
        let result = match write {
            Write::Create { body } => self.api.create(&Kind::EVENT, body, &self.manager).await,
            Write::Series {
                namespace,
                name,
                body,
            } => {
                let key = ObjectKey::namespaced(namespace.as_str(), name.as_str());
                self.api
                    .patch(&Kind::EVENT, &key, body, &self.manager)
                    .await
            }
        };
        match result {
            Ok(_) => Ok(()),
            // The name is a hash of the event, so this one was written by an attempt before.
            Err(error) if error.fault == Fault::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Which occurrences make an Event object, continue a series, or only count. Pure.
#[derive(Debug)]
struct SeriesBook {
    component: String,
    instance: String,
    open: HashMap<Fingerprint, Series>,
    /// The stamp of the newest Event object, in nanoseconds.
    stamped: i128,
}

/// What makes two occurrences the same event.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Fingerprint {
    regarding: Regarding,
    severity: &'static str,
    reason: String,
    action: String,
    note: String,
}

#[derive(Debug)]
struct Series {
    namespace: String,
    name: String,
    count: u32,
    last: Timestamp,
    written_count: u32,
    written_at: Timestamp,
}

/// One call to make.
#[derive(Debug, PartialEq)]
enum Write {
    Create {
        body: Value,
    },
    Series {
        namespace: String,
        name: String,
        body: Value,
    },
}

impl SeriesBook {
    fn new(component: &str, instance: &str) -> Self {
        Self {
            component: component.to_owned(),
            instance: cut(instance, 128).to_owned(),
            open: HashMap::new(),
            stamped: 0,
        }
    }

    fn observe(&mut self, occurrence: Occurrence) -> Option<Write> {
        let now = occurrence.at;
        let fingerprint = Fingerprint {
            regarding: occurrence.regarding,
            severity: severity(occurrence.note.severity),
            reason: occurrence.note.reason,
            action: occurrence.note.action,
            note: cut(&occurrence.note.note, NOTE_LIMIT).to_owned(),
        };
        if let Some(series) = self.open.get_mut(&fingerprint)
            && now.duration_since(series.last) <= WINDOW
        {
            series.count += 1;
            series.last = now;
            let is_first_repeat = series.count == 2;
            let is_due = now.duration_since(series.written_at) >= REFRESH;
            return (is_first_repeat || is_due).then(|| series.write(now));
        }
        self.make_room();
        // What one plan tells has one time, but an order nevertheless.
        self.stamped = now.as_nanosecond().max(self.stamped + 1);
        let (namespace, name) = fingerprint.event_key(self.stamped);
        let body = self.event(&fingerprint, occurrence.reporter, &namespace, &name, now);
        let series = Series {
            namespace,
            name,
            count: 1,
            last: now,
            written_count: 1,
            written_at: now,
        };
        self.open.insert(fingerprint, series);
        Some(Write::Create { body })
    }

    /// Counts that have not been written for a while; forgets series that have ended.
    fn due(&mut self, now: Timestamp) -> Vec<Write> {
        let mut writes = Vec::new();
        self.open.retain(|_, series| {
            let ended = now.duration_since(series.last) > WINDOW;
            let is_due = ended || now.duration_since(series.written_at) >= REFRESH;
            if is_due && series.count > series.written_count {
                writes.push(series.write(now));
            }
            !ended
        });
        writes
    }

    /// Counts that have not been written, at the end.
    fn close(&mut self) -> Vec<Write> {
        let unwritten = self
            .open
            .values_mut()
            .filter(|series| series.count > series.written_count);
        unwritten.map(|series| series.write(series.last)).collect()
    }

    fn forget(&mut self, namespace: &str, name: &str) {
        self.open
            .retain(|_, series| series.namespace != namespace || series.name != name);
    }

    fn make_room(&mut self) {
        if self.open.len() < SERIES {
            return;
        }
        let mut ages: Vec<Timestamp> = self.open.values().map(|series| series.last).collect();
        let middle = ages.len() / 2;
        let (_, median, _) = ages.select_nth_unstable(middle);
        let median = *median;
        self.open.retain(|_, series| series.last > median);
    }

    fn event(
        &self,
        event: &Fingerprint,
        reporter: &str,
        namespace: &str,
        name: &str,
        now: Timestamp,
    ) -> Value {
        let mut regarding = json!({
            "apiVersion": event.regarding.api_version,
            "kind": event.regarding.kind,
            "name": event.regarding.name,
            "uid": event.regarding.uid,
        });
        if let Some(namespace) = &event.regarding.namespace {
            regarding["namespace"] = namespace.as_str().into();
        }
        json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": { "namespace": namespace, "name": name },
            "eventTime": micro_time(now),
            "reportingController": format!("{}/{reporter}", self.component),
            "reportingInstance": self.instance,
            "type": event.severity,
            "reason": event.reason,
            "action": event.action,
            "note": event.note,
            "regarding": regarding,
        })
    }
}

impl Series {
    fn write(&mut self, now: Timestamp) -> Write {
        self.written_count = self.count;
        self.written_at = now;
        Write::Series {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            body: json!({
                "series": { "count": self.count, "lastObservedTime": micro_time(self.last) },
            }),
        }
    }
}

impl Fingerprint {
    /// Where the Event object lives: its name follows from what happened and its stamp, so
    /// writing it twice makes one object.
    fn event_key(&self, stamp: i128) -> (String, String) {
        let mut hash = Sha256::new();
        for part in [
            self.regarding.uid.as_str(),
            self.severity,
            &self.reason,
            &self.action,
            &self.note,
        ] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let digest = hash.finalize();
        let hash = u32::from_be_bytes(std::array::from_fn(|index| digest[index]));
        let namespace = self
            .regarding
            .namespace
            .as_deref()
            .unwrap_or("default")
            .to_owned();
        (
            namespace,
            format!("{}.{stamp:016x}{hash:08x}", cut(&self.regarding.name, 228)),
        )
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Normal => "Normal",
        Severity::Warning => "Warning",
    }
}

/// A time as the API writes MicroTime.
pub(crate) fn micro_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// The longest prefix of at most `limit` bytes that ends between characters.
fn cut(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    let end = (0..=limit)
        .rev()
        .find(|end| text.is_char_boundary(*end))
        .unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn occurrence(seconds: i64, note: &str) -> Occurrence {
        Occurrence {
            at: Timestamp::from_second(1_800_000_000 + seconds).unwrap(),
            regarding: Regarding {
                api_version: "v1".to_owned(),
                kind: "Pod".to_owned(),
                namespace: Some("team".to_owned()),
                name: "a".to_owned(),
                uid: "u".to_owned(),
            },
            note: EventNote {
                severity: Severity::Warning,
                reason: "Failed".to_owned(),
                action: "Start".to_owned(),
                note: note.to_owned(),
            },
            reporter: "test",
        }
    }

    fn book() -> SeriesBook {
        SeriesBook::new("windlass", "host-1")
    }

    #[test]
    fn an_event_has_every_field_the_api_requires() {
        let Some(Write::Create { body }) = book().observe(occurrence(0, "it broke")) else {
            panic!("the first occurrence makes an object");
        };
        insta::assert_yaml_snapshot!(body);
    }

    #[test]
    fn the_same_event_again_is_a_series_written_at_once_and_then_once_a_minute() {
        let mut book = book();
        let mut count_of = |seconds| match book.observe(occurrence(seconds, "it broke")) {
            Some(Write::Series { body, .. }) => body["series"]["count"].as_u64(),
            Some(Write::Create { .. }) => Some(1),
            None => None,
        };
        assert_eq!(count_of(0), Some(1));
        assert_eq!(count_of(1), Some(2));
        assert_eq!(count_of(2), None);
        assert_eq!(count_of(60), None);
        assert_eq!(count_of(61), Some(5));
        assert_eq!(
            count_of(61 + 6 * 60 + 1),
            Some(1),
            "after the window it is a new event"
        );
    }

    #[test]
    fn different_notes_are_different_events() {
        let mut book = book();
        book.observe(occurrence(0, "one"));
        assert!(matches!(
            book.observe(occurrence(0, "two")),
            Some(Write::Create { .. })
        ));
    }

    #[test]
    fn names_sort_as_the_events_happened() {
        let mut book = book();
        let names: Vec<String> = ["one", "two", "three", "four"]
            .into_iter()
            .enumerate()
            .filter_map(
                |(index, note)| match book.observe(occurrence(index as i64 / 2, note))? {
                    Write::Create { body } => Some(body["metadata"]["name"].to_string()),
                    Write::Series { .. } => None,
                },
            )
            .collect();
        assert_eq!(names.len(), 4);
        assert!(names.is_sorted(), "{names:?}");
    }

    #[test]
    fn unwritten_counts_are_written_when_due_and_at_the_end() {
        let mut book = book();
        for second in 0..5 {
            book.observe(occurrence(second, "it broke"));
        }
        let at = |seconds: i64| Timestamp::from_second(1_800_000_000 + seconds).unwrap();
        assert_eq!(book.due(at(30)), []);
        assert_eq!(book.due(at(70)).len(), 1);
        assert_eq!(book.due(at(140)), []);
        book.observe(occurrence(71, "it broke"));
        assert_eq!(book.close().len(), 1);
        book.due(at(71 + 361));
        assert!(book.open.is_empty(), "an ended series is forgotten");
    }

    #[test]
    fn the_memory_of_series_is_bounded() {
        let mut book = book();
        for index in 0..SERIES as i64 * 2 {
            book.observe(occurrence(index / 100, &format!("note {index}")));
        }
        assert!(book.open.len() <= SERIES);
    }

    #[test]
    fn notes_are_cut_between_characters() {
        for (text, limit, expected) in [
            ("short", 10, "short"),
            ("abcdef", 3, "abc"),
            ("aé", 2, "a"),
            ("a🦀b", 4, "a"),
            ("🦀", 3, ""),
        ] {
            assert_eq!(cut(text, limit), expected);
        }
    }
}

//! Writers and watchers of ConfigMaps, many at once, who go on when the server dies and is back.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{AsyncBufReadExt as _, StreamExt as _, future::join_all};
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    chance::Chance,
    history::{Kind, Place, Record, Selection, State, Told, Truth, fault},
};

/// The namespaces, and the object in each that ends the watches; the second is written last.
const NAMESPACES: [&str; 2] = ["a", "b"];
const END: &str = "the-end";
/// Names of one writer.
const NAMES: u64 = 4;
/// How long to wait before a server that does not answer is asked again.
const PAUSE: Duration = Duration::from_millis(20);
/// The whole crowd is done within this.
const PATIENCE: Duration = Duration::from_mins(3);

/// How a watcher reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Takes what comes.
    Steady,
    /// Hangs up after so many events, and resumes.
    Hasty(usize),
    /// Asks for watches of two seconds, and resumes from their last bookmark.
    Brief,
    /// Hangs up now and then, and resumes when there were so many writes more.
    Late(u64),
    /// Stops reading until there were so many writes more.
    Slow(u64),
}

/// What the crowd has done.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) acknowledged: usize,
    pub(crate) unanswered: usize,
    pub(crate) events: usize,
    pub(crate) bookmarks: usize,
    pub(crate) resumed: usize,
    pub(crate) relisted: usize,
}

/// How many of them there are and how much they do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) writers: u64,
    pub(crate) writes: u64,
}

/// Lets writers and watchers loose and checks what the watchers were told. `written` is told how
/// many writes were answered, all the time.
pub(crate) async fn crowd(
    client: &Client,
    seed: u64,
    size: Size,
    written: &watch::Sender<u64>,
) -> Tally {
    for namespace in NAMESPACES {
        let namespace = json!({"metadata": {"name": namespace}});
        put(client, "/api/v1/namespaces", &namespace).await;
    }
    let numbers = Arc::new(AtomicU64::new(0));
    let (bookmarked, mut bookmarks) = watch::channel(0);
    let (begun, mut beginnings) = watch::channel(0);
    let watchers: Vec<_> = watchers()
        .into_iter()
        .map(|(selection, habit)| {
            let watcher = Watcher {
                client: client.clone(),
                selection: selection.clone(),
                habit,
                written: written.subscribe(),
                bookmarked: bookmarked.clone(),
                begun: begun.clone(),
                records: Vec::new(),
                resumed: 0,
            };
            (selection, habit, tokio::spawn(watcher.run()))
        })
        .collect();
    // What is written before the first list is in nobody's story.
    let all_there = beginnings.wait_for(|begun| *begun >= watchers.len()).await;
    drop(all_there.unwrap());
    let writers = (0..size.writers).map(|number| {
        let writer = Writer {
            client: client.clone(),
            id: number,
            namespace: NAMESPACES[number as usize % 2],
            chance: Chance::of(seed ^ (number << 32)),
            numbers: Arc::clone(&numbers),
            states: BTreeMap::new(),
            work: Work::default(),
        };
        tokio::spawn(writer.run(size.writes, written.clone()))
    });
    let works: Vec<Work> = join_all(writers)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    // On a quick machine the writers are done before the first bookmark is due.
    let enough = bookmarks.wait_for(|bookmarks| *bookmarks > 5).await;
    drop(enough.unwrap());
    for namespace in NAMESPACES {
        let end = object(END, u64::MAX, true);
        put(client, &collection(Some(namespace)), &end).await;
    }
    // Whoever waits for more writes waits for nothing now.
    written.send_replace(u64::MAX);

    let mut tally = Tally::default();
    let mut all: Vec<(Selection, Habit, Watched)> = Vec::new();
    for (selection, habit, task) in watchers {
        let ended = tokio::time::timeout(PATIENCE, task).await;
        let ended = ended.unwrap_or_else(|_| panic!("{habit:?} of {selection:?} does not end"));
        all.push((selection, habit, ended.unwrap()));
    }
    let whole = &all[0].2.records;
    assert_eq!(whole.len(), 1, "the first watcher sees everything");
    let truth = Truth::of(&whole[0]).unwrap_or_else(|error| panic!("{error}"));
    for work in &works {
        work.check(&truth);
        tally.acknowledged += work.puts.len() + work.deletions.len();
        tally.unanswered += work.unanswered;
    }
    let asked: BTreeSet<u64> = works.iter().flat_map(|work| &work.asked).copied().collect();
    for number in truth.numbers() {
        assert!(number == u64::MAX || asked.contains(&number), "{number}");
    }
    for (selection, habit, watched) in &all {
        for record in &watched.records {
            if let Some(fault) = fault(record, selection, &truth) {
                panic!("{habit:?} of {selection:?}: {fault}");
            }
            let bookmarks = record.told.iter();
            let bookmarks = bookmarks
                .filter(|told| matches!(told, Told::Bookmark(_)))
                .count();
            tally.bookmarks += bookmarks;
            tally.events += record.told.len() - bookmarks;
        }
        tally.resumed += watched.resumed;
        tally.relisted += watched.records.len() - 1;
    }
    let (revision, listed) = list(client, &Selection::default()).await;
    assert_eq!(listed, truth.at(revision, &Selection::default()));
    tally
}

/// Everybody who watches; the first sees all.
fn watchers() -> Vec<(Selection, Habit)> {
    let mut watchers = vec![(Selection::default(), Habit::Steady)];
    for namespace in [None, Some("a"), Some("b")] {
        for marked_only in [false, true] {
            for habit in [
                Habit::Hasty(7),
                Habit::Brief,
                Habit::Late(400),
                Habit::Slow(4500),
            ] {
                let namespace = namespace.map(ToOwned::to_owned);
                let selection = Selection {
                    namespace,
                    marked_only,
                };
                watchers.push((selection, habit));
            }
        }
    }
    watchers
}

fn collection(namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) => format!("/api/v1/namespaces/{namespace}/configmaps"),
        None => "/api/v1/configmaps".to_owned(),
    }
}

fn object(name: &str, number: u64, marked: bool) -> Value {
    let mark = if marked { "yes" } else { "no" };
    json!({
        "metadata": {"name": name, "labels": {"marked": mark}},
        "data": {"number": number.to_string()},
    })
}

fn number(value: &Value) -> u64 {
    value.as_str().unwrap().parse().unwrap()
}

/// Where an object is, what it is like, and since when.
fn read(object: &Value) -> (Place, State, u64) {
    let meta = &object["metadata"];
    let text = |field: &str| meta[field].as_str().unwrap().to_owned();
    let state = State {
        number: number(&object["data"]["number"]),
        marked: meta["labels"]["marked"] == "yes",
    };
    let place = (text("namespace"), text("name"));
    (place, state, number(&meta["resourceVersion"]))
}

/// Creates until it is there.
async fn put(client: &Client, path: &str, object: &Value) {
    loop {
        match ask(client, "POST", path, Some(object)).await {
            Some((201 | 409, _)) => return,
            Some((code, answer)) => panic!("{path}: {code} {answer}"),
            None => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Sends a request; no answer when the server dies.
async fn ask(
    client: &Client,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Option<(u16, Value)> {
    let format = match method {
        "PATCH" => "application/merge-patch+json",
        _ => "application/json",
    };
    let bytes = body.map(|body| body.to_string().into_bytes());
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", format)
        .body(kube::client::Body::from(bytes.unwrap_or_default()))
        .unwrap();
    let response = client.send(request).await.ok()?;
    let code = response.status().as_u16();
    let body = http_body_util::BodyExt::collect(response.into_body()).await;
    let value = serde_json::from_slice(&body.ok()?.to_bytes()).ok()?;
    // A server that is on its way down, or a client without a connection to it.
    (code < 500).then_some((code, value))
}

async fn list(client: &Client, selection: &Selection) -> (u64, BTreeMap<Place, State>) {
    let query = if selection.marked_only {
        "?labelSelector=marked%3Dyes"
    } else {
        "?labelSelector=marked"
    };
    let path = collection(selection.namespace.as_deref()) + query;
    loop {
        if let Some((code, list)) = ask(client, "GET", &path, None).await {
            assert_eq!(code, 200, "{list}");
            let items = list["items"].as_array().unwrap().iter().map(read);
            let items = items.map(|(place, state, _)| (place, state)).collect();
            return (number(&list["metadata"]["resourceVersion"]), items);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Changes objects that nobody else changes.
struct Writer {
    client: Client,
    id: u64,
    namespace: &'static str,
    chance: Chance,
    numbers: Arc<AtomicU64>,
    states: BTreeMap<Place, State>,
    work: Work,
}

/// What a writer was told.
#[derive(Default)]
struct Work {
    asked: BTreeSet<u64>,
    puts: Vec<(u64, Place, State)>,
    deletions: Vec<(Place, State)>,
    unanswered: usize,
}

impl Work {
    /// Everything that was acknowledged has happened.
    fn check(&self, truth: &Truth) {
        for (revision, place, state) in &self.puts {
            assert!(
                truth.has_put(*revision, place, *state),
                "{place:?} was {state:?} at {revision}, and is not"
            );
        }
        for (place, last) in &self.deletions {
            assert!(truth.has_deletion(place, *last), "{place:?} {last:?}");
        }
    }
}

impl Writer {
    async fn run(mut self, writes: u64, written: watch::Sender<u64>) -> Work {
        for _ in 0..writes {
            let name = format!("w{}-{}", self.id, self.chance.below(NAMES));
            let place = (self.namespace.to_owned(), name);
            if !self.write(&place).await {
                self.work.unanswered += 1;
                self.find_out(&place).await;
            }
            written.send_modify(|written| *written += 1);
        }
        self.work
    }

    /// Whether there was an answer.
    async fn write(&mut self, place: &Place) -> bool {
        let all = collection(Some(&place.0));
        let one = format!("{all}/{}", place.1);
        let last = self.states.get(place).copied();
        if let Some(last) = last.filter(|_| self.chance.percent(25)) {
            let Some((code, answer)) = ask(&self.client, "DELETE", &one, None).await else {
                return false;
            };
            assert_eq!(code, 200, "{answer}");
            self.work.deletions.push((place.clone(), last));
            self.states.remove(place);
            return true;
        }
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        self.work.asked.insert(number);
        let wish = object(&place.1, number, self.chance.percent(50));
        let (method, path) = match last {
            None => ("POST", &all),
            Some(_) if self.chance.percent(50) => ("PUT", &one),
            Some(_) => ("PATCH", &one),
        };
        let Some((code, answer)) = ask(&self.client, method, path, Some(&wish)).await else {
            return false;
        };
        assert!([200, 201].contains(&code), "{method} {path}: {answer}");
        let (at, state, revision) = read(&answer);
        assert_eq!((&at, state.number), (place, number));
        self.work.puts.push((revision, at, state));
        self.states.insert(place.clone(), state);
        true
    }

    /// Looks at what became of a write that was not answered.
    async fn find_out(&mut self, place: &Place) {
        let path = format!("{}/{}", collection(Some(&place.0)), place.1);
        loop {
            match ask(&self.client, "GET", &path, None).await {
                Some((200, object)) => {
                    self.states.insert(place.clone(), read(&object).1);
                    return;
                }
                Some((code, answer)) => {
                    assert_eq!(code, 404, "{answer}");
                    self.states.remove(place);
                    return;
                }
                None => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

struct Watcher {
    client: Client,
    selection: Selection,
    habit: Habit,
    written: watch::Receiver<u64>,
    bookmarked: watch::Sender<u64>,
    begun: watch::Sender<usize>,
    records: Vec<Record>,
    resumed: usize,
}

struct Watched {
    records: Vec<Record>,
    resumed: usize,
}

/// Why a watcher reads no further.
enum Pause {
    /// The last event is there.
    End,
    /// The stream is over, or the watcher has had enough of it.
    Resume,
    /// What the watcher knows is too old.
    Relist,
}

impl Watcher {
    async fn run(mut self) -> Watched {
        loop {
            let (start, listed) = list(&self.client, &self.selection).await;
            if self.records.is_empty() {
                self.begun.send_modify(|begun| *begun += 1);
            }
            let ended = listed.keys().any(|place| self.is_end(place));
            self.records.push(Record {
                start,
                listed,
                told: Vec::new(),
            });
            if ended || self.follow().await {
                return Watched {
                    records: self.records,
                    resumed: self.resumed,
                };
            }
        }
    }

    fn is_end(&self, place: &Place) -> bool {
        let namespace = self.selection.namespace.as_deref();
        place.1 == END && place.0 == namespace.unwrap_or(NAMESPACES[1])
    }

    /// Watches from a list on; whether the end was seen.
    async fn follow(&mut self) -> bool {
        loop {
            match self.watch().await {
                Pause::End => return true,
                Pause::Relist => return false,
                Pause::Resume => self.resumed += 1,
            }
        }
    }

    async fn watch(&mut self) -> Pause {
        let record = &self.records[self.records.len() - 1];
        let from = record.told.last().map_or(record.start, Told::revision);
        let mark = if self.selection.marked_only {
            "marked%3Dyes"
        } else {
            "marked"
        };
        let seconds = if self.habit == Habit::Brief { 2 } else { 300 };
        let path = format!(
            "{}?watch=true&labelSelector={mark}&resourceVersion={from}\
             &allowWatchBookmarks=true&timeoutSeconds={seconds}",
            collection(self.selection.namespace.as_deref())
        );
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        let Ok(stream) = self.client.request_stream(request).await else {
            tokio::time::sleep(PAUSE).await;
            return Pause::Resume;
        };
        let mut lines = Box::pin(stream.lines());
        let mut events = 0;
        // A line that is not whole is one that the server could not finish.
        while let Some(Ok(line)) = lines.next().await
            && let Ok(event) = serde_json::from_str::<Value>(&line)
        {
            if event["type"] == "ERROR" {
                assert_eq!(event["object"]["code"], 410, "{event}");
                return Pause::Relist;
            }
            if self.take(&event) {
                return Pause::End;
            }
            events += 1;
            match self.habit {
                Habit::Hasty(most) if events == most => return Pause::Resume,
                Habit::Late(writes) if events == 40 => {
                    drop(lines);
                    self.wait_for(writes).await;
                    return Pause::Resume;
                }
                Habit::Slow(writes) if events == 1 => self.wait_for(writes).await,
                _ => {}
            }
        }
        Pause::Resume
    }

    /// Waits for so many writes more.
    async fn wait_for(&mut self, writes: u64) {
        let until = self.written.borrow().saturating_add(writes);
        let enough = self.written.wait_for(|written| *written >= until).await;
        drop(enough.unwrap());
    }

    /// Takes an event down; whether it is the last one.
    fn take(&mut self, event: &Value) -> bool {
        let object = &event["object"];
        let last = self.records.len() - 1;
        let kind = match event["type"].as_str().unwrap() {
            "BOOKMARK" => {
                let revision = number(&object["metadata"]["resourceVersion"]);
                self.records[last].told.push(Told::Bookmark(revision));
                self.bookmarked.send_modify(|bookmarks| *bookmarks += 1);
                return false;
            }
            "ADDED" => Kind::Added,
            "MODIFIED" => Kind::Modified,
            "DELETED" => Kind::Deleted,
            other => panic!("{other}"),
        };
        let (place, state, revision) = read(object);
        let is_end = self.is_end(&place);
        self.records[last].told.push(Told::Event {
            revision,
            kind,
            place,
            state,
        });
        is_end
    }
}

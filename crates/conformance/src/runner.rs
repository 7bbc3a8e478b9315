//! Sends a sequence to both servers and compares what they answer.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    allowed,
    compare::{self, Answer, Difference},
    kind::Kind,
    normalise::Names,
    sequence::{Answers, Filled, JSON, MERGE_PATCH, Request, Sequence, Watch},
};

/// How long a stream may take to show the end of the sequence.
const END_OF_STREAM: Duration = Duration::from_mins(1);
/// The object that is made at the end.
const MARK: &str = "zz-mark";
const MARK_NOTE: &str = "conformance.windlass.dev/mark";
/// What managers of fields are called that do not say.
const USER_AGENT: &str = "conformance/1";

/// The two servers.
#[derive(Clone)]
pub struct Pair {
    /// Ours.
    pub embedded: kube::Client,
    /// The real one.
    pub real: kube::Client,
}

/// What came out of a sequence.
#[derive(Debug)]
pub struct Outcome {
    /// How many requests were sent to both.
    pub sent: usize,
    /// Names of the allowed differences that were met.
    pub allowed: Vec<&'static str>,
    /// The differences, up to the first that leaves the servers in different states.
    pub found: Vec<Found>,
}

/// A difference.
#[derive(Debug)]
pub struct Found {
    /// In the answer to this request.
    pub request: Request,
    /// Where.
    pub differences: Vec<Difference>,
    /// What both answered.
    pub answers: (Answer, Answer),
    /// What it has in common with others.
    pub signature: String,
    /// What was sent, as the real server got it, with its status codes.
    pub sent: Vec<Sent>,
}

/// A request as it was sent.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The request.
    pub request: Request,
    /// As it was filled in.
    pub filled: Filled,
    /// What both answered.
    pub statuses: (u16, u16),
}

/// Runs a sequence in a namespace that is not there yet.
pub async fn run(pair: &Pair, sequence: &Sequence, namespace: &str) -> anyhow::Result<Outcome> {
    let mut embedded = Side::start(&pair.embedded, namespace).await?;
    let mut real = Side::start(&pair.real, namespace).await?;
    let mut outcome = Outcome {
        sent: 0,
        allowed: Vec::new(),
        found: Vec::new(),
    };
    let mut sent = Vec::new();
    let mut watches = Vec::new();
    for request in &sequence.requests {
        let (Some(ours), Some(theirs)) = (request.fill(&embedded), request.fill(&real)) else {
            continue;
        };
        if needs_fresh_cache(request) {
            real.freshen(request).await?;
        }
        let (ours, theirs) =
            tokio::try_join!(embedded.send(request, &ours), real.send(request, &theirs),)
                .map(|(a, b)| (a, (b, theirs)))?;
        let (theirs, filled) = theirs;
        outcome.sent += 1;
        let statuses = (ours.status, theirs.status);
        sent.push(Sent {
            request: request.clone(),
            filled,
            statuses,
        });
        let differences = unknown(
            statuses.1,
            compare::answers(&ours, &theirs),
            &mut outcome.allowed,
        );
        if !differences.is_empty() {
            outcome.found.push(Found {
                request: request.clone(),
                signature: compare::signature(request, statuses, &differences),
                differences,
                answers: (ours.clone(), theirs.clone()),
                sent: sent.clone(),
            });
            let refused = statuses.0 >= 400 && statuses.1 >= 400;
            if !refused && request.method != "GET" {
                return Ok(outcome);
            }
        }
        if request.watch.is_some() && statuses == (200, 200) {
            watches.push((request.clone(), ours, theirs));
        }
    }
    embedded.finish(&watches).await?;
    real.finish(&watches).await?;
    for (request, mut ours, mut theirs) in watches {
        let events = (
            embedded.events(request.id).await,
            real.events(request.id).await,
        );
        let found = compare::streams(&events.0, &events.1);
        let differences = unknown(200, found, &mut outcome.allowed);
        if !differences.is_empty() {
            (ours.body, theirs.body) = (Value::Array(events.0), Value::Array(events.1));
            outcome.found.push(Found {
                signature: compare::signature(&request, (200, 200), &differences),
                request,
                differences,
                answers: (ours, theirs),
                sent: sent.clone(),
            });
        }
    }
    Ok(outcome)
}

fn unknown(status: u16, found: Vec<Difference>, met: &mut Vec<&'static str>) -> Vec<Difference> {
    found
        .into_iter()
        .filter(|difference| match allowed::entry(status, difference) {
            Some(entry) => {
                met.push(entry.name);
                false
            }
            None => true,
        })
        .collect()
}

/// Whether kube-apiserver answers out of a cache that may lag behind.
fn needs_fresh_cache(request: &Request) -> bool {
    let option = |wanted: &str| {
        let found = request.query.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.as_str())
    };
    request.method == "GET"
        && match option("resourceVersion") {
            Some("0") => true,
            Some(_) => option("resourceVersionMatch") != Some("Exact"),
            None => request.watch.is_some(),
        }
}

/// One server as the sequence sees it.
struct Side {
    client: kube::Client,
    namespace: String,
    bodies: BTreeMap<usize, Value>,
    names: Names,
    streams: BTreeMap<usize, Stream>,
}

struct Stream {
    events: Arc<Mutex<Vec<Value>>>,
    reader: JoinHandle<()>,
}

impl Answers for Side {
    fn body(&self, id: usize) -> Option<&Value> {
        self.bodies.get(&id)
    }

    fn namespace(&self) -> &str {
        &self.namespace
    }
}

impl Side {
    async fn start(client: &kube::Client, namespace: &str) -> anyhow::Result<Self> {
        let side = Self {
            client: client.clone(),
            namespace: namespace.to_owned(),
            bodies: BTreeMap::new(),
            names: Names::default(),
            streams: BTreeMap::new(),
        };
        side.must_create(
            "/api/v1/namespaces",
            json!({"metadata": {"name": namespace}}),
        )
        .await?;
        // What a controller does on a whole cluster: no pod is admitted without.
        let accounts = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        side.must_create(&accounts, json!({"metadata": {"name": "default"}}))
            .await?;
        Ok(side)
    }

    async fn must_create(&self, path: &str, object: Value) -> anyhow::Result<()> {
        let filled = Filled {
            uri: path.to_owned(),
            content_type: JSON,
            body: Some(object),
        };
        let response = self.response("POST", JSON, &filled).await?;
        let status = response.status();
        if !status.is_success() && status != http::StatusCode::CONFLICT {
            let body = response.into_body().collect().await?.to_bytes();
            anyhow::bail!("POST {path}: {status} {}", String::from_utf8_lossy(&body));
        }
        Ok(())
    }

    async fn response(
        &self,
        method: &str,
        accept: &str,
        filled: &Filled,
    ) -> anyhow::Result<http::Response<kube::client::Body>> {
        let mut request = http::Request::builder()
            .method(method)
            .uri(&filled.uri)
            .header("accept", accept)
            .header("user-agent", USER_AGENT);
        let bytes = match &filled.body {
            Some(body) => {
                request = request.header("content-type", filled.content_type);
                body.to_string().into_bytes()
            }
            None => Vec::new(),
        };
        let request = request.body(kube::client::Body::from(bytes))?;
        self.client
            .send(request)
            .await
            .with_context(|| format!("{method} {}", filled.uri))
    }

    /// Makes sure that kube-apiserver's cache of a kind is up to date: a list without a revision
    /// waits for that.
    async fn freshen(&self, request: &Request) -> anyhow::Result<()> {
        let path = request.kind.path().replace("{{ns}}", &self.namespace);
        let filled = Filled {
            uri: format!("{path}?limit=1"),
            content_type: JSON,
            body: None,
        };
        self.response("GET", JSON, &filled)
            .await?
            .into_body()
            .collect()
            .await?;
        Ok(())
    }

    async fn send(&mut self, request: &Request, filled: &Filled) -> anyhow::Result<Answer> {
        let response = self
            .response(request.method, request.accept, filled)
            .await?;
        let (parts, body) = response.into_parts();
        let header = |name: &str| {
            let value = parts.headers.get(name);
            value
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_owned()
        };
        let mut answer = Answer {
            status: parts.status.as_u16(),
            content_type: header("content-type"),
            warnings: Vec::new(),
            body: Value::Null,
        };
        let streams = request.watch.is_some() && parts.status.is_success();
        if streams {
            self.streams.insert(request.id, Stream::read(body));
        } else {
            let bytes = body.collect().await?.to_bytes();
            let body = serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)));
            self.names.learn(request.id, &body);
            answer.body = self.names.body(&body);
            if parts.status.is_success() {
                self.bodies.insert(request.id, body);
            }
        }
        for warning in parts.headers.get_all("warning") {
            let text = String::from_utf8_lossy(warning.as_bytes());
            if !text.contains(allowed::OWN_WARNING) {
                answer.warnings.push(self.names.text(&text));
            }
        }
        Ok(answer)
    }

    /// Makes the end of the sequence visible in all streams.
    async fn finish(&self, watches: &[(Request, Answer, Answer)]) -> anyhow::Result<()> {
        let mut marks: Vec<(Kind, String)> = watches
            .iter()
            .map(|(request, ..)| match &request.watch {
                Some(Watch::Touch(name)) => (request.kind, name.clone()),
                _ => (request.kind, MARK.to_owned()),
            })
            .collect();
        marks.sort();
        marks.dedup();
        for (kind, name) in marks {
            let path = kind.path().replace("{{ns}}", &self.namespace);
            let note = json!({"metadata": {"annotations": {MARK_NOTE: "end"}}});
            let touch = Filled {
                uri: format!("{path}/{name}"),
                content_type: MERGE_PATCH,
                body: Some(note.clone()),
            };
            let touched = self.response("PATCH", JSON, &touch).await?;
            if touched.status() == http::StatusCode::NOT_FOUND {
                let mut object = kind.minimal(&name);
                json_patch::merge(&mut object, &note);
                self.must_create(&path, object).await?;
            }
        }
        Ok(())
    }

    /// The events of a stream up to the end of the sequence, without bookmarks that come by time.
    async fn events(&mut self, id: usize) -> Vec<Value> {
        let Some(stream) = self.streams.remove(&id) else {
            return Vec::new();
        };
        let mut reader = stream.reader;
        let ended = tokio::time::timeout(END_OF_STREAM, &mut reader).await;
        reader.abort();
        let events =
            std::mem::take(&mut *stream.events.lock().unwrap_or_else(PoisonError::into_inner));
        let mut named: Vec<Value> = events
            .iter()
            .filter(|event| event["type"] != "BOOKMARK" || is_end_of_initial(event))
            .map(|event| self.names.event(event))
            .collect();
        if ended.is_err() {
            named.push(json!("the end of the sequence was not seen"));
        }
        named
    }
}

fn is_end_of_initial(event: &Value) -> bool {
    event["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"].is_string()
}

impl Stream {
    fn read(body: kube::client::Body) -> Self {
        let events = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&events);
        let reader = tokio::spawn(async move {
            let mut body = body;
            let mut buffer = Vec::new();
            while let Some(Ok(frame)) = body.frame().await {
                let Ok(data) = frame.into_data() else {
                    continue;
                };
                buffer.extend_from_slice(&data);
                while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = buffer.drain(..=end).collect();
                    let Ok(event) = serde_json::from_slice::<Value>(&line) else {
                        continue;
                    };
                    let note = event["object"]["metadata"]["annotations"][MARK_NOTE].is_string();
                    seen.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(event);
                    if note {
                        return;
                    }
                }
            }
        });
        Self { events, reader }
    }
}

/// Waits until a path is served.
pub async fn wait_until_served(client: &kube::Client, path: &str) -> anyhow::Result<()> {
    let deadline = std::time::Instant::now() + END_OF_STREAM;
    loop {
        let request = http::Request::get(path).body(Vec::new())?;
        match client.request::<Value>(request).await {
            Ok(_) => return Ok(()),
            Err(error) if std::time::Instant::now() > deadline => {
                return Err(error).with_context(|| format!("{path} is not served"));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

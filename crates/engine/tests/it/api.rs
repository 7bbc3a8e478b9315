//! A small Kubernetes API in memory: enough rules to test the engine against, and hooks for faults.
//!
//! The engine must not depend on the embedded API server, so its own tests use this: one revision
//! counter, optimistic concurrency, uid preconditions, the status subresource, watches that can be
//! held, ended or left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

/// How long a test waits for something that must happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(15);

type Reply = Response<UnsyncBoxBody<Bytes, Infallible>>;
type Hook = Box<dyn FnMut(&Call) -> Option<Answer> + Send>;

/// The API. Clones share the state.
#[derive(Clone)]
pub(crate) struct FakeApi {
    state: Arc<Mutex<State>>,
    /// Moves with every change and every call, so that tests and watches can wait.
    moved: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    revision: u64,
    next_uid: u64,
    objects: BTreeMap<Id, Value>,
    history: Vec<Change>,
    compacted: u64,
    held: BTreeSet<String>,
    watch_round: u64,
    calls: Vec<Call>,
    hooks: Vec<Hook>,
    pruned: Option<&'static str>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Id {
    plural: String,
    namespace: String,
    name: String,
}

impl Id {
    /// `team/a` of some kind.
    fn parse(plural: &str, key: &str) -> Self {
        let (namespace, name) = key.split_once('/').unwrap();
        Self {
            plural: plural.into(),
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

#[derive(Clone)]
struct Change {
    revision: u64,
    id: Id,
    kind: &'static str,
    object: Value,
}

/// One request, as the tests talk about it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    /// `POST pods team/a`, `PUT apps/status team/a`, `LIST pods`, `WATCH pods`, ...
    pub(crate) line: String,
    pub(crate) body: Value,
}

/// What a hook makes of a call.
pub(crate) enum Answer {
    /// Refused, without any effect.
    Status(u16, &'static str),
    /// Done, but the answer is an error.
    DoneBut(u16, &'static str),
    /// Never answered, without any effect.
    Hang,
    /// Answered as usual once the value is true.
    When(watch::Receiver<bool>),
}

impl FakeApi {
    pub(crate) fn new() -> Self {
        Self {
            state: Arc::default(),
            moved: watch::Sender::new(0),
        }
    }

    pub(crate) fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.answer(request).await) }
        });
        Client::new(service, "default")
    }

    /// Creates or replaces an object from the outside, status included.
    pub(crate) fn put(&self, plural: &str, object: Value) {
        let id = id_of(plural, &object);
        self.change(|state| state.store(id, object));
    }

    /// Edits an object from the outside.
    pub(crate) fn edit(&self, plural: &str, key: &str, edit: impl FnOnce(&mut Value)) {
        let id = Id::parse(plural, key);
        self.change(|state| {
            let mut object = state.objects[&id].clone();
            edit(&mut object);
            state.store(id, object)
        });
    }

    /// Removes an object from the outside.
    pub(crate) fn remove(&self, plural: &str, key: &str) {
        let id = Id::parse(plural, key);
        self.change(|state| state.erase(&id));
    }

    pub(crate) fn get(&self, plural: &str, key: &str) -> Option<Value> {
        let id = Id::parse(plural, key);
        self.state.lock().objects.get(&id).cloned()
    }

    pub(crate) fn all(&self, plural: &str) -> Vec<Value> {
        let state = self.state.lock();
        let of_kind = state.objects.iter().filter(|(id, _)| id.plural == plural);
        of_kind.map(|(_, object)| object.clone()).collect()
    }

    /// Puts a hook before every call; the first hook that answers wins.
    pub(crate) fn hook(&self, hook: impl FnMut(&Call) -> Option<Answer> + Send + 'static) {
        self.state.lock().hooks.push(Box::new(hook));
    }

    /// Answers the first `times` calls whose line starts with `prefix`.
    pub(crate) fn fail(&self, prefix: &'static str, times: usize, answer: fn() -> Answer) {
        let mut left = times;
        self.hook(move |call| {
            if left == 0 || !call.line.starts_with(prefix) {
                return None;
            }
            left -= 1;
            Some(answer())
        });
    }

    /// An older CustomResourceDefinition: this field of every status is dropped.
    pub(crate) fn prune_status(&self, field: &'static str) {
        self.state.lock().pruned = Some(field);
    }

    /// Watches of this kind stay open but show nothing new until released.
    pub(crate) fn hold(&self, plural: &str) {
        self.change(|state| state.held.insert(plural.to_owned()));
    }

    pub(crate) fn release(&self, plural: &str) {
        self.change(|state| state.held.remove(plural));
    }

    /// Ends every watch in good order.
    pub(crate) fn end_watches(&self) {
        self.change(|state| state.watch_round += 1);
    }

    /// Forgets the history: watches that have not seen all of it get 410.
    pub(crate) fn compact(&self) {
        self.change(|state| state.compacted = state.revision);
    }

    /// The lines of all calls so far that are neither watches nor about Leases or Events.
    pub(crate) fn calls(&self) -> Vec<String> {
        let state = self.state.lock();
        let lines = state.calls.iter().map(|call| call.line.clone());
        lines
            .filter(|line| {
                !["WATCH", "leases", "events"]
                    .iter()
                    .any(|w| line.contains(w))
            })
            .collect()
    }

    /// The lines of all calls so far that change something.
    pub(crate) fn writes(&self) -> Vec<String> {
        let is_read = |line: &String| line.starts_with("GET") || line.starts_with("LIST");
        self.calls()
            .into_iter()
            .filter(|line| !is_read(line))
            .collect()
    }

    pub(crate) fn bodies(&self, prefix: &str) -> Vec<Value> {
        let state = self.state.lock();
        let calls = state
            .calls
            .iter()
            .filter(|call| call.line.starts_with(prefix));
        calls.map(|call| call.body.clone()).collect()
    }

    pub(crate) fn count(&self, prefix: &str) -> usize {
        self.bodies(prefix).len()
    }

    /// Waits until something holds; it is asked again after every change and every call.
    pub(crate) async fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let mut moved = self.moved.subscribe();
        let wait = async {
            loop {
                moved.borrow_and_update();
                if holds(self) {
                    return;
                }
                moved.changed().await.unwrap();
            }
        };
        let happened = tokio::time::timeout(DEADLINE, wait).await.is_ok();
        assert!(
            happened,
            "{what} did not happen; calls so far: {:#?}",
            self.calls()
        );
    }

    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let result = change(&mut self.state.lock());
        self.moved.send_modify(|moves| *moves += 1);
        result
    }

    async fn answer(&self, request: Request<Body>) -> Reply {
        let (parts, body) = request.into_parts();
        let body = body
            .collect()
            .await
            .map(|body| body.to_bytes())
            .unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let target = Target::parse(parts.uri.path(), parts.uri.query().unwrap_or_default());
        let call = Call {
            line: target.line(&parts.method),
            body,
        };
        let answer = self.change(|state| {
            state.calls.push(call.clone());
            state.hooks.iter_mut().find_map(|hook| hook(&call))
        });
        match answer {
            Some(Answer::Status(code, reason)) => return failure(code, reason),
            Some(Answer::DoneBut(code, reason)) => {
                self.change(|state| state.perform(&parts.method, &target, &call.body));
                return failure(code, reason);
            }
            Some(Answer::Hang) => std::future::pending().await,
            Some(Answer::When(mut open)) => {
                open.wait_for(|open| *open).await.unwrap();
            }
            None => {}
        }
        if target.is_watch() {
            return self.watch(target);
        }
        self.change(|state| state.perform(&parts.method, &target, &call.body))
    }

    fn watch(&self, target: Target) -> Reply {
        let from = target
            .parameter("resourceVersion")
            .and_then(|rv| rv.parse().ok())
            .unwrap_or(0);
        let round = self.state.lock().watch_round;
        let follow = (
            self.clone(),
            self.moved.subscribe(),
            target,
            from,
            round,
            false,
        );
        let frames = stream::unfold(
            follow,
            |(api, mut moved, target, mut seen, round, end)| async move {
                if end {
                    return None;
                }
                loop {
                    moved.borrow_and_update();
                    let next = api.state.lock().next_change(&target, seen, round);
                    let (line, end) = match next {
                        Next::End => return None,
                        Next::Nothing => {
                            moved.changed().await.ok()?;
                            continue;
                        }
                        Next::Expired => {
                            let status = status(410, "Expired");
                            (json!({ "type": "ERROR", "object": status }), true)
                        }
                        Next::Change(change) => {
                            seen = change.revision;
                            (
                                json!({ "type": change.kind, "object": change.object }),
                                false,
                            )
                        }
                    };
                    let frame = Frame::data(Bytes::from(format!("{line}\n")));
                    return Some((Ok(frame), (api, moved, target, seen, round, end)));
                }
            },
        );
        Response::new(UnsyncBoxBody::new(StreamBody::new(frames.boxed())))
    }
}

enum Next {
    Change(Change),
    Nothing,
    Expired,
    End,
}

impl State {
    fn next_change(&self, target: &Target, seen: u64, round: u64) -> Next {
        if round != self.watch_round {
            return Next::End;
        }
        let mut later = self.history.iter().filter(|change| {
            change.revision > seen && target.covers(&change.id) && target.selects(&change.object)
        });
        match later.next() {
            Some(change) if change.revision <= self.compacted => Next::Expired,
            Some(change) if !self.held.contains(&target.plural) => Next::Change(change.clone()),
            _ => Next::Nothing,
        }
    }

    fn store(&mut self, id: Id, mut object: Value) -> Value {
        let known = self.objects.get(&id);
        let kind = if known.is_some() { "MODIFIED" } else { "ADDED" };
        let uid = match known {
            Some(known) => known["metadata"]["uid"].clone(),
            None => {
                self.next_uid += 1;
                json!(format!("uid-{}", self.next_uid))
            }
        };
        self.revision += 1;
        object["metadata"]["uid"] = uid;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        self.objects.insert(id.clone(), object.clone());
        self.history.push(Change {
            revision: self.revision,
            id,
            kind,
            object: object.clone(),
        });
        object
    }

    fn erase(&mut self, id: &Id) {
        if let Some(mut object) = self.objects.remove(id) {
            self.revision += 1;
            object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
            let (revision, id) = (self.revision, id.clone());
            self.history.push(Change {
                revision,
                id,
                kind: "DELETED",
                object,
            });
        }
    }

    fn perform(&mut self, method: &Method, target: &Target, body: &Value) -> Reply {
        let id = target.id(body);
        let known = self.objects.get(&id).cloned();
        match (method, known) {
            (&Method::GET, _) if target.name.is_empty() => self.list(target),
            (&Method::POST, Some(_)) => failure(409, "AlreadyExists"),
            (&Method::POST, None) => success(StatusCode::CREATED, &self.store(id, body.clone())),
            (_, None) => failure(404, "NotFound"),
            (&Method::GET, Some(known)) => success(StatusCode::OK, &known),
            (&Method::DELETE, Some(known)) => {
                let uid = &body["preconditions"]["uid"];
                if !uid.is_null() && *uid != known["metadata"]["uid"] {
                    return failure(409, "Conflict");
                }
                self.erase(&id);
                success(
                    StatusCode::OK,
                    &json!({ "kind": "Status", "status": "Success" }),
                )
            }
            (method, Some(known)) => {
                for precondition in ["uid", "resourceVersion"] {
                    let asked = &body["metadata"][precondition];
                    if !asked.is_null() && *asked != known["metadata"][precondition] {
                        return failure(409, "Conflict");
                    }
                }
                let mut object = known.clone();
                if target.subresource == "status" {
                    object["status"] = body["status"].clone();
                    if let (Some(field), Some(status)) =
                        (self.pruned, object["status"].as_object_mut())
                    {
                        status.remove(field);
                    }
                } else if method == Method::PUT {
                    object = body.clone();
                } else {
                    merge(&mut object, body);
                }
                if object == known {
                    return success(StatusCode::OK, &known);
                }
                success(StatusCode::OK, &self.store(id, object))
            }
        }
    }

    fn list(&self, target: &Target) -> Reply {
        let items: Vec<&Value> = self
            .objects
            .iter()
            .filter(|(id, object)| target.covers(id) && target.selects(object))
            .map(|(_, object)| object)
            .collect();
        let revision = self.revision.to_string();
        success(
            StatusCode::OK,
            &json!({ "metadata": { "resourceVersion": revision }, "items": items }),
        )
    }
}

struct Target {
    plural: String,
    namespace: String,
    name: String,
    subresource: String,
    query: BTreeMap<String, String>,
}

impl Target {
    fn parse(path: &str, query: &str) -> Self {
        let mut parts = path.split('/').skip(1);
        let groups = if parts.next() == Some("apis") { 2 } else { 1 };
        let mut parts = parts.skip(groups).peekable();
        let namespace = match parts.peek() {
            Some(&"namespaces") => parts.nth(1).unwrap_or_default(),
            _ => "",
        };
        let mut next = || parts.next().unwrap_or_default().to_owned();
        let query = query.split('&').filter_map(|pair| pair.split_once('='));
        Self {
            namespace: namespace.to_owned(),
            plural: next(),
            name: next(),
            subresource: next(),
            query: query
                .map(|(k, v)| (k.to_owned(), v.replace("%3D", "=").replace("%2C", ",")))
                .collect(),
        }
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    fn is_watch(&self) -> bool {
        self.parameter("watch").is_some()
    }

    fn line(&self, method: &Method) -> String {
        let verb = match *method {
            Method::GET if self.is_watch() => "WATCH",
            Method::GET if self.name.is_empty() => "LIST",
            _ => method.as_str(),
        };
        let what = match self.subresource.as_str() {
            "" => self.plural.clone(),
            subresource => format!("{}/{subresource}", self.plural),
        };
        let whose = match (self.namespace.as_str(), self.name.as_str()) {
            ("", _) => String::new(),
            (namespace, "") => format!(" {namespace}"),
            (namespace, name) => format!(" {namespace}/{name}"),
        };
        format!("{verb} {what}{whose}")
    }

    fn id(&self, body: &Value) -> Id {
        let name = match self.name.as_str() {
            "" => body["metadata"]["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            name => name.to_owned(),
        };
        Id {
            plural: self.plural.clone(),
            namespace: self.namespace.clone(),
            name,
        }
    }

    fn covers(&self, id: &Id) -> bool {
        id.plural == self.plural && (self.namespace.is_empty() || id.namespace == self.namespace)
    }

    fn selects(&self, object: &Value) -> bool {
        let selector = self.parameter("labelSelector").unwrap_or_default();
        selector
            .split(',')
            .filter(|part| !part.is_empty())
            .all(|part| match part.split_once('=') {
                Some((label, value)) => object["metadata"]["labels"][label] == value,
                None => !object["metadata"]["labels"][part].is_null(),
            })
    }
}

fn id_of(plural: &str, object: &Value) -> Id {
    let text = |name| {
        object["metadata"][name]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    Id {
        plural: plural.to_owned(),
        namespace: text("namespace"),
        name: text("name"),
    }
}

fn merge(object: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    for (name, value) in patch {
        match value {
            Value::Null => {
                object.as_object_mut().unwrap().remove(name);
            }
            value => merge(&mut object[name], value),
        }
    }
}

fn success(code: StatusCode, body: &Value) -> Reply {
    reply(code, body)
}

fn failure(code: u16, reason: &str) -> Reply {
    reply(StatusCode::from_u16(code).unwrap(), &status(code, reason))
}

fn status(code: u16, reason: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "code": code, "reason": reason, "message": format!("{reason} by the test"),
    })
}

fn reply(code: StatusCode, body: &Value) -> Reply {
    let body = Full::from(body.to_string());
    Response::builder()
        .status(code)
        .body(UnsyncBoxBody::new(body))
        .unwrap()
}

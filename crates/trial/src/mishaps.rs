//! A client between an operator and the API that makes one of the operator's calls go wrong.

use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, BodyStream, Full, StreamBody};
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tower::{BoxError, Service};

/// How far apart the tried points of a life are that costs little.
pub const USUAL_STEP: usize = 40;

/// How a call goes wrong, or a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mishap {
    /// It is refused for what is said to have changed meanwhile, and nothing is done.
    Conflict,
    /// It is refused by a server that has too much to do.
    TooMany,
    /// It is refused by a server that is broken.
    Broken,
    /// It is carried out, and answered as if it had not been.
    AnswerLost,
    /// It is carried out twice.
    Doubled,
    /// The operator dies before it is sent.
    DiesBefore,
    /// The operator dies after it was carried out, and before it is answered.
    DiesAfter,
    /// A list is answered with how things were before the first application.
    OldList,
    /// A watch breaks, and what it had to say is lost with it.
    WatchBreaks,
    /// The same, and the next watch is told that it begins too long ago.
    WatchExpires,
}

impl Mishap {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Conflict,
        Self::TooMany,
        Self::Broken,
        Self::AnswerLost,
        Self::Doubled,
        Self::DiesBefore,
        Self::DiesAfter,
        Self::OldList,
        Self::WatchBreaks,
        Self::WatchExpires,
    ];

    /// Which calls it can befall: a read that is carried out is nothing to anybody else.
    pub fn befalls(self, call: &Call) -> bool {
        if call.is_event() {
            return false;
        }
        match self {
            Self::TooMany | Self::Broken | Self::DiesBefore => true,
            Self::Conflict | Self::AnswerLost | Self::Doubled | Self::DiesAfter => call.is_write(),
            Self::OldList => call.is_list(),
            Self::WatchBreaks | Self::WatchExpires => false,
        }
    }

    /// Whether it befalls what a watch says, and no call.
    fn befalls_watches(self) -> bool {
        matches!(self, Self::WatchBreaks | Self::WatchExpires)
    }
}

/// A call of an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The method of the request.
    pub method: Method,
    /// The path, without the query.
    pub path: String,
    watches: bool,
}

impl Call {
    /// Whether it may change something. An exec is one: what it starts may change a lot.
    pub fn is_write(&self) -> bool {
        self.method != Method::GET || self.path.ends_with("/exec")
    }

    /// Whether it asks for all objects of a kind in a namespace.
    fn is_list(&self) -> bool {
        let mut parts = self.path.trim_start_matches('/').split('/');
        let version = if parts.next() == Some("api") { 1 } else { 2 };
        self.method == Method::GET && !self.watches && parts.count() == version + 3
    }

    /// Events are told beside the work, in their own time.
    pub fn is_event(&self) -> bool {
        self.path.starts_with("/apis/events.k8s.io/")
    }
}

/// What befalls an operator, and what it has called.
#[derive(Debug, Default)]
pub struct Script {
    /// The mishap, and at which of the calls it can befall it does, or of the pieces that watches
    /// have brought, from 1.
    pub mishap: Option<(Mishap, usize)>,
    /// How much later than it is sent a call may arrive.
    pub delay: Duration,
    /// Whether nothing can be told.
    pub no_events: bool,
    /// The calls there were.
    pub calls: Mutex<Vec<Call>>,
    /// How many pieces watches have brought.
    pub seen: AtomicUsize,
    /// The revision from before the first application.
    pub past: OnceLock<String>,
    /// Whether the next watch is told that it begins too long ago.
    pub expires: AtomicBool,
    /// Cancelled when the operator has to die.
    pub death: CancellationToken,
}

/// How many points a sweep of `make test` tries.
const SAMPLE: usize = 5;

/// Scripts for the mishaps at the points of a life that went well: of the calls that somebody
/// finds worth it, and of what watches have said.
///
/// `WINDLASS_SWEEP=1` is all of them. A number N is every N-th read and piece of a watch, and
/// every (N / 4)-th write, since reads are most of the calls and much alike. `WINDLASS_SWEEP=usual`, which
/// `make sweep` says, is N = `usual`; without, as in `make test`, a few of these are tried, which differ from
/// sweep to sweep.
pub fn scripts(life: &Script, usual: usize, is_tried: impl Fn(&Call) -> bool) -> Vec<Arc<Script>> {
    let said = std::env::var("WINDLASS_SWEEP");
    let every = match said.as_deref() {
        Err(_) | Ok("usual") => usual,
        Ok(text) => text.parse().expect("WINDLASS_SWEEP is a number, or usual"),
    };
    let calls = life.calls.lock();
    let mut scripts = Vec::new();
    // Each mishap begins elsewhere, so that together they come to most of the points.
    for (offset, mishap) in Mishap::ALL.into_iter().enumerate() {
        let befallen = calls.iter().filter(|call| mishap.befalls(call));
        let tried = (1..).zip(befallen).filter(|(_, call)| is_tried(call));
        let (writes, reads): (Vec<_>, Vec<_>) = tried.partition(|(_, call)| call.is_write());
        let pieces = if mishap.befalls_watches() {
            life.seen.load(Ordering::Relaxed)
        } else {
            0
        };
        let some = |points: Vec<usize>, step: usize| {
            let first = offset % step.clamp(1, points.len().max(1));
            points.into_iter().skip(first).step_by(step.max(1))
        };
        let numbers = |calls: Vec<(usize, &Call)>| calls.into_iter().map(|(at, _)| at).collect();
        let points = some(numbers(writes), every / 4)
            .chain(some(numbers(reads), every))
            .chain(some((1..=pieces).collect(), every));
        scripts.extend(points.map(|at| {
            Arc::new(Script {
                mishap: Some((mishap, at)),
                ..Script::default()
            })
        }));
    }
    if said.is_err() && scripts.len() > SAMPLE {
        let all = scripts.len();
        let sampled = (0..SAMPLE).map(|number| (number * all / SAMPLE + usual) % all);
        return sampled.map(|at| Arc::clone(&scripts[at])).collect();
    }
    scripts
}

/// Lives a life under each script, some at a time. What was wrong comes with the calls that led
/// there, and is printed at once: a sweep of all points takes an hour, and says every hundred how far it is.
pub async fn complaints<F>(
    scripts: Vec<Arc<Script>>,
    at_once: usize,
    live: impl Fn(Arc<Script>) -> F,
) -> Vec<String>
where
    F: Future<Output = Option<String>>,
{
    let (live, all, lived) = (&live, scripts.len(), &AtomicUsize::new(0));
    futures::stream::iter(scripts)
        .map(|script| async move {
            let complaint = live(Arc::clone(&script)).await;
            let lived = lived.fetch_add(1, Ordering::Relaxed) + 1;
            if lived.is_multiple_of(100) {
                println!("{lived} of {all} points");
            }
            let complaint = complaint?;
            let calls = script.calls.lock();
            let calls: Vec<String> = calls.iter().map(|call| format!("  {call:?}")).collect();
            let calls = calls.join("\n");
            let told = format!("{:?}: {complaint}\n{calls}", script.mishap);
            println!("{told}");
            Some(told)
        })
        .buffer_unordered(at_once)
        .filter_map(std::future::ready)
        .collect()
        .await
}

impl Script {
    /// A client for the operator of this script.
    pub fn client(self: &Arc<Self>, inner: kube::Client) -> kube::Client {
        let meddler = Meddler {
            inner,
            script: Arc::clone(self),
        };
        kube::Client::new(meddler, "default")
    }

    /// How many calls there were that the mishap could befall.
    pub fn count(&self, mishap: Mishap) -> usize {
        let calls = self.calls.lock();
        calls.iter().filter(|call| mishap.befalls(call)).count()
    }

    /// Notes the call, and says what befalls it.
    fn note(&self, call: Call) -> (Option<Mishap>, Duration) {
        let due = self.mishap.filter(|(mishap, _)| mishap.befalls(&call));
        let refused = self.no_events && call.is_event();
        let mut calls = self.calls.lock();
        calls.push(call);
        let number = u64::try_from(calls.len()).unwrap();
        let delay = self.delay.mul_f64((number * 7919 % 13) as f64 / 12.0);
        drop(calls);
        let due = due.filter(|(mishap, number)| self.count(*mishap) == *number);
        let mishap = due.map(|(mishap, _)| mishap);
        (mishap.or(refused.then_some(Mishap::Broken)), delay)
    }

    /// Whether a watch breaks instead of bringing its next piece.
    fn breaks(&self) -> bool {
        let number = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
        let due = self
            .mishap
            .filter(|(mishap, at)| mishap.befalls_watches() && *at == number);
        if let Some((mishap, _)) = due {
            let expires = mishap == Mishap::WatchExpires;
            self.expires.store(expires, Ordering::Relaxed);
        }
        due.is_some()
    }

    /// The answer to a watch, up to where it breaks.
    fn watched(self: &Arc<Self>, answer: Response<Body>) -> Response<Answer> {
        let script = Arc::clone(self);
        answer.map(|body| {
            let pieces = BodyStream::new(body).map(move |piece| match piece {
                Ok(_) if script.breaks() => Err(BoxError::from("the connection broke")),
                piece => piece.map_err(BoxError::from),
            });
            StreamBody::new(pieces).boxed_unsync()
        })
    }
}

/// What the operator's client gets to read.
type Answer = UnsyncBoxBody<Bytes, BoxError>;

fn whole(answer: Response<Body>) -> Response<Answer> {
    answer.map(|body| body.map_err(BoxError::from).boxed_unsync())
}

#[derive(Clone)]
struct Meddler {
    inner: kube::Client,
    script: Arc<Script>,
}

impl Service<Request<Body>> for Meddler {
    type Response = Response<Answer>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Self { inner, script } = self.clone();
        async move {
            let call = Call {
                method: request.method().clone(),
                path: request.uri().path().to_owned(),
                watches: has(&request, "watch"),
            };
            let watches = call.watches;
            let (mishap, delay) = script.note(call);
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            if watches && mishap.is_none() {
                if script.expires.swap(false, Ordering::Relaxed) {
                    return Ok(error(StatusCode::GONE, "Expired"));
                }
                return Ok(script.watched(inner.send(request).await?));
            }
            match mishap {
                None => Ok(whole(inner.send(request).await?)),
                Some(Mishap::Conflict) => Ok(error(StatusCode::CONFLICT, "Conflict")),
                Some(Mishap::TooMany) => {
                    Ok(error(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests"))
                }
                Some(Mishap::Broken) => Ok(error(BROKEN, "InternalError")),
                Some(Mishap::AnswerLost) => {
                    carry_out(&inner, request).await?;
                    Ok(error(StatusCode::GATEWAY_TIMEOUT, "Timeout"))
                }
                Some(Mishap::Doubled) => {
                    let (head, body) = request.into_parts();
                    let body = body.collect_bytes().await?;
                    let again = Request::from_parts(head.clone(), Body::from(body.clone()));
                    let first = inner
                        .send(Request::from_parts(head, Body::from(body)))
                        .await;
                    carry_out(&inner, again).await?;
                    Ok(whole(first?))
                }
                Some(Mishap::DiesBefore) => {
                    script.death.cancel();
                    pending().await
                }
                Some(Mishap::DiesAfter) => {
                    carry_out(&inner, request).await?;
                    script.death.cancel();
                    pending().await
                }
                Some(Mishap::OldList) => {
                    let past = script.past.get().expect("the past is known");
                    Ok(whole(inner.send(as_of(request, past)).await?))
                }
                Some(Mishap::WatchBreaks | Mishap::WatchExpires) => {
                    unreachable!("no call is befallen by it")
                }
            }
        }
        .boxed()
    }
}

const BROKEN: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;

/// Sends a request whose answer nobody gets to know.
async fn carry_out(client: &kube::Client, request: Request<Body>) -> Result<(), BoxError> {
    let answer = client.send(request).await?;
    answer.into_body().collect_bytes().await?;
    Ok(())
}

fn has(request: &Request<Body>, parameter: &str) -> bool {
    let query = request.uri().query().unwrap_or_default();
    query
        .split('&')
        .any(|one| one.split('=').next() == Some(parameter))
}

/// The same list, as it was at an earlier revision.
fn as_of(mut request: Request<Body>, revision: &str) -> Request<Body> {
    let uri = request.uri();
    let kept = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|one| !one.is_empty() && !one.starts_with("resourceVersion"));
    let at = format!("resourceVersion={revision}");
    let query: Vec<&str> = kept.chain([&*at, "resourceVersionMatch=Exact"]).collect();
    let text = format!("{}?{}", uri.path(), query.join("&"));
    *request.uri_mut() = text.parse().expect("it was a URI before");
    request
}

fn error(code: StatusCode, reason: &str) -> Response<Answer> {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure",
        "code": code.as_u16(), "message": "a mishap", "reason": reason,
    });
    let body = Full::from(status.to_string().into_bytes()).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = code;
    response
}

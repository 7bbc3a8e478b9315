//! A client between an operator and the API that makes one of the operator's calls go wrong.

use std::future::pending;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use http::{Method, Request, Response, StatusCode};
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tower::{BoxError, Service};

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// It is refused, and nothing is done.
    Refused,
    /// It is carried out, and answered as if it had not been.
    AnswerLost,
    /// It is carried out twice.
    Doubled,
    /// The operator dies before it is sent.
    DiesBefore,
    /// The operator dies after it was carried out, and before it is answered.
    DiesAfter,
}

impl Mishap {
    pub(crate) const ALL: [Self; 5] = [
        Self::Refused,
        Self::AnswerLost,
        Self::Doubled,
        Self::DiesBefore,
        Self::DiesAfter,
    ];

    /// Which calls it can befall: a read that is carried out is nothing to anybody else.
    pub(crate) fn befalls(self, call: &Call) -> bool {
        let any = matches!(self, Self::Refused | Self::DiesBefore);
        !call.is_event() && (any || call.is_write())
    }
}

/// A call of an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    method: Method,
    pub(crate) path: String,
}

impl Call {
    pub(crate) fn is_write(&self) -> bool {
        self.method != Method::GET
    }

    /// Whether it makes, removes or lists whole applications.
    pub(crate) fn is_for_runs(&self) -> bool {
        let creates = self.method == Method::POST && self.path.ends_with("/sparkapplications");
        let applications = self.path.contains("/sparkapplications");
        creates || (applications && self.method == Method::DELETE)
    }

    /// Events are told beside the work, in their own time.
    pub(crate) fn is_event(&self) -> bool {
        self.path.starts_with("/apis/events.k8s.io/")
    }
}

/// What befalls an operator, and what it has called.
#[derive(Debug, Default)]
pub(crate) struct Script {
    /// The mishap, and at which of the calls it can befall it does, from 1.
    pub(crate) mishap: Option<(Mishap, usize)>,
    /// How much later than it is sent a call may arrive.
    pub(crate) delay: Duration,
    /// Whether nothing can be told.
    pub(crate) no_events: bool,
    /// The calls there were.
    pub(crate) calls: Mutex<Vec<Call>>,
    /// Cancelled when the operator has to die.
    pub(crate) death: CancellationToken,
}

/// A script for every mishap at each of the calls it befalls that are tried. `is_tried` is given a
/// call and its number among those that the mishap befalls, from 1.
pub(crate) fn scripts(calls: &[Call], is_tried: impl Fn(&Call, usize) -> bool) -> Vec<Arc<Script>> {
    let mishaps = Mishap::ALL.into_iter().flat_map(|mishap| {
        let befallen = calls.iter().filter(move |call| mishap.befalls(call));
        let is_tried = &is_tried;
        (1..)
            .zip(befallen)
            .filter(move |(number, call)| is_tried(call, *number))
            .map(move |(number, _)| (mishap, number))
    });
    let scripts = mishaps.map(|mishap| {
        Arc::new(Script {
            mishap: Some(mishap),
            ..Script::default()
        })
    });
    scripts.collect()
}

/// Lives a life under each script, some at a time. What was wrong comes with the calls that led
/// there.
pub(crate) async fn complaints<F>(
    scripts: Vec<Arc<Script>>,
    at_once: usize,
    live: impl Fn(Arc<Script>) -> F,
) -> Vec<String>
where
    F: Future<Output = Option<String>>,
{
    let live = &live;
    futures::stream::iter(scripts)
        .map(|script| async move {
            let complaint = live(Arc::clone(&script)).await?;
            let calls = script.calls.lock();
            let calls: Vec<String> = calls.iter().map(|call| format!("  {call:?}")).collect();
            let calls = calls.join("\n");
            Some(format!("{:?}: {complaint}\n{calls}", script.mishap))
        })
        .buffer_unordered(at_once)
        .filter_map(std::future::ready)
        .collect()
        .await
}

impl Script {
    /// A client for the operator of this script.
    pub(crate) fn client(self: &Arc<Self>, inner: kube::Client) -> kube::Client {
        let meddler = Meddler {
            inner,
            script: Arc::clone(self),
        };
        kube::Client::new(meddler, "default")
    }

    /// How many calls there were that the mishap could befall.
    pub(crate) fn count(&self, mishap: Mishap) -> usize {
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
        (mishap.or(refused.then_some(Mishap::Refused)), delay)
    }
}

#[derive(Clone)]
struct Meddler {
    inner: kube::Client,
    script: Arc<Script>,
}

impl Service<Request<Body>> for Meddler {
    type Response = Response<Body>;
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
            };
            let (mishap, delay) = script.note(call);
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            match mishap {
                None => Ok(inner.send(request).await?),
                Some(Mishap::Refused) => Ok(error(StatusCode::INTERNAL_SERVER_ERROR)),
                Some(Mishap::AnswerLost) => {
                    inner
                        .send(request)
                        .await?
                        .into_body()
                        .collect_bytes()
                        .await?;
                    Ok(error(StatusCode::GATEWAY_TIMEOUT))
                }
                Some(Mishap::Doubled) => {
                    let (head, body) = request.into_parts();
                    let body = body.collect_bytes().await?;
                    let again = Request::from_parts(head.clone(), Body::from(body.clone()));
                    let first = inner
                        .send(Request::from_parts(head, Body::from(body)))
                        .await;
                    inner.send(again).await?.into_body().collect_bytes().await?;
                    Ok(first?)
                }
                Some(Mishap::DiesBefore) => {
                    script.death.cancel();
                    pending().await
                }
                Some(Mishap::DiesAfter) => {
                    inner
                        .send(request)
                        .await?
                        .into_body()
                        .collect_bytes()
                        .await?;
                    script.death.cancel();
                    pending().await
                }
            }
        }
        .boxed()
    }
}

fn error(code: StatusCode) -> Response<Body> {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure",
        "code": code.as_u16(), "message": "a mishap", "reason": "InternalError",
    });
    let mut response = Response::new(Body::from(status.to_string().into_bytes()));
    *response.status_mut() = code;
    response
}

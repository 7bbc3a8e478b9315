//! One container's log, from the cluster to the shelf, until there is no more of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::AsyncReadExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::lines::Cutter;
use super::pieces::{Phase, Piece, Upkeep, upkeep};
use super::shelf::{About, Added, End, Held, PlaceError, Shelf, Slot};
use super::{EVERY, SEGMENT};

/// How long to wait before the next connection after one that ended.
const AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(4));
/// How long to wait after trouble: at first, and at most.
const TROUBLE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// One container's log.
pub(super) struct Copy {
    pub(super) pods: Api<Pod>,
    pub(super) shelf: Shelf,
    pub(super) slot: Slot,
    pub(super) about: About,
    /// How many bytes of it are kept.
    pub(super) limit: u64,
    /// How many logs have their pieces joined at the same time.
    pub(super) joining: Arc<Semaphore>,
    /// What is still being kept when nobody waits for it here any more.
    pub(super) last_words: TaskTracker,
}

/// How a connection ended.
enum Progress {
    /// There is nothing more to come, and all of it is kept.
    End,
    /// That is said already.
    Ended,
    /// The pod is gone: what has been copied is all there will be.
    Gone,
    /// It goes on.
    More(Close),
    /// It goes on, and the times of its lines do not tell what of it is kept.
    Lost,
}

/// How a connection was closed that gives no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Close {
    /// By the node, after a whole line: the container has printed no more, or the pod is still there.
    Cleanly,
    /// In any other way.
    Abruptly,
}

/// How it is known what of a connection is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guide {
    Times,
    Contents,
}

/// Why a log is not copied now.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    /// The cluster does not give it.
    #[error("the log cannot be read: {0}")]
    Cluster(#[from] kube::Error),
    /// It cannot be kept.
    #[error("the log cannot be kept: {0}")]
    Place(#[from] PlaceError),
}

impl Copy {
    /// Copies until the container has ended and all of it is kept, or its pod is gone. Trouble is told, and
    /// waited for to end.
    pub(super) async fn run(&self, told: impl Fn(Option<String>)) {
        let mut pause = TROUBLE.0;
        let mut again = AGAIN.0;
        let mut guide = Guide::Times;
        let mut closed = Close::Abruptly;
        loop {
            let since = Instant::now();
            match self.connection(guide, &told).await {
                Ok(Progress::Ended) => {
                    told(None);
                    return self.tidy_up().await;
                }
                Ok(progress @ (Progress::End | Progress::Gone)) => {
                    // Executors are gone soon after their last words, often before their end can be seen.
                    let end = match (progress, closed) {
                        (Progress::Gone, Close::Abruptly) => End::CutOff,
                        _ => End::Whole,
                    };
                    match self.shelf.end(&self.slot, end).await {
                        Ok(()) => {
                            told(None);
                            return self.tidy_up().await;
                        }
                        Err(error) => told(Some(CopyError::from(error).to_string())),
                    }
                    tokio::time::sleep(pause).await;
                }
                Ok(Progress::More(close)) => {
                    (pause, guide, closed) = (TROUBLE.0, Guide::Times, close);
                    told(None);
                    // A container that starts and ends all the time is not asked all the time.
                    again = if since.elapsed() > EVERY {
                        AGAIN.0
                    } else {
                        (again * 2).min(AGAIN.1)
                    };
                    tokio::time::sleep(again).await;
                    continue;
                }
                Ok(Progress::Lost) => {
                    guide = Guide::Contents;
                    continue;
                }
                Err(error) => {
                    // What cannot be read any more has been read before.
                    if let CopyError::Place(_) = error {
                        closed = Close::Abruptly;
                    }
                    told(Some(error.to_string()));
                    tokio::time::sleep(pause).await;
                }
            }
            pause = (pause * 2).min(TROUBLE.1);
        }
    }

    /// Copies what one connection gives.
    async fn connection(
        &self,
        guide: Guide,
        told: &impl Fn(Option<String>),
    ) -> Result<Progress, CopyError> {
        let held = self.shelf.held(&self.slot).await?;
        if held.end.is_some() {
            return Ok(Progress::Ended);
        }
        if !held.is_described {
            self.shelf.open(&self.slot, &self.about).await?;
        }
        let reached = match self.shelf.reached(&self.slot, &held).await {
            Err(PlaceError::Absent) => return Ok(Progress::More(Close::Abruptly)),
            reached => reached?,
        };
        let pod = self.pods.get_opt(&self.about.pod).await?;
        let Some(pod) = pod.filter(|pod| pod.metadata.uid.as_deref() == Some(&*self.slot.uid))
        else {
            return Ok(Progress::Gone);
        };
        let had_ended = has_ended(&pod, &self.about.container);
        let by_contents = guide == Guide::Contents || reached.is_ahead_of(Timestamp::now());
        let (cutter, since) = if by_contents {
            match self.shelf.known(&self.slot, &held).await {
                Err(PlaceError::Absent) => return Ok(Progress::More(Close::Abruptly)),
                known => (Cutter::among(known?), None),
            }
        } else {
            (Cutter::resume(reached), reached.since())
        };
        let params = LogParams {
            follow: true,
            timestamps: true,
            container: Some(self.about.container.clone()),
            since_time: since,
            ..LogParams::default()
        };
        let mut stream = std::pin::pin!(self.pods.log_stream(&self.about.pod, &params).await?);
        told(None);
        let mut rest = Rest {
            copy: self,
            cutter,
            under_way: None,
            number: held.next(),
            held,
        };
        let mut buffer = vec![0; 16 << 10];
        let mut due: Option<Instant> = None;
        let is_clean = loop {
            let late = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let is_late = tokio::select! {
                read = stream.read(&mut buffer) => match read {
                    Ok(0) => break true,
                    Ok(count) => {
                        rest.cutter.take(&buffer[..count]);
                        rest.cutter.waiting() >= SEGMENT
                    }
                    Err(_) => break false,
                },
                () = late => true,
            };
            if rest.cutter.is_lost() {
                return Ok(Progress::Lost);
            }
            if is_late {
                due = None;
                if rest.keep(told).await? == Added::Taken {
                    return Ok(Progress::More(Close::Abruptly));
                }
            } else if due.is_none() && rest.cutter.waiting() > 0 {
                due = Some(Instant::now() + EVERY);
            }
        };
        let is_over = is_clean && had_ended;
        if is_over {
            rest.cutter.finish();
            if rest.cutter.is_lost() {
                return Ok(Progress::Lost);
            }
        }
        if rest.keep(told).await? == Added::Taken {
            return Ok(Progress::More(Close::Abruptly));
        }
        Ok(if is_over {
            Progress::End
        } else if is_clean && !rest.cutter.is_within_a_line() {
            Progress::More(Close::Cleanly)
        } else {
            Progress::More(Close::Abruptly)
        })
    }

    /// Joins what is left in small pieces when no more come. What cannot be done is left: it can be read.
    async fn tidy_up(&self) {
        let done = async {
            let mut held = self.shelf.held(&self.slot).await?;
            if upkeep(&held.pieces, self.limit, Phase::Over).is_empty() {
                return Ok(());
            }
            let _permit = self.joining.acquire().await;
            self.tidy(&mut held, Phase::Over).await
        };
        if let Err(error) = done.await {
            tracing::debug!(pod = self.about.pod, %error, "the pieces of a log are not joined");
        }
    }

    /// Does what is to be done about the pieces of the log.
    async fn tidy(&self, held: &mut Held, phase: Phase) -> Result<(), PlaceError> {
        for step in upkeep(&held.pieces, self.limit, phase) {
            match step {
                Upkeep::Delete(piece) => {
                    self.shelf.remove(&self.slot, &piece).await?;
                    held.pieces.retain(|it| *it != piece);
                }
                Upkeep::Join(parts) => {
                    let Some(joined) = self.shelf.join(&self.slot, &parts).await? else {
                        // Somebody else has.
                        *held = self.shelf.held(&self.slot).await?;
                        return Ok(());
                    };
                    held.pieces.retain(|it| !parts.contains(it));
                    held.pieces.push(joined);
                }
            }
        }
        Ok(())
    }
}

/// What a connection has given and is not kept yet.
struct Rest<'a> {
    copy: &'a Copy,
    cutter: Cutter,
    /// What is being kept.
    under_way: Option<Bytes>,
    /// The number of the next segment.
    number: u64,
    held: Held,
}

impl Rest<'_> {
    /// Keeps what waits, however long that takes: it may be all there is of a node that has died.
    async fn keep(&mut self, told: &impl Fn(Option<String>)) -> Result<Added, PlaceError> {
        if self.cutter.waiting() == 0 {
            return Ok(Added::Yes);
        }
        let segment = Bytes::from(self.cutter.cut());
        self.under_way = Some(segment.clone());
        let mut pause = TROUBLE.0;
        let mut had_trouble = false;
        loop {
            let added = self
                .copy
                .shelf
                .add(&self.copy.slot, self.number, segment.clone());
            match added.await {
                Ok(added) => {
                    self.under_way = None;
                    if had_trouble {
                        told(None);
                    }
                    if added == Added::Yes {
                        self.added(segment.len()).await;
                    }
                    return Ok(added);
                }
                // Somebody has taken the folder away: it is begun anew.
                Err(PlaceError::Absent) => return Err(PlaceError::Absent),
                Err(error) => told(Some(CopyError::from(error).to_string())),
            }
            had_trouble = true;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(TROUBLE.1);
        }
    }

    /// A segment more is kept: blocks may be full, or the log too long.
    async fn added(&mut self, size: usize) {
        self.held.pieces.push(Piece {
            first: self.number,
            last: self.number,
            size: u64::try_from(size).unwrap_or(u64::MAX),
            written: Timestamp::now(),
        });
        self.number += 1;
        // It can wait for the next segment, and does so where many logs have something to join.
        let Ok(_permit) = self.copy.joining.try_acquire() else {
            return;
        };
        if let Err(error) = self.copy.tidy(&mut self.held, Phase::Running).await {
            let pod = &self.copy.about.pod;
            tracing::debug!(pod, %error, "the pieces of a log are not joined");
        }
    }
}

impl Drop for Rest<'_> {
    /// An operator that is told to stop may take its node with it, so that this is the last moment.
    fn drop(&mut self) {
        // What was under way may be kept already, and then its number is taken.
        let rest = [self.under_way.take(), Some(self.cutter.cut().into())];
        let rest = rest.into_iter().flatten().filter(|it| !it.is_empty());
        let rest: Vec<(u64, Bytes)> = (self.number..).zip(rest).collect();
        let (shelf, slot) = (self.copy.shelf.clone(), self.copy.slot.clone());
        let pod = self.copy.about.pod.clone();
        let told = move |added: Result<Added, PlaceError>| {
            if let Err(error) = added {
                tracing::warn!(pod, %error, "the last lines are not kept");
            }
        };
        if shelf.is_at_hand() {
            for (number, segment) in rest {
                told(shelf.add_now(&slot, number, &segment));
            }
            return;
        }
        // Without a runtime there is nobody left to do it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let last = async move {
                for (number, segment) in rest {
                    told(shelf.add(&slot, number, segment).await);
                }
            };
            self.copy.last_words.spawn_on(last, &runtime);
        }
    }
}

fn has_ended(pod: &Pod, container: &str) -> bool {
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref());
    let mut statuses = status
        .and_then(|status| status.container_statuses.as_ref())
        .into_iter()
        .flatten()
        .filter(|status| status.name == container)
        .filter_map(|status| status.state.as_ref());
    // One that is started anew goes on under the same name.
    let may_come_back = pod
        .spec
        .as_ref()
        .is_some_and(|spec| spec.restart_policy.as_deref() != Some("Never"));
    matches!(phase, Some("Succeeded" | "Failed"))
        || (!may_come_back && statuses.any(|state| state.terminated.is_some()))
}

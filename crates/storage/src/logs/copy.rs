//! One container's log, from the cluster to the shelf, until there is no more of it.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::AsyncReadExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use tokio::time::Instant;

use super::lines::Cutter;
use super::shelf::{About, Added, Shelf, Slot};
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
}

/// How a connection ended.
enum Progress {
    /// There is nothing more to come.
    End,
    /// It goes on.
    More,
    /// The pod is gone: what has been copied is all there will be.
    Gone,
}

/// Why a log is not copied now.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    /// The cluster does not give it.
    #[error("the log cannot be read: {0}")]
    Cluster(#[from] kube::Error),
    /// It cannot be kept.
    #[error("the log cannot be kept: {0}")]
    Shelf(#[from] io::Error),
}

impl Copy {
    /// Copies until the container has ended and all of it is kept, or its pod is gone. Trouble is told, and
    /// waited for to end.
    pub(super) async fn run(&self, told: impl Fn(Option<String>)) {
        let mut pause = TROUBLE.0;
        let mut again = AGAIN.0;
        loop {
            let since = Instant::now();
            match self.connection(&told).await {
                Ok(Progress::End | Progress::Gone) => {
                    match self.on_shelf(|shelf, slot| shelf.end(slot)).await {
                        Ok(()) => return told(None),
                        Err(error) => told(Some(CopyError::from(error).to_string())),
                    }
                    tokio::time::sleep(pause).await;
                }
                Ok(Progress::More) => {
                    pause = TROUBLE.0;
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
                Err(error) => {
                    told(Some(error.to_string()));
                    tokio::time::sleep(pause).await;
                }
            }
            pause = (pause * 2).min(TROUBLE.1);
        }
    }

    /// Copies what one connection gives.
    async fn connection(&self, told: &impl Fn(Option<String>)) -> Result<Progress, CopyError> {
        let about = self.about.clone();
        let reached = self.on_shelf(move |shelf, slot| {
            if shelf.is_ended(slot) {
                return Ok(None);
            }
            shelf.open(slot, &about)?;
            shelf.reached(slot).map(Some)
        });
        let Some((reached, number)) = reached.await? else {
            return Ok(Progress::End);
        };
        let pod = self.pods.get_opt(&self.about.pod).await?;
        let Some(pod) = pod.filter(|pod| pod.metadata.uid.as_deref() == Some(&*self.slot.uid))
        else {
            return Ok(Progress::Gone);
        };
        let had_ended = has_ended(&pod, &self.about.container);
        let params = LogParams {
            follow: true,
            timestamps: true,
            container: Some(self.about.container.clone()),
            since_time: reached.since(),
            ..LogParams::default()
        };
        let mut stream = std::pin::pin!(self.pods.log_stream(&self.about.pod, &params).await?);
        told(None);
        let mut rest = Rest {
            copy: self,
            cutter: Cutter::resume(reached),
            number,
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
            if is_late {
                due = None;
                if rest.keep(told).await? == Added::Taken {
                    return Ok(Progress::More);
                }
            } else if due.is_none() && rest.cutter.waiting() > 0 {
                due = Some(Instant::now() + EVERY);
            }
        };
        let is_over = is_clean && had_ended;
        if is_over {
            rest.cutter.finish();
        }
        if rest.keep(told).await? == Added::Taken {
            return Ok(Progress::More);
        }
        Ok(if is_over {
            Progress::End
        } else {
            Progress::More
        })
    }

    async fn on_shelf<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shelf, &Slot) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (shelf, slot) = (self.shelf.clone(), self.slot.clone());
        let done = tokio::task::spawn_blocking(move || work(&shelf, &slot)).await;
        done.map_err(io::Error::other)?
    }
}

/// What a connection has given and is not kept yet.
struct Rest<'a> {
    copy: &'a Copy,
    cutter: Cutter,
    /// The number of the next segment.
    number: u64,
}

impl Rest<'_> {
    /// Keeps what waits, however long that takes: it may be all there is of a node that has died.
    async fn keep(&mut self, told: &impl Fn(Option<String>)) -> io::Result<Added> {
        if self.cutter.waiting() == 0 {
            return Ok(Added::Yes);
        }
        let segment = Bytes::from(self.cutter.cut());
        let number = self.number;
        let mut pause = TROUBLE.0;
        let mut had_trouble = false;
        loop {
            let bytes = segment.clone();
            let added = self
                .copy
                .on_shelf(move |shelf, slot| shelf.add(slot, number, &bytes));
            match added.await {
                Ok(added) => {
                    self.number += 1;
                    if had_trouble {
                        told(None);
                    }
                    return Ok(added);
                }
                // Somebody has taken the folder away: it is begun anew.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(error),
                Err(error) => told(Some(CopyError::from(error).to_string())),
            }
            had_trouble = true;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(TROUBLE.1);
        }
    }
}

impl Drop for Rest<'_> {
    /// An operator that is told to stop may take its node with it, so that this is the last moment.
    fn drop(&mut self) {
        let segment = self.cutter.cut();
        if !segment.is_empty()
            && let Err(error) = self.copy.shelf.add(&self.copy.slot, self.number, &segment)
        {
            tracing::warn!(pod = self.copy.about.pod, %error, "the last lines are not kept");
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

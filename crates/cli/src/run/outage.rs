//! A cluster that does not answer while an application is followed.
//!
//! A job goes on without its control plane, so losing sight of it is no result. The cluster is
//! waited for, and only when it stays away does following end, and say so.

use std::fmt;
use std::time::Duration;

use kube::Client;
use kube::runtime::utils::Backoff;

use super::follow::Target;
use crate::exit::Failure;

/// How long one look may take.
const LOOK: Duration = Duration::from_secs(2);
/// How long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between two tries of a watch.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Whether the cluster answers; a refusal is an answer too.
pub async fn answers(client: &Client) -> bool {
    matches!(
        tokio::time::timeout(LOOK, client.apiserver_version()).await,
        Ok(Ok(_) | Err(kube::Error::Api(_)))
    )
}

/// Waits until the cluster answers, for as long as `patience`; tells whether it does.
pub async fn until_over(client: Client, patience: Duration) -> bool {
    let over = async {
        while !answers(&client).await {
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(patience, over).await.is_ok()
}

/// What is said when it begins.
pub fn beginning(patience: Duration) -> impl fmt::Display {
    format!(
        "the cluster does not answer; waiting up to {} s for it to come back",
        patience.as_secs()
    )
}

/// What is said when it has lasted for too long.
pub fn lasting(target: &Target) -> Failure {
    Failure::cluster(format!(
        "the cluster has not answered for {} s, so what becomes of {}/{} is not known: it may still be \
         running; once the cluster is back, windlass run --attach follows it, and windlass status tells its state",
        target.patience.as_secs(),
        target.namespace,
        target.name
    ))
}

/// How a watch tries again: soon, since somebody is looking.
#[derive(Debug)]
pub struct Pace(Duration);

impl Default for Pace {
    fn default() -> Self {
        Self(PAUSE)
    }
}

impl Iterator for Pace {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST_PAUSE);
        Some(pause)
    }
}

impl Backoff for Pace {
    fn reset(&mut self) {
        *self = Self::default();
    }
}

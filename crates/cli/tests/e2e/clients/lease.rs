//! Leader election as controllers do it: a Lease that candidates take, renew and take over, each by
//! a write that works only on the state it has read.

use std::fmt::Write as _;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::task::AbortHandle;

use super::{eventually, kube_client};
use crate::common::Up;

const NAME: &str = "the-lease";
/// Whoever has not renewed it for so long has lost it. Long enough for a restart.
const SECONDS: i32 = 8;
/// How often it is renewed or tried.
const TICK: Duration = Duration::from_millis(100);
const CANDIDATES: usize = 6;

/// The transcript of a session.
pub(super) async fn session(up: Up) -> String {
    let client = kube_client(&up).await;
    let leases: Api<Lease> = Api::default_namespaced(client.clone());
    let mut told = String::new();
    let mut candidates: Vec<(String, AbortHandle)> = (0..CANDIDATES)
        .map(|number| {
            let name = format!("candidate-{number}");
            let task = tokio::spawn(stand(client.clone(), name.clone()));
            (name, task.abort_handle())
        })
        .collect();

    let first = holder(&leases, |_| true).await;
    assert!(candidates.iter().any(|(name, _)| *name == first.holder));
    writeln!(told, "taken: transitions {}", first.transitions).unwrap();
    let renewed = holder(&leases, |lease| lease.renewed > first.renewed).await;
    assert_eq!(
        renewed.holder, first.holder,
        "a lease that is renewed stays where it is"
    );
    writeln!(told, "renewed: transitions {}", renewed.transitions).unwrap();

    let up = Up::on(up.kill());
    let after = holder(&leases, |lease| lease.renewed > renewed.renewed).await;
    assert_eq!(
        after.holder, first.holder,
        "a restart is no reason to lose it"
    );
    writeln!(
        told,
        "renewed after a restart: transitions {}",
        after.transitions
    )
    .unwrap();

    let leader = candidates
        .iter()
        .position(|(name, _)| *name == first.holder);
    candidates.remove(leader.unwrap()).1.abort();
    let next = holder(&leases, |lease| lease.holder != first.holder).await;
    assert!(candidates.iter().any(|(name, _)| *name == next.holder));
    writeln!(told, "taken over: transitions {}", next.transitions).unwrap();

    for (_, task) in candidates {
        task.abort();
    }
    drop(up);
    told
}

/// What a lease says.
struct Held {
    holder: String,
    renewed: MicroTime,
    transitions: i32,
}

/// The lease once it is as wanted.
async fn holder(leases: &Api<Lease>, wanted: impl Fn(&Held) -> bool) -> Held {
    eventually("the lease", || async {
        let held = read(leases.get_opt(NAME).await.ok()??)?;
        wanted(&held).then_some(held)
    })
    .await
}

fn read(lease: Lease) -> Option<Held> {
    let spec = lease.spec?;
    Some(Held {
        holder: spec.holder_identity?,
        renewed: spec.renew_time?,
        transitions: spec.lease_transitions?,
    })
}

/// Tries to get and keep the lease, for ever.
async fn stand(client: Client, name: String) {
    let leases: Api<Lease> = Api::default_namespaced(client);
    loop {
        // Somebody else was quicker, or the server is away: the next try will tell.
        let _ = step(&leases, &name).await;
        tokio::time::sleep(TICK).await;
    }
}

async fn step(leases: &Api<Lease>, name: &str) -> kube::Result<()> {
    let now = MicroTime(k8s_openapi::jiff::Timestamp::now());
    let params = PostParams::default();
    let Some(mut lease) = leases.get_opt(NAME).await? else {
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(NAME.to_owned()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(name.to_owned()),
                lease_duration_seconds: Some(SECONDS),
                acquire_time: Some(now.clone()),
                renew_time: Some(now),
                lease_transitions: Some(0),
                ..LeaseSpec::default()
            }),
        };
        return leases.create(&params, &lease).await.map(drop);
    };
    let spec = lease.spec.get_or_insert_default();
    if spec.holder_identity.as_deref() != Some(name) {
        let renewed = spec.renew_time.as_ref();
        let age = renewed.map_or(i64::MAX, |renewed| {
            now.0.as_second() - renewed.0.as_second()
        });
        if age <= i64::from(SECONDS) {
            return Ok(());
        }
        spec.holder_identity = Some(name.to_owned());
        spec.acquire_time = Some(now.clone());
        *spec.lease_transitions.get_or_insert_default() += 1;
    }
    spec.renew_time = Some(now);
    // It carries the revision that was read, so of several who try this one succeeds.
    leases.replace(NAME, &params, &lease).await.map(drop)
}

//! Which pods go first when there are too many.

use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;

use jiff::Timestamp;

use super::is_active;
use crate::life::Stage;
use crate::objects::Pod;
use crate::workloads::claiming::Keyed;

const COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The active pods, those first that will be missed least: without a node, not running, not
/// ready, cheap to delete, on a node with many others, ready for a short time only, often
/// restarted, young.
pub(in crate::workloads) fn first_to_go<'a>(
    own: &[&'a Keyed<Pod>],
    now: Timestamp,
) -> Vec<&'a Keyed<Pod>> {
    let mut active: Vec<_> = own
        .iter()
        .filter(|(_, pod)| is_active(pod))
        .copied()
        .collect();
    let mut neighbours = HashMap::<&str, usize>::new();
    for (_, pod) in &active {
        if let Some(node) = pod.node.as_deref() {
            *neighbours.entry(node).or_default() += 1;
        }
    }
    let crowd = |pod: &Pod| {
        pod.node
            .as_deref()
            .and_then(|node| neighbours.get(node))
            .copied()
            .unwrap_or(0)
    };
    active.sort_by(|(a_key, a), (b_key, b)| {
        let step = |pod: &Pod| {
            let running = match pod.life.stage {
                Stage::Pending => 0,
                Stage::Unknown => 1,
                _ => 2,
            };
            (pod.node.is_some(), running, pod.life.is_ready(), cost(pod))
        };
        step(a)
            .cmp(&step(b))
            .then_with(|| crowd(b).cmp(&crowd(a)))
            .then_with(|| by_age(a.life.ready_since, b.life.ready_since, now))
            .then_with(|| b.life.restarts.cmp(&a.life.restarts))
            .then_with(|| by_age(a.created.parse().ok(), b.created.parse().ok(), now))
            .then_with(|| Reverse(a_key).cmp(&Reverse(b_key)))
    });
    active
}

fn cost(pod: &Pod) -> i32 {
    pod.meta
        .annotation(COST)
        .and_then(|cost| cost.parse().ok())
        .unwrap_or(0)
}

/// The younger first; ages that differ by less than a factor are the same, so that chance spreads
/// deletions over nodes.
fn by_age(a: Option<Timestamp>, b: Option<Timestamp>, now: Timestamp) -> Ordering {
    let magnitude = |since: Option<Timestamp>| {
        since.map(|since| {
            let seconds = now.duration_since(since).as_secs().max(1);
            seconds.unsigned_abs().ilog2()
        })
    };
    magnitude(a).cmp(&magnitude(b))
}

//! Whether a pod fits on a node, and what to say when it fits on none.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Taint, Toleration,
};
use windlass_api::quantity::Quantity;
use windlass_engine::ObjectKey;

use crate::objects::{Labels, Node, Pod};
use crate::resources::Resources;

/// All nodes, with what is still free on them.
pub(super) struct Cluster {
    nodes: BTreeMap<String, Candidate>,
}

struct Candidate {
    node: Arc<Node>,
    free: Resources,
}

/// Why a node does not take a pod.
#[derive(Debug, PartialEq, Eq)]
struct Obstacle {
    /// What is wrong, in the words of kube-scheduler.
    reasons: Vec<String>,
    /// Whether it would help if other pods went away.
    preemption_helps: bool,
}

impl Cluster {
    pub(super) fn new(nodes: &[(ObjectKey, Arc<Node>)]) -> Self {
        let candidates = nodes.iter().map(|(key, node)| {
            let candidate = Candidate {
                node: Arc::clone(node),
                free: node.allocatable.clone(),
            };
            (key.name.to_string(), candidate)
        });
        Self {
            nodes: candidates.collect(),
        }
    }

    /// Takes the pod's share off its node.
    pub(super) fn occupy(&mut self, node: &str, pod: &Pod) {
        if let Some(candidate) = self.nodes.get_mut(node) {
            candidate.free.subtract(&pod.demands.requests);
        }
    }

    /// The node with the most free CPU among those that take the pod, or why there is none.
    pub(super) fn place(&self, pod: &Pod) -> Result<String, String> {
        let mut obstacles = Vec::new();
        let mut best: Option<(Quantity, &String)> = None;
        for (name, candidate) in &self.nodes {
            match candidate.obstacle(name, pod) {
                Some(obstacle) => obstacles.push(obstacle),
                None => {
                    let free = candidate.free.get("cpu");
                    if best.is_none_or(|(most, _)| free > most) {
                        best = Some((free, name));
                    }
                }
            }
        }
        match best {
            Some((_, name)) => Ok(name.clone()),
            None => Err(refusal(&obstacles)),
        }
    }
}

impl Candidate {
    /// The first filter that says no, in the order of kube-scheduler.
    fn obstacle(&self, name: &str, pod: &Pod) -> Option<Obstacle> {
        let demands = &pod.demands;
        if self.node.unschedulable && !tolerates_cordon(&demands.tolerations) {
            return Some(Obstacle::lasting("node(s) were unschedulable".to_owned()));
        }
        if let Some(taint) = untolerated(&self.node.taints, &demands.tolerations) {
            let value = taint.value.as_deref().unwrap_or_default();
            return Some(Obstacle::lasting(format!(
                "node(s) had untolerated taint {{{}: {value}}}",
                taint.key
            )));
        }
        if !self.is_selected(name, pod) {
            return Some(Obstacle::lasting(
                "node(s) didn't match Pod's node affinity/selector".to_owned(),
            ));
        }
        self.shortage(&demands.requests)
    }

    fn is_selected(&self, name: &str, pod: &Pod) -> bool {
        let labels = &self.node.labels;
        let by_labels = pod
            .demands
            .node_selector
            .iter()
            .all(|(label, value)| labels.get(label) == Some(value));
        by_labels
            && pod
                .demands
                .node_affinity
                .as_ref()
                .is_none_or(|selector| matches(selector, name, labels))
    }

    fn shortage(&self, requests: &Resources) -> Option<Obstacle> {
        let lacking = |(name, amount): &(&str, Quantity)| {
            *amount > Quantity::ZERO && *amount > self.free.get(name)
        };
        let missing: Vec<(&str, Quantity)> = requests.iter().filter(lacking).collect();
        if missing.is_empty() {
            return None;
        }
        Some(Obstacle {
            reasons: missing
                .iter()
                .map(|(name, _)| match *name {
                    "pods" => "Too many pods".to_owned(),
                    name => format!("Insufficient {name}"),
                })
                .collect(),
            preemption_helps: missing
                .iter()
                .all(|(name, amount)| *amount <= self.node.allocatable.get(name)),
        })
    }
}

impl Obstacle {
    fn lasting(reason: String) -> Self {
        Self {
            reasons: vec![reason],
            preemption_helps: false,
        }
    }
}

/// kube-scheduler's sentence, which people and tools know.
fn refusal(obstacles: &[Obstacle]) -> String {
    if obstacles.is_empty() {
        return "no nodes available to schedule pods".to_owned();
    }
    let nodes = obstacles.len();
    let reasons = obstacles.iter().flat_map(|obstacle| &obstacle.reasons);
    let hopeless = obstacles
        .iter()
        .filter(|obstacle| !obstacle.preemption_helps)
        .count();
    let preemption = [
        (
            nodes - hopeless,
            "No preemption victims found for incoming pod",
        ),
        (hopeless, "Preemption is not helpful for scheduling"),
    ];
    let preemption = preemption
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, reason)| format!("{count} {reason}"))
        .collect::<Vec<_>>()
        .join(", ");
    format!(
        "0/{nodes} nodes are available: {}. preemption: 0/{nodes} nodes are available: {preemption}.",
        counted(reasons)
    )
}

/// `1 Insufficient cpu, 2 Too many pods`, sorted.
fn counted<'a>(reasons: impl Iterator<Item = &'a String>) -> String {
    let mut counts = BTreeMap::<&str, usize>::new();
    for reason in reasons {
        *counts.entry(reason).or_default() += 1;
    }
    let mut parts: Vec<String> = counts
        .iter()
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    parts.sort_unstable();
    parts.join(", ")
}

/// Cordoning is a taint in all but name.
fn tolerates_cordon(tolerations: &[Toleration]) -> bool {
    let cordon = Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    untolerated(&[cordon], tolerations).is_none()
}

fn untolerated<'a>(taints: &'a [Taint], tolerations: &[Toleration]) -> Option<&'a Taint> {
    taints
        .iter()
        .filter(|taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute"))
        .find(|taint| {
            !tolerations
                .iter()
                .any(|toleration| tolerates(toleration, taint))
        })
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let any = |field: &Option<String>, value: &str| {
        field
            .as_deref()
            .is_none_or(|field| field.is_empty() || field == value)
    };
    let value = taint.value.as_deref().unwrap_or_default();
    any(&toleration.effect, &taint.effect)
        && any(&toleration.key, &taint.key)
        && match toleration.operator.as_deref().unwrap_or("Equal") {
            "Exists" => true,
            "Equal" | "" => toleration.value.as_deref().unwrap_or_default() == value,
            _ => false,
        }
}

/// Terms are alternatives; a term without requirements matches nothing.
fn matches(selector: &NodeSelector, name: &str, labels: &Labels) -> bool {
    selector
        .node_selector_terms
        .iter()
        .any(|term| matches_term(term, name, labels))
}

fn matches_term(term: &NodeSelectorTerm, name: &str, labels: &Labels) -> bool {
    let expressions = term.match_expressions.iter().flatten();
    let fields = term.match_fields.iter().flatten();
    let names = Labels::from([("metadata.name".to_owned(), name.to_owned())]);
    let mut requirements = expressions
        .map(|requirement| (requirement, labels))
        .chain(fields.map(|requirement| (requirement, &names)))
        .peekable();
    requirements.peek().is_some()
        && requirements.all(|(requirement, values)| satisfies(requirement, values))
}

fn satisfies(requirement: &NodeSelectorRequirement, labels: &Labels) -> bool {
    let value = labels.get(&requirement.key);
    let mut listed = requirement.values.iter().flatten();
    let number = |text: &String| text.parse::<i64>().ok();
    match requirement.operator.as_str() {
        "In" => value.is_some_and(|value| listed.any(|wanted| wanted == value)),
        "NotIn" => value.is_none_or(|value| listed.all(|unwanted| unwanted != value)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        operator @ ("Gt" | "Lt") => {
            match (value.and_then(number), listed.next().and_then(number)) {
                (Some(value), Some(bound)) if operator == "Gt" => value > bound,
                (Some(value), Some(bound)) => value < bound,
                _ => false,
            }
        }
        _ => false,
    }
}

//! Virtual clusters: whether our operator is to have them, and whether a KubeDirector lives that has
//! them, too. It is known by the image of its Deployment.

use serde_json::Value;

use super::operators::{OtherOperator, containers, our_deployment, words};
use super::{Category, Finding, Look, Scope, Stage, name, namespace, text};

/// How the path of every image of KubeDirector ends, before the tag.
const IMAGE: &str = "kubedirector";

/// Whether our operator is to operate virtual clusters: as its arguments say, or whoever asks.
pub fn serves_virtual_clusters(scope: &Scope, deployments: &Look) -> bool {
    scope.virtual_clusters || is_told(scope, deployments, "--virtual-clusters")
}

/// Whether our operator is to operate storage: as its arguments say, or whoever asks.
pub fn serves_storage(scope: &Scope, deployments: &Look) -> bool {
    scope.storage || is_told(scope, deployments, "--storage")
}

/// Whether this is among the arguments of our operator, where it is there.
fn is_told(scope: &Scope, deployments: &Look, argument: &str) -> bool {
    let ours = our_deployment(scope, deployments.objects());
    let mut arguments = ours.into_iter().flat_map(|ours| {
        let containers = containers(ours);
        containers.flat_map(|container| words(container, "/args"))
    });
    scope.stage == Stage::After && arguments.any(|it| it == argument)
}

/// The KubeDirectors that have, or are to have, replicas. Each serves the whole cluster.
pub fn kubedirectors(deployments: &[Value]) -> Vec<OtherOperator> {
    let running = deployments
        .iter()
        .filter(|it| it.pointer("/spec/replicas").and_then(Value::as_i64) != Some(0));
    let found = running.filter_map(|deployment| {
        let images = containers(deployment).map(|it| text(it, "/image"));
        let image = images.into_iter().find(|image| is_kubedirector(image))?;
        let (home, name) = (namespace(deployment), name(deployment));
        Some(OtherOperator {
            seen: format!("Deployment {home}/{name} with image {image}"),
            stop: Some(format!(
                "kubectl --namespace {home} scale deployment {name} --replicas 0"
            )),
            namespaces: Vec::new(),
            selector: None,
        })
    });
    found.collect()
}

/// Who serves virtual clusters besides us.
pub(super) fn judge(scope: &Scope, deployments: &Look) -> Vec<Finding> {
    let serves = serves_virtual_clusters(scope, deployments);
    let found = kubedirectors(deployments.objects());
    found
        .into_iter()
        .map(|other| {
            let what = format!(
                "a KubeDirector lives: {}; it serves virtual clusters in every namespace",
                other.seen
            );
            let stop = other.stop.unwrap_or_default();
            if serves {
                let next = format!("stop it first: {stop}; two would undo each other's work");
                Finding::problem(Category::Operators, what, next)
            } else {
                let next = format!("before install gets --virtual-clusters: {stop}");
                Finding::note(Category::Operators, what, Some(next))
            }
        })
        .collect()
}

pub(super) fn is_kubedirector(image: &str) -> bool {
    let path = image.rsplit('/').next().unwrap_or_default();
    let name = path.split(['@', ':']).next();
    name == Some(IMAGE)
}

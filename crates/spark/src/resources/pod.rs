//! What a pod asks for, by the rules of the Kubernetes scheduler.

use serde_json::Value;

use super::{Amounts, PodDemand};

/// What Spark sets in its own container of a template, over what stands there.
#[derive(Debug, Default)]
pub(super) struct Containers<'a> {
    /// The container; the first one when nobody names it.
    pub(super) name: Option<&'a str>,
    pub(super) requests: Amounts,
    pub(super) limits: Amounts,
}

/// What a pod, or one made from a template, asks for.
pub(super) fn of_pod(pod: &Value, spark: &Containers<'_>) -> PodDemand {
    let list = |field: &str| pod["spec"][field].as_array().cloned().unwrap_or_default();
    let mut containers = list("containers");
    let is_spark = |container: &Value| {
        let name = container["name"].as_str();
        spark.name.is_some() && name == spark.name
    };
    let place = containers.iter().position(is_spark).unwrap_or(0);
    if containers.is_empty() {
        containers.push(Value::Null);
    }

    let mut demand = PodDemand::default();
    for (index, container) in containers.iter().enumerate() {
        let mut own = of_container(container);
        if index == place {
            own.limits = spark.limits.or_else(&own.limits);
            own.requests = spark.requests.or_else(&own.requests);
        }
        demand = sum(&demand, &own);
    }
    // Init containers run one after the other, but those that restart go on beside the rest.
    let mut beside = PodDemand::default();
    let mut peak = PodDemand::default();
    for container in list("initContainers") {
        let own = sum(&beside, &of_container(&container));
        peak = larger(&peak, &own);
        if container["restartPolicy"] == "Always" {
            beside = own;
        }
    }
    larger(&sum(&demand, &beside), &peak)
}

fn of_container(container: &Value) -> PodDemand {
    let resources = &container["resources"];
    let limits = Amounts::read(&resources["limits"]);
    PodDemand {
        requests: Amounts::read(&resources["requests"]).or_else(&limits),
        limits,
    }
}

fn sum(a: &PodDemand, b: &PodDemand) -> PodDemand {
    PodDemand {
        requests: a.requests.plus(&b.requests),
        limits: a.limits.plus(&b.limits),
    }
}

fn larger(a: &PodDemand, b: &PodDemand) -> PodDemand {
    PodDemand {
        requests: a.requests.or_more(&b.requests),
        limits: a.limits.or_more(&b.limits),
    }
}

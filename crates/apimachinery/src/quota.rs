//! ResourceQuota: what objects use, which quotas that concerns, and whether it is too much.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::{
    amounts::{Amounts, Bound, of_container, with_overhead},
    quantity::Quantity,
};

/// Between a class of storage and what is counted of it.
const OF_CLASS: &str = ".storageclass.storage.k8s.io/";
/// Kinds of the core group that are counted under their own names, too.
const COUNTED: [&str; 4] = [
    "configmaps",
    "secrets",
    "replicationcontrollers",
    "resourcequotas",
];

/// An object, and the resource it belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// The group of the resource.
    pub group: &'a str,
    /// Its name.
    pub plural: &'a str,
    /// The object.
    pub object: &'a Value,
}

/// Why an object is refused.
pub type Refusal = String;

impl Item<'_> {
    fn is_core(&self, plural: &str) -> bool {
        self.group.is_empty() && self.plural == plural
    }

    fn count_name(&self) -> String {
        count_name(self.group, self.plural)
    }

    /// What the object uses.
    pub fn usage(&self, now: Timestamp) -> Amounts {
        let one = Quantity::of_units(1);
        let mut usage = Amounts::default();
        usage.set(self.count_name(), one);
        if !self.group.is_empty() {
            return usage;
        }
        match self.plural {
            "pods" => pod(self.object, now, &mut usage),
            "services" => service(self.object, &mut usage),
            "persistentvolumeclaims" => claim(self.object, &mut usage),
            plural if COUNTED.contains(&plural) => usage.set(plural, one),
            _ => {}
        }
        usage
    }

    /// Whether objects of this resource are what a name in `hard` is about.
    pub fn is_counted_as(&self, name: &str) -> bool {
        if name == self.count_name() {
            return true;
        }
        if !self.group.is_empty() {
            return false;
        }
        match self.plural {
            "pods" => is_of_pods(name),
            "services" => matches!(
                name,
                "services" | "services.nodeports" | "services.loadbalancers"
            ),
            "persistentvolumeclaims" => {
                let plain = name.split_once(OF_CLASS).map_or(name, |(_, plain)| plain);
                matches!(plain, "persistentvolumeclaims" | "requests.storage")
            }
            plural => COUNTED.contains(&plural) && name == plural,
        }
    }

    /// Whether the quota's scopes take the object in.
    pub fn is_in_scope(&self, quota: &Value) -> bool {
        let named = quota["spec"]["scopes"].as_array().into_iter().flatten();
        let selected = quota["spec"]["scopeSelector"]["matchExpressions"].as_array();
        let pods = self.is_core("pods");
        named
            .map(|scope| (scope.as_str().unwrap_or_default(), None))
            .chain(selected.into_iter().flatten().map(|selector| {
                (
                    selector["scopeName"].as_str().unwrap_or_default(),
                    Some(selector),
                )
            }))
            .all(|(scope, selector)| pods && pod_in_scope(self.object, scope, selector))
    }
}

/// The groups and names of the resources that a quota's `hard` counts.
pub fn counted<'n>(names: impl IntoIterator<Item = &'n str>) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for name in names {
        let resource = match name.strip_prefix("count/") {
            Some(counted) => {
                let (plural, group) = counted.split_once('.').unwrap_or((counted, ""));
                (group.to_owned(), plural.to_owned())
            }
            None => {
                let core = ["pods", "services", "persistentvolumeclaims"]
                    .into_iter()
                    .chain(COUNTED)
                    .find(|plural| {
                        let object = &Value::Null;
                        Item {
                            group: "",
                            plural,
                            object,
                        }
                        .is_counted_as(name)
                    });
                match core {
                    Some(plural) => (String::new(), plural.to_owned()),
                    None => continue,
                }
            }
        };
        if !found.contains(&resource) {
            found.push(resource);
        }
    }
    found
}

/// What a quota would say of its use if an object were written, if that concerns it. `old` is the
/// object that is replaced.
pub fn charge(
    quota: &Value,
    item: Item<'_>,
    old: Option<&Value>,
    now: Timestamp,
) -> Result<Option<Amounts>, Refusal> {
    let name = quota["metadata"]["name"].as_str().unwrap_or_default();
    let hard = Amounts::read(&quota["status"]["hard"]).only(|name, _| item.is_counted_as(name));
    if hard.is_empty() || !item.is_in_scope(quota) {
        return Ok(None);
    }
    if let Some(missing) = missing(&item, &hard) {
        return Err(format!("failed quota: {name}: must specify {missing}"));
    }
    let used = Amounts::read(&quota["status"]["used"]);
    if hard
        .iter()
        .any(|(resource, _)| used.get(resource).is_none())
    {
        let names: Vec<&str> = hard.iter().map(|(resource, _)| resource).collect();
        return Err(format!(
            "status unknown for quota: {name}, resources: {}",
            names.join(",")
        ));
    }
    let mut delta = item.usage(now);
    if let Some(old) = old {
        let before = Item {
            object: old,
            ..item
        };
        if before.is_in_scope(quota) {
            let before = before.usage(now);
            let mut more = Amounts::default();
            for (resource, amount) in delta.iter() {
                let known = before
                    .get(resource)
                    .unwrap_or_else(|| Quantity::of_units(0));
                more.set(resource, amount.minus(known));
            }
            delta = more;
        }
    }
    let asked = delta.only(|resource, amount| {
        hard.get(resource).is_some() && !amount.is_zero() && !amount.is_negative()
    });
    if asked.is_empty() {
        return Ok(None);
    }
    let mut next = used.clone();
    next.add(&asked);
    let exceeded = |resource: &str| match (next.get(resource), hard.get(resource)) {
        (Some(next), Some(hard)) => asked.get(resource).is_some() && next > hard,
        _ => false,
    };
    let over = |amounts: &Amounts| amounts.only(|resource, _| exceeded(resource)).shown();
    if asked.iter().any(|(resource, _)| exceeded(resource)) {
        return Err(format!(
            "exceeded quota: {name}, requested: {}, used: {}, limited: {}",
            over(&asked),
            over(&used),
            over(&hard)
        ));
    }
    Ok(Some(next))
}

fn count_name(group: &str, plural: &str) -> String {
    if group.is_empty() {
        format!("count/{plural}")
    } else {
        format!("count/{plural}.{group}")
    }
}

fn is_of_pods(name: &str) -> bool {
    const NAMES: [&str; 10] = [
        "pods",
        "cpu",
        "memory",
        "ephemeral-storage",
        "requests.cpu",
        "requests.memory",
        "requests.ephemeral-storage",
        "limits.cpu",
        "limits.memory",
        "limits.ephemeral-storage",
    ];
    let extended = name
        .strip_prefix("requests.")
        .is_some_and(|rest| rest.contains('/') || rest.starts_with("hugepages-"));
    NAMES.contains(&name) || extended || name.starts_with("hugepages-")
}

fn pod(pod: &Value, now: Timestamp, usage: &mut Amounts) {
    if !uses_resources(pod, now) {
        return;
    }
    usage.set("pods", Quantity::of_units(1));
    for (name, amount) in with_overhead(pod, Bound::Requests).iter() {
        if matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-")
        {
            usage.set(name, amount);
        }
        usage.set(format!("requests.{name}"), amount);
    }
    for (name, amount) in with_overhead(pod, Bound::Limits).iter() {
        if matches!(name, "cpu" | "memory" | "ephemeral-storage") {
            usage.set(format!("limits.{name}"), amount);
        }
    }
}

/// A pod that has ended, or should be gone by now, uses nothing.
fn uses_resources(pod: &Value, now: Timestamp) -> bool {
    if matches!(
        pod["status"]["phase"].as_str(),
        Some("Succeeded" | "Failed")
    ) {
        return false;
    }
    let metadata = &pod["metadata"];
    let deleted = metadata["deletionTimestamp"]
        .as_str()
        .and_then(|at| at.parse::<Timestamp>().ok());
    match (deleted, metadata["deletionGracePeriodSeconds"].as_i64()) {
        (Some(at), Some(grace)) => at
            .checked_add(SignedDuration::from_secs(grace))
            .is_ok_and(|ends| now <= ends),
        _ => true,
    }
}

fn service(service: &Value, usage: &mut Amounts) {
    let spec = &service["spec"];
    let ports = spec["ports"].as_array().map_or(0, Vec::len) as i64;
    let chosen = spec["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|port| port["nodePort"].as_i64().unwrap_or(0) != 0)
        .count() as i64;
    let (node_ports, balancers) = match spec["type"].as_str() {
        Some("NodePort") => (ports, 0),
        Some("LoadBalancer") if spec["allocateLoadBalancerNodePorts"] == false => (chosen, 1),
        Some("LoadBalancer") => (ports, 1),
        _ => (0, 0),
    };
    usage.set("services", Quantity::of_units(1));
    usage.set("services.nodeports", Quantity::of_units(node_ports));
    usage.set("services.loadbalancers", Quantity::of_units(balancers));
}

fn claim(claim: &Value, usage: &mut Amounts) {
    let one = Quantity::of_units(1);
    let annotated = &claim["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"];
    let class = annotated
        .as_str()
        .or(claim["spec"]["storageClassName"].as_str());
    let class = class.filter(|class| !class.is_empty());
    let storage = Amounts::read(&claim["spec"]["resources"]["requests"]).get("storage");
    usage.set("persistentvolumeclaims", one);
    if let Some(storage) = storage {
        usage.set("requests.storage", storage);
    }
    if let Some(class) = class {
        usage.set(format!("{class}{OF_CLASS}persistentvolumeclaims"), one);
        if let Some(storage) = storage {
            usage.set(format!("{class}{OF_CLASS}requests.storage"), storage);
        }
    }
}

/// Where cpu or memory is limited, every container has to say how much it needs.
fn missing(item: &Item<'_>, hard: &Amounts) -> Option<String> {
    if !item.is_core("pods") || item.object["spec"]["resources"].is_object() {
        return None;
    }
    let said = |container: &Value, name: &str| {
        let (bound, plain) = match name.split_once('.') {
            Some(("limits", plain)) => (Bound::Limits, plain),
            Some((_, plain)) => (Bound::Requests, plain),
            None => (Bound::Requests, name),
        };
        of_container(container, bound).get(plain).is_some()
    };
    let mut parts = Vec::new();
    for (name, _) in hard.iter() {
        let plain = name.rsplit('.').next().unwrap_or_default();
        if !matches!(plain, "cpu" | "memory") || name.contains('/') {
            continue;
        }
        let mut silent: Vec<&str> = ["containers", "initContainers"]
            .into_iter()
            .flat_map(|list| item.object["spec"][list].as_array().into_iter().flatten())
            .filter(|container| !said(container, name))
            .filter_map(|container| container["name"].as_str())
            .collect();
        silent.sort_unstable();
        if !silent.is_empty() {
            parts.push(format!("{name} for: {}", silent.join(",")));
        }
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn pod_in_scope(pod: &Value, scope: &str, selector: Option<&Value>) -> bool {
    let terminating = pod["spec"]["activeDeadlineSeconds"]
        .as_i64()
        .is_some_and(|seconds| seconds >= 0);
    let class = pod["spec"]["priorityClassName"]
        .as_str()
        .unwrap_or_default();
    match scope {
        "Terminating" => terminating,
        "NotTerminating" => !terminating,
        "BestEffort" => is_best_effort(pod),
        "NotBestEffort" => !is_best_effort(pod),
        "PriorityClass" => {
            let listed = |selector: &Value| {
                let values = selector["values"].as_array();
                values.into_iter().flatten().any(|value| value == class)
            };
            match selector.map(|selector| (selector["operator"].as_str(), selector)) {
                Some((Some("In"), selector)) => listed(selector),
                Some((Some("NotIn"), selector)) => !listed(selector),
                Some((Some("DoesNotExist"), _)) => class.is_empty(),
                _ => !class.is_empty(),
            }
        }
        "CrossNamespacePodAffinity" => crosses_namespaces(pod),
        _ => false,
    }
}

fn is_best_effort(pod: &Value) -> bool {
    let lists = ["containers", "initContainers"];
    !lists
        .into_iter()
        .flat_map(|list| pod["spec"][list].as_array().into_iter().flatten())
        .any(|container| {
            [Bound::Requests, Bound::Limits].into_iter().any(|bound| {
                of_container(container, bound)
                    .iter()
                    .any(|(name, amount)| matches!(name, "cpu" | "memory") && !amount.is_zero())
            })
        })
}

fn crosses_namespaces(pod: &Value) -> bool {
    let crosses = |term: &Value| {
        term["namespaces"]
            .as_array()
            .is_some_and(|list| !list.is_empty())
            || term["namespaceSelector"].is_object()
    };
    ["podAffinity", "podAntiAffinity"].into_iter().any(|kind| {
        let affinity = &pod["spec"]["affinity"][kind];
        let list = |field: &str| affinity[field].as_array().into_iter().flatten();
        list("requiredDuringSchedulingIgnoredDuringExecution").any(crosses)
            || list("preferredDuringSchedulingIgnoredDuringExecution")
                .any(|weighted| crosses(&weighted["podAffinityTerm"]))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn quota(spec: &Value, used: &Value) -> Value {
        json!({
            "metadata": {"name": "q"},
            "spec": spec,
            "status": {"hard": spec["hard"], "used": used},
        })
    }

    fn outcome(
        quota: &Value,
        group: &str,
        plural: &str,
        object: &Value,
        old: Option<&Value>,
    ) -> String {
        let item = Item {
            group,
            plural,
            object,
        };
        match charge(quota, item, old, Timestamp::UNIX_EPOCH) {
            Ok(Some(used)) => used.shown(),
            Ok(None) => "no concern".to_owned(),
            Err(why) => why,
        }
    }

    #[test]
    fn objects_are_charged_or_refused() {
        let pod = |resources: Value| json!({"spec": {"containers": [{"name": "c", "resources": resources}]}});
        let small = pod(json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2"}}));
        let plain = |hard: Value, used: Value| quota(&json!({"hard": hard}), &used);
        let cases = [
            (
                plain(json!({"pods": "2"}), json!({"pods": "1"})),
                "",
                "pods",
                small.clone(),
                "pods=2",
            ),
            (
                plain(json!({"pods": "1"}), json!({"pods": "1"})),
                "",
                "pods",
                small.clone(),
                "exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1",
            ),
            (
                plain(
                    json!({"requests.cpu": "1500m", "limits.cpu": "4", "pods": "9"}),
                    json!({"requests.cpu": "1", "limits.cpu": "2", "pods": "1"}),
                ),
                "",
                "pods",
                small.clone(),
                "exceeded quota: q, requested: requests.cpu=1, used: requests.cpu=1, limited: \
                 requests.cpu=1500m",
            ),
            (
                plain(
                    json!({"requests.memory": "4Gi"}),
                    json!({"requests.memory": "0"}),
                ),
                "",
                "pods",
                pod(json!({})),
                "failed quota: q: must specify requests.memory for: c",
            ),
            (
                plain(json!({"pods": "2"}), json!({})),
                "",
                "pods",
                small.clone(),
                "status unknown for quota: q, resources: pods",
            ),
            (
                plain(json!({"configmaps": "1"}), json!({"configmaps": "0"})),
                "",
                "configmaps",
                json!({}),
                "configmaps=1",
            ),
            (
                plain(json!({"configmaps": "1"}), json!({"configmaps": "0"})),
                "",
                "secrets",
                json!({}),
                "no concern",
            ),
            (
                plain(
                    json!({"count/deployments.apps": "1"}),
                    json!({"count/deployments.apps": "1"}),
                ),
                "apps",
                "deployments",
                json!({}),
                "exceeded quota: q, requested: count/deployments.apps=1, used: \
                 count/deployments.apps=1, limited: count/deployments.apps=1",
            ),
            (
                plain(
                    json!({"services.nodeports": "1"}),
                    json!({"services.nodeports": "0"}),
                ),
                "",
                "services",
                json!({"spec": {"type": "NodePort", "ports": [{}, {}]}}),
                "exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=0, \
                 limited: services.nodeports=1",
            ),
            (
                plain(
                    json!({"requests.storage": "10Gi", "fast.storageclass.storage.k8s.io/requests.storage": "1Gi"}),
                    json!({"requests.storage": "0", "fast.storageclass.storage.k8s.io/requests.storage": "0"}),
                ),
                "",
                "persistentvolumeclaims",
                json!({"spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "2Gi"}}}}),
                "exceeded quota: q, requested: \
                 fast.storageclass.storage.k8s.io/requests.storage=2Gi, used: \
                 fast.storageclass.storage.k8s.io/requests.storage=0, limited: \
                 fast.storageclass.storage.k8s.io/requests.storage=1Gi",
            ),
            (
                quota(
                    &json!({"hard": {"pods": "1"}, "scopes": ["BestEffort"]}),
                    &json!({"pods": "1"}),
                ),
                "",
                "pods",
                small.clone(),
                "no concern",
            ),
            (
                quota(
                    &json!({"hard": {"pods": "1"}, "scopes": ["NotBestEffort"]}),
                    &json!({"pods": "0"}),
                ),
                "",
                "pods",
                small,
                "pods=1",
            ),
            (
                quota(
                    &json!({"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [
                        {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]},
                    ]}}),
                    &json!({"pods": "0"}),
                ),
                "",
                "pods",
                json!({"spec": {"priorityClassName": "high"}}),
                "pods=1",
            ),
        ];
        for (quota, group, plural, object, expected) in cases {
            assert_eq!(
                outcome(&quota, group, plural, &object, None),
                expected,
                "{quota} {object}"
            );
        }
    }

    #[test]
    fn a_replacement_is_charged_for_what_it_adds() {
        let claim =
            |storage: &str| json!({"spec": {"resources": {"requests": {"storage": storage}}}});
        let quota = quota(
            &json!({"hard": {"requests.storage": "5Gi"}}),
            &json!({"requests.storage": "4Gi"}),
        );
        let of = |new: &str, old: &str| {
            outcome(
                &quota,
                "",
                "persistentvolumeclaims",
                &claim(new),
                Some(&claim(old)),
            )
        };
        assert_eq!(of("2Gi", "1Gi"), "requests.storage=5Gi");
        assert_eq!(of("1Gi", "1Gi"), "no concern");
        assert!(of("4Gi", "1Gi").starts_with("exceeded quota: q, requested: requests.storage=3Gi"));
    }

    #[test]
    fn what_has_to_be_counted_follows_from_the_names() {
        let names = [
            "requests.cpu",
            "pods",
            "count/jobs.batch",
            "configmaps",
            "nonsense",
        ];
        let expected = [("", "pods"), ("batch", "jobs"), ("", "configmaps")];
        let expected: Vec<_> = expected
            .map(|(group, plural)| (group.to_owned(), plural.to_owned()))
            .into();
        assert_eq!(counted(names), expected);
    }
}

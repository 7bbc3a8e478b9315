//! LimitRange: what containers get that do not say what they need, and what may be asked for.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::{
    amounts::{Amounts, Bound, of_container, of_pod},
    quantity::Quantity,
};

/// Says what was filled into a pod.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";

/// Fills in the defaults of a range for containers. Says whether anything changed.
pub fn fill(range: &Value, pod: &mut Value) -> bool {
    let (mut requests, mut limits) = (Amounts::default(), Amounts::default());
    for limit in items(range).filter(|limit| limit["type"] == "Container") {
        for (name, amount) in Amounts::read(&limit["defaultRequest"]).iter() {
            requests.set(name, amount);
        }
        for (name, amount) in Amounts::read(&limit["default"]).iter() {
            limits.set(name, amount);
        }
    }
    let mut notes: Vec<String> = Vec::new();
    for (list, what) in [
        ("containers", "container"),
        ("initContainers", "init container"),
    ] {
        let containers = pod["spec"].get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let name = container["name"].as_str().unwrap_or_default().to_owned();
            // Limits first, as upstream; what is said of them comes last.
            let set_limits = complete(container, "limits", &limits);
            let set_requests = complete(container, "requests", &requests);
            for (set, kind) in [(set_requests, "request"), (set_limits, "limit")] {
                if !set.is_empty() {
                    notes.push(format!("{} {kind} for {what} {name}", set.join(", ")));
                }
            }
        }
    }
    if notes.is_empty() {
        return false;
    }
    let note = format!("LimitRanger plugin set: {}", notes.join("; "));
    pod["metadata"]["annotations"][ANNOTATION] = json!(note);
    true
}

fn complete(container: &mut Value, field: &str, defaults: &Amounts) -> Vec<String> {
    let mut set = Vec::new();
    for (name, amount) in defaults.iter() {
        if container["resources"][field].get(name).is_none() {
            container["resources"][field][name] = json!(amount.to_string());
            set.push(name.to_owned());
        }
    }
    set
}

/// What a range has against a new pod.
pub fn pod_complaints(range: &Value, pod: &Value) -> Vec<String> {
    let mut complaints = Vec::new();
    for limit in items(range) {
        match limit["type"].as_str() {
            Some("Container") => {
                for list in ["containers", "initContainers"] {
                    for container in pod["spec"][list].as_array().into_iter().flatten() {
                        let requests = of_container(container, Bound::Requests);
                        let limits = of_container(container, Bound::Limits);
                        check(limit, "Container", &requests, &limits, &mut complaints);
                    }
                }
            }
            Some("Pod") => {
                let requests = of_pod(pod, Bound::Requests);
                let limits = of_pod(pod, Bound::Limits);
                check(limit, "Pod", &requests, &limits, &mut complaints);
            }
            _ => {}
        }
    }
    complaints
}

/// What a range has against a claim.
pub fn claim_complaints(range: &Value, claim: &Value) -> Vec<String> {
    const KIND: &str = "PersistentVolumeClaim";
    let requests = Amounts::read(&claim["spec"]["resources"]["requests"]);
    let mut complaints = Vec::new();
    for limit in items(range).filter(|limit| limit["type"] == KIND) {
        for (name, least) in Amounts::read(&limit["min"]).iter() {
            minimum(
                KIND,
                name,
                least,
                &requests,
                &Amounts::default(),
                &mut complaints,
            );
        }
        for (name, most) in Amounts::read(&limit["max"]).iter() {
            let rule = format!("maximum {name} usage per {KIND} is {most}");
            match requests.get(name) {
                None => complaints.push(format!("{rule}.  No request is specified")),
                Some(asked) if asked > most => {
                    complaints.push(format!("{rule}, but request is {asked}"));
                }
                Some(_) => {}
            }
        }
    }
    complaints
}

/// Several complaints as one text.
pub fn joined(complaints: &[String]) -> String {
    match complaints {
        [one] => one.clone(),
        many => {
            let mut unique: Vec<&str> = Vec::new();
            for complaint in many {
                if !unique.contains(&complaint.as_str()) {
                    unique.push(complaint);
                }
            }
            match unique.as_slice() {
                [one] => (*one).to_owned(),
                many => format!("[{}]", many.join(", ")),
            }
        }
    }
}

fn items(range: &Value) -> impl Iterator<Item = &Value> {
    range["spec"]["limits"].as_array().into_iter().flatten()
}

fn check(
    limit: &Value,
    kind: &str,
    requests: &Amounts,
    limits: &Amounts,
    complaints: &mut Vec<String>,
) {
    for (name, least) in Amounts::read(&limit["min"]).iter() {
        minimum(kind, name, least, requests, limits, complaints);
    }
    for (name, most) in Amounts::read(&limit["max"]).iter() {
        let rule = format!("maximum {name} usage per {kind} is {most}");
        match (limits.get(name), requests.get(name)) {
            (None, _) => complaints.push(format!("{rule}.  No limit is specified")),
            (Some(may), _) if may > most => complaints.push(format!("{rule}, but limit is {may}")),
            (_, Some(asked)) if asked > most => {
                complaints.push(format!("{rule}, but request is {asked}"));
            }
            _ => {}
        }
    }
    for (name, most) in Amounts::read(&limit["maxLimitRequestRatio"]).iter() {
        ratio(kind, name, most, requests, limits, complaints);
    }
}

fn minimum(
    kind: &str,
    name: &str,
    least: Quantity,
    requests: &Amounts,
    limits: &Amounts,
    complaints: &mut Vec<String>,
) {
    let rule = format!("minimum {name} usage per {kind} is {least}");
    match (requests.get(name), limits.get(name)) {
        (None, _) => complaints.push(format!("{rule}.  No request is specified")),
        (Some(asked), _) if asked < least => {
            complaints.push(format!("{rule}, but request is {asked}"));
        }
        (_, Some(may)) if may < least => complaints.push(format!("{rule}, but limit is {may}")),
        _ => {}
    }
}

fn ratio(
    kind: &str,
    name: &str,
    most: Quantity,
    requests: &Amounts,
    limits: &Amounts,
    complaints: &mut Vec<String>,
) {
    let mut rule = format!("{name} max limit to request ratio per {kind} is {most}");
    let asked = requests.get(name).filter(|asked| !asked.is_zero());
    let may = limits.get(name).filter(|may| !may.is_zero());
    match (asked, may) {
        (None, _) => rule.push_str(", but no request is specified or request is 0"),
        (_, None) => rule.push_str(", but no limit is specified or limit is 0"),
        (Some(asked), Some(may)) => {
            let found = may.approximate() / asked.approximate();
            if found <= most.approximate() {
                return;
            }
            // Writing to a String cannot fail.
            let _ = write!(rule, ", but provided ratio is {found:.6}");
        }
    }
    complaints.push(rule);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(resources: &Value) -> Value {
        json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "resources": resources}]}})
    }

    fn range(limit: &Value) -> Value {
        json!({"spec": {"limits": [limit]}})
    }

    #[test]
    fn containers_get_what_they_do_not_say() {
        let range = range(&json!({
            "type": "Container",
            "default": {"cpu": "500m", "memory": "512Mi"},
            "defaultRequest": {"cpu": "250m"},
        }));
        let mut silent = pod(&json!({}));
        assert!(fill(&range, &mut silent));
        assert_eq!(
            silent["spec"]["containers"][0]["resources"],
            json!({"limits": {"cpu": "500m", "memory": "512Mi"}, "requests": {"cpu": "250m"}})
        );
        assert_eq!(
            silent["metadata"]["annotations"][ANNOTATION],
            "LimitRanger plugin set: cpu request for container c; cpu, memory limit for container c"
        );
        let said = json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1"}});
        let mut explicit = pod(&said);
        assert!(!fill(&range, &mut explicit));
        assert_eq!(explicit, pod(&said));
    }

    #[test]
    fn what_breaks_a_range_is_said() {
        let asks =
            |requests: Value, limits: Value| pod(&json!({"requests": requests, "limits": limits}));
        let cases = [
            (
                json!({"type": "Container", "max": {"cpu": "1"}}),
                asks(json!({"cpu": "1"}), json!({"cpu": "2"})),
                "maximum cpu usage per Container is 1, but limit is 2",
            ),
            (
                json!({"type": "Container", "max": {"cpu": "1"}}),
                asks(json!({}), json!({})),
                "maximum cpu usage per Container is 1.  No limit is specified",
            ),
            (
                json!({"type": "Container", "min": {"memory": "1Gi"}}),
                asks(json!({"memory": "512Mi"}), json!({})),
                "minimum memory usage per Container is 1Gi, but request is 512Mi",
            ),
            (
                json!({"type": "Pod", "min": {"cpu": "100m"}}),
                asks(json!({}), json!({})),
                "minimum cpu usage per Pod is 100m.  No request is specified",
            ),
            (
                json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}}),
                asks(json!({"cpu": "1"}), json!({"cpu": "3"})),
                "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
            ),
            (
                json!({"type": "Pod", "max": {"cpu": "1", "memory": "1Gi"}}),
                asks(json!({}), json!({"cpu": "2", "memory": "2Gi"})),
                "[maximum cpu usage per Pod is 1, but limit is 2, maximum memory usage per Pod is \
                 1Gi, but limit is 2Gi]",
            ),
        ];
        for (limit, pod, expected) in cases {
            assert_eq!(joined(&pod_complaints(&range(&limit), &pod)), expected);
        }
        let limit = json!({"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}, "min": {"storage": "1Mi"}});
        let claim = json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}});
        assert_eq!(
            joined(&claim_complaints(&range(&limit), &claim)),
            "maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi"
        );
    }
}

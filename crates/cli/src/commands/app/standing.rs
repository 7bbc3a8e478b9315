//! How a cluster that is tested stands, from its status and its pods. Pure.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use windlass_director::members::annotations::{DRAINED, PENDING};

/// How a cluster stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Its members, role by role.
    pub(super) members: Vec<Member>,
    /// What is in its way, in its own words.
    trouble: Option<String>,
    /// It cannot be as it is specified.
    is_invalid: bool,
    /// All members are as specified, and ready.
    is_ready: bool,
    /// The generation that this is about.
    generation: i64,
}

/// How a member stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) pod: String,
    pub(super) role: String,
    /// KubeDirector's word.
    state: String,
    /// Its address, once it has one.
    pub(super) address: String,
    is_ready: bool,
    /// What it says about a script that failed, or a container that does not start.
    detail: Option<String>,
    /// A script of it has failed, and nothing will come of waiting.
    has_failed: bool,
}

impl Standing {
    /// What the API says.
    pub(super) fn of(cluster: &Value, pods: &[Value]) -> Self {
        let status = &cluster["status"];
        let condition = |kind: &str| {
            let mut all = status["conditions"].as_array().into_iter().flatten();
            all.find(|it| it["type"] == kind).unwrap_or(&Value::Null)
        };
        let degraded = condition("Degraded");
        let is_degraded = degraded["status"] == "True";
        let mut members = Vec::new();
        for role in status["roles"].as_array().into_iter().flatten() {
            for member in role["members"].as_array().into_iter().flatten() {
                let pod = pods
                    .iter()
                    .find(|it| it["metadata"]["name"] == member["pod"]);
                members.push(Member::of(&role["id"], member, pod.unwrap_or(&Value::Null)));
            }
        }
        Self {
            members,
            trouble: is_degraded.then(|| text(&degraded["message"])),
            is_invalid: is_degraded && degraded["reason"] == "Invalid",
            is_ready: condition("Ready")["status"] == "True" && status["state"] == "configured",
            generation: status["observedGeneration"].as_i64().unwrap_or(0),
        }
    }

    /// Whether it is as it was specified to be in this generation.
    pub(super) fn is_settled(&self, generation: i64) -> bool {
        self.is_ready && self.generation >= generation
    }

    /// Why it will not become what it is to be.
    pub(super) fn failure(&self) -> Option<String> {
        if self.is_invalid {
            return self.trouble.clone();
        }
        let failed: Vec<String> = self
            .members
            .iter()
            .filter(|it| it.has_failed)
            .map(|it| format!("{}: {}", it.pod, it.detail.as_deref().unwrap_or("failed")))
            .collect();
        (!failed.is_empty()).then(|| failed.join("; "))
    }

    /// What it has not come to.
    pub(super) fn waits_for(&self) -> String {
        let waiting: Vec<String> = self
            .members
            .iter()
            .filter(|it| it.is_in_trouble())
            .map(|it| format!("{} is {}", it.pod, it.shown()))
            .collect();
        match (&self.trouble, waiting.is_empty()) {
            (Some(trouble), _) => trouble.clone(),
            (None, false) => waiting.join(", "),
            (None, true) => "the cluster does not say what it waits for".to_owned(),
        }
    }

    /// A line for each member of which there is something else to say than before.
    pub(super) fn news(&self, seen: &mut BTreeMap<String, String>) -> Vec<String> {
        let mut lines = Vec::new();
        for member in &self.members {
            let shown = member.shown();
            if seen.get(&member.pod) != Some(&shown) {
                lines.push(format!("{}: {shown}", member.pod));
                seen.insert(member.pod.clone(), shown);
            }
        }
        let is_there = |pod: &String| self.members.iter().any(|it| it.pod == *pod);
        let gone: Vec<String> = seen.keys().filter(|pod| !is_there(pod)).cloned().collect();
        for pod in gone {
            seen.remove(&pod);
            lines.push(format!("{pod}: gone"));
        }
        lines
    }
}

impl Member {
    fn of(role: &Value, member: &Value, pod: &Value) -> Self {
        let detail = &member["stateDetail"];
        let annotation = |name: &str| {
            let text = pod["metadata"]["annotations"][name].as_str();
            text.and_then(|text| serde_json::from_str(text).ok())
                .unwrap_or(Value::Null)
        };
        let (pending, drained) = (annotation(PENDING), annotation(DRAINED));
        let state = text(&member["state"]);
        let script = detail["startScriptStderrMessage"].as_str();
        let could_not = detail["configErrorDetail"]
            .as_str()
            .map(|what| match script {
                Some(script) => format!("{what}: {}", script.trim_end()),
                None => what.to_owned(),
            });
        let not_told = (pending["failures"].as_u64() > Some(0)).then(|| text(&pending["detail"]));
        let not_drained = (drained["outcome"] == "failed")
            .then(|| format!("what it does before it goes {}", text(&drained["detail"])));
        let failure = could_not.or(not_told).or(not_drained);
        let mut containers = pod["status"]["containerStatuses"]
            .as_array()
            .into_iter()
            .flatten();
        let waiting = containers.find_map(|it| {
            let waiting = &it["state"]["waiting"];
            let reason = waiting["reason"].as_str()?;
            let usual = ["ContainerCreating", "PodInitializing"].contains(&reason);
            (!usual).then(|| format!("{reason} {}", text(&waiting["message"])))
        });
        let copied = detail["storageInitProgress"].as_str();
        let copied = copied.map(|text| format!("its directories are copied: {text}"));
        let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
        let mut ready = conditions.filter(|it| it["type"] == "Ready");
        Self {
            pod: text(&member["pod"]),
            role: text(role),
            address: text(&pod["status"]["podIP"]),
            is_ready: ready.any(|it| it["status"] == "True"),
            has_failed: failure.is_some() || state == "config error",
            detail: failure.or(waiting).or(copied),
            state,
        }
    }

    /// Whether there is something to be found out about it.
    pub(super) fn is_in_trouble(&self) -> bool {
        self.has_failed || self.detail.is_some() || self.state != "configured" || !self.is_ready
    }

    fn shown(&self) -> String {
        let state = match (self.state.as_str(), self.is_ready) {
            ("create pending", _) => "to be made",
            ("creating", _) => "being set up",
            ("configured", true) => "set up, and ready",
            ("configured", false) => "set up, and not ready",
            ("config error", _) => "not set up",
            ("delete pending", _) => "about to go",
            ("deleting", _) => "going",
            (other, _) => other,
        };
        match &self.detail {
            Some(detail) => format!("{state}: {detail}"),
            None => state.to_owned(),
        }
    }

    /// For people.
    pub(super) fn row(&self) -> Vec<String> {
        vec![self.pod.clone(), self.role.clone(), self.shown()]
    }

    /// For programs: the state is the API's own word.
    pub(super) fn document(&self) -> Value {
        json!({
            "pod": self.pod,
            "role": self.role,
            "state": self.state,
            "ready": self.is_ready,
            "message": self.detail,
        })
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(state: &str, members: Value, conditions: Value) -> Value {
        json!({"status": {
            "state": state, "observedGeneration": 2, "conditions": conditions,
            "roles": [{"id": "server", "members": members}],
        }})
    }

    fn pod(annotations: Value, status: Value) -> Value {
        json!({"metadata": {"name": "s-0", "annotations": annotations}, "status": status})
    }

    fn ready() -> Value {
        json!({"podIP": "127.9.128.1", "conditions": [{"type": "Ready", "status": "True"}]})
    }

    #[test]
    fn a_cluster_is_settled_once_it_says_so_of_this_generation() {
        let members = json!([{"pod": "s-0", "state": "configured"}]);
        let conditions = json!([{"type": "Ready", "status": "True"}]);
        let cluster = cluster("configured", members, conditions);
        let standing = Standing::of(&cluster, &[pod(json!({}), ready())]);
        assert!(standing.is_settled(2) && !standing.is_settled(3));
        assert_eq!(standing.failure(), None);
        assert_eq!(standing.members[0].address, "127.9.128.1");
        let mut seen = BTreeMap::from([("s-1".to_owned(), "going".to_owned())]);
        let news = standing.news(&mut seen);
        assert_eq!(news, ["s-0: set up, and ready", "s-1: gone"]);
        assert!(standing.news(&mut seen).is_empty());
    }

    #[test]
    fn what_will_not_become_better_is_told_with_its_reason() {
        let failed = json!([{"pod": "s-0", "state": "config error", "stateDetail": {
            "configErrorDetail": "startscript --configure ended with 3",
            "startScriptStderrMessage": "no such port\n",
        }}]);
        let fine = json!([{"pod": "s-0", "state": "configured"}]);
        let pending = json!({PENDING: json!({"failures": 1, "detail": "startscript --addnodes ended with 1"}).to_string()});
        let drained = json!({DRAINED: json!({"outcome": "failed", "detail": "ended with 1: busy"}).to_string()});
        let invalid = json!([{
            "type": "Degraded", "status": "True", "reason": "Invalid", "message": "spec.app: is none",
        }]);
        for (members, annotations, conditions, expected) in [
            (
                failed,
                json!({}),
                json!([]),
                "s-0: startscript --configure ended with 3: no such port",
            ),
            (
                fine.clone(),
                pending,
                json!([]),
                "s-0: startscript --addnodes ended with 1",
            ),
            (
                fine.clone(),
                drained,
                json!([]),
                "s-0: what it does before it goes ended with 1: busy",
            ),
            (fine, json!({}), invalid, "spec.app: is none"),
        ] {
            let cluster = cluster("updating", members, conditions);
            let standing = Standing::of(&cluster, &[pod(annotations, ready())]);
            assert_eq!(standing.failure().as_deref(), Some(expected));
        }
    }

    #[test]
    fn who_waits_says_for_what() {
        let members = json!([{"pod": "s-0", "state": "create pending"}]);
        let waiting = json!({"containerStatuses": [{"state": {"waiting": {
            "reason": "ImagePullBackOff", "message": "no such image",
        }}}]});
        let cluster = cluster("creating", members, json!([]));
        let standing = Standing::of(&cluster, &[pod(json!({}), waiting)]);
        assert_eq!(standing.failure(), None);
        assert_eq!(
            standing.waits_for(),
            "s-0 is to be made: ImagePullBackOff no such image"
        );
    }
}

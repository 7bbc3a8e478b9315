//! Batch schedulers: what they are told of an application, so that they start it as a whole.
//!
//! Whichever it is, driver and executors name it as their scheduler, and it is told the size of the
//! application by the one model there is ([`crate::resources`]): Volcano and the scheduler plugins
//! by a PodGroup that is there before the driver, YuniKorn by annotations. The group waits for
//! resources, not for pods (`minMember` is 1), because executors come after their driver has begun.

use serde_json::{Map, Value, json};
use windlass_api::names::{LABEL_MAX, shorten};
use windlass_api::spark::SparkApplication;
use windlass_api::spark::application::SparkApplicationSpec;
use windlass_engine::plan::ObjectRef;

use super::{Context, identity, route::ConfBuilder};
use crate::resources::{Amounts, Demand};
use crate::submission::Submission;

/// The annotation by which Volcano finds the group of a pod.
const VOLCANO_GROUP: &str = "scheduling.k8s.io/group-name";
/// The label by which the scheduler plugins find the group of a pod.
const PLUGIN_GROUP: &str = "scheduling.x-k8s.io/pod-group";
/// The annotations by which YuniKorn knows the groups of an application and that of a pod.
const YUNIKORN_GROUPS: &str = "yunikorn.apache.org/task-groups";
const YUNIKORN_GROUP: &str = "yunikorn.apache.org/task-group-name";
/// The label by which YuniKorn knows the queue.
const YUNIKORN_QUEUE: &str = "queue";
const YUNIKORN_DRIVER: &str = "spark-driver";
const YUNIKORN_EXECUTOR: &str = "spark-executor";

/// A batch scheduler, by the name applications have for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheduler<'a> {
    Volcano,
    YuniKorn,
    /// A kube-scheduler of this name that has the scheduler plugins.
    Plugins(&'a str),
}

impl<'a> Scheduler<'a> {
    fn of(spec: &'a SparkApplicationSpec) -> Option<Self> {
        let name = spec.batch_scheduler.as_deref().map(str::trim);
        Some(match name.filter(|name| !name.is_empty())? {
            "volcano" => Self::Volcano,
            "yunikorn" => Self::YuniKorn,
            other => Self::Plugins(other),
        })
    }

    fn name(self) -> &'a str {
        match self {
            Self::Volcano => "volcano",
            Self::YuniKorn => "yunikorn",
            Self::Plugins(name) => name,
        }
    }
}

/// The PodGroup an application has; `None` for one without a scheduler that knows any.
pub fn pod_group_ref(app: &SparkApplication) -> Option<ObjectRef> {
    let name = app.metadata.name.as_deref().unwrap_or_default();
    let (api_version, name) = match Scheduler::of(&app.spec)? {
        Scheduler::Volcano => ("scheduling.volcano.sh/v1beta1", format!("spark-{name}-pg")),
        Scheduler::Plugins(_) => ("scheduling.x-k8s.io/v1alpha1", format!("{name}-pg")),
        Scheduler::YuniKorn => return None,
    };
    Some(ObjectRef {
        api_version: api_version.to_owned(),
        kind: "PodGroup".to_owned(),
        namespace: app.metadata.namespace.clone(),
        name: shorten(&name, LABEL_MAX),
    })
}

/// The settings that send all pods to the scheduler, and into their group. What the user says about
/// a role or in sparkConf stays.
pub(super) fn settings(context: &Context<'_>, conf: &mut ConfBuilder) {
    let spec = &context.app.spec;
    let Some(scheduler) = Scheduler::of(spec) else {
        return;
    };
    conf.set_default("spark.kubernetes.scheduler.name", scheduler.name());
    let group = pod_group_ref(context.app).map(|group| group.name);
    for role in ["driver", "executor"] {
        match (scheduler, &group) {
            (Scheduler::Volcano, Some(group)) => {
                let key = format!("spark.kubernetes.{role}.annotation.{VOLCANO_GROUP}");
                conf.set_default(&key, group);
            }
            (Scheduler::Plugins(_), Some(group)) => {
                let key = format!("spark.kubernetes.{role}.label.{PLUGIN_GROUP}");
                conf.set_default(&key, group);
            }
            (Scheduler::YuniKorn, _) => {
                if let Some(queue) = queue(spec) {
                    let key = format!("spark.kubernetes.{role}.label.{YUNIKORN_QUEUE}");
                    conf.set_default(&key, queue);
                }
            }
            (Scheduler::Volcano | Scheduler::Plugins(_), None) => {}
        }
    }
    if scheduler == Scheduler::YuniKorn {
        let key = format!("spark.kubernetes.executor.annotation.{YUNIKORN_GROUP}");
        conf.set_default(&key, YUNIKORN_EXECUTOR);
    }
}

/// The PodGroup, with the size of the application.
pub(super) fn pod_group(app: &SparkApplication, demand: &Demand) -> Option<Value> {
    let group = pod_group_ref(app)?;
    let options = app.spec.batch_scheduler_options.as_ref();
    let given = options.map(|options| &options.resources);
    let least = match given.filter(|resources| !resources.is_empty()) {
        Some(resources) => Value::Object(
            resources
                .iter()
                .map(|(name, amount)| (name.clone(), amount.clone()))
                .collect::<Map<_, _>>(),
        ),
        None => demand.initial().to_json(),
    };
    let mut spec = json!({"minMember": 1, "minResources": least});
    if Scheduler::of(&app.spec) == Some(Scheduler::Volcano) {
        if let Some(queue) = queue(&app.spec) {
            spec["queue"] = json!(queue);
        }
        if let Some(class) = options.and_then(|options| options.priority_class_name.as_ref()) {
            spec["priorityClassName"] = json!(class);
        }
    }
    Some(json!({
        "apiVersion": group.api_version,
        "kind": group.kind,
        "metadata": identity::beside(app, &group.name),
        "spec": spec,
    }))
}

/// YuniKorn learns of all groups of an application from its first pod, the driver.
pub(super) fn annotate(app: &SparkApplication, demand: &Demand, submission: &mut Submission) {
    if Scheduler::of(&app.spec) != Some(Scheduler::YuniKorn) {
        return;
    }
    let pods = &app.spec;
    let mut groups = vec![task_group(
        YUNIKORN_DRIVER,
        1,
        &demand.driver.requests,
        &json!(pods.driver.pod),
        &pods.node_selector,
    )];
    let executors = demand.executors.initial();
    if executors > 0 {
        groups.push(task_group(
            YUNIKORN_EXECUTOR,
            executors,
            &demand.executor.requests,
            &json!(pods.executor.pod),
            &pods.node_selector,
        ));
    }
    let annotations = &mut submission.driver["metadata"]["annotations"];
    for (name, value) in [
        (YUNIKORN_GROUP, YUNIKORN_DRIVER.to_owned()),
        (YUNIKORN_GROUPS, Value::Array(groups).to_string()),
    ] {
        if annotations.get(name).is_none() {
            annotations[name] = json!(value);
        }
    }
}

/// One group: how many pods of which size, and where they may go, since YuniKorn keeps the room
/// with pods of its own.
fn task_group(
    name: &str,
    members: u32,
    size: &Amounts,
    role: &Value,
    selector: &std::collections::BTreeMap<String, String>,
) -> Value {
    let mut group = json!({
        "name": name,
        "minMember": members,
        "minResource": size.to_json(),
    });
    let mut selector = json!(selector);
    if let (Value::Object(all), Value::Object(own)) = (&mut selector, &role["nodeSelector"]) {
        all.extend(own.clone());
    }
    for (field, value) in [
        ("nodeSelector", &selector),
        ("tolerations", &role["tolerations"]),
        ("affinity", &role["affinity"]),
    ] {
        let is_empty = match value {
            Value::Object(fields) => fields.is_empty(),
            Value::Array(items) => items.is_empty(),
            _ => true,
        };
        if !is_empty {
            group[field] = value.clone();
        }
    }
    group
}

fn queue(spec: &SparkApplicationSpec) -> Option<&str> {
    spec.batch_scheduler_options.as_ref()?.queue.as_deref()
}

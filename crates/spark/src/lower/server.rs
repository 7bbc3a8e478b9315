//! What a driver pod lacks to be a server's: it is started again under other names and addresses,
//! says when it answers, and takes its resources from its template where that gives some.
//!
//! What Spark would write into the settings at submission and what differs from one start to the
//! next is left out there: the application id, so that a server never takes the executors of its
//! predecessor for its own, and the pod's name and address, which come with the arguments.

use serde_json::{Value, json};
use windlass_api::spark::connect::SERVER_CLASS;

use super::role::Role;
use crate::submission::{Conf, MainResource, Submission, properties};

/// Stands for the server's class, which Spark's submission refuses in cluster mode. Nobody submits
/// here: the pod starts the server in client mode, as every driver pod does with its class.
const STAND_IN: &str = "spark-connect-server";

/// The port that clients speak to, unless the settings say otherwise.
pub const CONNECT_PORT: u16 = 15002;
/// The setting that says otherwise.
pub const CONNECT_PORT_KEY: &str = "spark.connect.grpc.binding.port";

/// The setting with the address that the server listens at.
const ADDRESS_KEY: &str = "spark.connect.grpc.binding.address";

/// The role of a server's pod, in the label `spark-role`.
pub const SERVER_ROLE: &str = "connect-server";

/// The variable with the name of the pod.
const POD_NAME: &str = "WINDLASS_POD_NAME";
/// The variable with the address of the pod, which Spark itself sets.
const POD_IP: &str = "SPARK_DRIVER_BIND_ADDRESS";

/// The setting with the families of a driver's addresses, the first of which is its pod's.
const FAMILIES_KEY: &str = "spark.kubernetes.driver.service.ipFamilies";

/// A family of addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IpFamily {
    /// Such as 10.0.0.1.
    #[default]
    V4,
    /// Such as fd00::1, which Spark takes in brackets only.
    V6,
}

impl IpFamily {
    /// That of an address of the cluster, such as the one of its API in `KUBERNETES_SERVICE_HOST`.
    pub fn of_address(address: &str) -> Self {
        if address.contains(':') {
            Self::V6
        } else {
            Self::V4
        }
    }

    /// That of a server by its settings, if they say it.
    fn of_settings(conf: &Conf) -> Option<Self> {
        let families = conf.get(FAMILIES_KEY)?;
        match families.split(',').next()?.trim() {
            "IPv4" => Some(Self::V4),
            "IPv6" => Some(Self::V6),
            _ => None,
        }
    }

    /// The value of a variable with an address of this family, as Spark takes a host.
    fn host(self, variable: &str) -> String {
        match self {
            Self::V4 => format!("$({variable})"),
            Self::V6 => format!("[$({variable})]"),
        }
    }
}

/// Settings that are another one at each start.
const OF_ONE_START: [&str; 4] = [
    "spark.app.id",
    "spark.app.submitTime",
    "spark.driver.host",
    "spark.kubernetes.driver.pod.name",
];

/// How often a server that starts is asked whether it answers.
const STARTUP_PERIOD_SECONDS: u32 = 2;
/// A server that has not answered after so many tries, five minutes, is started anew.
const STARTUP_TRIES: u32 = 150;

/// The main class as submission sees it.
pub(super) fn stand_in() -> MainResource {
    MainResource::Java {
        jar: None,
        class: STAND_IN.to_owned(),
    }
}

/// Makes a server of the finished driver.
pub(super) fn finish(role: &Role<'_>, submission: &mut Submission, usual: IpFamily) {
    let port = port(&submission.conf);
    let family = IpFamily::of_settings(&submission.conf).unwrap_or(usual);
    let template = role.pod.template.as_ref();
    let name = submission.container.clone();
    let pod = &mut submission.driver;
    stay(pod, SERVER_ROLE);
    if let Some(spark) = container(pod, &name) {
        arguments(spark, family);
        variables(spark);
        ports(spark, port);
        probes(spark, &json!({"tcpSocket": {"port": port}}));
        if let Some(given) = template.and_then(|template| named(template, &name)) {
            resources(spark, given);
            if let Some(policy) = given.get("imagePullPolicy").filter(|it| it.is_string()) {
                spark["imagePullPolicy"] = policy.clone();
            }
        }
    }
    settings(submission);
}

/// Makes the pod one that a Deployment starts again and again, in this role.
pub(super) fn stay(pod: &mut Value, role: &str) {
    if let Some(metadata) = pod["metadata"].as_object_mut() {
        metadata.remove("name");
        metadata.remove("namespace");
    }
    if let Some(labels) = pod["metadata"]["labels"].as_object_mut() {
        labels.remove("spark-app-selector");
        labels.insert("spark-role".to_owned(), json!(role));
    }
    pod["spec"]["restartPolicy"] = json!("Always");
}

/// The container of this name.
pub(super) fn container<'a>(pod: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    let containers = pod["spec"]["containers"].as_array_mut();
    containers
        .into_iter()
        .flatten()
        .find(|container| container["name"] == *name)
}

/// The port that clients speak to.
pub(crate) fn port(conf: &Conf) -> u16 {
    conf.get(CONNECT_PORT_KEY)
        .and_then(|port| port.trim().parse().ok())
        .unwrap_or(CONNECT_PORT)
}

pub(super) fn list<'a>(container: &'a mut Value, field: &str) -> Option<&'a mut Vec<Value>> {
    if container.get(field).is_none_or(Value::is_null) {
        container[field] = json!([]);
    }
    container[field].as_array_mut()
}

/// Behind the first argument, which says that this is a driver, stand those of `spark-submit`. The
/// node puts the variables' values in.
fn arguments(spark: &mut Value, family: IpFamily) {
    let Some(arguments) = list(spark, "args") else {
        return;
    };
    for argument in arguments.iter_mut().filter(|it| **it == STAND_IN) {
        *argument = json!(SERVER_CLASS);
    }
    let own = [
        ("spark.driver.host", family.host(POD_IP)),
        ("spark.kubernetes.driver.pod.name", format!("$({POD_NAME})")),
    ];
    let own = own
        .into_iter()
        .flat_map(|(key, value)| [json!("--conf"), json!(format!("{key}={value}"))]);
    let start = usize::from(!arguments.is_empty());
    arguments.splice(start..start, own);
}

fn variables(spark: &mut Value) {
    let Some(variables) = list(spark, "env") else {
        return;
    };
    variables.retain(|it| it["name"] != "SPARK_APPLICATION_ID" && it["name"] != POD_NAME);
    variables.push(json!({
        "name": POD_NAME,
        "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}},
    }));
}

/// Spark opens the port only from 4.1 on.
fn ports(spark: &mut Value, port: u16) {
    if let Some(ports) = list(spark, "ports")
        && !ports.iter().any(|it| it["containerPort"] == port)
    {
        ports.push(json!({"name": "spark-connect", "containerPort": port, "protocol": "TCP"}));
    }
}

/// A server is asked whether it answers. Probes of the template stay.
pub(super) fn probes(spark: &mut Value, question: &Value) {
    let probe = |period: u32, failures: u32| {
        let mut probe = question.clone();
        probe["periodSeconds"] = json!(period);
        probe["failureThreshold"] = json!(failures);
        probe
    };
    for (field, probe) in [
        ("startupProbe", probe(STARTUP_PERIOD_SECONDS, STARTUP_TRIES)),
        ("readinessProbe", probe(10, 3)),
    ] {
        if spark.get(field).is_none_or(Value::is_null) {
            spark[field] = probe;
        }
    }
}

/// The container of this name in a template, else the first.
pub(super) fn named<'a>(template: &'a Value, name: &str) -> Option<&'a Value> {
    let containers = template.pointer("/spec/containers")?.as_array()?;
    let named = containers.iter().find(|it| it["name"] == *name);
    named.or_else(|| containers.first())
}

/// What the template says about a resource holds, as with the Kubeflow operator; of what it does
/// not speak, cores and memory decide.
pub(super) fn resources(spark: &mut Value, given: &Value) {
    let amount = |part: &str, resource: &str| {
        let amount = given.get("resources")?.get(part)?.get(resource)?;
        match amount {
            Value::Number(number) => Some(json!(number.to_string())),
            Value::String(_) => Some(amount.clone()),
            _ => None,
        }
    };
    for resource in ["cpu", "memory"] {
        let amounts = ["requests", "limits"].map(|part| (part, amount(part, resource)));
        if amounts.iter().all(|(_, amount)| amount.is_none()) {
            continue;
        }
        for (part, amount) in amounts {
            match amount {
                Some(amount) => spark["resources"][part][resource] = amount,
                None => {
                    if let Some(amounts) = spark["resources"][part].as_object_mut() {
                        amounts.remove(resource);
                    }
                }
            }
        }
    }
}

/// Of the objects beside the driver only its files remain. Its headless Service and its policy are
/// for one application id, which a server does not have.
fn settings(submission: &mut Submission) {
    // Spark's own choice is the address of the pod, where forwarded ports do not lead: they call
    // from inside of the pod, by its loopback address. For Java this is the address of both families,
    // so it serves on pods with IPv6 as well.
    let anywhere = "0.0.0.0".to_owned();
    submission
        .conf
        .entry(ADDRESS_KEY.to_owned())
        .or_insert(anywhere);
    submission.objects.retain(|it| it["kind"] == "ConfigMap");
    submission
        .conf
        .retain(|key, _| !OF_ONE_START.contains(&key.as_str()));
    let text = properties::write(&submission.conf);
    for object in &mut submission.objects {
        if let Some(file) = object["data"].get_mut("spark.properties") {
            *file = json!(text);
        }
    }
}

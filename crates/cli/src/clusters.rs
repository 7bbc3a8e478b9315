//! How virtual clusters are shown.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Service, ServicePort};
use kube::Api;
use kube::api::{DynamicObject, ListParams};
use serde_json::Value;

use crate::applications::Place;
use crate::exit::Failure;
use crate::findings::Finding;
use crate::kinds::Subject;
use crate::output::table;
use crate::run::preflight::api_failure;
use crate::shown::{age_of, lines, or_none, text};

/// The word of a member that is set up.
const SET_UP: &str = "configured";
/// What the name of a port begins with when its service has no URL scheme.
const NO_SCHEME: &str = "generic";

/// The columns of clusters.
pub fn head(wide: bool) -> Vec<&'static str> {
    let mut head = vec!["NAME", "STATE", "APP", "MEMBERS", "AGE"];
    if wide {
        head.extend(["ROLES", "NAMES"]);
    }
    head.push("MESSAGE");
    head
}

/// The cells of one cluster.
pub fn row(cluster: &DynamicObject, wide: bool, now: Timestamp) -> Vec<String> {
    let data = &cluster.data;
    let mut cells = vec![
        cluster.metadata.name.clone().unwrap_or_default(),
        state(data).to_owned(),
        or_none(text(data, "/spec/app")),
        set_up(members(data)),
        age_of(cluster, now),
    ];
    if wide {
        let roles = list(&data["status"]["roles"]).iter().map(|role| {
            let of_role = list(&role["members"]).iter();
            format!("{} {}", text(role, "/id"), set_up(of_role))
        });
        cells.extend([
            or_none(roles.collect::<Vec<_>>().join(", ")),
            or_none(text(data, "/status/clusterService")),
        ]);
    }
    cells.push(message(data));
    cells
}

/// How a cluster stands: the API's word, `New` when nobody has looked at it, and `Invalid` when it cannot be
/// as it is specified.
pub fn state(cluster: &Value) -> &str {
    let degraded = condition(cluster, "Degraded", "True");
    if degraded.is_some_and(|it| it["reason"] == "Invalid") {
        return "Invalid";
    }
    let word = cluster["status"]["state"].as_str();
    word.filter(|word| !word.is_empty()).unwrap_or("New")
}

/// Whether all members are there, set up and ready.
pub fn is_ready(cluster: &Value) -> bool {
    condition(cluster, "Ready", "True").is_some()
}

/// What is said of a cluster that is not as it should be, or changes.
pub fn message(cluster: &Value) -> String {
    let told = [
        ("Degraded", "True"),
        ("Progressing", "True"),
        ("StorageResizing", "True"),
        ("Ready", "False"),
    ];
    let mut told = told
        .into_iter()
        .filter_map(|(kind, status)| condition(cluster, kind, status));
    told.next()
        .map_or_else(String::new, |it| text(it, "/message"))
}

/// The Services of a cluster.
pub async fn services(place: &Place, subject: &Subject) -> Result<Vec<Service>, Failure> {
    let api: Api<Service> = Api::namespaced(place.client.clone(), &place.namespace);
    let selector = ListParams::default().labels(&subject.selector());
    let found = api.list(&selector).await.map_err(api_failure)?;
    Ok(found.items)
}

/// One cluster for people, with what is not well.
pub fn one(cluster: &Value, services: &[Service], findings: &[Finding], wide: bool) -> String {
    let at = |pointer: &str| text(cluster, pointer);
    let said = |kind: &str, status: &str| {
        let found = condition(cluster, kind, status);
        found.map_or_else(String::new, |it| text(it, "/message"))
    };
    let scaling = [
        said("ScalingActive", "True"),
        said("ScalingActive", "False"),
    ]
    .concat();
    let mut rows = vec![
        (
            "Name",
            format!("{}/{}", at("/metadata/namespace"), at("/metadata/name")),
        ),
        ("State", state(cluster).to_owned()),
        ("App", at("/spec/app")),
        (
            "Members",
            format!("{} are set up", set_up(members(cluster))),
        ),
        ("Scaling", scaling),
        ("Volumes", said("StorageResizing", "True")),
    ];
    if wide {
        rows.push(("Names", at("/status/clusterService")));
        rows.push(("systemd", said("SystemdRuns", "True")));
    }
    rows.push(("Message", message(cluster)));
    let mut shown = lines(rows);
    let members: Vec<Vec<String>> = list(&cluster["status"]["roles"])
        .iter()
        .flat_map(|role| {
            let of_role = list(&role["members"]).iter();
            of_role.map(|member| member_row(role, member, services, wide))
        })
        .collect();
    if !members.is_empty() {
        let mut head = vec!["ROLE", "MEMBER", "STATE", "CONTAINER"];
        if wide {
            head.extend(["NODE ID", "CLAIM"]);
        }
        head.push("SERVICES");
        shown.push(String::new());
        shown.push(table(&head, &members));
    }
    for finding in findings {
        shown.push(String::new());
        shown.extend(finding.lines());
    }
    shown.join("\n")
}

fn member_row(role: &Value, member: &Value, services: &[Service], wide: bool) -> Vec<String> {
    let at = |pointer: &str| or_none(text(member, pointer));
    let mut cells = vec![
        text(role, "/id"),
        at("/pod"),
        at("/state"),
        at("/stateDetail/lastKnownContainerState"),
    ];
    if wide {
        let number = member["nodeID"].as_i64();
        cells.push(number.map_or_else(|| "-".to_owned(), |it| it.to_string()));
        cells.push(at("/pvc"));
    }
    let own = services
        .iter()
        .find(|it| it.metadata.name.as_deref() == member["service"].as_str());
    let addresses = own.map_or_else(Vec::new, addresses);
    cells.push(or_none(addresses.join(" ")));
    cells
}

/// Where each port of a Service is, for whoever is farthest away and still reaches it: what a cloud gave,
/// else the port of every node, else the name in the cluster.
fn addresses(service: &Service) -> Vec<String> {
    let spec = service.spec.clone().unwrap_or_default();
    let status = service.status.clone().unwrap_or_default();
    let balancer = status.load_balancer.unwrap_or_default();
    let given = balancer.ingress.into_iter().flatten().next();
    let given = given.and_then(|it| it.hostname.or(it.ip));
    let metadata = &service.metadata;
    let own = format!(
        "{}.{}",
        metadata.name.as_deref().unwrap_or_default(),
        metadata.namespace.as_deref().unwrap_or_default()
    );
    let ports = spec.ports.into_iter().flatten();
    ports
        .map(|port| {
            let (scheme, id) = scheme_and_id(&port);
            let address = match (&given, port.node_port) {
                (Some(host), _) => format!("{host}:{}", port.port),
                (None, Some(of_nodes)) => format!("NODE:{of_nodes}"),
                (None, None) => format!("{own}:{}", port.port),
            };
            match scheme {
                Some(scheme) => format!("{id}={scheme}://{address}"),
                None => format!("{id}={address}"),
            }
        })
        .collect()
}

/// The name of a port says both: `http-ui`, or `generic-ssh` of what has no scheme.
fn scheme_and_id(port: &ServicePort) -> (Option<String>, String) {
    let name = port.name.clone().unwrap_or_default();
    match name.split_once('-') {
        Some((NO_SCHEME | "port", id)) => (None, id.to_owned()),
        Some((scheme, id)) => (Some(scheme.to_owned()), id.to_owned()),
        None => (None, name),
    }
}

fn members(cluster: &Value) -> impl Iterator<Item = &Value> {
    let roles = list(&cluster["status"]["roles"]).iter();
    roles.flat_map(|role| list(&role["members"]))
}

/// How many members are set up, of all.
fn set_up<'v>(members: impl Iterator<Item = &'v Value>) -> String {
    let (mut all, mut up) = (0, 0);
    for member in members {
        all += 1;
        up += i32::from(member["state"] == SET_UP);
    }
    format!("{up}/{all}")
}

fn condition<'v>(cluster: &'v Value, kind: &str, status: &str) -> Option<&'v Value> {
    let mut all = list(&cluster["status"]["conditions"]).iter();
    all.find(|it| it["type"] == kind && it["status"] == status)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(name: &str, kind: &str, ports: Value, status: Value) -> Service {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "team"},
            "spec": {"type": kind, "ports": ports},
            "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn a_cluster_is_told_by_how_it_stands() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let services = [
            service(
                "s-db-0",
                "ClusterIP",
                json!([{"name": "http-ui", "port": 8080}, {"name": "generic-ssh", "port": 22}]),
                json!({}),
            ),
            service(
                "s-db-1",
                "NodePort",
                json!([{"name": "http-ui", "port": 8080, "nodePort": 30080}]),
                json!({}),
            ),
            service(
                "svc-db-2",
                "LoadBalancer",
                json!([{"name": "port-8080", "port": 8080, "nodePort": 30081}]),
                json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}}),
            ),
        ];
        let cluster = |status: Value| {
            let object = json!({
                "apiVersion": "kubedirector.hpe.com/v1beta1",
                "kind": "KubeDirectorCluster",
                "metadata": {
                    "name": "db", "namespace": "team", "creationTimestamp": "2026-03-01T10:00:00Z",
                },
                "spec": {"app": "database"},
                "status": status,
            });
            let dynamic: DynamicObject = serde_json::from_value(object.clone()).unwrap();
            [
                row(&dynamic, false, now).join(" | "),
                row(&dynamic, true, now).join(" | "),
                one(&object, &services, &[], false),
                one(&object, &services, &[], true),
            ]
            .join("\n")
        };
        let condition = |kind: &str, status: &str, reason: &str, message: &str| json!({"type": kind, "status": status, "reason": reason, "message": message});
        let member = |name: &str, service: &str, state: &str, container: &str, number: i32| {
            json!({
                "pod": name, "service": service, "state": state, "nodeID": number,
                "pvc": format!("p-{name}"),
                "stateDetail": {"lastKnownContainerState": container},
            })
        };
        let told = [
            cluster(json!(null)),
            cluster(json!({"conditions": [
                condition("Degraded", "True", "Invalid", "spec.app: \"database\": is no KubeDirectorApp"),
                condition("Ready", "False", "Invalid", "the same"),
            ]})),
            cluster(json!({
                "state": "updating",
                "clusterService": "kdhs-x",
                "conditions": [
                    condition("Ready", "False", "MembersChanging", "members come"),
                    condition("Progressing", "True", "MembersChanging", "members come, go or are set up"),
                    condition("ScalingActive", "True", "DemandKnown", "worker: 3 wanted"),
                    condition("StorageResizing", "True", "VolumesGrow", "seed: 1 of 2 volumes have 2Gi"),
                ],
                "roles": [
                    {"id": "seed", "members": [
                        member("db-0", "s-db-0", "configured", "running", 1),
                        member("db-1", "s-db-1", "configured", "running", 2),
                    ]},
                    {"id": "worker", "members": [
                        member("db-2", "svc-db-2", "creating", "running", 1001),
                        member("db-3", "n/a", "create pending", "absent", 1002),
                    ]},
                ],
            })),
        ];
        insta::assert_snapshot!(told.join("\n\n"));
    }

    #[test]
    fn a_cluster_without_any_shape_is_shown_all_the_same() {
        for status in [json!([]), json!({"roles": 1, "conditions": {}})] {
            let object = json!({"metadata": {}, "status": status});
            assert!(one(&object, &[], &[], true).contains("0/0 are set up"));
        }
    }
}

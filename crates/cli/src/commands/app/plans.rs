//! What is tested of an application: with which cluster, which role grows, and what is to answer. Pure.

use serde_json::{Value, json};
use windlass_api::director::Cardinality;
use windlass_api::director::app::{AppSpec, HealthCheck, HttpScheme, fold};

/// What a member gets where the application does not say what it needs.
const RESOURCES: [(&str, &str); 2] = [("memory", "512Mi"), ("cpu", "500m")];

/// A role that gets one member more, and has so many before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Growth {
    pub(super) role: String,
    pub(super) members: i64,
}

/// Something that is to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) id: String,
    pub(super) port: u16,
    pub(super) check: Check,
}

/// How it is known to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Check {
    /// It takes a connection.
    Connects,
    /// A page has a status from 200 to 399.
    Page(String),
}

/// The smallest cluster that has members of all roles: as many as a role must have, and one where it need
/// not have any.
///
/// # Errors
/// An application that cannot be read.
pub(super) fn least(app: &Value) -> Result<Value, String> {
    let spec = spec(app)?;
    let selected = &spec.config.selected_roles;
    let roles = spec.roles.iter().filter(|it| selected.contains(&it.id));
    let roles = roles.map(|role| {
        let cardinality = cardinality(&spec, &role.id);
        let members = cardinality.map_or(1, |it| it.minimum().max(u32::from(it.allows(1))));
        let mut limits = json!(role.min_resources);
        for (resource, amount) in RESOURCES {
            if limits[resource].is_null() {
                limits[resource] = json!(amount);
            }
        }
        let mut wanted = json!({
            "id": role.id,
            "members": members,
            "resources": {"requests": limits, "limits": limits},
        });
        if let Some(storage) = &role.min_storage {
            wanted["storage"] = json!({"size": storage.size});
        }
        wanted
    });
    let name = &app["metadata"]["name"];
    Ok(json!({
        "apiVersion": "kubedirector.hpe.com/v1beta1",
        "kind": "KubeDirectorCluster",
        "metadata": {"name": name, "namespace": super::trial::NAMESPACE},
        "spec": {
            "app": name,
            "namingScheme": "CrNameRole",
            "serviceType": "ClusterIP",
            "roles": roles.collect::<Vec<Value>>(),
        },
    }))
}

/// Which role grows: the one that is asked for, or the last one that may.
///
/// # Errors
/// A role that is asked for and may not, or is none.
pub(super) fn growth(
    app: &Value,
    cluster: &Value,
    asked: Option<&str>,
    never: bool,
) -> Result<Option<Growth>, String> {
    if never {
        return Ok(None);
    }
    let spec = spec(app)?;
    let roles = cluster["spec"]["roles"].as_array().into_iter().flatten();
    let mut may_grow = roles.filter_map(|role| {
        let id = role["id"].as_str()?;
        let cardinality = cardinality(&spec, id)?;
        let least = i64::from(cardinality.minimum());
        let members = role["members"].as_i64().unwrap_or(least);
        let more = u32::try_from(members + 1).ok()?;
        cardinality.allows(more).then(|| Growth {
            role: id.to_owned(),
            members,
        })
    });
    let Some(asked) = asked else {
        return Ok(may_grow.next_back());
    };
    match may_grow.find(|growth| growth.role == asked) {
        Some(growth) => Ok(Some(growth)),
        None => Err(format!(
            "--grow {asked}: is no role of the cluster that may have another member; its cardinality \
             must be such as 1+"
        )),
    }
}

/// What is to answer in members of a role.
pub(super) fn services(app: &Value, role: &str) -> Vec<Service> {
    let Ok(spec) = spec(app) else {
        return Vec::new();
    };
    let ids = spec.config.role_services.iter();
    let ids = ids
        .filter(|it| it.role_id == role)
        .flat_map(|it| &it.service_ids);
    let services = ids.filter_map(|id| spec.services.iter().find(|it| it.id == *id));
    services
        .filter_map(|service| {
            let endpoint = service.endpoint.as_ref()?;
            let health = endpoint.health_check.as_ref()?;
            let is_https = endpoint.url_scheme.as_deref() == Some("https");
            Some(Service {
                id: service.id.clone(),
                port: u16::try_from(endpoint.port).ok()?,
                check: check(health, endpoint.path.as_deref(), is_https)?,
            })
        })
        .collect()
}

/// Nothing where only the kubelet can look; it does, and members are not ready otherwise.
fn check(health: &HealthCheck, path: Option<&str>, is_https: bool) -> Option<Check> {
    if let Some(http) = &health.http {
        let is_https = http.scheme.map_or(is_https, |it| it == HttpScheme::Https);
        let path = http.path.as_deref().or(path).unwrap_or("/");
        return Some(if is_https {
            Check::Connects
        } else {
            Check::Page(format!("/{}", path.trim_start_matches('/')))
        });
    }
    (health.tcp.is_some() || health.grpc.is_some()).then_some(Check::Connects)
}

fn spec(app: &Value) -> Result<AppSpec, String> {
    let spec: AppSpec = serde_json::from_value(app["spec"].clone()).map_err(|it| it.to_string())?;
    Ok(fold(&spec))
}

fn cardinality(spec: &AppSpec, role: &str) -> Option<Cardinality> {
    spec.role(role)?.cardinality.read().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> Value {
        let text = include_str!("app.yaml").replace("NAME", "page");
        let mut app = windlass_api::parse::objects(&text).unwrap().remove(0);
        app["spec"]["roles"] = json!([
            {"id": "server", "cardinality": "1+", "minResources": {"memory": "1Gi"}},
            {"id": "broker", "cardinality": "3", "minStorage": {"size": "2Gi"}},
            {"id": "client", "cardinality": "0+"},
            {"id": "unused", "cardinality": "1"},
        ]);
        app["spec"]["config"]["selectedRoles"] = json!(["server", "broker", "client"]);
        app
    }

    #[test]
    fn the_smallest_cluster_has_members_of_all_roles() {
        let cluster = least(&app()).unwrap();
        let roles = cluster["spec"]["roles"].as_array().unwrap();
        let shown: Vec<String> = roles
            .iter()
            .map(|role| {
                let memory = &role["resources"]["limits"]["memory"];
                format!(
                    "{} {} {memory} {}",
                    role["id"], role["members"], role["storage"]
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                r#""server" 1 "1Gi" null"#,
                r#""broker" 3 "512Mi" {"size":"2Gi"}"#,
                r#""client" 1 "512Mi" null"#,
            ]
        );
    }

    #[test]
    fn the_last_role_that_may_grow_does_unless_another_is_asked_for() {
        let (app, cluster) = (app(), least(&app()).unwrap());
        let role = |asked, never| {
            growth(&app, &cluster, asked, never).map(|it| it.map(|it| (it.role, it.members)))
        };
        assert_eq!(role(None, false), Ok(Some(("client".to_owned(), 1))));
        assert_eq!(
            role(Some("server"), false),
            Ok(Some(("server".to_owned(), 1)))
        );
        assert_eq!(role(None, true), Ok(None));
        for wrong in ["broker", "nobody"] {
            let told = role(Some(wrong), false).unwrap_err();
            assert!(
                told.starts_with(&format!("--grow {wrong}: is no role")),
                "{told}"
            );
        }
    }

    #[test]
    fn services_that_say_how_they_are_known_to_answer_are_asked() {
        let mut app = app();
        let page = Service {
            id: "web".to_owned(),
            port: 8000,
            check: Check::Page("/".to_owned()),
        };
        assert_eq!(services(&app, "server"), std::slice::from_ref(&page));
        assert!(services(&app, "client").is_empty());
        let endpoint = &mut app["spec"]["services"][0]["endpoint"];
        endpoint["healthCheck"] = json!({"tcp": {}});
        let check = Check::Connects;
        assert_eq!(services(&app, "server"), [Service { check, ..page }]);
        let endpoint = &mut app["spec"]["services"][0]["endpoint"];
        endpoint["healthCheck"] = json!({"exec": {"command": ["true"]}});
        assert!(services(&app, "server").is_empty());
    }
}

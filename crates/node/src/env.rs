//! A container's environment, command line and the fields of a pod they may refer to.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{
    ConfigMap, Container, EnvVar, ObjectFieldSelector, Pod, ResourceFieldSelector, Secret, Service,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::quantity;

/// The objects of the pod's namespace a container refers to; absent ones are `None`.
#[derive(Debug, Clone, Default)]
pub(crate) struct References {
    /// ConfigMaps by name.
    pub(crate) config_maps: BTreeMap<String, Option<ConfigMap>>,
    /// Secrets by name.
    pub(crate) secrets: BTreeMap<String, Option<Secret>>,
}

impl References {
    /// What a container's environment refers to, with nothing fetched yet.
    pub(crate) fn of(container: &Container) -> Self {
        let mut references = Self::default();
        for source in container.env_from.iter().flatten() {
            if let Some(from) = &source.config_map_ref {
                references.config_maps.insert(from.name.clone(), None);
            }
            if let Some(from) = &source.secret_ref {
                references.secrets.insert(from.name.clone(), None);
            }
        }
        for from in container
            .env
            .iter()
            .flatten()
            .filter_map(|env| env.value_from.as_ref())
        {
            if let Some(key) = &from.config_map_key_ref {
                references.config_maps.insert(key.name.clone(), None);
            }
            if let Some(key) = &from.secret_key_ref {
                references.secrets.insert(key.name.clone(), None);
            }
        }
        references
    }
}

/// The facts a pod's fields and resources resolve to.
#[derive(Debug, Clone)]
pub(crate) struct Facts<'a> {
    /// The pod.
    pub(crate) pod: &'a Pod,
    /// Its address.
    pub(crate) address: Ipv4Addr,
    /// The machine's address.
    pub(crate) host: Ipv4Addr,
    /// What the node has, where a container sets no limit.
    pub(crate) cpu_millis: u64,
    /// Likewise, in bytes.
    pub(crate) memory_bytes: u64,
}

/// Resolves the environment of a container; the error is what its status shows.
pub(crate) fn resolve(
    facts: &Facts<'_>,
    container: &Container,
    image: &[(String, String)],
    services: &[(String, String)],
    references: &References,
) -> Result<Vec<(String, String)>, String> {
    let mut result: BTreeMap<String, String> = services.iter().cloned().collect();
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        if let Some(from) = &source.config_map_ref {
            match references
                .config_maps
                .get(&from.name)
                .and_then(Option::as_ref)
            {
                Some(map) => result.extend(
                    map.data
                        .iter()
                        .flatten()
                        .map(|(k, v)| (format!("{prefix}{k}"), v.clone())),
                ),
                None if from.optional == Some(true) => {}
                None => return Err(format!("configmap \"{}\" not found", from.name)),
            }
        }
        if let Some(from) = &source.secret_ref {
            match references.secrets.get(&from.name).and_then(Option::as_ref) {
                Some(secret) => {
                    for (key, value) in secret.data.iter().flatten() {
                        let text = String::from_utf8_lossy(&value.0).into_owned();
                        result.insert(format!("{prefix}{key}"), text);
                    }
                }
                None if from.optional == Some(true) => {}
                None => return Err(format!("secret \"{}\" not found", from.name)),
            }
        }
    }
    for env in container.env.iter().flatten() {
        if let Some(value) = value_of(facts, container, env, &result, references)? {
            result.insert(env.name.clone(), value);
        }
    }
    // The image's variables are underneath everything.
    let mut all: BTreeMap<String, String> = image.iter().cloned().collect();
    all.extend(result);
    Ok(all.into_iter().collect())
}

fn value_of(
    facts: &Facts<'_>,
    container: &Container,
    env: &EnvVar,
    so_far: &BTreeMap<String, String>,
    references: &References,
) -> Result<Option<String>, String> {
    let Some(from) = &env.value_from else {
        let text = env.value.as_deref().unwrap_or_default();
        return Ok(Some(expand(text, |name| so_far.get(name).cloned())));
    };
    if let Some(selector) = &from.field_ref {
        return field(facts, selector).map(Some);
    }
    if let Some(selector) = &from.resource_field_ref {
        return resource(facts, container, selector).map(Some);
    }
    if let Some(key) = &from.config_map_key_ref {
        let optional = key.optional == Some(true);
        let Some(map) = references
            .config_maps
            .get(&key.name)
            .and_then(Option::as_ref)
        else {
            return missing(optional, format!("configmap \"{}\" not found", key.name));
        };
        return match map.data.as_ref().and_then(|data| data.get(&key.key)) {
            Some(value) => Ok(Some(value.clone())),
            None => missing(
                optional,
                format!(
                    "couldn't find key {} in ConfigMap {}/{}",
                    key.key,
                    namespace(facts.pod),
                    key.name
                ),
            ),
        };
    }
    if let Some(key) = &from.secret_key_ref {
        let optional = key.optional == Some(true);
        let Some(secret) = references.secrets.get(&key.name).and_then(Option::as_ref) else {
            return missing(optional, format!("secret \"{}\" not found", key.name));
        };
        return match secret.data.as_ref().and_then(|data| data.get(&key.key)) {
            Some(value) => Ok(Some(String::from_utf8_lossy(&value.0).into_owned())),
            None => missing(
                optional,
                format!(
                    "couldn't find key {} in Secret {}/{}",
                    key.key,
                    namespace(facts.pod),
                    key.name
                ),
            ),
        };
    }
    Err(format!(
        "environment variable {} has a source this node does not know",
        env.name
    ))
}

fn missing(optional: bool, message: String) -> Result<Option<String>, String> {
    if optional { Ok(None) } else { Err(message) }
}

/// Replaces `$(NAME)` by what the lookup knows; `$$` is a dollar sign, unknown names stay.
pub(crate) fn expand(text: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some((name, tail)) = after
            .strip_prefix('(')
            .and_then(|inner| inner.split_once(')'))
        {
            match lookup(name) {
                Some(value) => out.push_str(&value),
                None => out.push_str(&format!("$({name})")),
            }
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// A field of the pod, as environment variables and downward API volumes may ask for it.
pub(crate) fn field(facts: &Facts<'_>, selector: &ObjectFieldSelector) -> Result<String, String> {
    let metadata = &facts.pod.metadata;
    let spec = facts.pod.spec.as_ref();
    let path = selector.field_path.as_str();
    if let Some((map, key)) = path
        .strip_suffix("']")
        .and_then(|path| path.split_once("['"))
    {
        let map = match map {
            "metadata.labels" => metadata.labels.as_ref(),
            "metadata.annotations" => metadata.annotations.as_ref(),
            _ => return Err(format!("fieldPath {path} is not supported")),
        };
        return Ok(map
            .and_then(|map| map.get(key))
            .cloned()
            .unwrap_or_default());
    }
    Ok(match path {
        "metadata.name" => metadata.name.clone().unwrap_or_default(),
        "metadata.namespace" => metadata.namespace.clone().unwrap_or_default(),
        "metadata.uid" => metadata.uid.clone().unwrap_or_default(),
        "metadata.labels" => map_text(metadata.labels.as_ref()),
        "metadata.annotations" => map_text(metadata.annotations.as_ref()),
        "spec.nodeName" => spec
            .and_then(|spec| spec.node_name.clone())
            .unwrap_or_default(),
        "spec.serviceAccountName" => spec
            .and_then(|spec| spec.service_account_name.clone())
            .unwrap_or_default(),
        "status.hostIP" | "status.hostIPs" => facts.host.to_string(),
        "status.podIP" | "status.podIPs" => facts.address.to_string(),
        _ => return Err(format!("fieldPath {path} is not supported")),
    })
}

/// Labels or annotations as a file shows them: sorted, one per line, values quoted.
fn map_text(map: Option<&BTreeMap<String, String>>) -> String {
    let lines = map
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={value:?}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// A container's request or limit, as environment variables and downward API volumes show it.
pub(crate) fn resource(
    facts: &Facts<'_>,
    container: &Container,
    selector: &ResourceFieldSelector,
) -> Result<String, String> {
    let container = match &selector.container_name {
        None => container,
        Some(name) if *name == container.name => container,
        Some(name) => {
            let spec = facts.pod.spec.as_ref().ok_or("the pod has no spec")?;
            spec.containers
                .iter()
                .chain(spec.init_containers.iter().flatten())
                .find(|container| container.name == *name)
                .ok_or_else(|| format!("container {name} not found"))?
        }
    };
    let resources = container.resources.clone().unwrap_or_default();
    let (kind, name) = selector
        .resource
        .split_once('.')
        .ok_or_else(|| format!("resource {} is not supported", selector.resource))?;
    let map = match kind {
        "limits" => resources.limits,
        "requests" => resources.requests,
        _ => return Err(format!("resource {} is not supported", selector.resource)),
    };
    let set = map
        .and_then(|map| map.get(name).cloned())
        .as_ref()
        .and_then(quantity::nanos);
    let nano = 1_000_000_000;
    let amount = match (set, kind, name) {
        (Some(amount), ..) => amount,
        (None, "limits", "cpu") => i128::from(facts.cpu_millis) * nano / 1000,
        (None, "limits", "memory") => i128::from(facts.memory_bytes) * nano,
        (None, ..) => 0,
    };
    let one = Quantity("1".to_owned());
    let divisor = selector
        .divisor
        .as_ref()
        .filter(|divisor| !divisor.0.is_empty() && divisor.0 != "0");
    let divisor =
        quantity::nanos(divisor.unwrap_or(&one)).ok_or("the divisor is not a quantity")?;
    Ok(quantity::divided(amount, divisor).to_string())
}

/// The variables that tell a container about the Services there are: those of its own namespace
/// (when it wants them) and always the API's.
pub(crate) fn services<'a>(
    services: impl Iterator<Item = &'a Service>,
    namespace: &str,
    links: bool,
    api: (Ipv4Addr, u16),
) -> Vec<(String, String)> {
    let mut env = Vec::new();
    for service in services {
        let name = service.metadata.name.as_deref().unwrap_or_default();
        let of = service.metadata.namespace.as_deref().unwrap_or_default();
        let is_api = name == "kubernetes" && of == "default";
        let Some(spec) = &service.spec else { continue };
        let address = spec.cluster_ip.as_deref().unwrap_or_default();
        if is_api || !links || of != namespace || matches!(address, "" | "None") {
            continue;
        }
        let ports = spec.ports.iter().flatten().map(|port| {
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            (port.name.as_deref(), port.port as u16, protocol)
        });
        env.extend(service_variables(name, address, ports));
    }
    let port = std::iter::once((Some("https"), api.1, "TCP"));
    env.extend(service_variables("kubernetes", &api.0.to_string(), port));
    env
}

fn service_variables<'a>(
    name: &str,
    address: &str,
    ports: impl Iterator<Item = (Option<&'a str>, u16, &'a str)>,
) -> Vec<(String, String)> {
    let upper = |text: &str| text.to_uppercase().replace('-', "_");
    let name = upper(name);
    let mut env = vec![(format!("{name}_SERVICE_HOST"), address.to_owned())];
    for (index, (port_name, port, protocol)) in ports.enumerate() {
        let lower = protocol.to_lowercase();
        let url = format!("{lower}://{address}:{port}");
        if index == 0 {
            env.push((format!("{name}_SERVICE_PORT"), port.to_string()));
            env.push((format!("{name}_PORT"), url.clone()));
        }
        if let Some(port_name) = port_name {
            env.push((
                format!("{name}_SERVICE_PORT_{}", upper(port_name)),
                port.to_string(),
            ));
        }
        let prefix = format!("{name}_PORT_{port}_{}", protocol.to_uppercase());
        env.push((prefix.clone(), url));
        env.push((format!("{prefix}_PROTO"), lower));
        env.push((format!("{prefix}_PORT"), port.to_string()));
        env.push((format!("{prefix}_ADDR"), address.to_owned()));
    }
    env
}

fn namespace(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn lines(env: &[(String, String)]) -> String {
        let lines: Vec<String> = env
            .iter()
            .map(|(n, value)| format!("{n}={value}"))
            .collect();
        lines.join("\n")
    }

    #[test]
    fn references_are_expanded_and_dollars_escaped() {
        let lookup = |name: &str| (name == "A").then(|| "x$(B)".to_owned());
        let table = [
            ("$(A)-$(A)", "x$(B)-x$(B)"),
            ("$(UNKNOWN)", "$(UNKNOWN)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$x$(B)"),
            ("cost: $5 $", "cost: $5 $"),
            ("$(A", "$(A"),
        ];
        for (text, expected) in table {
            assert_eq!(expand(text, lookup), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_without_dollars_is_never_changed(text in "[^$]*") {
            prop_assert_eq!(expand(&text, |_| Some("no".to_owned())), text);
        }

        #[test]
        fn doubled_dollars_always_give_the_text_back(text in ".*") {
            let escaped = text.replace('$', "$$");
            prop_assert_eq!(expand(&escaped, |_| Some("no".to_owned())), text);
        }
    }

    #[test]
    fn an_environment_is_resolved_from_every_source() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"a": "b"}},
            "spec": {"nodeName": "n", "containers": [{
                "name": "c",
                "resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "250m"}},
                "envFrom": [{"prefix": "P_", "configMapRef": {"name": "map"}},
                            {"secretRef": {"name": "absent", "optional": true}}],
                "env": [
                    {"name": "PLAIN", "value": "$(P_KEY)/$(NOPE)"},
                    {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                    {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a']"}}},
                    {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
                    {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "requests.cpu"}}},
                    {"name": "LIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
                    {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                    {"name": "TWICE", "value": "first"},
                    {"name": "TWICE", "value": "last"},
                ],
            }]},
        }))
        .unwrap();
        let container = &pod.spec.as_ref().unwrap().containers[0];
        let mut references = References::of(container);
        assert_eq!(
            references.secrets.keys().collect::<Vec<_>>(),
            ["absent", "s"]
        );
        references.config_maps.insert(
            "map".to_owned(),
            Some(serde_json::from_value(json!({"data": {"KEY": "v"}})).unwrap()),
        );
        let facts = Facts {
            pod: &pod,
            address: Ipv4Addr::new(127, 16, 128, 1),
            host: Ipv4Addr::LOCALHOST,
            cpu_millis: 2000,
            memory_bytes: 1 << 30,
        };
        let image = [
            ("TWICE".to_owned(), "image".to_owned()),
            ("PATH".to_owned(), "/bin".to_owned()),
        ];
        let refused = resolve(&facts, container, &image, &[], &references).unwrap_err();
        assert_eq!(refused, "secret \"s\" not found");
        references.secrets.insert(
            "s".to_owned(),
            Some(serde_json::from_value(json!({"data": {"k": "c2VjcmV0"}})).unwrap()),
        );
        let env = resolve(&facts, container, &image, &[], &references).unwrap();
        let text = lines(&env);
        insta::assert_snapshot!(text, @r"
        CPU=1
        IP=127.16.128.1
        KEY=secret
        LABEL=b
        LIMIT=2000
        MEM=1024
        PATH=/bin
        PLAIN=v/$(NOPE)
        P_KEY=v
        TWICE=last
        ");
    }

    #[test]
    fn services_are_told_as_the_kubelet_tells_them() {
        let service: Service = serde_json::from_value(json!({
            "metadata": {"name": "my-db", "namespace": "ns"},
            "spec": {"clusterIP": "127.16.0.9", "ports": [{"name": "sql", "port": 5432}]},
        }))
        .unwrap();
        let api = (Ipv4Addr::new(127, 16, 0, 1), 443);
        let env = services([&service].into_iter(), "ns", true, api);
        let text = lines(&env);
        insta::assert_snapshot!(text, @"
        MY_DB_SERVICE_HOST=127.16.0.9
        MY_DB_SERVICE_PORT=5432
        MY_DB_PORT=tcp://127.16.0.9:5432
        MY_DB_SERVICE_PORT_SQL=5432
        MY_DB_PORT_5432_TCP=tcp://127.16.0.9:5432
        MY_DB_PORT_5432_TCP_PROTO=tcp
        MY_DB_PORT_5432_TCP_PORT=5432
        MY_DB_PORT_5432_TCP_ADDR=127.16.0.9
        KUBERNETES_SERVICE_HOST=127.16.0.1
        KUBERNETES_SERVICE_PORT=443
        KUBERNETES_PORT=tcp://127.16.0.1:443
        KUBERNETES_SERVICE_PORT_HTTPS=443
        KUBERNETES_PORT_443_TCP=tcp://127.16.0.1:443
        KUBERNETES_PORT_443_TCP_PROTO=tcp
        KUBERNETES_PORT_443_TCP_PORT=443
        KUBERNETES_PORT_443_TCP_ADDR=127.16.0.1
        ");
    }
}

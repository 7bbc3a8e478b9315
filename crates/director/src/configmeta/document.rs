//! The file itself.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use windlass_api::director::app::Service;

use super::{
    ConnectedConfigMap, ConnectedSecret, Connections, Description, Flavor, NODE_GROUP,
    RoleDescription,
};

/// What is said of nothing that KubeDirector knows.
const NOT_AVAILABLE: &str = "n/a";

/// configmeta.json of every member of one cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    common: String,
    nodes: BTreeMap<String, String>,
}

impl Document {
    /// The file of the members of `cluster`, and of `leaving`: members that are described to nobody
    /// any more, but still have a file of their own. Those are pairs of role and member.
    pub fn of(
        cluster: &Description,
        connections: &Connections,
        leaving: &[(String, super::MemberDescription)],
    ) -> Self {
        let meta = Meta {
            cluster: ClusterMeta::of(cluster, &Root::default()),
            connections: ConnectionsMeta::of(connections),
        };
        let mut common = json(&meta);
        // The node is the last field: the object goes on where it would end.
        common.pop();
        common.push_str(",\"node\":");
        let staying = cluster.roles.iter().flat_map(|role| {
            let members = role.members.iter();
            members.map(move |member| (role.id.as_str(), member))
        });
        let leaving = leaving.iter().map(|(role, member)| (role.as_str(), member));
        let nodes = staying.chain(leaving).map(|(role, member)| {
            let node = NodeMeta::of(cluster, role, member);
            (member.pod.clone(), json(&node) + "}")
        });
        Self {
            nodes: nodes.collect(),
            common,
        }
    }

    /// The part that is the same for all members, up to and including `"node":`.
    pub fn common(&self) -> &str {
        &self.common
    }

    /// The rest, by pod.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &str)> {
        let nodes = self.nodes.iter();
        nodes.map(|(pod, text)| (pod.as_str(), text.as_str()))
    }

    /// The rest of the file of one pod, if there is such a member.
    pub fn node(&self, pod: &str) -> Option<&str> {
        self.nodes.get(pod).map(String::as_str)
    }

    /// The whole file of one pod.
    pub fn file(&self, pod: &str) -> Option<String> {
        self.node(pod).map(|node| format!("{}{node}", self.common))
    }
}

/// What members are told of connections, as one text; nothing where there are none. It has secrets.
pub fn connections_text(connections: &Connections) -> Option<String> {
    let is_empty = connections.clusters.is_empty()
        && connections.config_maps.is_empty()
        && connections.secrets.is_empty();
    (!is_empty).then(|| json(&ConnectionsMeta::of(connections)))
}

/// The text has secrets in it.
impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pods: Vec<&String> = self.nodes.keys().collect();
        f.debug_struct("Document")
            .field("pods", &pods)
            .finish_non_exhaustive()
    }
}

/// No type here has a map with other keys than texts, so each has a JSON form.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Where references of a cluster start: at the top for the own one, inside of it for another.
#[derive(Debug, Clone, Default)]
struct Root(Vec<String>);

impl Root {
    fn of_connected(name: &str) -> Self {
        Self(["connections", "clusters", name].map(str::to_owned).into())
    }

    fn reference(&self, path: &[&str]) -> Reference {
        let path = path.iter().map(|it| (*it).to_owned());
        Reference {
            path: self.0.iter().cloned().chain(path).collect(),
        }
    }
}

/// Look there instead.
#[derive(Serialize)]
struct Reference {
    #[serde(rename = "bdvlibrefkey")]
    path: Vec<String>,
}

type ByGroup<T> = BTreeMap<&'static str, T>;

#[derive(Serialize)]
struct Meta<'a> {
    #[serde(flatten)]
    cluster: ClusterMeta<'a>,
    connections: ConnectionsMeta<'a>,
}

#[derive(Serialize)]
struct ClusterMeta<'a> {
    version: String,
    services: BTreeMap<&'a str, ByGroup<BTreeMap<&'a str, Reference>>>,
    nodegroups: ByGroup<NodeGroup<'a>>,
    distros: BTreeMap<&'a str, ByGroup<Reference>>,
    cluster: Identity<'a>,
}

#[derive(Serialize)]
struct NodeGroup<'a> {
    roles: BTreeMap<&'a str, RoleMeta<'a>>,
    distro_id: &'a str,
    catalog_entry_version: &'a str,
    config_metadata: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
struct RoleMeta<'a> {
    services: BTreeMap<&'a str, ServiceMeta<'a>>,
    node_ids: Vec<String>,
    hostnames: Vec<String>,
    fqdns: Vec<String>,
    fqdn_mappings: BTreeMap<String, String>,
    flavor: FlavorMeta,
    secret_keys: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct ServiceMeta<'a> {
    qualifiers: [&'static str; 0],
    name: &'a str,
    id: &'a str,
    hostnames: Reference,
    global_id: String,
    fqdns: Reference,
    exported_service: &'a str,
    endpoints: Vec<String>,
    #[serde(rename = "authToken")]
    auth_token: &'a str,
}

#[derive(Serialize)]
struct FlavorMeta {
    storage: &'static str,
    name: &'static str,
    memory: String,
    description: &'static str,
    cores: String,
}

#[derive(Serialize)]
struct Identity<'a> {
    name: &'a str,
    isolated: bool,
    id: &'a str,
    config_metadata: ByGroup<Reference>,
}

#[derive(Serialize)]
struct NodeMeta<'a> {
    role_id: &'a str,
    nodegroup_id: &'static str,
    id: String,
    hostname: String,
    fqdn: String,
    domain: &'a str,
    distro_id: &'a str,
    depends_on: BTreeMap<&'static str, Reference>,
    block_device_paths: &'a [String],
}

#[derive(Serialize)]
struct ConnectionsMeta<'a> {
    clusters: BTreeMap<&'a str, ClusterMeta<'a>>,
    configmaps: BTreeMap<&'a str, Vec<ConfigMapMeta<'a>>>,
    secrets: BTreeMap<&'a str, Vec<SecretMeta<'a>>>,
}

#[derive(Serialize)]
struct ConfigMapMeta<'a> {
    metadata: BTreeMap<&'static str, &'a str>,
    data: &'a BTreeMap<String, String>,
    labels: &'a BTreeMap<String, String>,
    annotations: &'a BTreeMap<String, String>,
}

/// All texts are in base64, those of labels, too: KubeDirector has them as bytes.
#[derive(Serialize)]
struct SecretMeta<'a> {
    metadata: BTreeMap<&'static str, String>,
    data: BTreeMap<&'a str, &'a str>,
    labels: BTreeMap<&'a str, String>,
    annotations: BTreeMap<&'a str, String>,
}

impl<'a> ClusterMeta<'a> {
    fn of(cluster: &'a Description, root: &Root) -> Self {
        let active: Vec<&RoleDescription> = cluster
            .roles
            .iter()
            .filter(|role| !role.members.is_empty())
            .collect();
        let mut services: BTreeMap<&str, BTreeMap<&str, Reference>> = BTreeMap::new();
        for role in &active {
            for service in known_services(cluster, role) {
                let there = [
                    "nodegroups",
                    NODE_GROUP,
                    "roles",
                    &role.id,
                    "services",
                    &service.id,
                ];
                let by_role = services.entry(&service.id).or_default();
                by_role.insert(&role.id, root.reference(&there));
            }
        }
        let roles = active.iter().map(|role| {
            let meta = RoleMeta::of(cluster, role, root);
            (role.id.as_str(), meta)
        });
        let group = NodeGroup {
            roles: roles.collect(),
            distro_id: &cluster.distro_id,
            catalog_entry_version: &cluster.app_version,
            config_metadata: &cluster.config_meta,
        };
        let config = root.reference(&["nodegroups", NODE_GROUP, "config_metadata"]);
        Self {
            version: cluster.schema_version.to_string(),
            services: services
                .into_iter()
                .map(|(id, by_role)| (id, in_group(by_role)))
                .collect(),
            nodegroups: in_group(group),
            distros: BTreeMap::from([(
                cluster.distro_id.as_str(),
                in_group(root.reference(&["nodegroups", NODE_GROUP])),
            )]),
            cluster: Identity {
                name: &cluster.name,
                isolated: false,
                id: &cluster.uid,
                config_metadata: in_group(config),
            },
        }
    }
}

impl<'a> RoleMeta<'a> {
    fn of(cluster: &'a Description, role: &'a RoleDescription, root: &Root) -> Self {
        let fqdn = |pod: &str| cluster.domain.fqdn(pod);
        let fqdns: Vec<String> = role.members.iter().map(|it| fqdn(&it.pod)).collect();
        let ids = role.members.iter().map(|it| it.node_id.to_string());
        let services = known_services(cluster, role).map(|service| {
            let meta = ServiceMeta::of(service, role, &fqdns, root);
            (service.id.as_str(), meta)
        });
        let secrets = role.secret_keys.iter();
        Self {
            services: services.collect(),
            node_ids: ids.clone().collect(),
            fqdn_mappings: fqdns.iter().cloned().zip(ids).collect(),
            flavor: FlavorMeta::of(role.flavor),
            secret_keys: secrets
                .map(|(name, value)| (name.as_str(), value.expose()))
                .collect(),
            hostnames: fqdns.clone(),
            fqdns,
        }
    }
}

impl<'a> ServiceMeta<'a> {
    fn of(service: &'a Service, role: &'a RoleDescription, fqdns: &[String], root: &Root) -> Self {
        let endpoint = service.endpoint.as_ref();
        let scheme = endpoint.and_then(|it| it.url_scheme.as_deref());
        let address = |fqdn: &String, port| format!("{}://{fqdn}:{port}", scheme.unwrap_or(""));
        let asks = endpoint.is_some_and(|endpoint| endpoint.has_auth_token);
        let token = role.token.as_ref().filter(|_| asks);
        let names = |what| root.reference(&["nodegroups", NODE_GROUP, "roles", &role.id, what]);
        Self {
            qualifiers: [],
            name: &service.label.name,
            id: &service.id,
            hostnames: names("hostnames"),
            global_id: format!("{NODE_GROUP}_{}_{}", role.id, service.id),
            fqdns: names("fqdns"),
            exported_service: service.exported_service.as_deref().unwrap_or(""),
            endpoints: endpoint.map_or_else(Vec::new, |endpoint| {
                let fqdns = fqdns.iter();
                fqdns.map(|fqdn| address(fqdn, endpoint.port)).collect()
            }),
            auth_token: token.map_or("", |token| token.expose()),
        }
    }
}

impl FlavorMeta {
    fn of(flavor: Flavor) -> Self {
        Self {
            storage: NOT_AVAILABLE,
            name: NOT_AVAILABLE,
            memory: flavor.memory_mib.to_string(),
            description: NOT_AVAILABLE,
            cores: flavor.cores.to_string(),
        }
    }
}

impl<'a> NodeMeta<'a> {
    fn of(cluster: &'a Description, role: &'a str, member: &super::MemberDescription) -> Self {
        let fqdn = cluster.domain.fqdn(&member.pod);
        let role_of = cluster.roles.iter().find(|it| it.id == role);
        Self {
            role_id: role,
            nodegroup_id: NODE_GROUP,
            id: member.node_id.to_string(),
            hostname: fqdn.clone(),
            fqdn,
            domain: cluster.domain.as_str(),
            distro_id: &cluster.distro_id,
            depends_on: BTreeMap::new(),
            block_device_paths: role_of.map_or(&[], |role| &role.block_devices),
        }
    }
}

impl<'a> ConnectionsMeta<'a> {
    fn of(connections: &'a Connections) -> Self {
        let mut configmaps: BTreeMap<&str, Vec<ConfigMapMeta<'_>>> = BTreeMap::new();
        for config_map in &connections.config_maps {
            let of_kind = configmaps.entry(&config_map.kind).or_default();
            of_kind.push(ConfigMapMeta::of(config_map));
        }
        let mut secrets: BTreeMap<&str, Vec<SecretMeta<'_>>> = BTreeMap::new();
        for secret in &connections.secrets {
            let of_kind = secrets.entry(&secret.kind).or_default();
            of_kind.push(SecretMeta::of(secret));
        }
        let clusters = connections.clusters.iter().map(|cluster| {
            let meta = ClusterMeta::of(cluster, &Root::of_connected(&cluster.name));
            (cluster.name.as_str(), meta)
        });
        Self {
            clusters: clusters.collect(),
            configmaps,
            secrets,
        }
    }
}

impl<'a> ConfigMapMeta<'a> {
    fn of(config_map: &'a ConnectedConfigMap) -> Self {
        Self {
            metadata: BTreeMap::from([("name", config_map.name.as_str())]),
            data: &config_map.data,
            labels: &config_map.labels,
            annotations: &config_map.annotations,
        }
    }
}

impl<'a> SecretMeta<'a> {
    fn of(secret: &'a ConnectedSecret) -> Self {
        fn encoded(texts: &BTreeMap<String, String>) -> BTreeMap<&str, String> {
            let texts = texts.iter();
            texts
                .map(|(key, value)| (key.as_str(), STANDARD.encode(value)))
                .collect()
        }
        let data = secret.data.iter();
        Self {
            metadata: BTreeMap::from([("name", STANDARD.encode(&secret.name))]),
            data: data
                .map(|(key, value)| (key.as_str(), value.expose()))
                .collect(),
            labels: encoded(&secret.labels),
            annotations: encoded(&secret.annotations),
        }
    }
}

/// The services of a role that the application describes.
fn known_services<'a>(
    cluster: &'a Description,
    role: &'a RoleDescription,
) -> impl Iterator<Item = &'a Service> {
    let ids = role.services.iter();
    ids.filter_map(|id| cluster.services.iter().find(|service| service.id == *id))
}

fn in_group<T>(value: T) -> ByGroup<T> {
    BTreeMap::from([(NODE_GROUP, value)])
}

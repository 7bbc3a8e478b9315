//! What a cluster is to be: its specification, its application and the configuration, put together.
//!
//! Everything after this reads a [`Blueprint`] and nothing that a user wrote, so defaults and
//! precedence are decided here and once.

use std::collections::BTreeMap;

use thiserror::Error;
use windlass_api::director::admission::IDENTITY;
use windlass_api::director::app::{
    AppRole, AppSpec, ConfigPackage, ContainerSpec, DEFAULT_MAX_LOG_SIZE_DUMP, Drain,
    LifecycleEvent, PackageSource, Service, fold,
};
use windlass_api::director::cluster::{
    AppCatalog, ClusterRole, ClusterSpec, EnvVar, SecretMount, ServiceType,
};
use windlass_api::director::config::{ConfigSpec, DEFAULT_DOMAIN_BASE};
use windlass_api::director::{DisruptionBudget, Hidden, KubeDirectorCluster};

use crate::agent::{Layout, PACKAGE_MOUNT, Package};
use crate::autoscale::Scaling;
use crate::configmeta::{Description, Flavor, MemberDescription, RoleDescription};
use crate::names::{Domain, Names, Scheme, Subject};

/// The numbers of the members of one role begin at a multiple of this, which is the most members
/// that a cluster may have: so a number follows from role and ordinal, and needs no counter.
const NODE_IDS_PER_ROLE: u32 = 1000;

/// What a cluster is to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Blueprint {
    /// The cluster's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its uid.
    pub uid: String,
    /// What is written on it as the uid it had at first.
    pub identity: Option<String>,
    /// The generation of its specification.
    pub generation: i64,
    /// Its application.
    pub app: App,
    /// How its objects are named.
    pub scheme: Scheme,
    /// The type of the members' Services.
    pub service_type: ServiceType,
    /// What holds for all clusters.
    pub settings: Settings,
    /// All roles of the application, in its order. One that the cluster does not have has no
    /// members.
    pub roles: Vec<Role>,
}

/// The application of a cluster, roles aside.
#[derive(Debug, Clone, PartialEq)]
pub struct App {
    /// Its name.
    pub name: String,
    /// Where it was found.
    pub catalog: AppCatalog,
    /// What people call it.
    pub pretty_name: String,
    /// Its family.
    pub distro_id: String,
    /// Its version.
    pub version: String,
    /// The version of configmeta.json that its scripts read.
    pub schema_version: i32,
    /// What its scripts are told.
    pub config_meta: BTreeMap<String, String>,
    /// All services.
    pub services: Vec<Service>,
    /// Linux capabilities of the members.
    pub capabilities: Vec<String>,
    /// Whether the image starts systemd.
    pub systemd: bool,
}

/// What the configuration says about all clusters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What follows the namespace in the names of members.
    pub domain_base: String,
    /// Whether directories of the node are mounted for systemd. KubeDirector does so unless it is
    /// told that nodes support it; on nodes with cgroup v2, as they are today, that cannot work, so
    /// it is done where the configuration says `nativeSystemdSupport: false` itself.
    pub systemd_mounts: bool,
    /// Labels of all pods.
    pub pod_labels: BTreeMap<String, String>,
    /// Annotations of all pods.
    pub pod_annotations: BTreeMap<String, String>,
    /// Labels of all members' Services.
    pub service_labels: BTreeMap<String, String>,
    /// Annotations of all members' Services.
    pub service_annotations: BTreeMap<String, String>,
}

/// One role.
#[derive(Debug, Clone, PartialEq)]
pub struct Role {
    /// Its id.
    pub id: String,
    /// Where it stands among the roles of the application.
    pub index: u32,
    /// How many members it is to have. Of one that is autoscaled, how many there are to begin with.
    pub members: u32,
    /// What their number follows from, where it is not given.
    pub scaling: Option<Scaling>,
    /// The image of its members.
    pub image: String,
    /// Their setup package.
    pub package: Option<ConfigPackage>,
    /// Directories that the application wants kept on storage.
    pub persist_dirs: Vec<String>,
    /// What its members are told of.
    pub events: Events,
    /// How many bytes of a failed script's output are shown.
    pub log_limit: u32,
    /// What a member does before it goes.
    pub drain: Option<Drain>,
    /// How many may be away.
    pub budget: Option<DisruptionBudget>,
    /// What the container runs, and whether it has a standard input and a terminal.
    pub container: ContainerSpec,
    /// Its environment variables.
    pub env: Vec<EnvVar>,
    /// Its services, in the order in which the application gives them.
    pub services: Vec<Service>,
    /// The Secret that is mounted.
    pub secret: Option<SecretMount>,
    /// What was encrypted, in the clear.
    pub secret_keys: BTreeMap<String, Hidden>,
    /// What each member has at most.
    pub flavor: Flavor,
    /// What else the cluster says about it.
    pub spec: ClusterRole,
}

/// What members of a role are told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Events {
    /// That they are new.
    pub configure: bool,
    /// That others have come.
    pub add_nodes: bool,
    /// That others go.
    pub del_nodes: bool,
}

/// Why there is no blueprint. Admission tells the same of most of it; this is what is left where no
/// webhook serves.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BlueprintError {
    /// A role that the application does not have.
    #[error("spec.roles: {role:?} is no role of the application {app}")]
    UnknownRole {
        /// The role.
        role: String,
        /// The application.
        app: String,
    },
    /// A number of members that is none.
    #[error(
        "spec.roles: the members of {role:?} must be given, since the application's cardinality {cardinality:?} cannot be read"
    )]
    Members {
        /// The role.
        role: String,
        /// What the application says.
        cardinality: String,
    },
    /// No image.
    #[error("the application {app} gives no image for the role {role:?}")]
    NoImage {
        /// The role.
        role: String,
        /// The application.
        app: String,
    },
    /// A package that is nowhere.
    #[error(
        "the setup package {url:?} of the role {role:?} is no http, https, file or configmap URL of a .tgz or .tar.gz file"
    )]
    Package {
        /// The role.
        role: String,
        /// The URL.
        url: String,
    },
    /// A limit that is no quantity.
    #[error("spec.roles: the {resource} limit {amount:?} of {role:?} is no quantity")]
    Limit {
        /// The role.
        role: String,
        /// Which limit.
        resource: &'static str,
        /// What is given.
        amount: String,
    },
}

/// What a blueprint is made of besides the cluster.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// The name of the application.
    pub app_name: &'a str,
    /// Where it was found.
    pub catalog: AppCatalog,
    /// The application, with or without its defaults folded.
    pub app: &'a AppSpec,
    /// The configuration.
    pub config: &'a ConfigSpec,
    /// What was encrypted, in the clear: by role, then by name.
    pub secret_keys: &'a BTreeMap<String, BTreeMap<String, Hidden>>,
}

impl Blueprint {
    /// The same where the cluster may serve no PodDisruptionBudgets: then no role has one.
    #[must_use]
    pub fn as_served(mut self, serves_budgets: bool) -> Self {
        if !serves_budgets {
            for role in &mut self.roles {
                role.budget = None;
            }
        }
        self
    }

    /// Puts a cluster together with what it is made of.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn new(
        cluster: &KubeDirectorCluster,
        sources: Sources<'_>,
    ) -> Result<Self, Vec<BlueprintError>> {
        let spec = &cluster.spec;
        let folded = fold(sources.app);
        let sources = Sources {
            app: &folded,
            ..sources
        };
        let mut errors = Vec::new();
        for role in &spec.roles {
            if sources.app.role(&role.id).is_none() {
                errors.push(BlueprintError::UnknownRole {
                    role: role.id.clone(),
                    app: sources.app_name.to_owned(),
                });
            }
        }
        let mut roles = Vec::new();
        for (index, app_role) in (0..).zip(&sources.app.roles) {
            match Role::new(spec, sources, app_role, index) {
                Ok(role) => roles.push(role),
                Err(more) => errors.extend(more),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let metadata = &cluster.metadata;
        let naming = spec.naming_scheme;
        let naming = naming.or(sources.config.default_naming_scheme);
        Ok(Self {
            name: metadata.name.clone().unwrap_or_default(),
            namespace: metadata.namespace.clone().unwrap_or_default(),
            uid: metadata.uid.clone().unwrap_or_default(),
            identity: identity(cluster),
            generation: metadata.generation.unwrap_or_default(),
            app: App::new(sources),
            scheme: Scheme::from(naming.unwrap_or_default()),
            service_type: spec
                .service_type
                .or(sources.config.default_service_type)
                .unwrap_or_default(),
            settings: Settings::new(sources.config),
            roles,
        })
    }

    /// The role of this id.
    pub fn role(&self, id: &str) -> Option<&Role> {
        self.roles.iter().find(|role| role.id == id)
    }

    /// Whose objects these are, as far as names go.
    pub fn subject(&self) -> Subject<'_> {
        Subject {
            scheme: self.scheme,
            cluster: &self.name,
            uid: self.identity.as_deref().unwrap_or(&self.uid),
        }
    }

    /// Where members are found.
    pub fn domain(&self, names: &Names) -> Domain {
        Domain::new(&names.headless, &self.namespace, &self.settings.domain_base)
    }

    /// What members are told of the cluster: so many members of each role, whether they are there or
    /// not.
    pub fn describe(
        &self,
        names: &Names,
        count: impl Fn(&Role) -> u32,
        token: impl Fn(&Role) -> Option<Hidden>,
    ) -> Description {
        let roles = self.roles.iter().map(|role| RoleDescription {
            id: role.id.clone(),
            services: role.services.iter().map(|it| it.id.clone()).collect(),
            members: (0..count(role))
                .map(|ordinal| role.member(names, ordinal))
                .collect(),
            flavor: role.flavor,
            secret_keys: role.secret_keys.clone(),
            token: role.wants_token().then(|| token(role)).flatten(),
            block_devices: role.block_devices(),
        });
        Description {
            name: self.name.clone(),
            uid: self.uid.clone(),
            schema_version: self.app.schema_version,
            distro_id: self.app.distro_id.clone(),
            app_version: self.app.version.clone(),
            config_meta: self.app.config_meta.clone(),
            domain: self.domain(names),
            services: self.app.services.clone(),
            roles: roles.collect(),
        }
    }
}

fn identity(cluster: &KubeDirectorCluster) -> Option<String> {
    let annotations = cluster.metadata.annotations.as_ref()?;
    annotations
        .get(IDENTITY)
        .filter(|it| !it.is_empty())
        .cloned()
}

impl App {
    fn new(sources: Sources<'_>) -> Self {
        let app = sources.app;
        Self {
            name: sources.app_name.to_owned(),
            catalog: sources.catalog,
            pretty_name: app.label.name.clone(),
            distro_id: app.distro_id.clone(),
            version: app.version.clone(),
            schema_version: app.config_schema_version,
            config_meta: app.config.config_meta.clone(),
            services: app.services.clone(),
            capabilities: app.capabilities.clone(),
            systemd: app.systemd_required,
        }
    }
}

impl Settings {
    fn new(config: &ConfigSpec) -> Self {
        let base = config.cluster_svc_domain_base.as_deref();
        Self {
            domain_base: base.unwrap_or(DEFAULT_DOMAIN_BASE).to_owned(),
            systemd_mounts: config.native_systemd_support == Some(false),
            pod_labels: config.pod_labels.clone(),
            pod_annotations: config.pod_annotations.clone(),
            service_labels: config.service_labels.clone(),
            service_annotations: config.service_annotations.clone(),
        }
    }
}

impl Role {
    fn new(
        cluster: &ClusterSpec,
        sources: Sources<'_>,
        own: &AppRole,
        index: u32,
    ) -> Result<Self, Vec<BlueprintError>> {
        let app = sources.app;
        let spec = cluster.role(&own.id);
        let mut errors = Vec::new();
        let least = own.cardinality.read().map(|it| it.minimum());
        let scaling = spec.and_then(|spec| Scaling::of(own, spec));
        let given = spec.and_then(|spec| spec.members);
        // Where a role that is autoscaled begins is the least of it, where nothing else is said.
        let least = scaling.as_ref().map_or(least, |it| Ok(it.bounds.min));
        let members = match (spec, given, least) {
            (None, _, _) => 0,
            (_, Some(members), _) => u32::try_from(members).unwrap_or(0),
            (_, None, Ok(least)) => least,
            (_, None, Err(_)) => {
                errors.push(BlueprintError::Members {
                    role: own.id.clone(),
                    cardinality: own.cardinality.as_str().to_owned(),
                });
                0
            }
        };
        let image = spec.and_then(|spec| spec.image_repo_tag.as_ref());
        let image = image.or(own.image_repo_tag.as_ref());
        if image.is_none() && spec.is_some() {
            errors.push(BlueprintError::NoImage {
                role: own.id.clone(),
                app: sources.app_name.to_owned(),
            });
        }
        let package = own.config_package.given().cloned();
        if let Some(package) = package
            .as_ref()
            .filter(|package| package.source().is_none())
        {
            errors.push(BlueprintError::Package {
                role: own.id.clone(),
                url: package.package_url.clone(),
            });
        }
        let flavor = match spec.map(flavor).transpose() {
            Ok(flavor) => flavor.unwrap_or_default(),
            Err(error) => {
                errors.push(error);
                Flavor::default()
            }
        };
        if !errors.is_empty() {
            return Err(errors);
        }
        let log_limit = own.max_log_size_dump.unwrap_or(DEFAULT_MAX_LOG_SIZE_DUMP);
        let spec = spec.cloned().unwrap_or_default();
        Ok(Self {
            id: own.id.clone(),
            index,
            members,
            scaling,
            image: image.cloned().unwrap_or_default(),
            package,
            persist_dirs: own.persist_dirs.clone().unwrap_or_default(),
            events: Events::of(own),
            log_limit: u32::try_from(log_limit).unwrap_or(0),
            drain: own.drain.given().cloned(),
            budget: spec
                .disruption_budget
                .clone()
                .or(own.disruption_budget.clone()),
            container: own.container_spec.clone().unwrap_or_default(),
            env: environment(&own.env, &spec.env),
            services: app.services_of(&own.id).cloned().collect(),
            secret: spec.secret.clone().or(cluster.default_secret.clone()),
            secret_keys: sources
                .secret_keys
                .get(&own.id)
                .cloned()
                .unwrap_or_default(),
            flavor,
            spec,
        })
    }

    /// Whether there is a StatefulSet for it. Of a role that is autoscaled it stays without members, too:
    /// that there are none is known by it.
    pub fn has_set(&self) -> bool {
        self.members > 0 || self.scaling.is_some()
    }

    /// The number of a member in the cluster.
    pub fn node_id(&self, ordinal: u32) -> u32 {
        self.index * NODE_IDS_PER_ROLE + ordinal + 1
    }

    /// What is said of a member.
    pub fn member(&self, names: &Names, ordinal: u32) -> MemberDescription {
        MemberDescription {
            pod: names.pod(&self.id, ordinal),
            node_id: self.node_id(ordinal),
        }
    }

    /// Whether what outlives a container is kept.
    pub fn has_storage(&self) -> bool {
        self.spec.storage.is_some()
    }

    /// The services that have a port, of those with the same port the first.
    pub fn ports(&self) -> Vec<&Service> {
        let mut seen = Vec::new();
        let services = self.services.iter().filter(|service| {
            let port = service.endpoint.as_ref().map(|endpoint| endpoint.port);
            port.is_some_and(|port| {
                let is_new = !seen.contains(&port);
                seen.push(port);
                is_new
            })
        });
        services.collect()
    }

    /// Whether users of one of its services show a token.
    pub fn wants_token(&self) -> bool {
        let mut endpoints = self.services.iter().filter_map(|it| it.endpoint.as_ref());
        endpoints.any(|endpoint| endpoint.has_auth_token)
    }

    /// The paths of the raw devices of each member.
    pub fn block_devices(&self) -> Vec<String> {
        let storage = self.spec.block_storage.as_ref();
        storage.map_or_else(Vec::new, |storage| {
            let indexes = 0..storage.num_devices;
            indexes
                .map(|index| format!("{}{index}", storage.path_prefix))
                .collect()
        })
    }

    /// Where setup keeps what it installs.
    pub fn layout(&self) -> Layout {
        match &self.package {
            Some(package) if package.use_new_setup_layout => Layout::New,
            _ => Layout::Old,
        }
    }

    /// The setup package, as its members see it.
    pub fn package_in_member(&self) -> Option<Package> {
        let package = self.package.as_ref()?;
        let source = match package.source()? {
            PackageSource::Image(path) => path.to_owned(),
            PackageSource::Url(url) => url.to_owned(),
            PackageSource::ConfigMap { key, .. } => format!("{PACKAGE_MOUNT}/{key}"),
        };
        Some(Package {
            source,
            sha256: package.sha256.clone(),
        })
    }
}

impl Events {
    fn of(role: &AppRole) -> Self {
        Self {
            configure: role.hears(LifecycleEvent::Configure),
            add_nodes: role.hears(LifecycleEvent::AddNodes),
            del_nodes: role.hears(LifecycleEvent::DelNodes),
        }
    }
}

/// The variables of the application, but those that the cluster sets, and then these.
fn environment(app: &[EnvVar], cluster: &[EnvVar]) -> Vec<EnvVar> {
    let is_set = |it: &&EnvVar| cluster.iter().any(|own| own.name == it.name);
    let app = app.iter().filter(|it| !is_set(it));
    app.chain(cluster).cloned().collect()
}

/// Memory is rounded down to MiB and cores are rounded up, as KubeDirector does.
fn flavor(role: &ClusterRole) -> Result<Flavor, BlueprintError> {
    let read = |resource: &'static str| {
        let Some(amount) = role.resources.limits.get(resource) else {
            return Ok(0);
        };
        let units = amount.quantity().ok().and_then(|quantity| quantity.units());
        let units = units.and_then(|units| u64::try_from(units).ok());
        units.ok_or_else(|| BlueprintError::Limit {
            role: role.id.clone(),
            resource,
            amount: amount.as_str().to_owned(),
        })
    };
    Ok(Flavor {
        memory_mib: read("memory")? / (1 << 20),
        cores: read("cpu")?,
    })
}

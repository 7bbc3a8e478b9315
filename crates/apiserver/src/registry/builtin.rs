//! The built-in kinds: the ones Spark, kubectl and the cluster's controllers touch.

use super::resource::{Handling, Names, Resource, Review, Rules, SubresourceSet, Virtual};

/// All built-in resources.
pub(crate) fn builtin_resources() -> Vec<Resource> {
    let mut resources: Vec<Resource> = TABLE.iter().map(Entry::resource).collect();
    resources.extend(
        REVIEWS
            .iter()
            .map(|&(group, plural, kind, namespaced, review)| {
                virtual_resource(
                    group,
                    plural,
                    kind,
                    namespaced,
                    Virtual::Review("v1", review),
                )
            }),
    );
    resources.push(virtual_resource(
        "",
        "bindings",
        "Binding",
        true,
        Virtual::Binding,
    ));
    resources
}

const APPS: &str = "apps";
const BATCH: &str = "batch";
const RBAC: &str = "rbac.authorization.k8s.io";
const STORAGE: &str = "storage.k8s.io";
const NETWORKING: &str = "networking.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";
const AUTHENTICATION: &str = "authentication.k8s.io";

/// One row; the defaults suit a namespaced kind without status, such as a ConfigMap.
struct Entry {
    group: &'static str,
    plural: &'static str,
    kind: &'static str,
    namespaced: bool,
    singular: Option<&'static str>,
    short: &'static [&'static str],
    in_all: bool,
    rules: Rules,
}

const fn kind(group: &'static str, plural: &'static str, kind: &'static str) -> Entry {
    Entry {
        group,
        plural,
        kind,
        namespaced: true,
        singular: None,
        short: &[],
        in_all: false,
        rules: Rules {
            generation: false,
            unconditional_update: true,
            create_on_update: false,
            returns_deleted: false,
            stored_only: false,
            subresources: SubresourceSet {
                status: false,
                scale: false,
            },
        },
    }
}

const fn cluster_kind(group: &'static str, plural: &'static str, name: &'static str) -> Entry {
    let mut entry = kind(group, plural, name);
    entry.namespaced = false;
    entry
}

impl Entry {
    const fn short(mut self, names: &'static [&'static str]) -> Self {
        self.short = names;
        self
    }

    const fn in_all(mut self) -> Self {
        self.in_all = true;
        self
    }

    const fn status(mut self) -> Self {
        self.rules.subresources.status = true;
        self
    }

    const fn scale(mut self) -> Self {
        self.rules.subresources.scale = true;
        self
    }

    const fn generation(mut self) -> Self {
        self.rules.generation = true;
        self
    }

    const fn conditional(mut self) -> Self {
        self.rules.unconditional_update = false;
        self
    }

    const fn put_creates(mut self) -> Self {
        self.rules.create_on_update = true;
        self
    }

    const fn returns_deleted(mut self) -> Self {
        self.rules.returns_deleted = true;
        self
    }

    const fn stored_only(mut self) -> Self {
        self.rules.stored_only = true;
        self
    }

    fn resource(&self) -> Resource {
        let categories: &[&str] = if self.in_all { &["all"] } else { &[] };
        Resource {
            group: self.group.to_owned(),
            plural: self.plural.to_owned(),
            kind: self.kind.to_owned(),
            namespaced: self.namespaced,
            names: Names {
                singular: self
                    .singular
                    .map_or_else(|| self.kind.to_lowercase(), str::to_owned),
                list_kind: format!("{}List", self.kind),
                short: self.short.iter().map(|&name| name.to_owned()).collect(),
                categories: categories.iter().map(|&name| name.to_owned()).collect(),
            },
            handling: Handling::Builtin {
                versions: if self.plural == "horizontalpodautoscalers" {
                    vec!["v2"]
                } else {
                    vec!["v1"]
                },
                rules: self.rules,
            },
        }
    }
}

const TABLE: &[Entry] = &[
    kind("", "pods", "Pod")
        .short(&["po"])
        .in_all()
        .status()
        .generation()
        .returns_deleted(),
    kind("", "services", "Service")
        .short(&["svc"])
        .in_all()
        .status()
        .put_creates()
        .returns_deleted(),
    kind("", "configmaps", "ConfigMap").short(&["cm"]),
    kind("", "secrets", "Secret"),
    kind("", "serviceaccounts", "ServiceAccount")
        .short(&["sa"])
        .returns_deleted(),
    cluster_kind("", "namespaces", "Namespace")
        .short(&["ns"])
        .status()
        .returns_deleted(),
    cluster_kind("", "nodes", "Node").short(&["no"]).status(),
    kind("", "events", "Event").short(&["ev"]).put_creates(),
    kind("", "endpoints", "Endpoints")
        .short(&["ep"])
        .put_creates(),
    kind("", "persistentvolumeclaims", "PersistentVolumeClaim")
        .short(&["pvc"])
        .status()
        .returns_deleted(),
    cluster_kind("", "persistentvolumes", "PersistentVolume")
        .short(&["pv"])
        .status()
        .returns_deleted(),
    kind("", "replicationcontrollers", "ReplicationController")
        .short(&["rc"])
        .in_all()
        .status()
        .scale()
        .generation()
        .stored_only(),
    kind("", "resourcequotas", "ResourceQuota")
        .short(&["quota"])
        .status()
        .returns_deleted(),
    kind("", "limitranges", "LimitRange")
        .short(&["limits"])
        .put_creates(),
    kind("", "podtemplates", "PodTemplate")
        .put_creates()
        .generation()
        .returns_deleted(),
    kind(APPS, "deployments", "Deployment")
        .short(&["deploy"])
        .in_all()
        .status()
        .scale()
        .generation(),
    kind(APPS, "replicasets", "ReplicaSet")
        .short(&["rs"])
        .in_all()
        .status()
        .scale()
        .generation(),
    kind(APPS, "statefulsets", "StatefulSet")
        .short(&["sts"])
        .in_all()
        .status()
        .scale()
        .generation(),
    kind(APPS, "daemonsets", "DaemonSet")
        .short(&["ds"])
        .in_all()
        .status()
        .generation()
        .stored_only(),
    kind(APPS, "controllerrevisions", "ControllerRevision"),
    kind(BATCH, "jobs", "Job").in_all().status().generation(),
    kind(BATCH, "cronjobs", "CronJob")
        .short(&["cj"])
        .in_all()
        .status()
        .generation()
        .stored_only(),
    kind("coordination.k8s.io", "leases", "Lease")
        .conditional()
        .put_creates(),
    kind("discovery.k8s.io", "endpointslices", "EndpointSlice").generation(),
    kind("events.k8s.io", "events", "Event")
        .short(&["ev"])
        .put_creates(),
    kind(NETWORKING, "networkpolicies", "NetworkPolicy")
        .short(&["netpol"])
        .generation()
        .stored_only(),
    kind(NETWORKING, "ingresses", "Ingress")
        .short(&["ing"])
        .status()
        .generation()
        .stored_only(),
    cluster_kind(NETWORKING, "ingressclasses", "IngressClass").generation(),
    kind("policy", "poddisruptionbudgets", "PodDisruptionBudget")
        .short(&["pdb"])
        .status()
        .generation()
        .conditional(),
    kind(RBAC, "roles", "Role").put_creates(),
    kind(RBAC, "rolebindings", "RoleBinding").put_creates(),
    cluster_kind(RBAC, "clusterroles", "ClusterRole").put_creates(),
    cluster_kind(RBAC, "clusterrolebindings", "ClusterRoleBinding").put_creates(),
    cluster_kind(STORAGE, "storageclasses", "StorageClass")
        .short(&["sc"])
        .returns_deleted(),
    cluster_kind(STORAGE, "csidrivers", "CSIDriver").returns_deleted(),
    cluster_kind(STORAGE, "csinodes", "CSINode")
        .conditional()
        .returns_deleted(),
    cluster_kind(STORAGE, "volumeattachments", "VolumeAttachment")
        .conditional()
        .status()
        .returns_deleted(),
    kind(STORAGE, "csistoragecapacities", "CSIStorageCapacity")
        .conditional()
        .returns_deleted(),
    cluster_kind("scheduling.k8s.io", "priorityclasses", "PriorityClass").short(&["pc"]),
    kind(
        "autoscaling",
        "horizontalpodautoscalers",
        "HorizontalPodAutoscaler",
    )
    .short(&["hpa"])
    .in_all()
    .status()
    .stored_only(),
    cluster_kind(
        ADMISSION,
        "mutatingwebhookconfigurations",
        "MutatingWebhookConfiguration",
    )
    .generation(),
    cluster_kind(
        ADMISSION,
        "validatingwebhookconfigurations",
        "ValidatingWebhookConfiguration",
    )
    .generation(),
    cluster_kind(
        "apiextensions.k8s.io",
        "customresourcedefinitions",
        "CustomResourceDefinition",
    )
    .short(&["crd", "crds"])
    .status()
    .generation()
    .conditional(),
];

const REVIEWS: &[(&str, &str, &str, bool, Review)] = &[
    (
        AUTHENTICATION,
        "tokenreviews",
        "TokenReview",
        false,
        Review::Token,
    ),
    (
        AUTHENTICATION,
        "selfsubjectreviews",
        "SelfSubjectReview",
        false,
        Review::SelfSubject,
    ),
    (
        AUTHORIZATION,
        "subjectaccessreviews",
        "SubjectAccessReview",
        false,
        Review::SubjectAccess,
    ),
    (
        AUTHORIZATION,
        "selfsubjectaccessreviews",
        "SelfSubjectAccessReview",
        false,
        Review::SelfSubjectAccess,
    ),
    (
        AUTHORIZATION,
        "localsubjectaccessreviews",
        "LocalSubjectAccessReview",
        true,
        Review::LocalSubjectAccess,
    ),
    (
        AUTHORIZATION,
        "selfsubjectrulesreviews",
        "SelfSubjectRulesReview",
        false,
        Review::SelfSubjectRules,
    ),
];

fn virtual_resource(
    group: &str,
    plural: &str,
    kind: &str,
    namespaced: bool,
    handling: Virtual,
) -> Resource {
    Resource {
        group: group.to_owned(),
        plural: plural.to_owned(),
        kind: kind.to_owned(),
        namespaced,
        names: Names {
            singular: kind.to_lowercase(),
            list_kind: format!("{kind}List"),
            ..Names::default()
        },
        handling: Handling::Virtual(handling),
    }
}

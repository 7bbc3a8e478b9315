//! The second stage: the parts of an application that are Kubernetes' own types.
//!
//! The CRD keeps them as plain JSON. They are read here, when a plan is made, with the path of
//! everything that is unknown or wrong; what was read is what the pods are built from.

use std::sync::OnceLock;

use k8s_openapi::api::core::v1::{
    Affinity, Container, EnvFromSource, EnvVar, HostAlias, Lifecycle, PodDNSConfig,
    PodSecurityContext, PodTemplateSpec, SecurityContext, Service, Toleration, Volume, VolumeMount,
};
use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{SparkApplicationSpec, SparkPodSpec};
use crate::{
    decode::typed,
    field::{FieldError, FieldPath},
    schema,
};

/// Every part of an application that is a Kubernetes type.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodPieces {
    /// The volumes that both roles may mount.
    pub volumes: Vec<Volume>,
    /// The parts of the driver.
    pub driver: RolePieces,
    /// The parts of the executors.
    pub executor: RolePieces,
}

/// The parts of one role that are Kubernetes types.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RolePieces {
    /// The template the pod starts from.
    pub template: Option<PodTemplateSpec>,
    /// Environment variables.
    pub env: Vec<EnvVar>,
    /// Sources of environment variables.
    pub env_from: Vec<EnvFromSource>,
    /// Mounts of the Spark container.
    pub volume_mounts: Vec<VolumeMount>,
    /// Where the pod may run.
    pub affinity: Option<Affinity>,
    /// Taints the pod tolerates.
    pub tolerations: Vec<Toleration>,
    /// The security context of the pod.
    pub pod_security_context: Option<PodSecurityContext>,
    /// The security context of the Spark container.
    pub security_context: Option<SecurityContext>,
    /// More containers.
    pub sidecars: Vec<Container>,
    /// Containers that run first.
    pub init_containers: Vec<Container>,
    /// More lines of /etc/hosts.
    pub host_aliases: Vec<HostAlias>,
    /// How the pod resolves names.
    pub dns_config: Option<PodDNSConfig>,
    /// What runs when the Spark container starts and stops.
    pub lifecycle: Option<Lifecycle>,
}

impl PodPieces {
    /// Reads the parts, or says everything that is wrong with them.
    pub fn parse(spec: &SparkApplicationSpec) -> Result<Self, Vec<FieldError>> {
        let mut reader = Reader { errors: Vec::new() };
        let path = FieldPath::new("spec");
        let driver_path = path.field("driver");
        let executor_path = path.field("executor");
        let pieces = Self {
            volumes: reader.list(&spec.volumes, &path.field("volumes")),
            driver: RolePieces {
                lifecycle: reader.one(
                    spec.driver.lifecycle.as_ref(),
                    &driver_path.field("lifecycle"),
                ),
                ..reader.role(&spec.driver.pod, &driver_path)
            },
            executor: RolePieces {
                lifecycle: reader.one(
                    spec.executor.lifecycle.as_ref(),
                    &executor_path.field("lifecycle"),
                ),
                ..reader.role(&spec.executor.pod, &executor_path)
            },
        };
        if reader.errors.is_empty() {
            Ok(pieces)
        } else {
            Err(reader.errors)
        }
    }
}

/// Reads part after part and remembers what was wrong.
struct Reader {
    errors: Vec<FieldError>,
}

impl Reader {
    fn role(&mut self, pod: &SparkPodSpec, path: &FieldPath) -> RolePieces {
        RolePieces {
            template: self.one(pod.template.as_ref(), &path.field("template")),
            env: self.list(&pod.env, &path.field("env")),
            env_from: self.list(&pod.env_from, &path.field("envFrom")),
            volume_mounts: self.list(&pod.volume_mounts, &path.field("volumeMounts")),
            affinity: self.one(pod.affinity.as_ref(), &path.field("affinity")),
            tolerations: self.list(&pod.tolerations, &path.field("tolerations")),
            pod_security_context: self.one(
                pod.pod_security_context.as_ref(),
                &path.field("podSecurityContext"),
            ),
            security_context: self.one(
                pod.security_context.as_ref(),
                &path.field("securityContext"),
            ),
            sidecars: self.list(&pod.sidecars, &path.field("sidecars")),
            init_containers: self.list(&pod.init_containers, &path.field("initContainers")),
            host_aliases: self.list(&pod.host_aliases, &path.field("hostAliases")),
            dns_config: self.one(pod.dns_config.as_ref(), &path.field("dnsConfig")),
            lifecycle: None,
        }
    }

    fn one<T: Piece>(&mut self, value: Option<&Value>, path: &FieldPath) -> Option<T> {
        self.read(value?, path)
    }

    fn list<T: Piece>(&mut self, values: &[Value], path: &FieldPath) -> Vec<T> {
        let at = |index| path.index(index);
        values
            .iter()
            .enumerate()
            .filter_map(|(i, value)| self.read(value, &at(i)))
            .collect()
    }

    fn read<T: Piece>(&mut self, value: &Value, path: &FieldPath) -> Option<T> {
        read_piece(value, path)
            .map_err(|errors| self.errors.extend(errors))
            .ok()
    }
}

/// Reads one part of an object that is a Kubernetes type, or says everything that is wrong with it.
pub(crate) fn read_piece<T: Piece>(value: &Value, path: &FieldPath) -> Result<T, Vec<FieldError>> {
    let wrong = schema::check(T::schema(), value, path);
    if !wrong.is_empty() {
        return Err(wrong);
    }
    typed(value, path).map_err(|error| vec![error])
}

/// A Kubernetes type that may stand in one of our objects. Its schema is made once.
pub(crate) trait Piece: DeserializeOwned + JsonSchema {
    /// The schema, which says what is wrong before serde does.
    fn schema() -> &'static Value;
}

macro_rules! pieces {
    ($($name:ty),* $(,)?) => {
        $(impl Piece for $name {
            fn schema() -> &'static Value {
                static SCHEMA: OnceLock<Value> = OnceLock::new();
                SCHEMA.get_or_init(|| lenient(schema::of::<$name>()))
            }
        })*
    };
}

pieces! {
    Affinity, Container, EnvFromSource, EnvVar, HostAlias, Lifecycle, PodDNSConfig,
    NetworkPolicyPeer, PodSecurityContext, PodTemplateSpec, SecurityContext, Service, Toleration,
    Volume, VolumeMount,
}

/// A template may leave out its containers: Spark adds its own.
fn lenient(mut schema: Value) -> Value {
    let required = schema.pointer_mut("/$defs/io.k8s.api.core.v1.PodSpec/required");
    if let Some(Value::Array(required)) = required {
        required.retain(|name| name != "containers");
    }
    schema
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn errors(spec: Value) -> String {
        let mut object = json!({
            "type": "Python", "sparkVersion": "3.5.9", "mainApplicationFile": "local:///a.py",
            "driver": {}, "executor": {},
        });
        for (name, value) in spec.as_object().unwrap() {
            object[name] = value.clone();
        }
        let spec: SparkApplicationSpec = serde_json::from_value(object).unwrap();
        match PodPieces::parse(&spec) {
            Ok(_) => String::new(),
            Err(errors) => errors.iter().fold(String::new(), |told, error| {
                told + &error.to_string() + "\n"
            }),
        }
    }

    #[test]
    fn a_mistake_in_a_piece_is_told_with_its_full_path() {
        insta::assert_snapshot!(errors(json!({
            "volumes": [{"name": "data", "emptydir": {}}, {"emptyDir": {"sizeLimit": "1Gb"}}],
            "driver": {
                "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}],
                "affinity": {"nodeAffinity": {"requiredDuringScheduling": {}}},
                "lifecycle": {"preStop": {"exec": {"command": "sleep 5"}}},
                "template": {"spec": {"nodeSelectors": {}}},
            },
            "executor": {
                "tolerations": [{"key": "a", "tolerationSeconds": "5"}],
                "sidecars": [{"name": "x", "resources": {"limits": {"cpu": "one"}}}],
            },
        })));
    }

    #[test]
    fn good_pieces_are_read() {
        assert_eq!(
            errors(json!({
                "volumes": [{"name": "data", "configMap": {"name": "x", "defaultMode": 420}}],
                "driver": {
                    "template": {
                        "metadata": {"creationTimestamp": null, "labels": {"a": "b"}},
                        "spec": {"nodeSelector": {"disk": "ssd"}},
                    },
                    "sidecars": [{"name": "x", "image": "y", "resources": {"limits": {"cpu": 1}}}],
                    "initContainers": [{"name": "wait", "ports": [{"containerPort": 80}]}],
                },
            })),
            ""
        );
    }
}

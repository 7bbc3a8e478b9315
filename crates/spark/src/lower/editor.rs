//! Changing a pod: the finished driver, or the template that executors are made from.
//!
//! Law: what is put in replaces what has the same name (for mounts: the same path), so that typed
//! fields win and no list holds a name twice.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Container, ContainerPort, EnvVar, PodSpec, SecurityContext, Volume, VolumeMount,
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta},
};
use serde_json::Value;

/// A pod, and which of its containers is Spark's.
#[derive(Debug)]
pub(super) struct PodEditor {
    pub(super) metadata: ObjectMeta,
    pub(super) spec: PodSpec,
    spark: usize,
}

impl PodEditor {
    /// Takes the container of this name as Spark's, else the first, else makes one.
    pub(super) fn new(metadata: ObjectMeta, mut spec: PodSpec, container: &str) -> Self {
        let found = spec
            .containers
            .iter()
            .position(|candidate| candidate.name == container);
        if spec.containers.is_empty() {
            spec.containers.push(Container {
                name: container.to_owned(),
                ..Container::default()
            });
        }
        Self {
            metadata,
            spec,
            spark: found.unwrap_or(0),
        }
    }

    /// Spark's container.
    pub(super) fn spark(&mut self) -> &mut Container {
        &mut self.spec.containers[self.spark]
    }

    /// Sets variables of Spark's container; each goes behind those it may refer to.
    pub(super) fn set_env(&mut self, variables: impl IntoIterator<Item = EnvVar>) {
        for variable in variables {
            let env = self.spark().env.get_or_insert_default();
            env.retain(|present| present.name != variable.name);
            env.push(variable);
        }
    }

    pub(super) fn set_volume(&mut self, volume: Volume) {
        let volumes = self.spec.volumes.get_or_insert_default();
        volumes.retain(|present| present.name != volume.name);
        volumes.push(volume);
    }

    /// Mounts a volume into Spark's container.
    pub(super) fn set_mount(&mut self, mount: VolumeMount) {
        let mounts = self.spark().volume_mounts.get_or_insert_default();
        mounts.retain(|present| present.mount_path != mount.mount_path);
        mounts.push(mount);
    }

    /// Opens a port of Spark's container.
    pub(super) fn set_port(&mut self, name: &str, protocol: &str, number: i32) {
        let ports = self.spark().ports.get_or_insert_default();
        ports.retain(|present| present.name.as_deref() != Some(name));
        ports.push(ContainerPort {
            name: Some(name.to_owned()),
            protocol: Some(protocol.to_owned()),
            container_port: number,
            ..ContainerPort::default()
        });
    }

    pub(super) fn set_limit(&mut self, resource: &str, amount: impl Into<String>) {
        let resources = self.spark().resources.get_or_insert_default();
        let limits = resources.limits.get_or_insert_default();
        limits.insert(resource.to_owned(), Quantity(amount.into()));
    }

    /// How much of a resource Spark's container asks for.
    pub(super) fn request(&mut self, resource: &str) -> Option<String> {
        let requests = self.spark().resources.as_ref()?.requests.as_ref()?;
        requests.get(resource).map(|quantity| quantity.0.clone())
    }

    /// Puts the given fields over those Spark or the template has set.
    pub(super) fn set_security_context(&mut self, context: &SecurityContext) {
        let present = self.spark().security_context.take();
        self.spark().security_context = Some(overlay(present.as_ref(), context));
    }

    pub(super) fn add_container(&mut self, container: &Container) {
        let spark = self.spark().name.clone();
        if container.name == spark {
            return;
        }
        self.spec
            .containers
            .retain(|present| present.name != container.name);
        self.spec.containers.push(container.clone());
        let position = self
            .spec
            .containers
            .iter()
            .position(|present| present.name == spark);
        self.spark = position.unwrap_or(0);
    }

    pub(super) fn add_init_container(&mut self, container: &Container) {
        let present = self.spec.init_containers.get_or_insert_default();
        present.retain(|present| present.name != container.name);
        present.push(container.clone());
    }

    pub(super) fn set_labels(&mut self, labels: &BTreeMap<String, String>) {
        let present = self.metadata.labels.get_or_insert_default();
        present.extend(
            labels
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
    }

    /// Sets labels that nobody else has set.
    pub(super) fn default_labels(&mut self, labels: &BTreeMap<String, String>) {
        let present = self.metadata.labels.get_or_insert_default();
        for (name, value) in labels {
            present.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }

    /// The pod as an object.
    pub(super) fn into_pod(self) -> Value {
        serde_json::json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": self.metadata,
            "spec": self.spec,
        })
    }
}

/// The fields of both, those of the second where both have one.
fn overlay(below: Option<&SecurityContext>, above: &SecurityContext) -> SecurityContext {
    let below = below.cloned().unwrap_or_default();
    let above = above.clone();
    SecurityContext {
        allow_privilege_escalation: above
            .allow_privilege_escalation
            .or(below.allow_privilege_escalation),
        app_armor_profile: above.app_armor_profile.or(below.app_armor_profile),
        capabilities: above.capabilities.or(below.capabilities),
        privileged: above.privileged.or(below.privileged),
        proc_mount: above.proc_mount.or(below.proc_mount),
        read_only_root_filesystem: above
            .read_only_root_filesystem
            .or(below.read_only_root_filesystem),
        run_as_group: above.run_as_group.or(below.run_as_group),
        run_as_non_root: above.run_as_non_root.or(below.run_as_non_root),
        run_as_user: above.run_as_user.or(below.run_as_user),
        se_linux_options: above.se_linux_options.or(below.se_linux_options),
        seccomp_profile: above.seccomp_profile.or(below.seccomp_profile),
        windows_options: above.windows_options.or(below.windows_options),
    }
}

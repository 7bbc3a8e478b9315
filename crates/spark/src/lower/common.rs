//! What is done to a pod in the same way for both roles.

use k8s_openapi::api::core::v1::{ConfigMapVolumeSource, SecretVolumeSource, Volume, VolumeMount};
use windlass_api::names::{LABEL_MAX, shorten};

use super::{
    editor::PodEditor,
    role::{HADOOP_CONF_DIR, Role, SPARK_CONF_DIR},
};

pub(super) fn gpu(role: &Role<'_>, pod: &mut PodEditor) {
    if let Some(gpu) = &role.pod.gpu {
        pod.set_limit(&gpu.name, gpu.quantity.to_string());
    }
}

/// The ConfigMaps of the role, and those of configuration files that both roles have.
pub(super) fn config_maps(role: &Role<'_>, pod: &mut PodEditor) {
    let spec = role.spec();
    let shared = [
        (
            &spec.spark_config_map,
            "spark-configmap-volume",
            SPARK_CONF_DIR,
        ),
        (
            &spec.hadoop_config_map,
            "hadoop-configmap-volume",
            HADOOP_CONF_DIR,
        ),
    ];
    for (config_map, volume, path) in shared {
        if let Some(config_map) = config_map {
            mount_config_map(pod, config_map, volume, path);
        }
    }
    for config_map in &role.pod.config_maps {
        let volume = volume_name(&config_map.name, "-vol");
        mount_config_map(pod, &config_map.name, &volume, &config_map.path);
    }
}

pub(super) fn mount_config_map(pod: &mut PodEditor, config_map: &str, volume: &str, path: &str) {
    pod.set_volume(Volume {
        name: volume.to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: config_map.to_owned(),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    });
    pod.set_mount(mount(volume, path));
}

pub(super) fn secrets(role: &Role<'_>, pod: &mut PodEditor) {
    for secret in &role.pod.secrets {
        let volume = volume_name(&secret.name, "-volume");
        pod.set_volume(Volume {
            name: volume.clone(),
            secret: Some(SecretVolumeSource {
                secret_name: Some(secret.name.clone()),
                ..SecretVolumeSource::default()
            }),
            ..Volume::default()
        });
        pod.set_mount(mount(&volume, &secret.path));
    }
}

pub(super) fn mount(volume: &str, path: &str) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        ..VolumeMount::default()
    }
}

/// The name of the volume of an object. Objects may have dots and long names, volumes may not; a
/// name that had to be changed ends in a hash, so that two objects never share a volume.
fn volume_name(object: &str, suffix: &str) -> String {
    let name = format!("{object}{suffix}");
    if name.contains('.') {
        let marked = format!("{name}-{}", windlass_api::names::hash(object));
        return shorten(&marked.replace('.', "-"), LABEL_MAX);
    }
    shorten(&name, LABEL_MAX)
}

pub(super) fn env_from(role: &Role<'_>, pod: &mut PodEditor) {
    if !role.pieces.env_from.is_empty() {
        let sources = pod.spark().env_from.get_or_insert_default();
        sources.extend(role.pieces.env_from.iter().cloned());
    }
}

pub(super) fn affinity(role: &Role<'_>, pod: &mut PodEditor) {
    if let Some(affinity) = &role.pieces.affinity {
        pod.spec.affinity = Some(affinity.clone());
    }
}

pub(super) fn tolerations(role: &Role<'_>, pod: &mut PodEditor) {
    if !role.pieces.tolerations.is_empty() {
        let present = pod.spec.tolerations.get_or_insert_default();
        for toleration in &role.pieces.tolerations {
            if !present.contains(toleration) {
                present.push(toleration.clone());
            }
        }
    }
}

pub(super) fn pod_security_context(role: &Role<'_>, pod: &mut PodEditor) {
    if let Some(context) = &role.pieces.pod_security_context {
        pod.spec.security_context = Some(context.clone());
    }
}

pub(super) fn security_context(role: &Role<'_>, pod: &mut PodEditor) {
    if let Some(context) = &role.pieces.security_context {
        pod.set_security_context(context);
    }
}

pub(super) fn sidecars(role: &Role<'_>, pod: &mut PodEditor) {
    for container in &role.pieces.sidecars {
        pod.add_container(container);
    }
}

pub(super) fn init_containers(role: &Role<'_>, pod: &mut PodEditor) {
    for container in &role.pieces.init_containers {
        pod.add_init_container(container);
    }
}

/// A pod on the network of its node finds Services only with the matching DNS policy.
pub(super) fn host_network(role: &Role<'_>, pod: &mut PodEditor) {
    if let Some(host_network) = role.pod.host_network {
        pod.spec.host_network = Some(host_network);
        if host_network {
            pod.spec.dns_policy = Some("ClusterFirstWithHostNet".to_owned());
        }
    }
}

pub(super) fn dns_config(role: &Role<'_>, pod: &mut PodEditor) {
    if let Some(config) = &role.pieces.dns_config {
        pod.spec.dns_config = Some(config.clone());
    }
}

pub(super) fn grace_period(role: &Role<'_>, pod: &mut PodEditor) {
    if let Some(seconds) = role.pod.termination_grace_period_seconds {
        pod.spec.termination_grace_period_seconds = Some(seconds);
    }
}

pub(super) fn host_aliases(role: &Role<'_>, pod: &mut PodEditor) {
    if !role.pieces.host_aliases.is_empty() {
        let present = pod.spec.host_aliases.get_or_insert_default();
        present.extend(role.pieces.host_aliases.iter().cloned());
    }
}

pub(super) fn share_process_namespace(role: &Role<'_>, pod: &mut PodEditor) {
    if let Some(share) = role.pod.share_process_namespace {
        pod.spec.share_process_namespace = Some(share);
    }
}

pub(super) fn lifecycle(role: &Role<'_>, pod: &mut PodEditor) {
    if let Some(lifecycle) = &role.pieces.lifecycle {
        pod.spark().lifecycle = Some(lifecycle.clone());
    }
}

pub(super) fn ports(role: &Role<'_>, pod: &mut PodEditor) {
    for port in role.ports() {
        pod.set_port(&port.name, &port.protocol, port.container_port);
    }
}

/// The numbers that a class stands for are filled in by the API server, which refuses others.
pub(super) fn priority_class(role: &Role<'_>, pod: &mut PodEditor) {
    if let Some(class) = role.priority_class_name() {
        pod.spec.priority_class_name = Some(class.to_owned());
        pod.spec.priority = None;
        pod.spec.preemption_policy = None;
    }
}

#[cfg(test)]
mod tests {
    use windlass_api::names::DnsLabel;

    use super::*;

    #[test]
    fn volumes_have_valid_names_that_differ_when_objects_do() {
        assert_eq!(volume_name("settings", "-vol"), "settings-vol");
        let long = "a".repeat(200);
        let names = ["a.b", "a-b", &long, &format!("{long}x"), "a.b.c"];
        let volumes: Vec<String> = names.iter().map(|name| volume_name(name, "-vol")).collect();
        for volume in &volumes {
            assert!(DnsLabel::new(volume.clone()).is_ok(), "{volume}");
        }
        let distinct: std::collections::BTreeSet<_> = volumes.iter().collect();
        assert_eq!(distinct.len(), names.len());
    }
}

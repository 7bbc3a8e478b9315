//! From a container in a pod to what the shim starts: everything looked up and decided.

use std::path::PathBuf;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec as ApiPodSpec};

use crate::env::{Facts, expand};
use crate::images::{Image, ImageRoot};
use crate::poddir::PodDir;
use crate::quantity;
use crate::runtime::{ContainerSpec, Limits, MountSpec, RootSpec, StdinMode, UserSpec};

/// Where termination messages go unless the container says otherwise.
const TERMINATION_LOG: &str = "/dev/termination-log";

/// What a container is started from, beside the pod itself.
pub(crate) struct Ingredients<'a> {
    /// The pod and what its fields resolve to.
    pub(crate) facts: &'a Facts<'a>,
    /// The image.
    pub(crate) image: &'a Image,
    /// The environment, resolved.
    pub(crate) env: Vec<(String, String)>,
    /// The volume mounts, resolved.
    pub(crate) mounts: Vec<MountSpec>,
    /// The pod's directory.
    pub(crate) dir: &'a PodDir,
    /// What no container may see.
    pub(crate) hidden: Vec<PathBuf>,
}

/// Describes one start of a container; the error is what its status shows.
pub(crate) fn describe(
    container: &Container,
    attempt: u32,
    ingredients: Ingredients<'_>,
) -> Result<ContainerSpec, String> {
    let Ingredients {
        facts,
        image,
        mut env,
        mut mounts,
        dir,
        hidden,
    } = ingredients;
    let pod = facts.pod;
    let spec = pod.spec.clone().unwrap_or_default();
    let user = user(&spec, container, image)?;
    let set = |env: &mut Vec<(String, String)>, name: &str, value: String| {
        if env.iter().all(|(known, _)| known != name) {
            env.push((name.to_owned(), value));
        }
    };
    let home = if user.uid.unwrap_or(0) == 0 {
        "/root"
    } else {
        "/"
    };
    set(&mut env, "HOME", home.to_owned());
    set(&mut env, "HOSTNAME", crate::hosts::hostname(pod));
    let lookup = |name: &str| {
        env.iter()
            .rev()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
    };
    let expanded = |texts: &[String]| -> Vec<String> {
        texts.iter().map(|text| expand(text, lookup)).collect()
    };
    // A command replaces the image's entry point and its arguments; arguments alone only the
    // latter.
    let argv: Vec<String> = match (&container.command, &container.args) {
        (Some(command), args) if !command.is_empty() => {
            let mut argv = expanded(command);
            argv.extend(expanded(args.as_deref().unwrap_or_default()));
            argv
        }
        (_, Some(args)) if !args.is_empty() => {
            let mut argv = image.entrypoint.clone();
            argv.extend(expanded(args));
            argv
        }
        _ => image.entrypoint.iter().chain(&image.cmd).cloned().collect(),
    };
    let container_dir = dir.container(&container.name, attempt);
    let file = |source: PathBuf, target: &str| MountSpec {
        source,
        sub_path: None,
        target: PathBuf::from(target),
        read_only: false,
    };
    // A volume at the very same place wins.
    let taken = |target: &str, mounts: &[MountSpec]| {
        mounts
            .iter()
            .any(|mount| mount.target == std::path::Path::new(target))
    };
    for (source, target) in [
        (dir.hosts(), "/etc/hosts"),
        (dir.hostname(), "/etc/hostname"),
        (dir.resolv_conf(), "/etc/resolv.conf"),
    ] {
        if !taken(target, &mounts) {
            mounts.push(file(source, target));
        }
    }
    let message_path = container
        .termination_message_path
        .as_deref()
        .unwrap_or(TERMINATION_LOG);
    mounts.push(file(container_dir.join("termination-log"), message_path));
    let read_only = container
        .security_context
        .as_ref()
        .and_then(|context| context.read_only_root_filesystem)
        .unwrap_or(false);
    let root = match image.root.clone() {
        ImageRoot::Host {
            overlays,
            exposed,
            scripts,
        } => RootSpec::Host {
            overlays,
            exposed,
            scripts,
            read_only,
        },
        ImageRoot::Directory(lower) => RootSpec::Directory { lower, read_only },
    };
    let working_dir = container
        .working_dir
        .as_deref()
        .filter(|dir| !dir.is_empty());
    Ok(ContainerSpec {
        name: container.name.clone(),
        attempt,
        argv,
        env,
        working_dir: working_dir.map_or_else(|| image.working_dir.clone(), PathBuf::from),
        root,
        mounts,
        hidden,
        user,
        stdin: match (container.stdin, container.stdin_once) {
            (Some(true), Some(true)) => StdinMode::Once,
            (Some(true), _) => StdinMode::Open,
            _ => StdinMode::Null,
        },
        tty: container.tty == Some(true),
        limits: limits(container),
        log: dir.log(&container.name, attempt),
        message_from_log: container.termination_message_policy.as_deref()
            == Some("FallbackToLogsOnError"),
        dir: container_dir,
        cgroups: vec![],
    })
}

/// What a container may use.
pub(crate) fn limits(container: &Container) -> Limits {
    let resources = container.resources.clone().unwrap_or_default();
    let limits = resources.limits.unwrap_or_default();
    let requests = resources.requests.unwrap_or_default();
    Limits {
        memory: limits
            .get("memory")
            .and_then(quantity::units)
            .filter(|bytes| *bytes > 0),
        cpu_millis: limits
            .get("cpu")
            .and_then(quantity::millis)
            .filter(|millis| *millis > 0),
        cpu_request_millis: requests
            .get("cpu")
            .or_else(|| limits.get("cpu"))
            .and_then(quantity::millis),
    }
}

fn user(spec: &ApiPodSpec, container: &Container, image: &Image) -> Result<UserSpec, String> {
    let pod = spec.security_context.clone().unwrap_or_default();
    let own = container.security_context.clone().unwrap_or_default();
    let id = |value: Option<i64>| value.and_then(|id| u32::try_from(id).ok());
    let image_uid = image.user.map(|(uid, _)| uid);
    let image_gid = image.user.and_then(|(_, gid)| gid);
    let uid = id(own.run_as_user).or(id(pod.run_as_user)).or(image_uid);
    let gid = id(own.run_as_group).or(id(pod.run_as_group)).or(image_gid);
    let must_not_be_root = own.run_as_non_root.or(pod.run_as_non_root) == Some(true);
    let would_be_root = uid.unwrap_or_else(|| rustix::process::geteuid().as_raw()) == 0;
    if must_not_be_root && would_be_root {
        return Err(format!(
            "container has runAsNonRoot and image will run as root (container: {}); set runAsUser",
            container.name
        ));
    }
    let groups = pod
        .supplemental_groups
        .iter()
        .flatten()
        .copied()
        .chain(pod.fs_group)
        .filter_map(|group| u32::try_from(group).ok())
        .collect();
    let capabilities = own.capabilities.unwrap_or_default();
    Ok(UserSpec {
        uid,
        // A user without a group of its own is in group 0, as with every container runtime.
        gid: gid.or(uid.map(|_| 0)),
        groups,
        no_new_privileges: own.allow_privilege_escalation == Some(false),
        privileged: own.privileged == Some(true),
        add_capabilities: capabilities.add.unwrap_or_default(),
        drop_capabilities: capabilities.drop.unwrap_or_default(),
    })
}

/// Whether the pod asks for users or groups of its own.
pub(crate) fn wants_other_users(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let pod_level = spec.security_context.as_ref().is_some_and(|context| {
        context.run_as_user.is_some()
            || context.run_as_group.is_some()
            || context.fs_group.is_some()
    });
    let containers = spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().flatten());
    pod_level
        || containers
            .filter_map(|c| c.security_context.as_ref())
            .any(|context| context.run_as_user.is_some() || context.run_as_group.is_some())
}

/// What the pod asks for and no machine gives here.
pub(crate) fn never_given(pod: &Pod) -> Option<&'static str> {
    let shared = pod.spec.as_ref()?.share_process_namespace == Some(true);
    shared.then_some(
        "containers do not see each other's processes, whatever shareProcessNamespace says",
    )
}

/// Whether the pod limits what its containers use.
pub(crate) fn wants_limits(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let mut containers = spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().flatten());
    containers.any(|container| {
        let limits = limits(container);
        limits.memory.is_some() || limits.cpu_millis.is_some()
    })
}

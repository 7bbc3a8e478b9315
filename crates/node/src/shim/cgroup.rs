//! Limits by control groups, version 1 or 2, where this machine lets us make them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::sandbox::spec::Limits;

/// How long a CPU quota period is, in microseconds: the kernel's and Kubernetes' usual one.
const CPU_PERIOD_US: u64 = 100_000;
/// The processor shares of one core.
const SHARES_PER_CORE: u64 = 1024;

/// Where groups can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hierarchy {
    /// Version 2: one directory for everything.
    V2(PathBuf),
    /// Version 1: one directory per controller, where there is one.
    V1 {
        /// The memory controller's.
        memory: Option<PathBuf>,
        /// The cpu controller's.
        cpu: Option<PathBuf>,
    },
    /// Nowhere, and why.
    None(String),
}

/// The group of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cgroup {
    /// Version 2.
    V2(PathBuf),
    /// Version 1.
    V1 {
        /// Where memory is limited.
        memory: Option<PathBuf>,
        /// Where processor time is limited.
        cpu: Option<PathBuf>,
    },
}

impl Hierarchy {
    /// Looks for a place below which this process may make groups.
    pub(super) fn detect() -> Self {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        detect_v2(&own, &mounts)
            .or_else(|| detect_v1(&own, &mounts))
            .unwrap_or_else(|| Self::None("control groups cannot be made by this user".to_owned()))
    }

    /// Makes a container's group with its limits.
    pub(super) fn create(
        &self,
        pod: &str,
        container: &str,
        limits: Limits,
    ) -> io::Result<Option<Cgroup>> {
        let below = |base: &PathBuf| -> io::Result<PathBuf> {
            let directory = base.join(pod).join(container);
            fs::create_dir_all(&directory)?;
            Ok(directory)
        };
        match self {
            Self::None(_) => Ok(None),
            Self::V2(base) => {
                let directory = below(base)?;
                enable_controllers(&base.join(pod))?;
                if let Some(memory) = limits.memory {
                    fs::write(directory.join("memory.max"), memory.to_string())?;
                    // A container that swaps would outlive its limit at everybody's expense.
                    write_if_present(&directory.join("memory.swap.max"), "0")?;
                    write_if_present(&directory.join("memory.oom.group"), "1")?;
                }
                if let Some(cpu) = limits.cpu_millis {
                    let quota = format!("{} {CPU_PERIOD_US}", quota_us(cpu));
                    fs::write(directory.join("cpu.max"), quota)?;
                }
                if let Some(request) = limits.cpu_request_millis {
                    let weight = v2_weight(shares(request)).to_string();
                    write_if_present(&directory.join("cpu.weight"), &weight)?;
                }
                Ok(Some(Cgroup::V2(directory)))
            }
            Self::V1 { memory, cpu } => {
                let memory = memory.as_ref().map(below).transpose()?;
                let cpu = cpu.as_ref().map(below).transpose()?;
                if let (Some(directory), Some(bytes)) = (&memory, limits.memory) {
                    fs::write(directory.join("memory.limit_in_bytes"), bytes.to_string())?;
                    write_if_present(
                        &directory.join("memory.memsw.limit_in_bytes"),
                        &bytes.to_string(),
                    )?;
                }
                if let Some(directory) = &cpu {
                    if let Some(millis) = limits.cpu_millis {
                        let period = CPU_PERIOD_US.to_string();
                        fs::write(directory.join("cpu.cfs_period_us"), period)?;
                        let quota = quota_us(millis).to_string();
                        fs::write(directory.join("cpu.cfs_quota_us"), quota)?;
                    }
                    if let Some(request) = limits.cpu_request_millis {
                        write_if_present(
                            &directory.join("cpu.shares"),
                            &shares(request).to_string(),
                        )?;
                    }
                }
                Ok(Some(Cgroup::V1 { memory, cpu }))
            }
        }
    }

    /// What cannot be limited by groups, in words.
    pub(super) fn limitations(&self) -> Vec<String> {
        match self {
            Self::V2(_)
            | Self::V1 {
                memory: Some(_),
                cpu: Some(_),
            } => vec![],
            Self::V1 { memory, cpu } => [("memory", memory), ("cpu", cpu)]
                .into_iter()
                .filter(|(_, place)| place.is_none())
                .map(|(name, _)| format!("the {name} control group cannot be used"))
                .collect(),
            Self::None(why) => vec![why.clone()],
        }
    }

    /// Removes the pod's own directories once its containers' groups are gone.
    pub(super) fn remove_pod(&self, pod: &str) {
        let places: Vec<&PathBuf> = match self {
            Self::None(_) => vec![],
            Self::V2(base) => vec![base],
            Self::V1 { memory, cpu } => memory.iter().chain(cpu).collect(),
        };
        for place in places {
            let _ = fs::remove_dir(place.join(pod));
        }
    }
}

impl Cgroup {
    /// The files a process joins by writing its number.
    pub(super) fn procs_files(&self) -> Vec<PathBuf> {
        self.directories()
            .map(|directory| directory.join("cgroup.procs"))
            .collect()
    }

    /// Whether the kernel enforces the memory limit.
    pub(super) fn limits_memory(&self) -> bool {
        matches!(
            self,
            Self::V2(_)
                | Self::V1 {
                    memory: Some(_),
                    ..
                }
        )
    }

    /// The processes in the group.
    pub(super) fn processes(&self) -> Vec<u32> {
        let file = self.procs_files().into_iter().next();
        let text = file
            .and_then(|file| fs::read_to_string(file).ok())
            .unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// How many processes the kernel has killed here for want of memory.
    pub(super) fn out_of_memory_kills(&self) -> u64 {
        let file = match self {
            Self::V2(directory) => directory.join("memory.events"),
            Self::V1 {
                memory: Some(directory),
                ..
            } => directory.join("memory.oom_control"),
            Self::V1 { memory: None, .. } => return 0,
        };
        let text = fs::read_to_string(file).unwrap_or_default();
        text.lines()
            .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
            .unwrap_or(0)
    }

    /// Removes the group; its processes are gone.
    pub(super) fn remove(&self) {
        for directory in self.directories() {
            if let Err(error) = fs::remove_dir(directory) {
                tracing::debug!(directory = %directory.display(), %error, "a control group stays behind");
            }
        }
    }

    fn directories(&self) -> impl Iterator<Item = &PathBuf> {
        let (one, two) = match self {
            Self::V2(directory) => (Some(directory), None),
            Self::V1 { memory, cpu } => (memory.as_ref(), cpu.as_ref()),
        };
        one.into_iter().chain(two)
    }
}

fn detect_v2(own: &str, mounts: &str) -> Option<Hierarchy> {
    let mount = mount_point(mounts, "cgroup2", None)?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    // At the top (an administrator) or in the own group (a delegated one).
    [mount.clone(), mount.join(own)]
        .into_iter()
        .find_map(|parent| {
            let controllers = fs::read_to_string(parent.join("cgroup.controllers")).ok()?;
            let has = |name| {
                controllers
                    .split_whitespace()
                    .any(|controller| controller == name)
            };
            if !has("memory") || !has("cpu") {
                return None;
            }
            let base = parent.join("windlass");
            enable_controllers(&parent).ok()?;
            fs::create_dir_all(&base).ok()?;
            enable_controllers(&base).ok()?;
            Some(Hierarchy::V2(base))
        })
}

fn detect_v1(own: &str, mounts: &str) -> Option<Hierarchy> {
    let place = |controller: &str| -> Option<PathBuf> {
        let mount = mount_point(mounts, "cgroup", Some(controller))?;
        let own = own.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let controllers = fields.nth(1)?;
            controllers
                .split(',')
                .any(|c| c == controller)
                .then(|| fields.next())?
        })?;
        let base = mount.join(own.trim_start_matches('/')).join("windlass");
        fs::create_dir_all(&base).ok()?;
        rustix::fs::access(base.join("cgroup.procs"), rustix::fs::Access::WRITE_OK).ok()?;
        Some(base)
    };
    let (memory, cpu) = (place("memory"), place("cpu"));
    (memory.is_some() || cpu.is_some()).then_some(Hierarchy::V1 { memory, cpu })
}

/// Finds where a file system type (and for version 1, a controller) is mounted.
fn mount_point(mounts: &str, kind: &str, controller: Option<&str>) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        if right.next()? != kind {
            return None;
        }
        let options = right.nth(1)?;
        let matches = controller.is_none_or(|name| options.split(',').any(|option| option == name));
        matches.then(|| left.split(' ').nth(4).map(PathBuf::from))?
    })
}

fn enable_controllers(directory: &Path) -> io::Result<()> {
    fs::write(directory.join("cgroup.subtree_control"), "+memory +cpu")
}

fn write_if_present(file: &Path, value: &str) -> io::Result<()> {
    match fs::write(file, value) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Quota per period; the kernel takes nothing below one millisecond.
fn quota_us(millis: u64) -> u64 {
    (millis * CPU_PERIOD_US / 1000).max(1000)
}

fn shares(millis: u64) -> u64 {
    (millis * SHARES_PER_CORE / 1000).clamp(2, 262_144)
}

/// Version 2 weighs from 1 to 10000 what version 1 shared from 2 to 262144.
fn v2_weight(shares: u64) -> u64 {
    1 + ((shares - 2) * 9999) / 262_142
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_found_by_type_and_controller() {
        let mounts = "\
25 1 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
26 25 0:23 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
27 25 0:24 / /sys/fs/cgroup/memory rw,relatime shared:3 - cgroup cgroup rw,memory
28 25 0:25 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";
        let at = |kind, controller| {
            mount_point(mounts, kind, controller).map(|path| path.display().to_string())
        };
        assert_eq!(
            at("cgroup", Some("memory")).as_deref(),
            Some("/sys/fs/cgroup/memory")
        );
        assert_eq!(
            at("cgroup2", None).as_deref(),
            Some("/sys/fs/cgroup/unified")
        );
        assert_eq!(at("cgroup", Some("pids")), None);
    }

    #[test]
    fn processor_time_is_translated_as_the_kernel_counts_it() {
        assert_eq!((quota_us(1500), quota_us(1)), (150_000, 1000));
        assert_eq!((shares(1000), shares(0)), (1024, 2));
        assert_eq!((v2_weight(2), v2_weight(262_144)), (1, 10_000));
    }
}

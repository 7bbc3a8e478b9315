//! How much memory a container's processes use, for the record and where the kernel cannot limit.

use std::collections::BTreeMap;
use std::fs;

use crate::proc::Stat;

/// The processes that descend from one, itself included.
pub(super) fn descendants(first: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok());
        if let Some(pid) = pid
            && let Some(stat) = Stat::read(pid)
        {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    let mut found = vec![first];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        found.extend(
            children
                .get(pid)
                .into_iter()
                .flatten()
                .copied()
                .collect::<Vec<_>>(),
        );
        next += 1;
    }
    found
}

/// Resident memory in bytes; pages that processes share count for each of them.
pub(super) fn resident(processes: &[u32]) -> u64 {
    sum_kib(processes, "status", "VmRSS:")
}

/// Resident memory in bytes with shared pages divided among their users: exact, but costly to ask.
pub(super) fn proportional(processes: &[u32]) -> u64 {
    sum_kib(processes, "smaps_rollup", "Pss:")
}

fn sum_kib(processes: &[u32], file: &str, field: &str) -> u64 {
    let kib = |pid: &u32| -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(field))?;
        line.split_whitespace().next()?.parse().ok()
    };
    processes.iter().filter_map(kib).sum::<u64>() * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_tree_is_found_and_measured() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let tree = descendants(std::process::id());
        assert!(tree.contains(&child.id()));
        assert!(resident(&tree) >= proportional(&tree) / 2);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

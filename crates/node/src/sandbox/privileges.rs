//! Who a container's processes are, and what they may do to the machine.

use std::io;

use rustix::thread::{
    CapabilitySet, CapabilitySets, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::spec::UserSpec;

/// The capabilities a container keeps unless it asks otherwise: those container runtimes grant.
const USUAL: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::AUDIT_WRITE);

/// The names manifests use, beside the bits.
const NAMES: [(&str, CapabilitySet); 22] = [
    ("CHOWN", CapabilitySet::CHOWN),
    ("DAC_OVERRIDE", CapabilitySet::DAC_OVERRIDE),
    ("DAC_READ_SEARCH", CapabilitySet::DAC_READ_SEARCH),
    ("FSETID", CapabilitySet::FSETID),
    ("FOWNER", CapabilitySet::FOWNER),
    ("MKNOD", CapabilitySet::MKNOD),
    ("NET_RAW", CapabilitySet::NET_RAW),
    ("NET_ADMIN", CapabilitySet::NET_ADMIN),
    ("NET_BROADCAST", CapabilitySet::NET_BROADCAST),
    ("SETGID", CapabilitySet::SETGID),
    ("SETUID", CapabilitySet::SETUID),
    ("SETFCAP", CapabilitySet::SETFCAP),
    ("SETPCAP", CapabilitySet::SETPCAP),
    ("NET_BIND_SERVICE", CapabilitySet::NET_BIND_SERVICE),
    ("SYS_CHROOT", CapabilitySet::SYS_CHROOT),
    ("KILL", CapabilitySet::KILL),
    ("AUDIT_WRITE", CapabilitySet::AUDIT_WRITE),
    ("SYS_PTRACE", CapabilitySet::SYS_PTRACE),
    ("SYS_NICE", CapabilitySet::SYS_NICE),
    ("SYS_RESOURCE", CapabilitySet::SYS_RESOURCE),
    ("IPC_LOCK", CapabilitySet::IPC_LOCK),
    ("SYS_ADMIN", CapabilitySet::SYS_ADMIN),
];

/// The capabilities a container may ever have.
pub(super) fn allowed(user: &UserSpec) -> CapabilitySet {
    if user.privileged {
        return CapabilitySet::all();
    }
    let named = |names: &[String]| {
        names.iter().fold(CapabilitySet::empty(), |set, name| {
            let name = name.strip_prefix("CAP_").unwrap_or(name);
            if name == "ALL" {
                return CapabilitySet::all();
            }
            let found = NAMES.iter().find(|(known, _)| *known == name);
            found.map_or(set, |(_, bit)| set | *bit)
        })
    };
    // An explicit addition survives dropping ALL, as with every container runtime.
    let dropped = named(&user.drop_capabilities);
    (USUAL - dropped) | named(&user.add_capabilities)
}

/// Gives up what the container must not have and becomes its user.
///
/// In a user namespace only one user exists, and its capabilities do not reach the machine, so
/// only the no-new-privileges bit has a meaning there.
pub(super) fn assume(user: &UserSpec, in_user_namespace: bool) -> io::Result<()> {
    if !in_user_namespace {
        let allowed = allowed(user);
        for capability in CapabilitySet::all().iter() {
            if !allowed.contains(capability) {
                match remove_capability_from_bounding_set(capability) {
                    // A kernel older than the list does not know its last entries.
                    Ok(()) | Err(rustix::io::Errno::INVAL) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        let groups: Vec<_> = user
            .groups
            .iter()
            .map(|gid| rustix::process::Gid::from_raw(*gid))
            .collect();
        set_thread_groups(&groups)?;
        if let Some(gid) = user.gid {
            let gid = rustix::process::Gid::from_raw(gid);
            set_thread_res_gid(gid, gid, gid)?;
        }
        if let Some(uid) = user.uid {
            let uid = rustix::process::Uid::from_raw(uid);
            set_thread_res_uid(uid, uid, uid)?;
        }
        if user.uid.is_none_or(|uid| uid == 0) {
            set_capabilities(
                None,
                CapabilitySets {
                    effective: allowed,
                    permitted: allowed,
                    inheritable: CapabilitySet::empty(),
                },
            )?;
        }
    }
    if user.no_new_privileges {
        set_no_new_privs(true)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_addition_survives_dropping_everything() {
        let user = UserSpec {
            drop_capabilities: vec!["ALL".to_owned()],
            add_capabilities: vec!["CAP_NET_BIND_SERVICE".to_owned()],
            ..UserSpec::default()
        };
        assert_eq!(allowed(&user), CapabilitySet::NET_BIND_SERVICE);
        assert!(!allowed(&UserSpec::default()).contains(CapabilitySet::SYS_ADMIN));
    }
}

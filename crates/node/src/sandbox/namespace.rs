//! The only module with `unsafe`: namespaces, inherited descriptors, and code between fork and
//! exec. Every use says why it is sound.
#![expect(
    unsafe_code,
    reason = "unshare, inherited descriptors and pre-exec hooks have no safe interface"
)]

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Signal, getegid, geteuid, set_parent_process_death_signal};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

/// How a pod's walls were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Authority {
    /// As the machine's administrator.
    Root,
    /// In a user namespace that maps one ordinary user to root.
    UserNamespace,
}

/// Enters the pod's own mount, host name and IPC namespaces (and user namespace, where the
/// process may not make the others without one).
pub(crate) fn isolate_pod() -> io::Result<Authority> {
    let flags = UnshareFlags::NEWNS | UnshareFlags::NEWUTS | UnshareFlags::NEWIPC;
    if geteuid().is_root() {
        match unshare(flags) {
            Ok(()) => return Ok(Authority::Root),
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(error),
            Err(_) => {}
        }
    }
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    unshare(flags | UnshareFlags::NEWUSER)?;
    // Without privileges the kernel accepts a group map only once setgroups is off.
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1"))?;
    Ok(Authority::UserNamespace)
}

/// Enters a container's own mount namespace, and makes the next child the first process of a new
/// pid namespace.
pub(crate) fn isolate_container() -> io::Result<()> {
    unshare(UnshareFlags::NEWNS | UnshareFlags::NEWPID)
}

fn unshare(flags: UnshareFlags) -> io::Result<()> {
    assert_single_threaded()?;
    // SAFETY: the only hazard of `unshare` in Rust is that threads would come to disagree about
    // descriptors or namespaces; there is one thread, as was just checked.
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(Into::into)
}

fn assert_single_threaded() -> io::Result<()> {
    let threads = fs::read_dir("/proc/self/task")?.count();
    if threads == 1 {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "namespaces can only be entered before other threads start, but there are {threads}"
    )))
}

/// Joins the namespaces of a running container; the next child is inside its pid namespace too.
pub(crate) fn join(pid: u32) -> io::Result<()> {
    let open = |name: &str| fs::File::open(format!("/proc/{pid}/ns/{name}"));
    let same = |name: &str| -> io::Result<bool> {
        Ok(fs::read_link(format!("/proc/{pid}/ns/{name}"))?
            == fs::read_link(format!("/proc/self/ns/{name}"))?)
    };
    // Everything is opened first: once inside, these paths mean something else.
    let user = if same("user")? {
        None
    } else {
        Some(open("user")?)
    };
    let rest = [
        (open("ipc")?, LinkNameSpaceType::InterProcessCommunication),
        (open("uts")?, LinkNameSpaceType::HostNameAndNISDomainName),
        (open("pid")?, LinkNameSpaceType::ProcessID),
        (open("mnt")?, LinkNameSpaceType::Mount),
    ];
    if let Some(user) = user {
        move_into_link_name_space(user.as_fd(), Some(LinkNameSpaceType::User))?;
    }
    for (namespace, kind) in &rest {
        move_into_link_name_space(namespace.as_fd(), Some(*kind))?;
    }
    Ok(())
}

/// Takes over a descriptor whose number was passed on the command line.
pub(crate) fn take_descriptor(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the parent passes the number of a descriptor it opened for this process alone, and
    // nothing else in this process knows the number. A wrong number shows as EBADF below.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl_setfd(&descriptor, FdFlags::CLOEXEC)?;
    Ok(descriptor)
}

/// Makes the kernel kill the command when the thread that starts it ends.
pub(crate) fn die_with_parent(command: &mut Command) {
    // SAFETY: the hook makes one system call and touches no memory, locks or allocator, so it may
    // run between fork and exec.
    unsafe {
        command
            .pre_exec(|| set_parent_process_death_signal(Some(Signal::KILL)).map_err(Into::into));
    }
}

/// Makes the command the leader of a session whose terminal is its standard input.
pub(crate) fn own_terminal(command: &mut Command) {
    // SAFETY: as above: two system calls, nothing else; descriptor 0 is open, because the command
    // was given its standard input by then.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            rustix::process::ioctl_tiocsctty(BorrowedFd::borrow_raw(0))?;
            Ok(())
        });
    }
}

/// Makes the command the leader of a session without a terminal.
pub(crate) fn own_session(command: &mut Command) {
    // SAFETY: as above: one system call, nothing else.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            Ok(())
        });
    }
}

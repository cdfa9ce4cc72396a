//! What the kernel must have, checked before the first shard starts, with a sentence for each thing that is missing.

use io_uring::{IoUring, Probe, opcode};
use std::io;

/// The oldest kernel that has everything the wire needs.
const OLDEST: (u32, u32) = (6, 1);

/// The oldest kernel that frees what was closed when its own operations are over, and not those of others too.
const FREES_AT_ONCE: (u32, u32) = (6, 13);

/// Descriptors of the process that no connection takes: listeners, log segments, the control thread's sockets.
const DESCRIPTORS_RESERVED: u64 = 64;

/// The operations that the wire uses.
const OPERATIONS: [(&str, u8); 12] = [
    ("ACCEPT", opcode::Accept::CODE),
    ("ASYNC_CANCEL", opcode::AsyncCancel2::CODE),
    ("CLOSE", opcode::Close::CODE),
    ("CONNECT", opcode::Connect::CODE),
    ("FILES_UPDATE", opcode::FilesUpdate::CODE),
    ("FSYNC", opcode::Fsync::CODE),
    ("MSG_RING", opcode::MsgRingData::CODE),
    ("POLL_ADD", opcode::PollAdd::CODE),
    ("RECV", opcode::Recv::CODE),
    ("SEND", opcode::Send::CODE),
    ("SENDMSG", opcode::SendMsg::CODE),
    ("SHUTDOWN", opcode::Shutdown::CODE),
];

/// Something that the kernel, or the limits of this process, lack. Displayed, it says what and how to enable it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// The kernel is too old.
    #[error("Linux 6.1 or newer is needed, and this is {found}: boot a newer kernel")]
    Kernel {
        /// The release that runs.
        found: String,
    },
    /// The administrator switched io_uring off.
    #[error(
        "io_uring is switched off (kernel.io_uring_disabled = {value}): set it to 0 with `sysctl kernel.io_uring_disabled=0`"
    )]
    Disabled {
        /// The value of the setting, 1 or 2.
        value: u8,
    },
    /// Something forbids the system call.
    #[error(
        "io_uring is forbidden to this process: allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp profile of the container or service"
    )]
    Forbidden,
    /// The kernel was built without it.
    #[error("this kernel has no io_uring: boot a kernel that was built with CONFIG_IO_URING=y")]
    Absent,
    /// The rings' memory is charged to RLIMIT_MEMLOCK, and the limit is too low.
    #[error(
        "the memory of a ring could not be had: raise the limit of locked memory (`ulimit -l`, or LimitMEMLOCK= of the service)"
    )]
    Memory,
    /// Another failure of io_uring.
    #[error("io_uring does not start: {0}")]
    Ring(String),
    /// An operation is not there or not allowed.
    #[error("io_uring lacks the operation {0}: boot Linux 6.1 or newer")]
    Operation(&'static str),
    /// Too few descriptors.
    #[error(
        "{wanted} descriptors are needed and the limit is {limit}: raise it (`ulimit -n {wanted}`, or LimitNOFILE={wanted} of the service), or lower the number of connections"
    )]
    Descriptors {
        /// What the limit is.
        limit: u64,
        /// What is needed.
        wanted: u64,
    },
}

/// Checks the kernel and the limits for wires of `slots` connections each. Empty when nothing is missing.
#[must_use]
pub fn check_kernel(slots: u32) -> Vec<Missing> {
    let mut missing = Vec::new();
    let release = release();
    if parse_release(&release).is_some_and(|found| found < OLDEST) {
        missing.push(Missing::Kernel { found: release.trim().to_owned() });
    }
    check_ring(&mut missing);
    let (limit, wanted) = (raise_descriptor_limit().unwrap_or(0), u64::from(slots) + DESCRIPTORS_RESERVED);
    if limit < wanted {
        missing.push(Missing::Descriptors { limit, wanted });
    }
    missing
}

/// Whether this kernel frees late what was closed; one that does not say its release is taken for an old one.
pub(super) fn frees_late() -> bool {
    parse_release(&release()).is_none_or(|found| found < FREES_AT_ONCE)
}

fn release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default()
}

/// Raises RLIMIT_NOFILE to what this process may have, and returns it. It bounds the table of each wire by itself, not the
/// sum of them.
///
/// # Errors
///
/// When the limit can be neither read nor set.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call writes one `rlimit`.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } < 0 {
        return Err(io::Error::last_os_error());
    }
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: the call reads one `rlimit`.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(limit.rlim_cur)
}

fn check_ring(missing: &mut Vec<Missing>) {
    let ring = IoUring::builder().setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag().build(8);
    let ring: IoUring = match ring {
        Ok(ring) => ring,
        Err(error) => {
            missing.push(why_no_ring(&error));
            return;
        }
    };
    let mut probe = Probe::new();
    if let Err(error) = ring.submitter().register_probe(&mut probe) {
        missing.push(Missing::Ring(error.to_string()));
        return;
    }
    let lacking = OPERATIONS.iter().filter(|(_, code)| !probe.is_supported(*code));
    missing.extend(lacking.map(|&(name, _)| Missing::Operation(name)));
}

fn why_no_ring(error: &io::Error) -> Missing {
    let setting = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    match (error.raw_os_error(), setting.trim().parse()) {
        (Some(libc::EPERM), Ok(value @ 1..)) => Missing::Disabled { value },
        (Some(libc::EPERM | libc::EACCES), _) => Missing::Forbidden,
        (Some(libc::ENOSYS), _) => Missing::Absent,
        (Some(libc::ENOMEM), _) => Missing::Memory,
        _ => Missing::Ring(error.to_string()),
    }
}

/// Version and patch level of a release such as `6.1.0-18-amd64`.
fn parse_release(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_compare_by_number() {
        assert_eq!(parse_release("6.1.0-18-amd64\n"), Some((6, 1)));
        assert_eq!(parse_release("6.18.44"), Some((6, 18)));
        assert!(parse_release("5.15.0-91-generic") < Some(OLDEST));
        assert!(parse_release("6.10.2") > Some(OLDEST));
        assert_eq!(parse_release("strange"), None);
    }

    #[test]
    fn errors_become_advice() {
        let advice = |errno| why_no_ring(&io::Error::from_raw_os_error(errno)).to_string();
        assert!(advice(libc::ENOSYS).contains("CONFIG_IO_URING"));
        assert!(advice(libc::ENOMEM).contains("ulimit -l"));
        assert!(advice(libc::EINVAL).contains("does not start"));
    }

    #[test]
    fn descriptors_are_counted_against_the_limit() {
        let limit = raise_descriptor_limit().unwrap();
        let missing = check_kernel(u32::MAX);
        assert_eq!(missing, [Missing::Descriptors { limit, wanted: u64::from(u32::MAX) + DESCRIPTORS_RESERVED }]);
        assert_eq!(check_kernel(64), []);
    }
}

//! CPU time and memory of a process, from /proc.

use std::fs;

/// What a process has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// CPU time of all threads that live, nanoseconds.
    pub(crate) cpu_ns: u64,
    /// Resident memory, bytes.
    pub(crate) rss_bytes: u64,
}

/// Reads the usage of process `pid`; `None` when there is none, or when it is another user's.
pub(crate) fn usage(pid: i32) -> Option<Usage> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let rss = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    let rss_kib: u64 = rss.split_whitespace().next()?.parse().ok()?;
    Some(Usage { cpu_ns: cpu_ns(pid)?, rss_bytes: rss_kib * 1_024 })
}

/// How many cores process `pid` can keep busy: those that it may use, or as many as it has threads.
pub(crate) fn cores(pid: i32) -> Option<usize> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let threads = field("Threads:")?.parse().ok()?;
    let allowed =
        field("Cpus_allowed:")?.chars().filter_map(|digit| digit.to_digit(16)).map(u32::count_ones).sum::<u32>();
    Some((allowed as usize).min(threads))
}

/// The scheduler's account of each thread, exact to the nanosecond; the ticks of `stat` where the kernel keeps none.
fn cpu_ns(pid: i32) -> Option<u64> {
    let mut total = 0u64;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        // A thread may end between the listing and the reading.
        let Ok(text) = fs::read_to_string(thread.path().join("schedstat")) else { continue };
        total += text.split_whitespace().next()?.parse::<u64>().ok()?;
    }
    if total > 0 { Some(total) } else { ticks_ns(pid) }
}

fn ticks_ns(pid: i32) -> Option<u64> {
    const TICK_NS: u64 = 10_000_000; // USER_HZ is 100 on every platform that Linux exports it to
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold spaces; user and system time are the 12th and 13th fields behind it.
    let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) * TICK_NS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something_and_no_process_nothing() {
        let own = std::process::id() as i32;
        let before = usage(own).expect("this process");
        assert!(before.rss_bytes > 100_000);
        let mut sum = 0u64;
        while usage(own).expect("this process").cpu_ns < before.cpu_ns + 5_000_000 {
            sum = (0..10_000u64).fold(sum, |s, i| s.wrapping_mul(31).wrapping_add(i));
        }
        assert!(ticks_ns(own).is_some(), "{sum}");
        assert_eq!((usage(i32::MAX), cores(i32::MAX)), (None, None));
    }

    #[test]
    fn a_process_is_as_wide_as_its_threads_and_its_cores() {
        let mut program = std::process::Command::new("sleep").arg("600").spawn().expect("sleep");
        assert_eq!(cores(program.id() as i32), Some(1), "one thread");
        program.kill().and_then(|()| program.wait()).expect("it ends");
        let usable = std::thread::available_parallelism().map_or(1, usize::from);
        assert!(cores(std::process::id() as i32).is_some_and(|cores| (1..=usable).contains(&cores)));
    }
}

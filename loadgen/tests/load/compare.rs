//! The comparer end to end: a delay put in on purpose is found, and a broker against itself raises no alarm.

use crate::support::broker::{Faults, TestBroker};
use crate::support::{Finished, finished, pairs, program, scratch};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// So many runs of a broker with this delay, a broker of its own each.
fn reports(name: &str, runs: usize, delay: Duration) -> Vec<PathBuf> {
    let scenario = scratch(&format!("{name}.toml"));
    std::fs::write(&scenario, pairs(2, 100, 0)).expect("a scenario");
    let report = |n: usize| {
        let broker = TestBroker::start(Faults { delay, ..Faults::default() });
        let path = scratch(&format!("{name}-{n}.json"));
        let output = program(&["run", text(&scenario), "--target", &broker.url(), "--idle", "park"])
            .args(["--duration", "500ms", "--json", text(&path)])
            .output()
            .expect("the program runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        path
    };
    let reports = (0..runs).map(report).collect();
    std::fs::remove_file(scenario).expect("the scenario");
    reports
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

fn compare(base: &[PathBuf], new: &[PathBuf], more: &[&str]) -> Finished {
    let base: Vec<&str> = base.iter().map(|p| text(p)).collect();
    let new: Vec<&str> = new.iter().map(|p| text(p)).collect();
    let arguments = [&["compare"], base.as_slice(), more, &["--"], new.as_slice()].concat();
    finished(program(&arguments).output().expect("the program runs"), Path::new(""))
}

#[test]
fn a_delay_on_purpose_is_found_and_a_broker_is_as_fast_as_itself() {
    let fast = reports("fast", 10, Duration::from_millis(5));
    let slow = reports("slow", 5, Duration::from_millis(25));
    let page = scratch("comparison.html");
    let rule = ["--fail-if", "p50 > 1.5", "--html", text(&page)];
    let worse = compare(&fast, &slow, &rule);
    assert_eq!(worse.code, 1, "{}{}", worse.stdout, worse.stderr);
    assert!(worse.stdout.contains("FAIL: `p50 > 1.5`"), "{}", worse.stdout);
    assert!(std::fs::read_to_string(&page).expect("a page").contains("<svg"));
    let same = compare(&fast[..5], &fast[5..], &rule);
    assert_eq!(same.code, 0, "{}{}", same.stdout, same.stderr);
    let better = compare(&slow, &fast, &rule);
    assert_eq!(better.code, 0, "{}{}", better.stdout, better.stderr);
    fast.iter().chain(&slow).chain([&page]).for_each(|p| std::fs::remove_file(p).expect("a file of ours"));
}

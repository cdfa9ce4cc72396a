//! The comparer end to end: a delay put in on purpose is found, and a broker against itself raises no alarm. How often it
//! errs over many sets of runs the tests of its parts ask; here the sets are such that it must not err.

use crate::support::broker::{Faults, TestBroker};
use crate::support::pairs;
use crate::support::program::{Finished, finished, program, scratch};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The rule of these comparisons, and its limit.
const RULE: &str = "p50 > 1.5";
const LIMIT: f64 = 1.5;

/// A report in a file of its own.
struct Report {
    path: PathBuf,
    json: Value,
}

impl Report {
    /// That of a run against a broker with this delay.
    fn of_a_run(name: &str, delay: Duration) -> Self {
        let (scenario, path) = (scratch("compare.toml"), scratch(name));
        std::fs::write(&scenario, pairs(2, 100, 0)).expect("a scenario");
        let broker = TestBroker::start(Faults { delay, ..Faults::default() });
        let output = program(&["run", text(&scenario), "--target", &broker.url(), "--idle", "park"])
            .args(["--duration", "500ms", "--json", text(&path)])
            .output()
            .expect("the program runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::remove_file(scenario).expect("the scenario");
        let json = serde_json::from_str(&std::fs::read_to_string(&path).expect("a report")).expect("JSON");
        Self { path, json }
    }

    /// As if that run had been made `after_s` later and every latency had been `factor` times as long.
    fn scaled(&self, name: &str, after_s: u64, factor: f64) -> Self {
        let (mut json, path) = (self.json.clone(), scratch(name));
        json["started_unix_ms"] = (json["started_unix_ms"].as_u64().expect("a time") + after_s * 1_000).into();
        for (figure, value) in json["latency_us"].as_object_mut().expect("latencies") {
            if figure != "count" {
                *value = (value.as_f64().expect("a number") * factor).into();
            }
        }
        std::fs::write(&path, json.to_string()).expect("a report");
        Self { path, json }
    }

    fn p50(&self) -> f64 {
        self.json["latency_us"]["p50"].as_f64().expect("a number")
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        // A test that fails may have lost it.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

fn compare(base: &[Report], new: &[Report], more: &[&str]) -> Finished {
    let paths = |side: &[Report]| side.iter().map(|r| text(&r.path).to_owned()).collect::<Vec<_>>();
    let mut command = program(&["compare", "--fail-if", RULE]);
    command.args(more).args(paths(base)).arg("--").args(paths(new));
    finished(command.output().expect("the program runs"), Path::new(""))
}

#[test]
fn a_slower_side_breaks_the_rule_and_an_equal_or_faster_one_does_not() {
    let run = Report::of_a_run("run.json", Duration::from_millis(5));
    // Five runs as they differ on a quiet machine, made in turn with those of the other side.
    let side = |name: &str, after_s: u64, factor: f64| -> Vec<Report> {
        let luck = [0.97, 1.02, 1.00, 0.99, 1.03].into_iter().zip(0..);
        luck.map(|(luck, i)| run.scaled(&format!("{name}-{i}.json"), 2 * i + after_s, luck * factor)).collect()
    };
    let (base, same, slow) = (side("base", 0, 1.0), side("same", 1, 1.01), side("slow", 1, 1.7));
    let page = scratch("comparison.html");
    let worse = compare(&base, &slow, &["--html", text(&page)]);
    assert_eq!(worse.code, 1, "{}{}", worse.stdout, worse.stderr);
    assert!(worse.stdout.contains("FAIL: `p50 > 1.5`"), "{}", worse.stdout);
    assert!(!worse.stdout.contains("not run in turn"), "{}", worse.stdout);
    assert!(std::fs::read_to_string(&page).expect("a page").contains("<svg"));
    std::fs::remove_file(page).expect("the page");
    for (base, new) in [(&base, &same), (&slow, &base)] {
        let fine = compare(base, new, &["--strict"]);
        assert_eq!(fine.code, 0, "{}{}", fine.stdout, fine.stderr);
    }
    let blind = compare(&base, &same, &["--fail-if", "p99 > 1.001 see 1.002"]);
    assert_eq!(blind.code, 7, "{}{}", blind.stdout, blind.stderr);
}

/// The interval of a ratio lies between the smallest and the largest that two runs of the two sides have. When both are on
/// one side of the limit the verdict is certain; a busy machine may leave the limit between them.
#[test]
fn a_delay_on_purpose_is_found_and_a_broker_is_as_fast_as_itself() {
    let runs = |name: &str, delay_ms: u64| -> Vec<Report> {
        (0..3).map(|n| Report::of_a_run(&format!("{name}-{n}.json"), Duration::from_millis(delay_ms))).collect()
    };
    let (fast, again, slow) = (runs("fast", 5), runs("again", 5), runs("slow", 25));
    for (name, base, new) in [("slower", &fast, &slow), ("same", &fast, &again), ("faster", &slow, &fast)] {
        let finished = compare(base, new, &[]);
        let ratios = || base.iter().flat_map(|b| new.iter().map(|n| n.p50() / b.p50()));
        let (least, most) = (ratios().fold(f64::INFINITY, f64::min), ratios().fold(0.0, f64::max));
        if least > LIMIT {
            assert_eq!(finished.code, 1, "{name}: {}{}", finished.stdout, finished.stderr);
        } else if most < LIMIT {
            assert_eq!(finished.code, 0, "{name}: {}{}", finished.stdout, finished.stderr);
        } else {
            assert!(finished.code < 2, "{name}: {}{}", finished.stdout, finished.stderr);
            println!("{name}: the machine is too busy, ratios of two runs are from {least:.2} to {most:.2}");
        }
    }
}

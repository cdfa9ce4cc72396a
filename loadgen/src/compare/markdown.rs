//! A comparison as Markdown, for a terminal or a pull request.

use super::rules::Verdict;
use super::{Comparison, Row};
use std::fmt::Write;

/// The comparison as a Markdown table with its verdicts.
pub(crate) fn render(comparison: &Comparison) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_all(comparison, &mut out);
    out
}

fn write_all(c: &Comparison, out: &mut String) -> std::fmt::Result {
    let scenario = c.base.first().map_or("", |r| &r.scenario);
    writeln!(out, "### `{scenario}`: {} runs of base, {} of new\n", c.base.len(), c.new.len())?;
    writeln!(out, "| figure | base | new | new / base | 95% interval |")?;
    writeln!(out, "|---|---:|---:|---:|---|")?;
    for Row { figure, base, new, ratio } in &c.rows {
        write!(out, "| {} | {base:.1} | {new:.1} |", figure.name())?;
        match ratio {
            Some(r) => writeln!(out, " {:.3} | {:.3} - {:.3} |", r.estimate, r.low, r.high)?,
            None if *base > 0.0 => writeln!(out, " {:.3} | |", new / base)?,
            None => writeln!(out, " | |")?,
        }
    }
    writeln!(out, "\nLatencies in microseconds, from the due time; medians of the runs.")?;
    for warning in &c.warnings {
        writeln!(out, "\n**Note:** {warning}.")?;
    }
    if !c.verdicts.is_empty() {
        writeln!(out)?;
    }
    for (rule, verdict) in &c.verdicts {
        writeln!(out, "- {}", sentence(&rule.to_string(), *verdict))?;
    }
    Ok(())
}

/// A verdict as a sentence.
pub(crate) fn sentence(rule: &str, verdict: Verdict) -> String {
    match verdict {
        Verdict::Kept => format!("ok: `{rule}` does not hold"),
        Verdict::Unclear => {
            format!("unclear: `{rule}` may hold; the interval reaches across the limit, more runs would tell")
        }
        Verdict::Broken => format!("**FAIL: `{rule}`**"),
        Verdict::Absent => format!("not judged: `{rule}`, the runs do not have the figure"),
    }
}

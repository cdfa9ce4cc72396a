//! A comparison as Markdown, for a terminal or a pull request.

use super::pairs::LeftOut;
use super::rules::Verdict;
use super::{Comparison, Judged, Outcome, Row};
use std::fmt::Write;

/// The comparison as a Markdown table with its verdicts.
pub(crate) fn render(comparison: &Comparison) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_all(comparison, &mut out);
    out
}

fn write_all(c: &Comparison, out: &mut String) -> std::fmt::Result {
    writeln!(out, "### `{}`: {}\n", c.scenario, runs(c))?;
    writeln!(out, "| figure | base | new | new / base | 95% interval |")?;
    writeln!(out, "|---|---:|---:|---:|---|")?;
    for Row { figure, base, new, ratio } in &c.rows {
        write!(out, "| {} | {} | {} |", figure.name(), amount(*base), amount(*new))?;
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
    for LeftOut { pair, why } in &c.left_out {
        writeln!(out, "\n**Note:** pair {pair} was left out: {why}.")?;
    }
    if c.judged.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    for judged in &c.judged {
        writeln!(out, "- {}", sentence(judged))?;
    }
    writeln!(out, "\n{}\n\n**{}**", confidence(c), conclusion(c))
}

/// A figure's value: with a decimal where that says something.
pub(crate) fn amount(value: f64) -> String {
    format!("{value:.*}", usize::from(value < 1e5))
}

/// How many runs of what.
pub(crate) fn runs(c: &Comparison) -> String {
    match c.paired {
        true if c.left_out.is_empty() => format!("{} pairs of runs", c.base.len()),
        true => format!("{} of {} pairs of runs", c.base.len(), c.base.len() + c.left_out.len()),
        false => format!("{} runs of base, {} of new", c.base.len(), c.new.len()),
    }
}

/// What the verdicts' intervals promise.
pub(crate) fn confidence(c: &Comparison) -> String {
    format!(
        "Of comparisons that break no rule, at most {:.1}% raise an alarm, all rules together: each of the {} is judged by \
         its interval at {:.2}%.",
        (1.0 - c.confidence) * 100.0,
        c.judged.len(),
        c.confidence_of_each() * 100.0
    )
}

/// The whole comparison in a sentence or two. What could not be told is named, also where no rule asked that it could.
pub(crate) fn conclusion(c: &Comparison) -> String {
    match c.outcome() {
        Outcome::Failed => format!("Slower than the rules allow: {}.", rules(c, &[Verdict::Broken])),
        Outcome::Passed if c.judged.iter().any(|j| j.verdict == Verdict::Unclear) => {
            format!("No rule is broken. These runs cannot tell: {}.", rules(c, &[Verdict::Unclear]))
        }
        Outcome::Passed => "No rule is broken.".to_owned(),
        Outcome::Unclear if c.has_too_many_left_out() => "Unclear: the generator disturbed too many pairs.".to_owned(),
        Outcome::Unclear => format!(
            "Unclear: the intervals are too wide to see what the rules ask to see: {}.",
            rules(c, &[Verdict::Blind, Verdict::Absent])
        ),
    }
}

/// The rules with one of these verdicts.
fn rules(c: &Comparison, verdicts: &[Verdict]) -> String {
    let with = c.judged.iter().filter(|j| verdicts.contains(&j.verdict));
    with.map(|j| format!("`{}`", j.rule)).collect::<Vec<_>>().join(", ")
}

/// A verdict as a sentence.
pub(crate) fn sentence(judged: &Judged) -> String {
    let Judged { rule, ratio, verdict } = judged;
    let (interval, visible) = ratio.map_or_else(Default::default, |r| {
        (format!("[{:.3}, {:.3}]", r.low, r.high), format!("a ratio of {:.3}", rule.visible(r)))
    });
    match verdict {
        Verdict::Kept => format!("ok: `{rule}` does not hold, {interval}; {visible} would have been found"),
        Verdict::Unclear => format!(
            "**unclear: `{rule}`** may hold; the interval {interval} reaches across the limit, more runs would tell; only \
             {visible} would have been found"
        ),
        Verdict::Blind => {
            format!("**too wide: `{rule}`**, the interval is {interval}; only {visible} would have been found")
        }
        Verdict::Broken => format!("**FAIL: `{rule}`**, the whole interval {interval} is beyond the limit"),
        Verdict::Absent => {
            format!("not judged: `{rule}`, the runs that are left do not have the figure, or are too few")
        }
    }
}

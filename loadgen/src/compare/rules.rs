//! What may be compared, and rules like `p99 > 1.10` that say when a comparison fails.

use super::bootstrap::Ratio;
use crate::histogram::Summary;
use crate::report::Report;
use std::fmt;
use std::str::FromStr;

/// A figure of a run that can be compared.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Figure {
    /// A figure of the latency from the due time.
    Latency(&'static str, fn(&Summary) -> f64),
    /// Another one.
    Run(&'static str, fn(&Report) -> f64),
}

/// All figures, in the order of the table.
pub(crate) const FIGURES: [Figure; 12] = [
    Figure::Latency("p50", |s| s.p50),
    Figure::Latency("p90", |s| s.p90),
    Figure::Latency("p99", |s| s.p99),
    Figure::Latency("p999", |s| s.p999),
    Figure::Latency("p9999", |s| s.p9999),
    Figure::Latency("max", |s| s.max),
    Figure::Latency("mean", |s| s.mean),
    Figure::Run("connect_p99", |r| r.connect_us.p99),
    Figure::Run("published_per_s", |r| r.published_per_s),
    Figure::Run("delivered_per_s", |r| r.delivered_per_s),
    Figure::Run("cpu_us_per_delivery", |r| r.broker.map_or(0.0, |b| b.cpu_us_per_delivery)),
    Figure::Run("rss_bytes", |r| r.broker.map_or(0.0, |b| b.rss_bytes as f64)),
];

impl Figure {
    /// Its name in rules and tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Latency(name, _) | Self::Run(name, _) => name,
        }
    }

    /// Its value in a run; 0 where the run has none.
    pub(crate) fn of(self, report: &Report) -> f64 {
        match self {
            Self::Latency(_, value) => value(&report.latency_us),
            Self::Run(_, value) => value(report),
        }
    }
}

/// A rule: the comparison fails when new over base is above (or below) a limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// What is compared.
    pub(crate) figure: Figure,
    above: bool,
    limit: f64,
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("`{text}`: {what}; a rule is like `p99 > 1.10` or `delivered_per_s < 0.95`");
        let at = text.find(['<', '>']).ok_or_else(|| wrong("there is neither < nor >"))?;
        let (name, limit) = (text[..at].trim(), text[at + 1..].trim());
        let figure = FIGURES.into_iter().find(|f| f.name() == name).ok_or_else(|| {
            let names = FIGURES.map(Figure::name).join(", ");
            wrong(&format!("`{name}` is none of {names}"))
        })?;
        let limit = limit
            .parse()
            .ok()
            .filter(|l: &f64| *l > 0.0 && l.is_finite())
            .ok_or_else(|| wrong("the limit is not a ratio"))?;
        Ok(Self { figure, above: text.as_bytes()[at] == b'>', limit })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.figure.name(), if self.above { '>' } else { '<' }, self.limit)
    }
}

/// What a rule says of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The whole interval is within the limit.
    Kept,
    /// The interval reaches across the limit: more runs would tell.
    Unclear,
    /// The whole interval is beyond the limit.
    Broken,
    /// The figure is not in the runs.
    Absent,
}

impl Rule {
    /// Judges a ratio. Only an interval that lies wholly beyond the limit breaks the rule: noise widens the interval, and
    /// so makes a rule slower to break, never quicker.
    pub(crate) fn judge(&self, ratio: Option<Ratio>) -> Verdict {
        let Some(ratio) = ratio else { return Verdict::Absent };
        let beyond = |value: f64| if self.above { value > self.limit } else { value < self.limit };
        match (beyond(ratio.low), beyond(ratio.high)) {
            (true, true) => Verdict::Broken,
            (false, false) => Verdict::Kept,
            _ => Verdict::Unclear,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_parse_and_print() {
        for (text, printed) in [("p99 > 1.10", "p99 > 1.1"), ("delivered_per_s<0.95", "delivered_per_s < 0.95")] {
            assert_eq!(text.parse::<Rule>().expect(text).to_string(), printed);
        }
        for text in ["p99", "p98 > 1", "p99 > x", "p99 > -1", "> 1"] {
            assert!(text.parse::<Rule>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_the_whole_interval_breaks_a_rule() {
        let ratio = |low, estimate, high| Some(Ratio { estimate, low, high });
        let slower: Rule = "p99 > 1.1".parse().expect("rule");
        let fewer: Rule = "delivered_per_s < 0.9".parse().expect("rule");
        let rows = [
            (slower, ratio(1.2, 1.3, 1.4), Verdict::Broken),
            (slower, ratio(1.0, 1.3, 1.4), Verdict::Unclear),
            (slower, ratio(0.9, 1.05, 1.4), Verdict::Unclear),
            (slower, ratio(0.9, 0.95, 1.05), Verdict::Kept),
            (fewer, ratio(0.7, 0.8, 0.85), Verdict::Broken),
            (fewer, ratio(0.7, 0.8, 0.95), Verdict::Unclear),
            (fewer, ratio(0.95, 1.0, 1.1), Verdict::Kept),
            (fewer, None, Verdict::Absent),
        ];
        for (rule, ratio, verdict) in rows {
            assert_eq!(rule.judge(ratio), verdict, "{rule} {ratio:?}");
        }
    }
}

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
    see: Option<f64>,
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| {
            format!("`{text}`: {what}; a rule is like `p99 > 1.10`, `p50 > 1.03 see 1.10` or `delivered_per_s < 0.95`")
        };
        let at = text.find(['<', '>']).ok_or_else(|| wrong("there is neither < nor >"))?;
        let (name, rest) = (text[..at].trim(), &text[at + 1..]);
        let (limit, see) = rest.split_once("see").map_or((rest, None), |(limit, see)| (limit, Some(see)));
        let figure = FIGURES.into_iter().find(|f| f.name() == name).ok_or_else(|| {
            let names = FIGURES.map(Figure::name).join(", ");
            wrong(&format!("`{name}` is none of {names}"))
        })?;
        let ratio = |text: &str| text.trim().parse().ok().filter(|r: &f64| *r > 0.0 && r.is_finite());
        let limit = ratio(limit).ok_or_else(|| wrong("the limit is not a ratio"))?;
        let see = see.map(|see| ratio(see).ok_or_else(|| wrong("what is to be seen is not a ratio"))).transpose()?;
        let above = text.as_bytes()[at] == b'>';
        if see.is_some_and(|see| if above { see <= limit } else { see >= limit }) {
            return Err(wrong("what is to be seen is not beyond the limit"));
        }
        Ok(Self { figure, above, limit, see })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.figure.name(), if self.above { '>' } else { '<' }, self.limit)?;
        self.see.map_or(Ok(()), |see| write!(f, " see {see}"))
    }
}

/// What a rule says of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The whole interval is within the limit.
    Kept,
    /// The interval reaches across the limit: more runs would tell.
    Unclear,
    /// The runs differ too much among themselves to show the change that the rule asks to see.
    Blind,
    /// The whole interval is beyond the limit.
    Broken,
    /// The figure is not in the runs.
    Absent,
}

impl Rule {
    /// Judges a ratio. Only an interval that lies wholly beyond the limit breaks the rule: noise widens the interval, and
    /// so makes a rule slower to break, never quicker. How quick it still is `see` asks.
    pub(crate) fn judge(&self, ratio: Option<Ratio>) -> Verdict {
        let Some(ratio) = ratio else { return Verdict::Absent };
        let beyond = |value: f64| if self.above { value > self.limit } else { value < self.limit };
        let visible = self.visible(ratio);
        let is_blind = self.see.is_some_and(|see| if self.above { visible > see } else { visible < see });
        match (beyond(ratio.low), beyond(ratio.high)) {
            (true, true) => Verdict::Broken,
            _ if is_blind => Verdict::Blind,
            (false, false) => Verdict::Kept,
            _ => Verdict::Unclear,
        }
    }

    /// The smallest change that four of five comparisons as noisy as this one would have found.
    pub(crate) fn visible(&self, ratio: Ratio) -> f64 {
        if self.above { self.limit * ratio.margin } else { self.limit / ratio.margin }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_parse_and_print() {
        for (text, printed) in [
            ("p99 > 1.10", "p99 > 1.1"),
            ("p50 > 1.03 see 1.10", "p50 > 1.03 see 1.1"),
            ("delivered_per_s<0.95see 0.9", "delivered_per_s < 0.95 see 0.9"),
        ] {
            assert_eq!(text.parse::<Rule>().expect(text).to_string(), printed);
        }
        for text in
            ["p99", "p98 > 1", "p99 > x", "p99 > -1", "> 1", "p99 > 1.1 see", "p99 > 1.1 see 1.1", "p99 < 0.9 see 1"]
        {
            assert!(text.parse::<Rule>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_the_whole_interval_breaks_a_rule() {
        let ratio = |low, estimate, high| Some(Ratio { estimate, low, high, margin: 1.0 });
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

    #[test]
    fn who_cannot_see_the_change_does_not_say_that_there_is_none() {
        let ratio = |low, high, margin| Some(Ratio { estimate: 1.0, low, high, margin });
        let rule: Rule = "p99 > 1.05 see 1.10".parse().expect("rule");
        let fewer: Rule = "delivered_per_s < 0.95 see 0.90".parse().expect("rule");
        let rows = [
            (rule, ratio(0.98, 1.02, 1.03), Verdict::Kept),
            (rule, ratio(0.98, 1.06, 1.04), Verdict::Unclear),
            (rule, ratio(0.90, 1.04, 1.06), Verdict::Blind),
            (rule, ratio(0.80, 1.30, 1.40), Verdict::Blind),
            (rule, ratio(1.20, 1.80, 1.40), Verdict::Broken),
            (fewer, ratio(0.98, 1.02, 1.04), Verdict::Kept),
            (fewer, ratio(0.98, 1.02, 1.08), Verdict::Blind),
        ];
        for (rule, ratio, verdict) in rows {
            assert_eq!(rule.judge(ratio), verdict, "{rule} {ratio:?}");
        }
    }
}

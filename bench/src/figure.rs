//! A figure with its goal, and sections of figures as the benchmarks hand them over.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::stats::{median, quantile};

/// What a benchmark found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Section {
    /// In words.
    pub(crate) title: String,
    /// What was done, so that a reader can judge the figures.
    pub(crate) method: String,
    /// The figures, in the order in which they are to be read.
    pub(crate) figures: Vec<Figure>,
    /// What a reader must know beside: peers that were missing, surprises.
    pub(crate) notes: Vec<String>,
}

/// One measured value.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) what: String,
    /// The value, in `unit`.
    pub(crate) value: f64,
    /// Of the value and of the goal.
    pub(crate) unit: Unit,
    /// The quartiles of the samples, where there were several.
    pub(crate) quartiles: Option<(f64, f64)>,
    /// The most that it should be.
    pub(crate) goal: Option<f64>,
}

/// What a value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Unit {
    /// A ratio.
    Times,
    /// Nanoseconds.
    Ns,
    /// Microseconds.
    Us,
    /// Milliseconds.
    Ms,
    /// Seconds.
    S,
    /// Things.
    Count,
    /// Things a second.
    PerSecond,
    /// Instructions of a guest.
    Instructions,
    /// 1024 bytes.
    KiB,
    /// 1024 KiB.
    MiB,
    /// Bytes.
    Bytes,
}

/// How a figure stands to its goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Met,
    Missed,
}

impl Section {
    /// An empty one.
    pub(crate) fn new(title: &str, method: &str) -> Self {
        Self { title: title.into(), method: method.into(), ..Self::default() }
    }

    /// Adds a value.
    pub(crate) fn value(&mut self, what: impl Into<String>, value: f64, unit: Unit) -> &mut Figure {
        self.figures.push(Figure { what: what.into(), value, unit, quartiles: None, goal: None });
        let last = self.figures.len() - 1;
        &mut self.figures[last]
    }

    /// Adds the median of samples with their quartiles; of none, a note instead.
    pub(crate) fn samples(&mut self, what: impl Into<String>, samples: &[f64], unit: Unit) -> Option<&mut Figure> {
        let what = what.into();
        let Some(middle) = median(samples) else {
            self.notes.push(format!("{what}: no samples"));
            return None;
        };
        let quartiles = quantile(samples, 0.25).zip(quantile(samples, 0.75)).filter(|_| samples.len() > 1);
        let figure = self.value(what, middle, unit);
        figure.quartiles = quartiles;
        Some(figure)
    }
}

impl Figure {
    /// Sets the goal: this much at the most.
    pub(crate) fn at_most(&mut self, goal: f64) {
        self.goal = Some(goal);
    }

    /// Met or missed, where there is a goal.
    pub(crate) fn standing(&self) -> Option<Standing> {
        self.goal.map(|goal| if self.value <= goal { Standing::Met } else { Standing::Missed })
    }

    /// The value against the goal; none where the goal is nothing at all.
    pub(crate) fn to_goal(&self) -> Option<f64> {
        self.goal.filter(|goal| *goal > 0.0).map(|goal| self.value / goal)
    }

    /// The value with its unit.
    pub(crate) fn measured(&self) -> String {
        self.unit.show(self.value)
    }
}

impl Unit {
    /// A value with three digits that count, and the unit.
    pub(crate) fn show(self, value: f64) -> String {
        let name = match self {
            Self::Times => return format!("{} x", digits(value, 3)),
            Self::Count => return format!("{value:.0}"),
            Self::PerSecond => "/s",
            Self::Instructions => "instructions",
            Self::Ns => "ns",
            Self::Us => "us",
            Self::Ms => "ms",
            Self::S => "s",
            Self::KiB => "KiB",
            Self::MiB => "MiB",
            Self::Bytes => "B",
        };
        format!("{} {name}", digits(value, 3))
    }
}

/// `value` with `count` digits that count, none cut off before the point.
fn digits(value: f64, count: i32) -> String {
    let before_point = if value == 0.0 { 1 } else { value.abs().log10().floor() as i32 + 1 };
    let decimals = (count - before_point).clamp(0, 4) as usize;
    format!("{value:.decimals$}")
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Met => "met",
            Self::Missed => "missed",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_with_the_digits_that_count() {
        assert_eq!(Unit::Us.show(0.2468), "0.247 us");
        assert_eq!(Unit::Times.show(1.018), "1.02 x");
        assert_eq!(Unit::Ns.show(1234.5), "1234 ns");
        assert_eq!(Unit::Count.show(1_260_000.0), "1260000");
        assert_eq!(Unit::Ms.show(0.0), "0.00 ms");
        assert_eq!(Unit::Ms.show(-1.5), "-1.50 ms");
    }

    #[test]
    fn a_goal_is_met_or_missed() {
        let mut section = Section::new("t", "m");
        section.value("a", 0.3, Unit::Us).at_most(0.3);
        section.value("b", 1.0, Unit::Count).at_most(0.0);
        section.value("c", 9.0, Unit::Us);
        if let Some(figure) = section.samples("d", &[4.0, 2.0, 6.0], Unit::Us) {
            figure.at_most(2.0);
        }
        assert!(section.samples("e", &[], Unit::Us).is_none());
        let standings: Vec<_> = section.figures.iter().map(Figure::standing).collect();
        assert_eq!(standings, [Some(Standing::Met), Some(Standing::Missed), None, Some(Standing::Missed)]);
        assert_eq!(section.figures[1].to_goal(), None);
        assert_eq!((section.figures[3].to_goal(), section.figures[3].quartiles), (Some(2.0), Some((2.0, 6.0))));
        assert_eq!(section.notes, ["e: no samples"]);
    }
}

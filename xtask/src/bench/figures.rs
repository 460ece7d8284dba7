//! Medians, ratios and the table they are printed in.

use std::fmt;

use anyhow::{Result, bail};

/// What an aim is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Aim {
    /// Ours divided by theirs stays at or below this.
    Ratio(f64),
    /// Ours stays below this.
    Below(f64),
}

/// One line of the table.
#[derive(Debug)]
struct Row {
    what: String,
    unit: &'static str,
    ours: f64,
    against: Option<(String, f64)>,
    aim: Aim,
}

/// The figures of a run.
#[derive(Debug, Default)]
pub(super) struct Table(Vec<Row>);

impl Table {
    /// A figure next to another one.
    pub(super) fn compare(
        &mut self,
        what: &str,
        unit: &'static str,
        ours: f64,
        (name, theirs): (&str, f64),
        aim: f64,
    ) {
        let against = Some((name.to_owned(), theirs));
        self.0.push(Row {
            what: what.to_owned(),
            unit,
            ours,
            against,
            aim: Aim::Ratio(aim),
        });
    }

    /// A figure of its own.
    pub(super) fn report(&mut self, what: &str, unit: &'static str, ours: f64, below: f64) {
        let aim = Aim::Below(below);
        self.0.push(Row {
            what: what.to_owned(),
            unit,
            ours,
            against: None,
            aim,
        });
    }

    pub(super) fn all_met(&self) -> bool {
        self.0.iter().all(Row::met)
    }
}

impl Row {
    fn met(&self) -> bool {
        match (self.aim, &self.against) {
            (Aim::Ratio(most), Some((_, theirs))) => self.ours <= most * theirs,
            (Aim::Ratio(_), None) => false,
            (Aim::Below(most), _) => self.ours <= most,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what, unit, ours, ..
        } = self;
        let (against, aim) = match (&self.against, self.aim) {
            (Some((name, theirs)), Aim::Ratio(most)) => {
                let ratio = ours / theirs;
                (
                    format!("{name}: {theirs:.1} {unit}"),
                    format!("{ratio:.2} of at most {most:.2}"),
                )
            }
            (_, Aim::Below(most) | Aim::Ratio(most)) => {
                (String::new(), format!("at most {most:.0} {unit}"))
            }
        };
        let verdict = if self.met() { "met" } else { "MISSED" };
        let ours = format!("{ours:.1} {unit}");
        write!(
            out,
            "{what:<38} {ours:>10}   {against:<34} {aim:<22} {verdict}"
        )
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|row| writeln!(out, "{row}"))
    }
}

/// The middle of the samples.
pub(super) fn median(mut samples: Vec<f64>) -> Result<f64> {
    samples.sort_by(f64::total_cmp);
    let middle = samples.len() / 2;
    match samples.len() {
        0 => bail!("nothing was measured"),
        even if even % 2 == 0 => Ok(f64::midpoint(samples[middle - 1], samples[middle])),
        _ => Ok(samples[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::{Table, median};

    #[test]
    fn the_middle_is_found() {
        assert!(median(Vec::new()).is_err());
        assert!((median(vec![3.0, 1.0, 2.0]).unwrap() - 2.0).abs() < 1e-9);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]).unwrap() - 2.5).abs() < 1e-9);
    }

    #[test]
    fn a_missed_aim_shows() {
        let mut table = Table::default();
        table.compare("up", "ms", 105.0, ("nspawn", 100.0), 1.1);
        table.report("stop", "ms", 300.0, 500.0);
        assert!(table.all_met(), "{table}");
        table.compare("exec", "ms", 30.0, ("systemd-run", 100.0), 0.25);
        assert!(
            !table.all_met() && table.to_string().contains("MISSED"),
            "{table}"
        );
    }
}

//! The figures of both servers side by side, as Markdown.

use std::fmt;

/// One figure of one server in one round, with its unit.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Figure {
    /// More is better.
    Rate(f64, &'static str),
    /// Less is better.
    Cost(f64, &'static str),
}

impl Figure {
    fn value(self) -> f64 {
        match self {
            Self::Rate(value, _) | Self::Cost(value, _) => value,
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Rate(_, unit) | Self::Cost(_, unit) => unit,
        }
    }

    /// How many times better this one is.
    fn beside(self, other: Self) -> f64 {
        match self {
            Self::Rate(..) => self.value() / other.value(),
            Self::Cost(..) => other.value() / self.value(),
        }
    }
}

/// What was measured, in the order in which it was first measured.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    what: &'static str,
    embedded: Vec<Figure>,
    real: Vec<Figure>,
}

impl Table {
    /// Adds a figure of the next round.
    pub(crate) fn add(&mut self, what: &'static str, embedded: bool, figure: Figure) {
        let known = self.rows.iter().position(|row| row.what == what);
        let row = known.unwrap_or_else(|| {
            self.rows.push(Row {
                what,
                embedded: Vec::new(),
                real: Vec::new(),
            });
            self.rows.len() - 1
        });
        let row = &mut self.rows[row];
        let side = if embedded {
            &mut row.embedded
        } else {
            &mut row.real
        };
        side.push(figure);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| what | embedded | kube-apiserver + etcd | times better, round by round |"
        )?;
        writeln!(f, "|---|---|---|---|")?;
        for row in &self.rows {
            let values = |side: &[Figure]| side.iter().map(|figure| figure.value()).collect();
            let unit = row.embedded.first().map_or("", |figure| figure.unit());
            let rounds = row.embedded.iter().zip(&row.real);
            let ratios = rounds.map(|(ours, theirs)| ours.beside(*theirs)).collect();
            writeln!(
                f,
                "| {} | {} | {} | {} |",
                row.what,
                spread(values(&row.embedded), unit),
                spread(values(&row.real), unit),
                spread(ratios, "")
            )?;
        }
        Ok(())
    }
}

/// The median, with the lowest and the highest.
fn spread(mut values: Vec<f64>, unit: &str) -> String {
    values.sort_by(f64::total_cmp);
    let (Some(low), Some(high)) = (values.first(), values.last()) else {
        return String::new();
    };
    let median = values[values.len() / 2];
    let space = if unit.is_empty() || unit.starts_with('/') {
        ""
    } else {
        " "
    };
    let text = |value: f64| {
        if value < 10.0 {
            format!("{value:.1}")
        } else {
            format!("{value:.0}")
        }
    };
    format!(
        "{}{space}{unit} ({} to {})",
        text(median),
        text(*low),
        text(*high)
    )
}

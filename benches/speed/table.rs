//! The table.

use std::fmt;

/// One figure.
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) ours: String,
    pub(crate) peer: String,
    /// What is held against the target.
    pub(crate) figure: f64,
    pub(crate) unit: &'static str,
    pub(crate) target: Target,
}

/// What the figure should be.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
}

impl Target {
    fn met(self, figure: f64) -> bool {
        match self {
            Self::AtMost(most) => figure <= most,
            Self::AtLeast(least) => figure >= least,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "≤ {most}"),
            Self::AtLeast(least) => write!(f, "≥ {least}"),
        }
    }
}

/// Rows as Markdown.
pub(crate) struct Table(pub(crate) Vec<Row>);

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | reprov | peer | figure | target | |")?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        for row in &self.0 {
            let Row { what, ours, peer, figure, unit, target } = row;
            let met = if target.met(*figure) { "met" } else { "**not met**" };
            writeln!(f, "| {what} | {ours} | {peer} | {figure:.2}{unit} | {target}{unit} | {met} |")?;
        }
        Ok(())
    }
}

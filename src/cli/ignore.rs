//! `--ignore` and `--because`, of `diff` and `rebuild`.

use crate::recipe::Acceptance;

/// Drift that the caller puts up with.
#[derive(Debug, clap::Args)]
pub(super) struct Ignore {
    /// Mark drift at these paths as accepted (`etc/shadow`, `var/cache/**`); the verdict stays what it is
    #[arg(long, value_name = "GLOB", requires = "because")]
    ignore: Vec<String>,
    /// Why it is acceptable
    #[arg(long, value_name = "TEXT", requires = "ignore")]
    because: Option<String>,
}

impl Ignore {
    pub(super) fn acceptances(&self) -> Vec<Acceptance> {
        let because = self.because.clone().unwrap_or_default();
        let of = |pattern: &String| Acceptance {
            cause: None,
            path: Some(pattern.trim_start_matches('/').to_owned()),
            because: because.clone(),
            until: None,
            owner: None,
            line: 0,
        };
        self.ignore.iter().map(of).collect()
    }
}

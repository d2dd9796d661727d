//! `reprov.policy/v1`.

use serde::Serialize;

use crate::{
    model::{Digest, path::printable},
    policy::{Allowed, Policy},
};

/// The answer of `policy check`.
#[derive(Debug, Serialize)]
pub struct Checked {
    /// `reprov.policy/v1`.
    pub schema: &'static str,
    /// What it calls itself, or where it was read.
    pub name: String,
    /// Of its text.
    pub digest: Option<Digest>,
    /// Builders that keys given with --trust may speak for; `*`: any.
    pub builders: Vec<String>,
    /// Kinds of statement that must be there.
    pub predicates: Vec<String>,
    /// Signers it names.
    pub signers: usize,
    /// Waivers in it.
    pub waivers: usize,
}

/// The answer of `policy print`.
#[derive(Debug, Serialize)]
pub struct Printed {
    /// `reprov.policy/v1`.
    pub schema: &'static str,
    /// Its name.
    pub name: String,
    /// Itself.
    pub text: String,
}

impl Checked {
    /// What there is to say of `policy`.
    #[must_use]
    pub fn of(policy: &Policy, signers: usize) -> Self {
        let builders = match &policy.builders {
            Allowed::Any => vec!["*".to_owned()],
            Allowed::These(names) => names.iter().cloned().collect(),
        };
        Self {
            schema: "reprov.policy/v1",
            name: policy.name.clone(),
            digest: policy.digest,
            builders,
            predicates: policy.predicates.iter().cloned().collect(),
            signers,
            waivers: policy.waivers.len(),
        }
    }

    /// The answer for people.
    #[must_use]
    pub fn text(&self) -> String {
        let digest = self.digest.map(|digest| digest.to_string()).unwrap_or_default();
        let lines = [
            ("policy", self.name.clone()),
            ("digest", digest),
            ("builders", self.builders.join(", ")),
            ("predicates", self.predicates.join(", ")),
            ("signers", self.signers.to_string()),
            ("waivers", self.waivers.to_string()),
        ];
        lines.iter().map(|(name, value)| format!("{name:<11} {}\n", printable(value))).collect()
    }
}

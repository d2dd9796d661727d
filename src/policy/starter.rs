//! Policies to start from.

/// Name and text of each, the mildest first.
pub const STARTERS: &[(&str, &str)] = &[
    ("slsa-l1", include_str!("starter/slsa-l1.toml")),
    ("slsa-l2", include_str!("starter/slsa-l2.toml")),
    ("slsa-l3", include_str!("starter/slsa-l3.toml")),
    ("release", include_str!("starter/release.toml")),
];

/// The text of the policy that is built in under `name`.
#[must_use]
pub fn starter(name: &str) -> Option<&'static str> {
    STARTERS.iter().find(|(own, _)| *own == name).map(|(_, text)| *text)
}

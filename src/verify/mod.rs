//! Evidence × policy × now → findings.

pub mod layout;

//! The inventory: which images are audited, how, how often, and who answers for them.

pub mod notify;

//! Why two images differ: every difference gets a cause, a class and a remedy, or is unexplained (DRIFT.md).
//!
//! Rules are a list of small pure functions over one change, narrowest first. No rule owns what concerns
//! [`Security`]: such a difference is always unexplained. Knows no file, registry or clock;
//! what is known of the builds comes as [`Context`].

mod accept;
mod cause;
mod clock;
mod config;
mod evidence;
mod explain;
mod origin;
mod packages;
mod page;
mod pem;
mod rules;
mod security;
mod token;
mod view;

pub use accept::accept;
pub use cause::{Cause, Class};
pub use config::ConfigDrift;
pub use explain::{Accepted, Confidence, Drift, Explained, explain};
pub use origin::{FromStage, Origin};
pub use security::Security;
pub use view::{Context, InputBodies, InstructionRef};

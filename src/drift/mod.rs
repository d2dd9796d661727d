//! Why two images differ: every difference gets a cause, a class and a remedy, or is unexplained (DRIFT.md).
//!
//! Rules are a list of small pure functions over one change, narrowest first. No rule owns what concerns
//! [`Security`]: such a difference is always unexplained. Knows no file, registry or clock;
//! what is known of the builds comes as [`Context`].

mod accept;
mod accounts;
mod archive;
mod background;
mod cause;
mod clock;
mod config;
mod der;
mod elf;
mod evidence;
mod excerpt;
mod explain;
mod hidden;
mod log;
mod marshal;
mod origin;
mod packages;
mod page;
mod pem;
mod rpm;
mod rules;
mod security;
mod sqlite;
mod token;
mod view;

pub use accept::accept;
pub use background::Background;
pub use cause::{Cause, Class};
pub use config::ConfigDrift;
pub use excerpt::{Excerpt, Facts, Hunk, Line, Row, Run, Window};
pub use explain::{Accepted, Confidence, Drift, Explained, explain};
pub use log::{LogDrift, logs};
pub use origin::{FromStage, Origin};
pub use security::Security;
pub use view::{Context, InputBodies, InstructionRef};

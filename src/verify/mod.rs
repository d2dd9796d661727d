//! Evidence × policy × now → findings and a verdict (SLSA 1.2, "Verifying artifacts"; FORMATS.md §12; AUDIT.md §6b).
//!
//! A finding is a value; that something could not be looked at is one too, and then nobody knows. What was signed by
//! whom is asked first ([`open`]), what it says is believed only then ([`judge`]). Knows no registry, file or clock.

#[macro_use]
mod pages;

mod age;
mod code;
mod evidence;
mod finding;
mod judge;
pub mod layout;
mod open;
pub mod promotion;
mod remember;
mod roots;
mod rules;
#[cfg(test)]
mod tests;

pub use code::{About, Code};
pub use evidence::{
    Believed, Candidate, Dependency, Evidence, Form, Judged, Opened, Place, Presence, Refused, Said, State,
    Unread,
};
pub use finding::{Finding, Status, Verdict};
pub use judge::{Built, Fact, Judgement, Line, judge};
pub use open::open;
pub use remember::{Placed, order, remembered, remembered_all, signer_id};
pub use roots::{Root, RootSigner, Roots};
pub use rules::{bases::below, rebuild::reproduced_by};

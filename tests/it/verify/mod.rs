//! `verify`: what is believed, what is refused, and by which word.

mod attacks;
mod bytes;
mod honest;
mod keyless;
mod network;
pub(crate) mod sources;
pub(crate) mod stand;
mod summaries;
mod violations;
mod waivers;

use stand::{By, Stand};

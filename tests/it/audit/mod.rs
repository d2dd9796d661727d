//! `audit`: an inventory night after night, killed, twice at once, with what is wrong in it and around it.

mod again;
mod bad;
mod killed;
mod nightly;
mod nights;
mod remembered;
mod speed;
mod stand;
mod word;

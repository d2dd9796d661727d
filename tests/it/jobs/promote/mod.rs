//! `reprov promote`: what a policy lets through is moved with all its evidence, what it does not is left where it is.

mod gone_wrong;
mod judged;
mod killed;
mod moved;
mod stand;

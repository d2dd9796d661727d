//! Bad input and bad luck: a clear sentence, the right exit code, nothing lost, nothing left.

mod buildroot;
mod contexts;
mod full;
mod hints;
mod inputs;
mod killed;
mod limits;
mod mirror;
mod registry;
mod running;
mod sandbox;

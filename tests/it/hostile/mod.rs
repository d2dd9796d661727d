//! Bad input and bad luck: a clear sentence, the right exit code, nothing lost, nothing left.

mod hints;
mod inputs;
mod limits;
mod running;

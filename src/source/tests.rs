mod dirty;
mod export;
mod fake;
mod fetch;
mod find;
mod hostile;
mod open;
mod pack;

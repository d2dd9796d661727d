//! The ledger: entries (`crate::entry`) in SQLite or PostgreSQL, chained, only ever added to.

-- No query goes by it, and its keys lie everywhere: it made adding rows to a large ledger slow.
DROP INDEX reprov_entries_digest;

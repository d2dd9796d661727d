//! What can be wrong with a ledger, in codes that `explain` knows.

/// Code, meaning, remedy, example.
pub type Page = (&'static str, (&'static str, &'static str, &'static str));

/// Every code of [`Fault`](super::chain::Fault).
pub const CODES: [Page; 6] = [
    (
        "row-missing",
        (
            "A number of the ledger has no row. Numbers are given without a gap, so it was taken out.",
            "Bring back a copy of the ledger, or make it again with `reprov ledger rebuild`; find out who may write to it.",
            "row 17 is missing",
        ),
    ),
    (
        "row-changed",
        (
            "A row's digest is not that of its bytes, or the bytes are no entry. The row was changed after it was written.",
            "Bring back a copy of the ledger, or make it again with `reprov ledger rebuild`; find out who may write to it.",
            "row 17 is not as it was written: its bytes or its number have another digest",
        ),
    ),
    (
        "row-reordered",
        (
            "A row was written after another row than the one that stands before it. Rows were moved, or the row before it was \
         written anew with a digest that fits.",
            "Bring back a copy of the ledger, or make it again with `reprov ledger rebuild`; find out who may write to it.",
            "row 17 was written after sha256:0e14…, but the row before it is sha256:77aa…",
        ),
    ),
    (
        "column-changed",
        (
            "What stands beside an entry for queries is not what the entry says, or the list of newest entries is another than \
         follows from the entries. The entries are whole; answers that were looked up may be wrong.",
            "Copy the ledger's entries into a new one, or make it again with `reprov ledger rebuild`.",
            "row 17: the column of its outcome is not what the entry says",
        ),
    ),
    (
        "ledger-truncated",
        (
            "A row that was noted elsewhere is not there any more: the ledger was cut off, or an old copy was brought back. From \
         the chain alone this cannot be seen.",
            "Bring back the newest copy; what came after it is in the registries' attestations.",
            "row 4711 was there and is not any more: the last one is 4000",
        ),
    ),
    (
        "ledger-rewritten",
        (
            "The row that was noted elsewhere has another digest now. The chain is whole by itself, so somebody wrote it anew.",
            "Bring back a copy of the ledger; find out who may write to it.",
            "row 4711 was sha256:0e14… and is sha256:77aa…: it was written anew",
        ),
    ),
];

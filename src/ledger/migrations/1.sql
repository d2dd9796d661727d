-- What was done, chained: never changed, only added to. Columns after `body` are taken from it, for queries.
CREATE TABLE reprov_entries (
    number BIGINT NOT NULL PRIMARY KEY,
    previous TEXT NOT NULL,
    digest TEXT NOT NULL,
    nonce TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL,
    repository TEXT NOT NULL,
    tag TEXT NOT NULL,
    image TEXT NOT NULL,
    kind TEXT NOT NULL,
    outcome TEXT NOT NULL,
    at_s BIGINT NOT NULL,
    grouped TEXT NOT NULL,
    owner TEXT NOT NULL
);
CREATE INDEX reprov_entries_repository ON reprov_entries (repository, tag, number);
CREATE INDEX reprov_entries_image ON reprov_entries (image, number);
CREATE INDEX reprov_entries_at ON reprov_entries (at_s, number);
CREATE INDEX reprov_entries_digest ON reprov_entries (digest);

-- The newest entry of each kind on each image of each tag; follows from the entries.
CREATE TABLE reprov_latest (
    repository TEXT NOT NULL,
    tag TEXT NOT NULL,
    image TEXT NOT NULL,
    kind TEXT NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (repository, tag, image, kind)
);
CREATE INDEX reprov_latest_number ON reprov_latest (number);

-- Who works on what, and until when nobody else may.
CREATE TABLE reprov_claims (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    until_s BIGINT NOT NULL
);

-- Messages, kept until they are delivered; afterwards only their names, so that nothing is told twice.
CREATE TABLE reprov_outbox (
    name TEXT NOT NULL PRIMARY KEY,
    body TEXT NOT NULL,
    put_s BIGINT NOT NULL,
    due_s BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    error TEXT NOT NULL,
    delivered_s BIGINT
);
CREATE INDEX reprov_outbox_due ON reprov_outbox (due_s);

-- Runs of audits: which rows of the ledger came before each.
CREATE TABLE reprov_runs (
    id TEXT NOT NULL PRIMARY KEY,
    inventory TEXT NOT NULL,
    began_s BIGINT NOT NULL,
    ended_s BIGINT,
    before_number BIGINT NOT NULL,
    last_number BIGINT
);
CREATE INDEX reprov_runs_began ON reprov_runs (inventory, began_s);

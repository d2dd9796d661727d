-- Of each condition the newest entry: two inventories may ask for the same of one image otherwise. Bodies are looked into as
-- text, so that one that was changed is found by `ledger check` and ends nothing here; quotes in values are escaped, so
-- that only the key itself is found.
ALTER TABLE reprov_entries ADD COLUMN conditions TEXT NOT NULL DEFAULT '';
UPDATE reprov_entries SET conditions = substr(body, strpos(body, '"conditions":"') + 14, 71)
    WHERE strpos(body, '"conditions":"') > 0;

-- The newest entry of each kind, under each condition, on each image of each tag; follows from the entries.
DROP TABLE reprov_latest;
CREATE TABLE reprov_latest (
    repository TEXT NOT NULL,
    tag TEXT NOT NULL,
    image TEXT NOT NULL,
    kind TEXT NOT NULL,
    conditions TEXT NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (repository, tag, image, kind, conditions)
);
INSERT INTO reprov_latest (repository, tag, image, kind, conditions, number)
    SELECT repository, tag, image, kind, conditions, MAX(number) FROM reprov_entries
    GROUP BY repository, tag, image, kind, conditions;
CREATE INDEX reprov_latest_number ON reprov_latest (number);
CREATE INDEX reprov_latest_image ON reprov_latest (image, number);

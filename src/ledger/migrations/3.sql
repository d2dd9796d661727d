-- The newest entry of each kind on each tag, whatever image it named (without a tag: on each image): what reports and history
-- begin with, which would otherwise be sought among all images that a tag ever named. Follows from the entries.
CREATE TABLE reprov_newest_tags (
    repository TEXT NOT NULL,
    tag TEXT NOT NULL,
    own TEXT NOT NULL,
    kind TEXT NOT NULL,
    image TEXT NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (repository, tag, own, kind)
);
INSERT INTO reprov_newest_tags (repository, tag, own, kind, image, number)
    SELECT l.repository, l.tag, l.own, l.kind, e.image, l.number FROM (
        SELECT repository, tag, CASE WHEN tag = '' THEN image ELSE '' END AS own, kind, MAX(number) AS number
        FROM reprov_latest GROUP BY repository, tag, CASE WHEN tag = '' THEN image ELSE '' END, kind) l
    JOIN reprov_entries e ON e.number = l.number;
CREATE INDEX reprov_newest_tags_number ON reprov_newest_tags (number);

-- No query goes by it, and its keys lie everywhere: it made adding rows to a large ledger slow.
DROP INDEX reprov_entries_digest;

-- Beside the other list; and so that an earlier release that has the ledger open fails, which would not write the new one.
ALTER TABLE reprov_latest RENAME TO reprov_newest_images;

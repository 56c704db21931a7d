-- How far each receiver of calls has them. Who claims it by `next_at` sends; `up_to`: the end of the batch under way.
CREATE TABLE usage_pushes (
    url TEXT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    up_to BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    error TEXT,
    ended_at BIGINT
);

-- The registry: one row per API; what it says stands in its revisions, which never change.
CREATE TABLE apis (
    api TEXT NOT NULL PRIMARY KEY,
    revision BIGINT NOT NULL,
    -- The revision that gateways are given; NULL: none.
    published BIGINT,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL
);

CREATE TABLE api_revisions (
    api TEXT NOT NULL REFERENCES apis (api) ON DELETE CASCADE,
    revision BIGINT NOT NULL,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    note TEXT NOT NULL,
    -- What lists are filtered by.
    search TEXT NOT NULL,
    lifecycle TEXT NOT NULL,
    visibility TEXT NOT NULL,
    owner TEXT,
    spec TEXT NOT NULL,
    -- What gateways are given besides the API: upstreams, services, routes, compositions.
    resources TEXT NOT NULL,
    -- What the last import made of its document: the base of the next merge.
    generated TEXT NOT NULL,
    -- The OpenAPI document, as it was imported.
    document TEXT,
    PRIMARY KEY (api, revision)
);

-- One row: the number of what gateways are given. It moves with each change of it, in the same transaction.
CREATE TABLE publication (
    id BIGINT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    changed_at BIGINT NOT NULL
);

-- Requests that bear an `Idempotency-Key`: once done, a repeat gets the same answer.
CREATE TABLE idempotency (
    caller TEXT NOT NULL,
    key TEXT NOT NULL,
    request TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    -- Set in the transaction of the effect.
    done_at BIGINT,
    status BIGINT,
    -- Sealed: an answer may hold a credential.
    answer TEXT,
    PRIMARY KEY (caller, key)
);
CREATE INDEX idempotency_by_start ON idempotency (started_at);

-- What an organisation calls by. The identity system is the master of clients: here is what was meant, which client
-- came of it, and by what it is managed (RFC 7592). `asked` is what was sent at first, and is sent again until there
-- is an answer. Of `settled` and `rotated` up to `revision` and `rotation` the identity system knows.
CREATE TABLE applications (
    application TEXT NOT NULL PRIMARY KEY,
    organisation TEXT NOT NULL REFERENCES organisations (organisation),
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    redirect_uris TEXT NOT NULL,
    scopes TEXT NOT NULL,
    state TEXT NOT NULL,
    generation BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    settled BIGINT NOT NULL,
    refused BIGINT NOT NULL,
    rotation BIGINT NOT NULL,
    rotated BIGINT NOT NULL,
    overlap_s BIGINT NOT NULL,
    asked TEXT NOT NULL,
    asked_revision BIGINT NOT NULL,
    unsure BIGINT NOT NULL,
    client TEXT UNIQUE,
    client_uri TEXT,
    client_token TEXT,
    secret_hash TEXT,
    attempts BIGINT NOT NULL,
    error TEXT,
    worker TEXT,
    worker_until BIGINT,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    changed_at BIGINT NOT NULL
);
CREATE INDEX applications_by_organisation ON applications (organisation, application);
CREATE INDEX applications_by_state ON applications (state, changed_at);

-- A secret, sealed, until it has been shown.
CREATE TABLE application_secrets (
    application TEXT NOT NULL PRIMARY KEY REFERENCES applications (application),
    sealed TEXT NOT NULL,
    made_at BIGINT NOT NULL
);

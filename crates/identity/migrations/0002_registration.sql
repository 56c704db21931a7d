-- Dynamic client registration (RFC 7591, RFC 7592) and assertions of clients (RFC 7523).

-- One row for each that registers clients; its lock makes the count of its clients sure.
CREATE TABLE registrars (
    registrar TEXT PRIMARY KEY,
    seen_at   BIGINT NOT NULL
);

CREATE TABLE client_registrations (
    client_id           TEXT PRIMARY KEY REFERENCES clients (client_id) ON DELETE CASCADE,
    registrar           TEXT   NOT NULL,
    token_hash          TEXT   NOT NULL,
    -- The registration access token before, which is good until the newer one is used.
    previous_token_hash TEXT,
    -- Empty if there is none.
    software_id         TEXT   NOT NULL,
    -- What was registered and is no part of the client's document.
    metadata            TEXT   NOT NULL,
    created_at          BIGINT NOT NULL,
    updated_at          BIGINT NOT NULL
);
CREATE INDEX client_registrations_of_registrar ON client_registrations (registrar, software_id, client_id);

-- Idempotency keys; the hash is over the registrar, too.
CREATE TABLE registration_keys (
    key_hash     TEXT PRIMARY KEY,
    request_hash TEXT   NOT NULL,
    client_id    TEXT   NOT NULL,
    created_at   BIGINT NOT NULL
);
CREATE INDEX registration_keys_age ON registration_keys (created_at);

CREATE TABLE registration_answers (
    key_hash      TEXT PRIMARY KEY,
    sealed_answer TEXT   NOT NULL,
    expires_at    BIGINT NOT NULL
);
CREATE INDEX registration_answers_expiry ON registration_answers (expires_at);

CREATE TABLE initial_access_tokens (
    token_id   TEXT PRIMARY KEY,
    token_hash TEXT   NOT NULL UNIQUE,
    name       TEXT   NOT NULL,
    policy     TEXT   NOT NULL,
    -- Null for any number.
    uses_left  BIGINT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT
);

-- Assertions that were used, until they would have expired.
CREATE TABLE client_assertions (
    assertion_hash TEXT PRIMARY KEY,
    expires_at     BIGINT NOT NULL
);
CREATE INDEX client_assertions_expiry ON client_assertions (expires_at);

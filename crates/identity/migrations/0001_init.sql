-- Times are milliseconds since the epoch; hashes and sealed values are base64url text; documents are JSON text.

CREATE TABLE signing_keys (
    kid          TEXT PRIMARY KEY,
    algorithm    TEXT   NOT NULL,
    generation   BIGINT NOT NULL,
    public_jwk   TEXT   NOT NULL,
    sealed_jwk   TEXT   NOT NULL,
    announced_at BIGINT NOT NULL,
    active_at    BIGINT NOT NULL,
    retired_at   BIGINT,
    removed_at   BIGINT,
    killed_at    BIGINT,
    -- Two nodes that plan the same successor make one key.
    UNIQUE (algorithm, generation)
);

CREATE TABLE clients (
    client_id  TEXT PRIMARY KEY,
    spec       TEXT   NOT NULL,
    epoch      BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    disabled_at BIGINT
);

CREATE TABLE client_secrets (
    secret_id    TEXT PRIMARY KEY,
    client_id    TEXT   NOT NULL REFERENCES clients (client_id) ON DELETE CASCADE,
    secret_hash  TEXT   NOT NULL,
    hint         TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    last_used_at BIGINT
);
CREATE INDEX client_secrets_of_client ON client_secrets (client_id);

CREATE TABLE resource_servers (
    audience   TEXT PRIMARY KEY,
    spec       TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE scopes (
    name       TEXT PRIMARY KEY,
    spec       TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE users (
    user_id       TEXT PRIMARY KEY,
    username      TEXT   NOT NULL UNIQUE,
    spec          TEXT   NOT NULL,
    password_hash TEXT,
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL,
    disabled_at   BIGINT
);

-- Failed logins, counted per account or network in a window; a row per budget key (a keyed hash).
CREATE TABLE login_budgets (
    budget_key   TEXT PRIMARY KEY,
    window_start BIGINT NOT NULL,
    failures     BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL
);
CREATE INDEX login_budgets_expiry ON login_budgets (expires_at);

-- Browsers that have logged this user in before have a budget of their own (they cannot be locked out by others).
CREATE TABLE known_devices (
    device_hash TEXT   NOT NULL,
    user_id     TEXT   NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
    seen_at     BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    PRIMARY KEY (device_hash, user_id)
);
CREATE INDEX known_devices_of_user ON known_devices (user_id);

CREATE TABLE sessions (
    session_id   TEXT PRIMARY KEY,
    cookie_hash  TEXT   NOT NULL UNIQUE,
    user_id      TEXT   NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
    auth_time    BIGINT NOT NULL,
    acr          TEXT   NOT NULL,
    amr          TEXT   NOT NULL,
    user_agent   TEXT   NOT NULL,
    network      TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    ended_at     BIGINT
);
CREATE INDEX sessions_of_user ON sessions (user_id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

CREATE TABLE consents (
    user_id    TEXT   NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
    client_id  TEXT   NOT NULL REFERENCES clients (client_id) ON DELETE CASCADE,
    scope      TEXT   NOT NULL,
    granted_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, client_id, scope)
);

-- The only durable row of a token: everything issued under a grant bears its epoch.
CREATE TABLE grants (
    grant_id           TEXT PRIMARY KEY,
    client_id          TEXT   NOT NULL,
    user_id            TEXT,
    session_id         TEXT,
    scopes             TEXT   NOT NULL,
    audiences          TEXT   NOT NULL,
    auth_time          BIGINT,
    acr                TEXT,
    amr                TEXT,
    nonce              TEXT,
    epoch              BIGINT NOT NULL,
    created_at         BIGINT NOT NULL,
    activated_at       BIGINT,
    expires_at         BIGINT NOT NULL,
    refresh_generation BIGINT NOT NULL,
    refresh_rotated_at BIGINT,
    refresh_replays    BIGINT NOT NULL,
    -- A client's own grant (client_credentials): one per scopes and audiences, taken up again and again.
    standing_key       TEXT UNIQUE,
    revoked_at         BIGINT,
    revoked_because    TEXT
);
CREATE INDEX grants_of_user ON grants (user_id, client_id);
CREATE INDEX grants_of_client ON grants (client_id);
CREATE INDEX grants_of_session ON grants (session_id);
CREATE INDEX grants_expiry ON grants (expires_at);

CREATE TABLE authorization_codes (
    code_hash      TEXT PRIMARY KEY,
    grant_id       TEXT   NOT NULL,
    client_id      TEXT   NOT NULL,
    -- As asked for; null if the request left it out.
    redirect_uri   TEXT,
    code_challenge TEXT   NOT NULL,
    expires_at     BIGINT NOT NULL,
    used_at        BIGINT
);
CREATE INDEX authorization_codes_expiry ON authorization_codes (expires_at);

-- Sets of scopes and audiences that tokens name by number.
CREATE TABLE interned_sets (
    set_id BIGINT PRIMARY KEY,
    text   TEXT NOT NULL UNIQUE
);

-- Single access tokens revoked before they expired.
CREATE TABLE revoked_tokens (
    jti        TEXT PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
CREATE INDEX revoked_tokens_expiry ON revoked_tokens (expires_at);

-- The security event log. Numbers come from event_heads, whose row lock gives them in commit order.
CREATE TABLE events (
    seq         BIGINT PRIMARY KEY,
    subject     TEXT   NOT NULL,
    reason      TEXT   NOT NULL,
    occurred_at BIGINT NOT NULL
);
CREATE TABLE event_heads (
    log TEXT PRIMARY KEY,
    seq BIGINT NOT NULL
);
INSERT INTO event_heads (log, seq) VALUES ('security', 0);
CREATE TABLE event_streams (
    client_id  TEXT   NOT NULL,
    stream     TEXT   NOT NULL,
    acked_seq  BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL,
    PRIMARY KEY (client_id, stream)
);

-- One hash chain per writer.
CREATE TABLE audit_records (
    writer      TEXT   NOT NULL,
    seq         BIGINT NOT NULL,
    occurred_at BIGINT NOT NULL,
    act         TEXT   NOT NULL,
    outcome     TEXT   NOT NULL,
    actor       TEXT   NOT NULL,
    subject     TEXT,
    client_id   TEXT,
    object      TEXT,
    request_id  TEXT   NOT NULL,
    detail      TEXT   NOT NULL,
    previous    TEXT   NOT NULL,
    hash        TEXT   NOT NULL,
    PRIMARY KEY (writer, seq)
);
CREATE INDEX audit_records_time ON audit_records (occurred_at);
CREATE INDEX audit_records_subject ON audit_records (subject, occurred_at);
CREATE INDEX audit_records_client ON audit_records (client_id, occurred_at);
CREATE TABLE audit_heads (
    writer TEXT PRIMARY KEY,
    seq    BIGINT NOT NULL,
    hash   TEXT   NOT NULL
);
-- Where all chains stood at a moment, signed; `mac` is keyed by the master key, which the database does not hold.
CREATE TABLE audit_checkpoints (
    checkpoint_id TEXT PRIMARY KEY,
    occurred_at   BIGINT NOT NULL,
    token         TEXT   NOT NULL,
    mac           TEXT   NOT NULL
);
CREATE INDEX audit_checkpoints_time ON audit_checkpoints (occurred_at);

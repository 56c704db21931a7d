INSERT INTO organisations (organisation, name, created_at) VALUES ('provider', 'Provider', 0)
ON CONFLICT (organisation) DO NOTHING;

-- A link that makes whoever opens it a member, once. Of its secret there is a hash.
CREATE TABLE invitations (
    invitation TEXT NOT NULL PRIMARY KEY,
    organisation TEXT NOT NULL REFERENCES organisations (organisation),
    role TEXT NOT NULL,
    note TEXT NOT NULL,
    token_hash TEXT NOT NULL UNIQUE,
    invited_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    used_by TEXT
);
CREATE INDEX invitations_by_organisation ON invitations (organisation, created_at);

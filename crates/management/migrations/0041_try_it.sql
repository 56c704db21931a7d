-- The application by which an organisation tries APIs in the portal. It is one like any other; only its secret is
-- kept, sealed, since the portal itself gets tokens with it.
CREATE TABLE try_clients (
    organisation TEXT NOT NULL PRIMARY KEY,
    application TEXT NOT NULL,
    client TEXT,
    secret TEXT,
    made_at BIGINT NOT NULL,
    asked_at BIGINT NOT NULL
);

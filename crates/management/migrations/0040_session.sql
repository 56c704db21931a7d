-- Who is signed in here. The cookie is random; what is kept is a keyed hash of it.
CREATE TABLE visits (
    visit TEXT NOT NULL PRIMARY KEY,
    cookie_hash TEXT NOT NULL UNIQUE,
    person TEXT NOT NULL,
    way TEXT NOT NULL,
    organisation TEXT,
    id_token TEXT,
    created_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT
);
CREATE INDEX visits_by_person ON visits (person);

-- Links that open the console once.
CREATE TABLE console_links (
    link_hash TEXT NOT NULL PRIMARY KEY,
    made_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);

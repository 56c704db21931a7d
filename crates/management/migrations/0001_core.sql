-- Who is who here. The identity system is the master of people: a row points there by issuer and subject.
CREATE TABLE people (
    person TEXT NOT NULL PRIMARY KEY,
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    name TEXT NOT NULL,
    email TEXT,
    created_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    UNIQUE (issuer, subject)
);

-- `provider` is the organisation that publishes; every other one consumes.
CREATE TABLE organisations (
    organisation TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE members (
    organisation TEXT NOT NULL REFERENCES organisations (organisation),
    person TEXT NOT NULL REFERENCES people (person),
    role TEXT NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (organisation, person)
);
CREATE INDEX members_by_person ON members (person);

CREATE TABLE audit (
    entry TEXT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    act TEXT NOT NULL,
    object TEXT NOT NULL,
    organisation TEXT,
    request_id TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX audit_by_time ON audit (at, entry);
CREATE INDEX audit_by_object ON audit (object, at);
CREATE INDEX audit_by_organisation ON audit (organisation, at);

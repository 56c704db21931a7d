-- What was written, by whom, with its tests; never changed.
CREATE TABLE policy_versions (
    version BIGINT NOT NULL PRIMARY KEY,
    author TEXT NOT NULL,
    comment TEXT NOT NULL,
    source TEXT NOT NULL,
    tests TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- Each publication, also of an older version; the newest is in force.
CREATE TABLE policy_activations (
    activation BIGINT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL REFERENCES policy_versions (version),
    author TEXT NOT NULL,
    comment TEXT NOT NULL,
    request_id TEXT NOT NULL,
    activated_at BIGINT NOT NULL
);

-- One row. A publication is checked against the entities, and an entity against the policies in force; so
-- each changes this row only if the other has not changed since it looked.
CREATE TABLE policy_state (
    name TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    activation BIGINT NOT NULL,
    revision BIGINT NOT NULL
);
INSERT INTO policy_state (name, version, activation, revision) VALUES ('state', 0, 0, 0);

CREATE TABLE entities (
    entity_type TEXT NOT NULL,
    entity_id TEXT NOT NULL,
    document TEXT NOT NULL,
    author TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (entity_type, entity_id)
);

CREATE TABLE entity_changes (
    change_id TEXT NOT NULL PRIMARY KEY,
    revision BIGINT NOT NULL,
    act TEXT NOT NULL,
    entity_type TEXT NOT NULL,
    entity_id TEXT NOT NULL,
    author TEXT NOT NULL,
    request_id TEXT NOT NULL,
    changed_at BIGINT NOT NULL
);

CREATE TABLE decisions (
    decision_id TEXT NOT NULL PRIMARY KEY,
    decided_at BIGINT NOT NULL,
    caller TEXT NOT NULL,
    request_id TEXT NOT NULL,
    subject_type TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    action TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    decision TEXT NOT NULL,
    verdict TEXT NOT NULL,
    reasons TEXT NOT NULL,
    version BIGINT NOT NULL
);
CREATE INDEX decisions_by_time ON decisions (decided_at, decision_id);
CREATE INDEX decisions_by_subject ON decisions (subject_id, decided_at);
CREATE INDEX decisions_by_resource ON decisions (resource_id, decided_at);

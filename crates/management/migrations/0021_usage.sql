-- Who counts calls. `next`: the number of the record that is wanted; all below is kept for good.
CREATE TABLE gateways (
    gateway TEXT NOT NULL PRIMARY KEY,
    caller TEXT NOT NULL,
    name TEXT NOT NULL,
    next BIGINT NOT NULL,
    serving BIGINT,
    refused TEXT,
    first_seen_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
);

-- One row: the number of the last event. Whoever writes events holds it until the commit, so that numbers come in
-- the order of commits and a reader that has seen one will never miss a smaller one.
CREATE TABLE usage_clock (
    id BIGINT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL
);
INSERT INTO usage_clock (id, at) VALUES (1, 0);

-- Each call, for as long as is kept. What is counted and paid rests on the folds below, which stay.
CREATE TABLE usage_events (
    seq BIGINT NOT NULL PRIMARY KEY,
    gateway TEXT NOT NULL,
    number BIGINT NOT NULL,
    request_id TEXT NOT NULL,
    at BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    api TEXT NOT NULL,
    operation TEXT NOT NULL,
    method TEXT NOT NULL,
    client TEXT,
    subscription TEXT,
    plan TEXT,
    organisation TEXT,
    status BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT,
    units BIGINT NOT NULL,
    micros BIGINT NOT NULL
);
CREATE INDEX usage_events_by_request ON usage_events (request_id);
CREATE INDEX usage_events_by_organisation ON usage_events (organisation, seq) WHERE organisation IS NOT NULL;
CREATE INDEX usage_events_by_subscription ON usage_events (subscription, seq) WHERE subscription IS NOT NULL;
CREATE INDEX usage_events_by_client ON usage_events (client, seq) WHERE client IS NOT NULL;

-- Empty text: unknown.
CREATE TABLE usage_hours (
    start BIGINT NOT NULL,
    organisation TEXT NOT NULL,
    client TEXT NOT NULL,
    subscription TEXT NOT NULL,
    plan TEXT NOT NULL,
    api TEXT NOT NULL,
    operation TEXT NOT NULL,
    outcome TEXT NOT NULL,
    calls BIGINT NOT NULL,
    units BIGINT NOT NULL,
    micros BIGINT NOT NULL,
    PRIMARY KEY (start, organisation, client, subscription, plan, api, operation, outcome)
);
CREATE INDEX usage_hours_by_organisation ON usage_hours (organisation, start);

CREATE TABLE usage_days (
    start BIGINT NOT NULL,
    organisation TEXT NOT NULL,
    client TEXT NOT NULL,
    subscription TEXT NOT NULL,
    plan TEXT NOT NULL,
    api TEXT NOT NULL,
    operation TEXT NOT NULL,
    outcome TEXT NOT NULL,
    calls BIGINT NOT NULL,
    units BIGINT NOT NULL,
    micros BIGINT NOT NULL,
    PRIMARY KEY (start, organisation, client, subscription, plan, api, operation, outcome)
);
CREATE INDEX usage_days_by_organisation ON usage_days (organisation, start);

-- What quotas look at. `changed`: the number of the event that changed it last.
CREATE TABLE usage_windows (
    subscription TEXT NOT NULL,
    span TEXT NOT NULL,
    start BIGINT NOT NULL,
    ends BIGINT NOT NULL,
    used BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    PRIMARY KEY (subscription, span, start)
);
CREATE INDEX usage_windows_by_change ON usage_windows (changed);
CREATE INDEX usage_windows_by_end ON usage_windows (span, ends);

-- What invoices look at.
CREATE TABLE usage_months (
    subscription TEXT NOT NULL,
    plan TEXT NOT NULL,
    month BIGINT NOT NULL,
    calls BIGINT NOT NULL,
    units BIGINT NOT NULL,
    PRIMARY KEY (subscription, plan, month)
);

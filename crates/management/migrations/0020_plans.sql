-- What can be subscribed to. A change is a new version; what was agreed keeps its price for a while.
CREATE TABLE plans (
    plan TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    spec TEXT NOT NULL,
    -- hour, day, week, month; null: no quota
    quota_window TEXT,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    retired_at BIGINT
);

CREATE TABLE plan_versions (
    plan TEXT NOT NULL REFERENCES plans (plan),
    version BIGINT NOT NULL,
    spec TEXT NOT NULL,
    since BIGINT NOT NULL,
    changed_by TEXT NOT NULL,
    PRIMARY KEY (plan, version)
);

CREATE TABLE subscriptions (
    subscription TEXT NOT NULL PRIMARY KEY,
    organisation TEXT NOT NULL,
    application TEXT NOT NULL,
    -- The `client_id`, as soon as the identity system has given one.
    client TEXT,
    plan TEXT NOT NULL REFERENCES plans (plan),
    -- requested, active, suspended, rejected, cancelled
    state TEXT NOT NULL,
    note TEXT,
    requested_at BIGINT NOT NULL,
    requested_by TEXT NOT NULL,
    decided_at BIGINT,
    decided_by TEXT,
    -- What the other side is told: why rejected, suspended, cancelled.
    reason TEXT,
    -- Another plan that is asked for (`requested`) or agreed (`agreed`), and from when on.
    next_plan TEXT,
    next_state TEXT,
    next_from BIGINT,
    changed_at BIGINT NOT NULL
);
CREATE INDEX subscriptions_by_organisation ON subscriptions (organisation, subscription);
CREATE INDEX subscriptions_by_application ON subscriptions (application);
CREATE INDEX subscriptions_by_client ON subscriptions (client);
CREATE INDEX subscriptions_by_plan ON subscriptions (plan, state);
CREATE INDEX subscriptions_by_state ON subscriptions (state, subscription);
CREATE INDEX subscriptions_by_change ON subscriptions (next_from) WHERE next_plan IS NOT NULL;

-- An application has at most one living subscription to an API, whatever its plan.
CREATE TABLE subscription_apis (
    application TEXT NOT NULL,
    api TEXT NOT NULL,
    subscription TEXT NOT NULL REFERENCES subscriptions (subscription),
    PRIMARY KEY (application, api)
);
CREATE INDEX subscription_apis_by_subscription ON subscription_apis (subscription);

-- Which plan was in force when; what has to be paid rests on it.
CREATE TABLE subscription_terms (
    subscription TEXT NOT NULL REFERENCES subscriptions (subscription),
    since BIGINT NOT NULL,
    plan TEXT NOT NULL REFERENCES plans (plan),
    until BIGINT,
    PRIMARY KEY (subscription, since)
);

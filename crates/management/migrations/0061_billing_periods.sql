-- Up to which month (its begin) an organisation's invoices were issued by the clock; and what stood against it.
CREATE TABLE billing_periods (
    organisation TEXT NOT NULL PRIMARY KEY,
    closed BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    error TEXT
);
CREATE INDEX billing_periods_by_month ON billing_periods (closed);

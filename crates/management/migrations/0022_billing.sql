-- Issued invoices: written once, never changed. Numbers have no gaps. Amounts are millionths of the currency's unit.
CREATE TABLE invoices (
    invoice TEXT NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL UNIQUE,
    organisation TEXT NOT NULL,
    month BIGINT NOT NULL,
    currency TEXT NOT NULL,
    total BIGINT NOT NULL,
    -- The last event of the ledger that it knows.
    ledger_at BIGINT NOT NULL,
    issued_at BIGINT NOT NULL,
    issued_by TEXT NOT NULL,
    UNIQUE (organisation, month, currency)
);

CREATE TABLE invoice_lines (
    invoice TEXT NOT NULL REFERENCES invoices (invoice),
    line BIGINT NOT NULL,
    -- monthly, usage, correction
    kind TEXT NOT NULL,
    -- What it is for; of a correction: an earlier one than the invoice's.
    month BIGINT NOT NULL,
    subscription TEXT NOT NULL,
    application TEXT NOT NULL,
    plan TEXT NOT NULL,
    units BIGINT NOT NULL,
    tiers TEXT NOT NULL,
    amount BIGINT NOT NULL,
    PRIMARY KEY (invoice, line)
);
CREATE INDEX invoice_lines_by_subscription ON invoice_lines (subscription, month);

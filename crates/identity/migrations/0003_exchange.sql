-- Token exchange (RFC 8693): a grant below another one, and on whose behalf its tokens are used by whom.
ALTER TABLE grants ADD COLUMN parent_grant_id TEXT;
-- The epochs of the grant above and of its client when the exchange was made: what ends their tokens ends these.
ALTER TABLE grants ADD COLUMN parent_epoch BIGINT;
ALTER TABLE grants ADD COLUMN parent_client_epoch BIGINT;
-- The claim `act`, as JSON.
ALTER TABLE grants ADD COLUMN act TEXT;
CREATE INDEX grants_of_parent ON grants (parent_grant_id);

-- Of grants that came by exchange: the access token that was exchanged. When that one is revoked, they end, too.
ALTER TABLE grants ADD COLUMN parent_jti TEXT;
CREATE INDEX grants_of_parent_token ON grants (parent_jti);

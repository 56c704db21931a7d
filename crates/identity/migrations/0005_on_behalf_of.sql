-- Of grants that came by exchange of a token of no person: the client that acted by itself.
ALTER TABLE grants ADD COLUMN on_behalf_of TEXT;

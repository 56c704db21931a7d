-- How a call went through the gateway's steps (JSON), for people to look at; of calls that came with it.
ALTER TABLE usage_events ADD COLUMN way TEXT;

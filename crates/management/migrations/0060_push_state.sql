-- What people are told of a push. `error` is why it failed last; `failures`: how often since it was taken last.
ALTER TABLE usage_pushes ADD COLUMN taken_at BIGINT;
ALTER TABLE usage_pushes ADD COLUMN failed_at BIGINT;

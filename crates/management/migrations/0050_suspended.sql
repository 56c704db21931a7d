-- Since when a subscription is suspended, or was when it ended: making another one is no way around it.
ALTER TABLE subscriptions ADD COLUMN suspended_at BIGINT;
UPDATE subscriptions SET suspended_at = changed_at WHERE state = 'suspended';

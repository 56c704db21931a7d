-- The session at the identity system that a visit came of (`sid`): when that one is over, so is this.
ALTER TABLE visits ADD COLUMN sid TEXT;
CREATE INDEX visits_by_sid ON visits (sid) WHERE sid IS NOT NULL;

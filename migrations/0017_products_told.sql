-- How much of what an import has changed was told on the topic of the
-- products: an import that is retried ends more than once, and tells each
-- time only what is new.
ALTER TABLE imports
	ADD COLUMN told_created bigint NOT NULL DEFAULT 0,
	ADD COLUMN told_updated bigint NOT NULL DEFAULT 0;
UPDATE imports SET told_created = created, told_updated = updated
	WHERE state IN ('failed', 'cancelled');

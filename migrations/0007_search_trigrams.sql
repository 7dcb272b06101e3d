-- Finds parts of words. Where the extension may not be created or is not
-- installed, searches read all documents instead: right, but slower.
--
-- The pending list is emptied after each round of the indexer, so that no
-- search has to read it; it must hold a round.
DO $$
BEGIN
	CREATE EXTENSION IF NOT EXISTS pg_trgm;
	CREATE INDEX product_search_trigrams ON product_search USING gin (document gin_trgm_ops)
		WITH (gin_pending_list_limit = 262144);
EXCEPTION WHEN OTHERS THEN
	RAISE WARNING 'no index for searches: %', SQLERRM;
END
$$;

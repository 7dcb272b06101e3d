-- What waits for the search index is searched as it waits
-- (docs/decisions/0005-what-waits-is-searched-as-it-waits.md): documents are
-- those of the products of a row, as product_search has them, in the order of
-- keys, with a unit separator (U+001F) between them. NULL: look at the
-- products. They are kept beside the row, uncompressed: the signature says of
-- which rows to read them.
ALTER TABLE search_queue ADD COLUMN documents text COLLATE "C";
ALTER TABLE search_queue ALTER COLUMN documents SET STORAGE EXTERNAL;
CREATE INDEX search_queue_undocumented ON search_queue (seq) WHERE documents IS NULL;

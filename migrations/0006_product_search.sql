-- The search index beside the catalogue, so that imports need not pay for it
-- (docs/decisions/0003-search-beside-the-catalogue.md).
--
-- A row is the product as of its version; of another version it is out of
-- date and counts for nothing. document is the SKU key, the name and the
-- description in lower case, a line each, lowered by the program. name_key is
-- the name with A-Z lowered, as lower(… COLLATE "C") does wherever it runs.
CREATE TABLE product_search (
	id         bigint      PRIMARY KEY,
	version    bigint      NOT NULL,
	active     boolean     NOT NULL,
	sku_key    text        COLLATE "C" NOT NULL,
	name_key   text        COLLATE "C" NOT NULL,
	updated_at timestamptz NOT NULL,
	document   text        COLLATE "C" NOT NULL
);
CREATE INDEX product_search_sku ON product_search (sku_key, id);
CREATE INDEX product_search_name ON product_search (name_key, id);
CREATE INDEX product_search_updated ON product_search (updated_at, id);

-- What the index does not know yet, written in the transaction of the change:
-- a few products a row. While this is empty, the index is the catalogue.
CREATE TABLE search_queue (
	seq       bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	keys      text    COLLATE "C" NOT NULL, -- SKU keys, a line each
	products  integer NOT NULL,             -- how many
	fresh     boolean NOT NULL,             -- they are new: the index has nothing of them, neither right nor wrong
	signature bytea,                        -- which trigrams occur in them (search_signature.go); NULL: any may
	deleted   bigint                        -- the id of a product that is gone
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
CREATE INDEX search_queue_stale ON search_queue (seq) WHERE NOT fresh;

LOCK TABLE products IN SHARE ROW EXCLUSIVE MODE; -- nobody writes until all are queued
INSERT INTO search_queue (keys, products, fresh)
SELECT string_agg(sku_key, E'\n'), count(*), true FROM products GROUP BY id / 16 ORDER BY id / 16;

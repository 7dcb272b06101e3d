-- The catalogue.
--
-- sku_key is what makes two SKUs the same product. The program computes it;
-- SQL never folds, for lower() depends on the cluster's locale. COLLATE "C"
-- sorts it by bytes, as the program does when it locks rows in key order.
--
-- No other index: each one is paid on every imported row (a trigram index
-- takes an import of 500,000 rows from 2.6 to 35 s), and one on updated_at
-- would end heap-only updates. fillfactor leaves room for those.
CREATE TABLE products (
	id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	sku         text        NOT NULL,
	sku_key     text        COLLATE "C" NOT NULL UNIQUE,
	name        text        NOT NULL,
	description text        NOT NULL DEFAULT '',
	active      boolean     NOT NULL DEFAULT true,
	version     bigint      NOT NULL DEFAULT 1,
	created_at  timestamptz NOT NULL DEFAULT now(),
	updated_at  timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 90);

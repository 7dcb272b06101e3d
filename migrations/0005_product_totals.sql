-- How many products there are: the sum of deltas. Counting a million rows
-- takes 50 ms and more, and one row with the total would make all writers
-- wait for each other; so each transaction adds a row, and the indexer folds
-- them.
LOCK TABLE products IN SHARE ROW EXCLUSIVE MODE; -- nobody writes until the sum is taken
CREATE TABLE product_totals (
	delta bigint NOT NULL
);
INSERT INTO product_totals SELECT count(*) FROM products;

-- For lists of what is switched off. Imports never switch, so it costs them
-- nothing.
CREATE INDEX products_inactive ON products (id) WHERE NOT active;

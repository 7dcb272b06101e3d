package db

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"importer"
)

const (
	// How far the products that a filter selects are counted, and those that
	// have words, which have to be read for that.
	countBound = 10_000
	wordsBound = 2_500
	// A look at the first products in the order of the list tells whether a
	// word is common: then those of the page are found by going on, and else
	// by the index, which would gather a common word's products all.
	sampleRows = 1000
	manyGroups = 1000 // rows of the queue whose products have to be looked up, some 30,000
	// Hits of the sample with which counting up to the bound meets them soon in
	// any order, and soon enough to save looking each up that waits.
	denseHits, evenHits = 100, 20
)

// search is one question, within one snapshot of the catalogue. It unites
// what the index says with a look at the products that wait for the index, so
// that no answer is out of date.
type search struct {
	tx       pgx.Tx
	words    []word
	active   *bool
	sort     importer.ProductSort
	desc     bool
	from     *position // the list goes on from here; nil is the beginning
	variants map[rune][]rune

	total   int64 // products in the catalogue
	waiting bool  // the index does not know all of them
	many    bool  // so many of them may match that reading the catalogue takes less than looking each up
	stale   bool  // the index may be wrong about some of them
}

// begin reads what the other steps have to know.
func (s *search) begin(ctx context.Context) error {
	lookUp := "true"
	if len(s.words) > 0 {
		s.variants = upperVariants()
		lookUp = "documents IS NULL"
	}
	return s.tx.QueryRow(ctx, "SELECT ("+totalProducts+`),
		EXISTS (SELECT FROM search_queue),
		EXISTS (SELECT FROM search_queue WHERE `+lookUp+` OFFSET $1),
		EXISTS (SELECT FROM search_queue WHERE NOT fresh)`, manyGroups).
		Scan(&s.total, &s.waiting, &s.many, &s.stale)
}

// find returns the ids of n products after the first offset ones, in order,
// and how many there are in all.
func (s *search) find(ctx context.Context, offset, n int) (ids []int64, total int64, floor bool, err error) {
	if len(s.words) > 0 {
		return s.findWords(ctx, offset, n)
	}
	if total, floor, err = s.countAll(ctx); err != nil {
		return nil, 0, false, err
	}
	switch {
	case s.sort == importer.SortID || s.sort == importer.SortSKU || s.many:
		ids, err = s.walk(ctx, s.catalogue(), total, floor, offset, n)
	case !s.waiting:
		ids, err = s.walk(ctx, s.index(true), total, floor, offset, n)
	default:
		ids, _, err = s.gather(ctx, offset, n)
	}
	return ids, total, floor, err
}

// countAll counts what a filter without words selects.
func (s *search) countAll(ctx context.Context) (total int64, floor bool, err error) {
	if s.active == nil {
		return s.total, false, nil
	}
	count := func(condition string) (n int64, err error) {
		err = s.tx.QueryRow(ctx, fmt.Sprintf("SELECT count(*) FROM (SELECT FROM products WHERE %s LIMIT %d) AS few", condition, countBound+1)).Scan(&n)
		return n, err
	}
	if total, err = count("NOT active"); err != nil {
		return 0, false, err
	}
	if *s.active {
		if total <= countBound {
			return s.total - total, false, nil
		}
		if total, err = count("active"); err != nil {
			return 0, false, err
		}
	}
	return min(total, countBound), total > countBound, nil
}

// walk reads ids in the order of an index, from whichever end is nearer.
func (s *search) walk(ctx context.Context, t table, total int64, floor bool, offset, n int) ([]int64, error) {
	back := false
	if after := total - int64(offset) - int64(n); !floor && s.from == nil && int64(offset) > total/2 {
		back = true
		if after < 0 {
			n, after = max(n+int(after), 0), 0
		}
		offset = int(after)
	}
	q := new(query)
	columns, column := order(t.columns(s.sort), s.desc != back), t.id
	if t.skuDecides && s.sort == importer.SortSKU {
		column = t.sku // the index has it: the rows that are skipped are not read
	}
	sql := fmt.Sprintf("SELECT %s FROM %s WHERE %s ORDER BY %s OFFSET %d LIMIT %d",
		column, t.from, s.conditions(q, t, true), columns, offset, n)
	if column != t.id {
		sql = fmt.Sprintf("SELECT p.id FROM (%s) AS part JOIN products AS p USING (sku_key) ORDER BY %s", sql, columns)
	}
	ids, err := s.ids(ctx, sql, q.args)
	if back {
		slices.Reverse(ids)
	}
	return ids, err
}

// findWords decides by a sample how to look.
func (s *search) findWords(ctx context.Context, offset, n int) (ids []int64, total int64, floor bool, err error) {
	hits, common := 0, false
	if t, ok := s.sampled(); ok {
		q := new(query)
		columns := order(t.columns(s.sort), s.desc)
		sample := fmt.Sprintf("SELECT * FROM %s WHERE %s ORDER BY %s LIMIT %d", t.from, s.conditions(q, t, true), columns, sampleRows)
		_, alias, _ := strings.Cut(t.from, " AS ")
		sql := fmt.Sprintf("WITH sample AS MATERIALIZED (%s) SELECT %s FROM sample AS %s WHERE %s ORDER BY %s",
			sample, t.id, alias, s.matching(q, t), columns)
		if ids, err = s.ids(ctx, sql, q.args); err != nil {
			return nil, 0, false, err
		}
		hits = len(ids)
		switch {
		case hits >= offset+n:
			ids, common = ids[offset:offset+n], true
		case s.common(hits, offset+n):
			q := new(query)
			sql := fmt.Sprintf("SELECT %s FROM %s WHERE %s AND %s ORDER BY %s OFFSET %d LIMIT %d",
				t.id, t.from, s.conditions(q, t, true), s.matching(q, t), columns, offset, n)
			if ids, err = s.ids(ctx, sql, q.args); err != nil {
				return nil, 0, false, err
			}
			common = true
		}
	}
	if !common {
		if ids, total, err = s.gather(ctx, offset, n); err != nil {
			return nil, 0, false, err
		}
	} else if total, err = s.count(ctx, hits); err != nil {
		return nil, 0, false, err
	}
	return ids, min(total, wordsBound), total > wordsBound, nil
}

// common reports whether it takes less to go through the list until there are
// n products with the words than to gather all of them. To gather a product
// takes twice as long as to pass one.
func (s *search) common(hits, n int) bool {
	share := float64(hits) / sampleRows
	return float64(n)/share < 2*share*float64(s.total)
}

// sampled is a table that holds all products in the order of the list.
func (s *search) sampled() (table, bool) {
	if !s.waiting {
		return s.index(true), true
	}
	return s.catalogue(), s.sort == importer.SortID || s.sort == importer.SortSKU
}

// gather collects all products that match, from the index and from those that
// wait, counts them, and cuts the part out. Without words it collects only
// what that part may need.
func (s *search) gather(ctx context.Context, offset, n int) (ids []int64, total int64, err error) {
	q := new(query)
	top := ""
	if len(s.words) == 0 {
		top = fmt.Sprintf(" AND %s ORDER BY %s LIMIT %d", s.after(q, "key", "id"), order([]string{"key", "id"}, s.desc), offset+n)
	}
	arm := func(sql string) string { return "(SELECT * FROM (" + sql + ") AS arm WHERE true" + top + ")" }
	var all string
	switch {
	case s.many:
		all = arm(s.everything(q))
	case s.waiting:
		all = arm(s.indexed(q, false)) + " UNION ALL " + arm(s.unindexed(q))
	default:
		all = arm(s.indexed(q, false))
	}
	sql := fmt.Sprintf(`WITH hits AS MATERIALIZED (%s)
		SELECT (SELECT count(*) FROM hits), ARRAY(SELECT id FROM hits WHERE %s ORDER BY %s OFFSET %d LIMIT %d)`,
		all, s.after(q, "key", "id"), order([]string{"key", "id"}, s.desc), offset, n)
	err = s.tx.QueryRow(ctx, sql, q.args...).Scan(&total, &ids)
	return ids, total, err
}

// count counts what matches, up to a little over the bound.
func (s *search) count(ctx context.Context, hits int) (total int64, err error) {
	count := func(q *query, sql string) (n int64, err error) {
		err = s.tx.QueryRow(ctx, fmt.Sprintf("SELECT count(*) FROM (%s LIMIT %d) AS few", sql, wordsBound+1), q.args...).Scan(&n)
		return n, err
	}
	q := new(query)
	if s.waiting && hits >= denseHits {
		return count(q, s.everything(q))
	}
	if total, err = count(q, s.indexed(q, hits >= denseHits)); err != nil || total > wordsBound || !s.waiting {
		return total, err
	}
	q = new(query)
	if s.many || hits >= evenHits {
		return count(q, s.everything(q))
	}
	more, err := count(q, s.unindexed(q))
	return total + more, err
}

// indexed selects id and key of what the index knows and is right about.
func (s *search) indexed(q *query, scan bool) string {
	t := s.index(scan)
	from := t.from
	if s.stale {
		from += " JOIN products AS p ON p.id = s.id AND p.version = s.version"
	}
	return fmt.Sprintf("SELECT %s AS id, %s AS key FROM %s WHERE %s AND %s",
		t.id, t.key(s.sort), from, s.conditions(q, t, false), s.matching(q, t))
}

// unindexed selects id and key of what waits for the index: of the rows of the
// queue that may have the words the products that may, and of these the ones
// that do. The signature comes first, for it tells at a tenth of the cost, and
// CASE keeps the planner from turning that round. Each waiting key is looked
// up by itself: the planner, who cannot know how many there are or how many
// versions differ, would at times compare all with all, for minutes.
func (s *search) unindexed(q *query) string {
	t := s.catalogue()
	return fmt.Sprintf(`SELECT DISTINCT id, key FROM (
			SELECT p.id, p.version, %s AS key
			FROM search_queue AS q
			CROSS JOIN LATERAL (
				SELECT sku_key COLLATE "C" AS sku_key
				FROM unnest(string_to_array(q.keys, E'\n'), string_to_array(q.documents, E'\x1f')) AS product (sku_key, document)
				WHERE %s OFFSET 0
			) AS waiting
			CROSS JOIN LATERAL (SELECT * FROM products WHERE products.sku_key = waiting.sku_key OFFSET 0) AS p
			WHERE CASE WHEN %s THEN %s ELSE false END AND %s AND %s
		) AS found
		WHERE (SELECT s.version FROM product_search AS s WHERE s.id = found.id) IS DISTINCT FROM found.version`,
		t.key(s.sort), q.mayHave("product.sku_key", "product.document", s.words),
		q.signed(s.words), q.mayHave("q.keys", "q.documents", s.words), s.conditions(q, t, false), s.matching(q, t))
}

// everything selects id and key from the catalogue itself.
func (s *search) everything(q *query) string {
	t := s.catalogue()
	return fmt.Sprintf("SELECT %s AS id, %s AS key FROM %s WHERE %s AND %s",
		t.id, t.key(s.sort), t.from, s.conditions(q, t, false), s.matching(q, t))
}

// conditions are those beside the words; from says whether the list's
// position is one.
func (s *search) conditions(q *query, t table, from bool) string {
	condition := "true"
	if s.active != nil {
		if condition = t.active; !*s.active {
			condition = "NOT " + t.active
		}
	}
	if from {
		condition += " AND " + s.after(q, t.columns(s.sort)...)
	}
	return condition
}

func (s *search) matching(q *query, t table) string {
	conditions := []string{"true"}
	for _, w := range s.words {
		conditions = append(conditions, t.matches(q, w))
	}
	return strings.Join(conditions, " AND ")
}

// after is the condition that a row comes after the position.
func (s *search) after(q *query, columns ...string) string {
	if s.from == nil {
		return "true"
	}
	var values []string
	switch s.sort {
	case importer.SortSKU, importer.SortName:
		values = append(values, q.arg(s.from.Key)+"::text")
	case importer.SortUpdated:
		values = append(values, q.arg(s.from.Key)+"::text::timestamptz")
	}
	for len(values) < len(columns) {
		values = append(values, q.arg(s.from.ID)+"::bigint")
	}
	operator := ">"
	if s.desc {
		operator = "<"
	}
	return fmt.Sprintf("(%s) %s (%s)", strings.Join(columns, ", "), operator, strings.Join(values, ", "))
}

func (s *search) ids(ctx context.Context, sql string, args []any) ([]int64, error) {
	rows, err := s.tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

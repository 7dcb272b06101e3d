package db

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"importer"
)

// keepAnswers is how long the answer to an idempotency key is remembered.
const keepAnswers = 24 * time.Hour

type answerRow struct {
	bun.BaseModel `bun:"table:remembered_answers,alias:a"`

	Key     string `bun:",pk"`
	Request string
	Answer  []byte
	At      time.Time
}

// Remembered returns the answer stored under an idempotency key, nil when
// there is none or it is older than a day; Conflict when the key was used for
// another request.
func (d *DB) Remembered(ctx context.Context, key, request string) ([]byte, error) {
	var found []answerRow
	err := d.bun.NewSelect().Model(&found).
		Where("key = ?", key).Where("at > ?", d.now().Add(-keepAnswers)).Scan(ctx)
	switch {
	case err != nil:
		return nil, domain("look up idempotency key", err)
	case len(found) == 0:
		return nil, nil
	case found[0].Request != request:
		return nil, importer.Errorf(importer.Conflict, "This Idempotency-Key was used for another request. Use a new key.")
	}
	return found[0].Answer, nil
}

// Remember keeps an answer for a day, and forgets a few that are older. The
// first answer to a key stays.
func (d *DB) Remember(ctx context.Context, key, request string, answer []byte, at time.Time) error {
	old := at.Add(-keepAnswers)
	row := &answerRow{Key: key, Request: request, Answer: answer, At: at}
	_, err := d.bun.NewInsert().Model(row).
		On("CONFLICT (key) DO UPDATE").
		Set("request = EXCLUDED.request, answer = EXCLUDED.answer, at = EXCLUDED.at").
		Where("a.at <= ?", old).Exec(ctx)
	if err != nil {
		return domain("remember answer", err)
	}
	const aFew = 100
	_, err = d.bun.NewRaw(`DELETE FROM remembered_answers WHERE key IN (
		SELECT key FROM remembered_answers WHERE at <= ? ORDER BY at LIMIT ? FOR UPDATE SKIP LOCKED)`, old, aFew).Exec(ctx)
	return domain("forget answers", err)
}

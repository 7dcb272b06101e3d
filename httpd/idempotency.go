package httpd

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"sync"

	"github.com/rs/zerolog"

	"importer"
)

const maxKey = 255 // characters of an Idempotency-Key

// idempotency lets a client send a request again without doing it twice
// (draft-ietf-httpapi-idempotency-key-header). What was answered is kept for a
// day under the key the client chose. A failure is not kept: the same request
// may succeed later.
//
// Two requests with one key at a time run one after the other. That holds on
// one machine; between machines it is the unique SKU that lets one of them
// create.
type idempotency struct {
	mu   sync.Mutex
	busy map[string]chan struct{} // closed when the request with that key is done
}

// once runs do under a key, or returns what it answered before. request says
// what is asked for: the same key for something else is an error.
func once[T any](ctx context.Context, s *Server, header, request string, do func() (T, error)) (answer T, replayed bool, err error) {
	key, err := idempotencyKey(header)
	if err != nil || key == "" {
		if err == nil {
			answer, err = do()
		}
		return answer, false, err
	}
	done, err := s.idempotency.enter(ctx, key)
	if err != nil {
		return answer, false, err
	}
	defer done()
	digest := sha256.Sum256([]byte(request))
	request = hex.EncodeToString(digest[:])
	if answer, replayed, err = remembered[T](ctx, s, key, request); replayed || err != nil {
		return answer, replayed, err
	}
	answer, err = do()
	if importer.ErrorCode(err) == importer.Conflict {
		// Perhaps another machine has done it under this key meanwhile.
		if before, found, again := remembered[T](ctx, s, key, request); again == nil && found {
			return before, true, nil
		}
	}
	if err != nil {
		return answer, false, err
	}
	// It is done, so that must be answered, and a client that is gone by now
	// is the one that will ask again.
	kept, err := json.Marshal(answer)
	if err == nil {
		err = s.Products.Remember(context.WithoutCancel(ctx), key, request, kept, s.Now())
	}
	if err != nil {
		zerolog.Ctx(ctx).Warn().Err(err).Msg("answer could not be kept for its idempotency key")
	}
	return answer, false, nil
}

func remembered[T any](ctx context.Context, s *Server, key, request string) (answer T, found bool, err error) {
	kept, err := s.Products.Remembered(ctx, key, request)
	if importer.ErrorCode(err) == importer.Conflict {
		return answer, false, keyError(importer.Invalid, "This Idempotency-Key was used for another request; choose a new one.", "was used for another request")
	}
	if err != nil || kept == nil {
		return answer, false, err
	}
	return answer, true, json.Unmarshal(kept, &answer)
}

// enter waits until no other request has the key.
func (i *idempotency) enter(ctx context.Context, key string) (done func(), err error) {
	for {
		i.mu.Lock()
		other, taken := i.busy[key]
		if !taken {
			mine := make(chan struct{})
			if i.busy == nil {
				i.busy = map[string]chan struct{}{}
			}
			i.busy[key] = mine
			i.mu.Unlock()
			return func() {
				i.mu.Lock()
				delete(i.busy, key)
				i.mu.Unlock()
				close(mine)
			}, nil
		}
		i.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// idempotencyKey takes a key bare or, as the draft has it, in quotes.
func idempotencyKey(header string) (string, error) {
	key := strings.TrimSpace(header)
	if inner, ok := strings.CutPrefix(key, `"`); ok && strings.HasSuffix(inner, `"`) {
		key = strings.TrimSuffix(inner, `"`)
		if key == "" {
			return "", keyError(importer.Malformed, "The Idempotency-Key is empty.", "is empty")
		}
	}
	odd := strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' })
	if odd || len(key) > maxKey {
		return "", keyError(importer.Malformed, "An Idempotency-Key has up to 255 visible ASCII characters, like a UUID.", "is no key")
	}
	return key, nil
}

func keyError(code importer.Code, message, detail string) error {
	return &importer.Error{Code: code, Message: message, Fields: []importer.FieldError{{Pointer: "Idempotency-Key", Detail: detail}}}
}

// replayedHeader is "true" for an answer given again, else no header at all.
func replayedHeader(replayed bool) string {
	if replayed {
		return "true"
	}
	return ""
}

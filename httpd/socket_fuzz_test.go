package httpd

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// FuzzParseFrame holds the decoder of client frames to what the rest relies
// on: it takes JSON objects only, never panics, and what it takes means the
// same when it is said again.
func FuzzParseFrame(f *testing.F) {
	for _, frame := range []string{
		`{"type":"subscribe","id":1,"topic":"imports","since":{"epoch":"k3f9","seq":17}}`,
		`{"type":"subscribe","id":1,"topic":"import:01980000-0000-7000-8000-000000000000"}`,
		`{"type":"unsubscribe","id":2,"topic":"products"}`, `{"type":"ping","id":9}`, `{"type":"pong"}`, ` {"type":"ping"} `,
		`{"type":"auth","id":3,"token":"x"}`, `{}`, `[]`, `null`, `""`, ``, `{`, `{"id":1e3}`, `{"id":"1"}`, `{"id":9223372036854775808}`,
		`{"type":"ping"}{"type":"ping"}`, `{"since":null}`, `{"since":[]}`, `{"type":"\ud800"}`, "{\"type\":\"\xff\"}", `{"TYPE":"ping"}`,
		`{"type":"ping","type":"pong"}`, strings.Repeat("[", 10_000), strings.Repeat(`{"a":`, 10_000),
	} {
		f.Add([]byte(frame))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, ok := parseFrame(b)
		var object map[string]json.RawMessage
		isObject := json.Unmarshal(b, &object) == nil && object != nil
		if ok && !isObject {
			t.Fatalf("%q is no object, but was taken", b)
		}
		if !ok {
			return
		}
		if utf8.Valid(b) && !utf8.ValidString(got.Type+got.Topic) {
			t.Errorf("%q became text that is not UTF-8", b)
		}
		again, ok := parseFrame(encode(got))
		if d := cmp.Diff(got, again); !ok || d != "" {
			t.Errorf("%q means something else when it is said again (-first +second):\n%s", b, d)
		}
		answer := errorFrame(got.ID, "malformed", got.Topic)
		if !json.Valid(answer) {
			t.Errorf("the answer %s is no JSON", answer)
		}
	})
}

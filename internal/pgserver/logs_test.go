package pgserver

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
)

func TestLogLevels(t *testing.T) {
	t.Parallel()
	tests := []struct {
		line   string
		ending bool
		want   string
	}{
		{"00000 LOG:  database system is ready", false, "debug database system is ready"},
		{"00000 LOG:  server process (PID 7) was terminated by signal 9: Killed", false, "warn server process (PID 7) was terminated by signal 9: Killed"},
		{"01000 WARNING:  odd", false, "warn odd"},
		{"23505 ERROR:  duplicate key", false, "debug duplicate key"},
		{"53100 ERROR:  could not extend file: No space left on device", false, "error could not extend file: No space left on device"},
		{"XX001 ERROR:  invalid page", false, "error invalid page"},
		{"57P01 FATAL:  terminating connection", false, "warn terminating connection"},
		{"57P01 FATAL:  terminating connection", true, "debug terminating connection"},
		{"57P03 FATAL:  the database system is starting up", false, "debug the database system is starting up"},
		{"53100 PANIC:  could not write", true, "error could not write"},
		{"postgres: error while loading shared libraries: x", false, "warn postgres: error while loading shared libraries: x"},
		{"", false, "warn "},
	}
	for _, tt := range tests {
		m := parseLogLine(tt.line)
		if got := m.level(tt.ending).String() + " " + m.text; got != tt.want {
			t.Errorf("%q, ending %v: got %q, want %q", tt.line, tt.ending, got, tt.want)
		}
	}
}

// An endless line must neither stop the reading nor fill our log, and a client's
// FATAL is not the server's last word.
func TestServerLog(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	l := newServerLog(zerolog.New(&out), r)
	w.WriteString("53100 FATAL:  disk full\n\tand more of it\n")
	w.WriteString("00000 LOG:  " + strings.Repeat("x", 1<<20) + "\n00000 LOG:  after\n")
	w.Close()
	<-l.read
	l.ready.Store(true)
	l.write("3D000 FATAL:  no such database", zerolog.DebugLevel)
	l.finish()
	if got := l.lastWords(); got != "disk full" {
		t.Errorf("last words: got %q, want disk full", got)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	lines[2] = lines[2][:60]
	want := []string{
		`{"level":"warn","component":"postgres","sqlstate":"53100","message":"disk full"}`,
		`{"level":"warn","component":"postgres","message":"and more of it"}`,
		(`{"level":"debug","component":"postgres","sqlstate":"00000","message":"` + "xxx")[:60],
		`{"level":"debug","component":"postgres","sqlstate":"00000","message":"after"}`,
		`{"level":"warn","component":"postgres","sqlstate":"3D000","message":"no such database"}`,
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(out.String()) > 8<<10 {
		t.Errorf("got %d bytes logged, want the beginning of the long line only", out.Len())
	}
}

package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"importer/db"
	"importer/db/dbtest"
)

// doctor runs the command and returns what it found, by check.
func doctor(t *testing.T, env []string, args ...string) (code int, found map[string][]finding) {
	t.Helper()
	code, stdout, stderr := runProgram(t, env, append([]string{"doctor", "--json"}, args...)...)
	var answer struct {
		OK     bool
		Checks []finding
	}
	if err := json.Unmarshal([]byte(stdout), &answer); err != nil {
		t.Fatalf("%v: %q, %q", err, stdout, stderr)
	}
	if strings.Contains(stdout+stderr, secret) {
		t.Errorf("the doctor is told a secret and tells it on: %s %s", stdout, stderr)
	}
	found = map[string][]finding{}
	worst := 0
	for _, f := range answer.Checks {
		found[f.Check] = append(found[f.Check], f)
		if f.State == stateFail {
			worst = exitFailed
		}
		if (f.State == stateOK) != (f.Do == "") || f.Detail == "" {
			t.Errorf("%+v: want something to do exactly when it is not ok", f)
		}
	}
	if code != worst || answer.OK != (worst == 0) {
		t.Errorf("exit code %d, ok %v, want %d", code, answer.OK, worst)
	}
	return code, found
}

// wantFound holds the answers of one check against a state and a pattern. A
// state of "" is any but fail: whether a disk is full or slow is not ours.
func wantFound(t *testing.T, found map[string][]finding, check, state, pattern string) {
	t.Helper()
	for _, f := range found[check] {
		if (f.State == state || state == "" && f.State != stateFail) && regexp.MustCompile(pattern).MatchString(f.Detail+" → "+f.Do) {
			return
		}
	}
	t.Errorf("%s: got %+v, want %s with %q", check, found[check], state, pattern)
}

// Beside a server with a Postgres of its own everything is well, and all of
// it is looked at.
func TestDoctorFindsNothing(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	if code, found := doctor(t, nil, "--data-dir", filepath.Join(dir, "new"), "--addr", "127.0.0.1:0"); code != 0 || found["migrations"] != nil {
		t.Errorf("before the first start: exit code %d, %+v", code, found)
	} else {
		wantFound(t, found, "database", stateOK, "serve starts a private PostgreSQL")
		wantFound(t, found, "data directory", "", "new|"+dir)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("the doctor left %v (%v)", left, err)
	}
	p := serveProcess(t, nil, "--data-dir", dir)
	code, found := doctor(t, nil, "--data-dir", dir, "--addr", strings.TrimPrefix(p.url, "http://"), "--max-upload-bytes", "1000")
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, c := range checks() {
		wantFound(t, found, c.name, "", "")
	}
	wantFound(t, found, "address", stateOK, "serves .* and is ready")
	wantFound(t, found, "database", "", "private PostgreSQL")
	wantFound(t, found, "pooler", stateOK, "there is none; machines hear each other")
}

func TestDoctorFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	do := func(t *testing.T, sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	do(t, "CREATE SCHEMA closed; DO $$ BEGIN EXECUTE format('REVOKE CREATE ON SCHEMA closed FROM %I', current_user); END $$")

	for _, c := range []struct {
		name, database string
		env            []string
		args           []string
		check, state   string
		says           string
	}{
		{name: "settings", database: url, env: []string{"IMPORTER_LOG_LEVEL=loud"}, check: "settings", state: stateFail, says: `log level is "loud"`},
		{name: "no database", args: []string{"--private-pg", "never"}, check: "settings", state: stateFail, says: "set DATABASE_URL"},
		{name: "no URL", database: "postgres://importer:" + secret + "@[", check: "database", state: stateFail, says: "not valid"},
		{name: "nobody there", database: "postgres://importer:" + secret + "@127.0.0.1:1/importer", check: "database", state: stateFail, says: "connection refused"},
		{name: "address taken", database: url, args: []string{"--addr", strings.TrimPrefix(other.URL, "http://")}, check: "address", state: stateFail, says: "another program .*--addr"},
		{name: "a file", database: url, args: []string{"--data-dir", file}, check: "data directory", state: stateFail, says: "no directory"},
		{name: "a large limit", database: url, args: []string{"--max-upload-bytes", "9000000000000000000"}, check: "data directory", state: stateWarn, says: "less than the largest file"},
		{name: "no binaries", args: []string{"--pg-bin", t.TempDir()}, check: "database", state: stateFail, says: "cannot run.*DATABASE_URL"},
		{name: "read only", database: url + " options='-c default_transaction_read_only=on'", check: "database", state: stateFail, says: "read only"},
		{name: "no rights", database: url + " options='-c search_path=closed'", check: "rights", state: stateFail, says: "may not create.*GRANT CREATE"},
		{name: "nothing migrated", database: dbtest.EmptyURL(t), check: "migrations", state: stateWarn, says: "0001_.*importer migrate"},
		{name: "not durable", database: url, check: "durability", state: stateWarn, says: "power cut.*fsync"},
		{name: "pooler", database: dbtest.Pooler(t, url, "transaction"), check: "pooler", state: stateWarn, says: "DATABASE_URL leads to a transaction pooler.*set DIRECT_DATABASE_URL"},
		{name: "past the pooler", database: dbtest.Pooler(t, url, "transaction"), env: []string{"DIRECT_DATABASE_URL=" + url}, check: "pooler", state: stateOK, says: "DIRECT_DATABASE_URL past it; machines hear"},
		{name: "webhooks", database: url, check: "webhooks", state: stateOK, says: "public addresses only"},
		{name: "webhooks to anywhere", database: url, env: []string{"IMPORTER_WEBHOOK_ALLOW_PRIVATE=true"}, check: "webhooks", state: stateWarn, says: "private addresses.*leave .* off"},
		{name: "nobody there to listen to", database: url, env: []string{"DIRECT_DATABASE_URL=postgres://importer:" + secret + "@127.0.0.1:1/importer"}, check: "pooler", state: stateWarn, says: "connection refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			env := c.env
			if c.database != "" {
				env = append(env, "DATABASE_URL="+c.database)
			}
			_, found := doctor(t, env, append([]string{"--addr", "127.0.0.1:0", "--data-dir", t.TempDir()}, c.args...)...)
			wantFound(t, found, c.check, c.state, c.says)
		})
	}
	t.Run("newer release", func(t *testing.T) {
		t.Parallel()
		url := dbtest.URL(t)
		newer, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		defer newer.Close(t.Context())
		if _, err := newer.Exec(t.Context(), "INSERT INTO schema_migrations VALUES (9999, 'future')"); err != nil {
			t.Fatal(err)
		}
		_, found := doctor(t, []string{"DATABASE_URL=" + url}, "--addr", "127.0.0.1:0", "--data-dir", t.TempDir())
		wantFound(t, found, "migrations", stateFail, "version 9999")
	})
}

func TestDoctorKnowsTheLimitOfFiles(t *testing.T) {
	t.Parallel()
	cmd := program([]string{"DATABASE_URL=" + dbtest.URL(t)}, "doctor", "--addr", "127.0.0.1:0", "--data-dir", t.TempDir())
	limited := exec.CommandContext(t.Context(), "sh", append([]string{"-c", `ulimit -n 300 && exec "$0" "$@"`}, cmd.Args...)...)
	limited.Env = cmd.Env
	out, err := limited.Output()
	if want := `(?m)^warn  open files      only 300 files .*\n +→ .*LimitNOFILE`; err != nil || !regexp.MustCompile(want).Match(out) {
		t.Errorf("%v, got\n%s\nwant %s", err, out, want)
	}
}

// What a test cannot bring about in a real database is judged right.
func TestDoctorJudges(t *testing.T) {
	t.Parallel()
	store, err := db.Open(db.Options{URL: "postgres://127.0.0.1:1/none"})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	healthy := db.Examination{Major: 15, Encoding: "UTF8", MayCreate: true, MayAlter: true, Durable: true, Connections: 10, MaxConnections: 97, Pool: 4}
	for _, c := range []struct {
		name  string
		ask   check
		ill   func(*db.Examination)
		state string
		says  string
	}{
		{"well", check{"clock", checkClock}, func(*db.Examination) {}, stateOK, "0s"},
		{"clock ahead", check{"clock", checkClock}, func(e *db.Examination) { e.Skew = time.Minute }, stateWarn, "by 1m0s.*NTP"},
		{"clock behind", check{"clock", checkClock}, func(e *db.Examination) { e.Skew = -time.Minute }, stateWarn, "by 1m0s.*NTP"},
		{"far away, so nobody knows", check{"clock", checkClock}, func(e *db.Examination) { e.Skew, e.RoundTrip = 5*time.Second, 8*time.Second }, stateOK, ""},
		{"few connections", check{"connections", checkConnections}, func(e *db.Examination) { e.Connections = 94 }, stateWarn, "up to 5, but only 3 of 97"},
		{"tables of another", check{"rights", checkRights}, func(e *db.Examination) { e.MayAlter = false }, stateFail, "does not own"},
	} {
		p := &patient{config: &config{}, store: store, exam: healthy}
		c.ill(&p.exam)
		found := map[string][]finding{c.ask.name: c.ask.ask(t.Context(), p)}
		t.Run(c.name, func(t *testing.T) { wantFound(t, found, c.ask.name, c.state, c.says) })
	}
}

// The text is a line each, the advice below it.
func TestDoctorReads(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := runProgram(t, []string{"DATABASE_URL=" + dbtest.URL(t)}, "doctor", "--addr", "nowhere", "--data-dir", t.TempDir())
	if want := `(?m)^fail  settings        addr is "nowhere".*\n {22}→ .*--help`; !regexp.MustCompile(want).MatchString(stdout) {
		t.Errorf("got\n%s\nwant %s", stdout, want)
	}
	if code != exitFailed || !regexp.MustCompile(`^importer: 1 of \d+ checks failed\n$`).MatchString(stderr) {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}

package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"importer/db/dbtest"
	"importer/internal/spool/s3test"
)

// objectStorage starts one whose secret the logs are searched for.
func objectStorage(t testing.TB) *s3test.Server {
	t.Helper()
	server := s3test.Start(t)
	server.SecretKey = secret
	return server
}

// without leaves out one variable.
func without(env []string, name string) (rest []string) {
	for _, kv := range env {
		if !strings.HasPrefix(kv, name+"=") {
			rest = append(rest, kv)
		}
	}
	return rest
}

func TestBucketSettings(t *testing.T) {
	t.Parallel()
	env := objectStorage(t).Env()
	for _, test := range []struct {
		name string
		env  []string
		says string
	}{
		{"no key", without(env, "AWS_ACCESS_KEY_ID"), "AWS_ACCESS_KEY_ID"},
		{"no secret", without(env, "AWS_SECRET_ACCESS_KEY"), "AWS_SECRET_ACCESS_KEY"},
		{"nowhere", without(env, "AWS_ENDPOINT_URL_S3"), "set AWS_ENDPOINT_URL_S3, or AWS_REGION"},
		{"no name", append(without(env, "BUCKET_NAME"), "BUCKET_NAME=x"), "cannot be named"},
		{"no URL", append(without(env, "AWS_ENDPOINT_URL_S3"), "AWS_ENDPOINT_URL_S3=storage.example"), "https://"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			code, _, stderr := runProgram(t, test.env, "serve", "--addr", "127.0.0.1:0", "--data-dir", t.TempDir())
			if code != exitUsage || !strings.Contains(stderr, test.says) {
				t.Errorf("exit code %d, %q: want %d and %q", code, stderr, exitUsage, test.says)
			}
		})
	}
	c := config{bucket: "files", bucketRegion: "eu-central-1", bucketAccessKey: "key", bucketSecretKey: "secret"}
	if err := c.validateBucket(); err != nil || c.bucketURL() != "https://s3.eu-central-1.amazonaws.com" {
		t.Errorf("Amazon S3 by its region: %s, %v", c.bucketURL(), err)
	}
}

func TestDoctorTriesTheBucket(t *testing.T) {
	t.Parallel()
	server, url := objectStorage(t), "DATABASE_URL="+dbtest.URL(t)
	ask := func(env []string) map[string][]finding {
		t.Helper()
		_, found := doctor(t, append(env, url), "--addr", "127.0.0.1:0", "--data-dir", t.TempDir())
		return found
	}
	found := ask(server.Env())
	wantFound(t, found, "uploads", stateOK, "bucket "+server.Bucket+" takes, lists, gives and deletes")
	wantFound(t, found, "data directory", stateOK, "nothing is kept on this machine")
	if left := server.Keys(t); len(left) > 0 {
		t.Errorf("the doctor left %v", left)
	}
	wantFound(t, ask(nil), "uploads", stateOK, "for this machine alone")
	wantFound(t, ask(append(without(server.Env(), "BUCKET_NAME"), "BUCKET_NAME=another")), "uploads", stateFail, "BUCKET_NAME")
	wantFound(t, ask(append(without(server.Env(), "AWS_SECRET_ACCESS_KEY"), "AWS_SECRET_ACCESS_KEY=wrong")), "uploads", stateFail, "AWS_SECRET_ACCESS_KEY")
	wantFound(t, ask(append(without(server.Env(), "AWS_ENDPOINT_URL_S3"), "AWS_ENDPOINT_URL_S3=http://127.0.0.1:1")), "uploads", stateFail, "AWS_ENDPOINT_URL_S3.*connection refused")
}

// A server starts without its bucket and says what is missing.
func TestReadinessNeedsTheBucket(t *testing.T) {
	t.Parallel()
	server := objectStorage(t)
	server.Refuse(http.StatusForbidden, "AccessDenied")
	p := serveProcess(t, append(server.Env(), "DATABASE_URL="+dbtest.URL(t)), "--data-dir", t.TempDir())
	code, content := fetch(t, p.url+"/readyz")
	var answer struct{ Missing []string }
	if err := json.Unmarshal(content, &answer); err != nil || code != http.StatusServiceUnavailable || len(answer.Missing) != 1 ||
		!strings.Contains(answer.Missing[0], "Uploads cannot be kept") || !strings.Contains(answer.Missing[0], "AWS_ACCESS_KEY_ID") {
		t.Errorf("status %d, %s (%v)", code, content, err)
	}
	server.Down()
	if code, content := fetch(t, p.url+"/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(string(content), "does not answer") {
		t.Errorf("status %d, %s", code, content)
	}
	server.Through(nil)
	if code, content := fetch(t, p.url+"/readyz"); code != http.StatusOK {
		t.Errorf("status %d, %s", code, content)
	}
}

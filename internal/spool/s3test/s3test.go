// Package s3test is an object storage for tests: gofakes3 in memory behind a
// real socket, made as strict as the services are. It refuses requests whose
// signature (AWS V4) or digest is wrong; AWS's own signer says what is right.
// Tests put faults in its way.
package s3test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// Server is an object storage with one bucket.
type Server struct {
	URL, Bucket, AccessKey, SecretKey string

	store http.Handler

	mu      sync.Mutex
	through func(http.Handler) http.Handler
}

// Host is the name under which buckets have host names of their own here.
const Host = "fly.storage.tigris.dev"

// Start serves until the end of the test.
func Start(t testing.TB) *Server {
	t.Helper()
	backend := s3mem.New()
	s := &Server{ //nolint:gosec // G101: the key of a storage that lives as long as a test
		Bucket: "uploads-of-tests", AccessKey: "tid_of_tests", SecretKey: "tsec_of_tests",
		store: gofakes3.New(backend, gofakes3.WithHostBucketBase(Host)).Server(),
	}
	if err := backend.CreateBucket(s.Bucket); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// Env is what points a program to the bucket.
func (s *Server) Env() []string {
	return []string{
		"BUCKET_NAME=" + s.Bucket, "AWS_ENDPOINT_URL_S3=" + s.URL, "AWS_REGION=auto",
		"AWS_ACCESS_KEY_ID=" + s.AccessKey, "AWS_SECRET_ACCESS_KEY=" + s.SecretKey,
	}
}

// Through puts a handler before the storage, for requests from now on; nil
// takes it away.
func (s *Server) Through(f func(storage http.Handler) http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.through = f
}

// Down makes every request end without an answer.
func (s *Server) Down() {
	s.Through(func(http.Handler) http.Handler {
		return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	})
}

// Refuse makes every request fail with a status and a code of S3.
func (s *Server) Refuse(status int, code string) {
	s.Through(func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { refuse(w, status, code) })
	})
}

// Keys lists the names of all objects.
func (s *Server) Keys(t testing.TB) (keys []string) {
	t.Helper()
	answer := httptest.NewRecorder()
	s.store.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/"+s.Bucket+"?list-type=2", http.NoBody))
	for _, part := range strings.Split(answer.Body.String(), "<Key>")[1:] {
		key, _, _ := strings.Cut(part, "</Key>")
		keys = append(keys, key)
	}
	return keys
}

// Delete takes an object away behind everybody's back.
func (s *Server) Delete(t testing.TB, key string) {
	t.Helper()
	s.raw(t, http.MethodDelete, key, "", "")
}

// Overwrite puts something else in the place of an object, with its metadata.
func (s *Server) Overwrite(t testing.TB, key, content, digest string) {
	t.Helper()
	s.raw(t, http.MethodPut, key, content, digest)
}

func (s *Server) raw(t testing.TB, method, key, content, digest string) {
	t.Helper()
	answer := httptest.NewRecorder()
	req := httptest.NewRequestWithContext(t.Context(), method, "/"+s.Bucket+"/"+key, strings.NewReader(content))
	req.Header.Set("Content-Length", fmt.Sprint(len(content)))
	req.Header.Set("X-Amz-Meta-Sha256", digest)
	s.store.ServeHTTP(answer, req)
	if answer.Code >= http.StatusBadRequest {
		t.Fatalf("%s %s: %d %s", method, key, answer.Code, answer.Body)
	}
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	through := s.through
	s.mu.Unlock()
	strict := http.Handler(http.HandlerFunc(s.checked))
	if through != nil {
		strict = through(strict)
	}
	strict.ServeHTTP(w, r)
}

// checked passes on what an S3 service would accept.
func (s *Server) checked(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client is gone
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	sum := sha256.Sum256(body)
	switch digest := r.Header.Get("X-Amz-Content-Sha256"); {
	case digest == "UNSIGNED-PAYLOAD" && r.Method != http.MethodPut:
	case digest != hex.EncodeToString(sum[:]):
		refuse(w, http.StatusBadRequest, "XAmzContentSHA256Mismatch")
		return
	}
	if code := s.signature(r); code != "" {
		refuse(w, http.StatusForbidden, code)
		return
	}
	r.Header.Set("Content-Length", fmt.Sprint(len(body))) // gofakes3 looks for it there
	s.store.ServeHTTP(w, r)
}

// signature returns the code of what is wrong with a request's signature.
func (s *Server) signature(r *http.Request) (code string) {
	given := r.Header.Get("Authorization")
	fields := map[string]string{}
	for part := range strings.SplitSeq(strings.TrimPrefix(given, "AWS4-HMAC-SHA256 "), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[name] = value
	}
	scope := strings.Split(fields["Credential"], "/") // key, day, region, service, request
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil || len(scope) != 5 {
		return "AccessDenied"
	}
	if scope[0] != s.AccessKey {
		return "InvalidAccessKeyId"
	}
	again := r.Clone(context.Background())
	again.URL.Scheme, again.URL.Host = "http", r.Host
	again.ContentLength = 0 // the client does not sign it
	signed := strings.Split(fields["SignedHeaders"], ";")
	for name := range again.Header {
		if !slices.Contains(signed, strings.ToLower(name)) {
			again.Header.Del(name)
		}
	}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	key := aws.Credentials{AccessKeyID: s.AccessKey, SecretAccessKey: s.SecretKey}
	if err := signer.SignHTTP(r.Context(), key, again, r.Header.Get("X-Amz-Content-Sha256"), scope[3], scope[2], at); err != nil {
		return "AccessDenied"
	}
	if subtle.ConstantTimeCompare([]byte(again.Header.Get("Authorization")), []byte(normal(given))) != 1 {
		return "SignatureDoesNotMatch"
	}
	return ""
}

// normal writes the parts of an Authorization apart as the signer does.
func normal(authorization string) string {
	return strings.ReplaceAll(strings.ReplaceAll(authorization, ", ", ","), ",", ", ")
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>refused</Message></Error>", code)
}

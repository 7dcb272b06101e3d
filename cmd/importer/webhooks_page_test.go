package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"importer"
	"importer/db/dbtest"
)

// docs/webhooks.md promises receivers that work when pasted. So they are
// started, and have to take a real delivery and to refuse one that is not signed.
func TestReceiversOfThePageWork(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/webhooks.md")
	if err != nil {
		t.Fatal(err)
	}
	p := serveProcess(t, []string{"DATABASE_URL=" + dbtest.URL(t), openly}, "--data-dir", t.TempDir())
	modules, err := filepath.Abs("../../client/web/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	for language, how := range map[string][]string{
		"go": {"go", "run", "receiver.go"}, "js": {"node", "receiver.js"}, "python": {"python3", "receiver.py"},
	} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(how[0]); err != nil {
				t.Skipf("%s is not on this machine", how[0])
			}
			if _, err := os.Stat(filepath.Join(modules, "standardwebhooks")); err != nil && language == "js" {
				t.Skip("the dashboard's packages are not installed: make web")
			}
			block := regexp.MustCompile("(?ms)^```" + language + "\n(.*?)^```$").FindSubmatch(page)
			if block == nil {
				t.Fatal("there is none")
			}
			file := filepath.Join(t.TempDir(), how[len(how)-1])
			if err := os.WriteFile(file, block[1], 0o600); err != nil {
				t.Fatal(err)
			}
			port := freePort(t)
			url := fmt.Sprintf("http://127.0.0.1:%d/", port)
			answer := send(t, "POST", p.url+"/api/webhooks", fmt.Sprintf(`{"url":%q,"events":["import.failed"]}`, url))
			var w importer.Webhook
			if err := json.Unmarshal(answer, &w); err != nil {
				t.Fatal(err)
			}
			out := &lockedBuffer{}
			cmd := exec.CommandContext(t.Context(), how[0], append(how[1:len(how)-1:len(how)-1], file)...)
			cmd.Env = append(os.Environ(), "PORT="+strconv.Itoa(port), "WEBHOOK_SECRET="+w.Secret, "NODE_PATH="+modules)
			cmd.Stdout, cmd.Stderr = out, out
			ownGroup(cmd) // go run has a child
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				endGroup(cmd)
				_ = cmd.Wait()
			})
			eventually(t, "it listens", func() bool {
				c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
				if err == nil {
					c.Close()
				}
				return err == nil
			})
			var a importer.Attempt
			if err := json.Unmarshal(send(t, "POST", p.url+"/api/webhooks/"+w.ID.String()+"/test", ""), &a); err != nil || a.Status != 204 {
				t.Errorf("a real one: %+v, %v\n%s", a, err, out)
			}
			for name, value := range map[string]string{"webhook-signature": "v1,bm8=", "webhook-timestamp": "1"} {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("{}"))
				if err != nil {
					t.Fatal(err)
				}
				for header, v := range a.Request {
					if strings.HasPrefix(header, "Webhook-") {
						req.Header.Set(header, v)
					}
				}
				req.Header.Set(name, value)
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.StatusCode != http.StatusUnauthorized {
					t.Errorf("with another %s: %d, want 401", name, resp.StatusCode)
				}
			}
		})
	}
}

// freePort is one that nobody listens on, as of now.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

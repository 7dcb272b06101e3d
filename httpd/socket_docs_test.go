package httpd_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"importer/httpd"
)

// The page docs/websocket.md is what integrators work from, so it is tested:
// its session, its clients and its tables.

func socketPage(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile("../docs/websocket.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// block returns the one block of code in a language.
func block(t *testing.T, language string) string {
	t.Helper()
	_, rest, ok := strings.Cut(socketPage(t), "\n```"+language+"\n")
	code, after, closed := strings.Cut(rest, "\n```\n")
	if !ok || !closed || strings.Contains(after, "\n```"+language+"\n") {
		t.Fatalf("the page has no block of %s, or several", language)
	}
	return code + "\n"
}

func TestSocketPageSession(t *testing.T) {
	t.Parallel()
	b := setup(t)
	log := newFakeLog(b.hub)
	p := b.dialSocket("/ws?ping=frame")
	for line := range strings.Lines(block(t, "console")) {
		frame := strings.TrimSpace(line[2:])
		switch line[:2] {
		case "> ":
			p.send(frame)
		case "< ":
			checkFrame(t, schemas().exact, []byte(frame))
			if strings.HasPrefix(frame, `{"type":"event"`) {
				log.append("products", `{"deleted":500000}`)
			}
			want, got := outline(t, frame), outline(t, p.next())
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s (-page +server):\n%s", frame, d)
			}
		}
	}
}

// outline is a frame without what differs from one server to another.
func outline(t *testing.T, frame string) map[string]any {
	t.Helper()
	var f map[string]any
	if err := json.Unmarshal([]byte(frame), &f); err != nil {
		t.Fatal(err)
	}
	if f["type"] == "event" {
		delete(f, "kind")
	}
	return f
}

// Both clients see a snapshot, events and progress; the server restarts, and
// they come back and get what they missed, once.
func TestSocketPageClients(t *testing.T) {
	t.Parallel()
	const address = "ws://127.0.0.1:8080/ws"
	for _, test := range []struct {
		language string
		run      func(t *testing.T, code string) *exec.Cmd
	}{
		{"go", runGo}, {"js", runJS},
	} {
		t.Run(test.language, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			log := newFakeLog(b.hub)
			l := b.listen()
			stop := b.serve(l)
			code := strings.ReplaceAll(block(t, test.language), address, "ws://"+l.Addr().String()+"/ws")
			lines := follow(t, test.run(t, code))
			want := func(want string) {
				t.Helper()
				select {
				case got := <-lines:
					if got != want {
						t.Fatalf("the client printed %q, want %q", got, want)
					}
				case <-time.After(time.Minute):
					t.Fatalf("the client did not print %q", want)
				}
			}
			want(`snapshot 0 {"imports":[]}`)
			log.append("imports", `{"n":1}`)
			want(`event 1 import.queued {"n":1}`)
			b.hub.update("imports", 1, 1)
			want(`update {}`)
			for n := 2; n <= 10; n++ { // some come in arrays
				log.append("imports", fmt.Sprintf(`{"n":%d}`, n))
			}
			for n := 2; n <= 10; n++ {
				want(fmt.Sprintf(`event %d import.queued {"n":%d}`, n, n))
			}

			stop()
			log.append("imports", `{"n":11}`)
			log.append("imports", `{"n":12}`)
			again := setup(t, func(o *httpd.Options) { o.Hub = b.hub })
			l, err := net.Listen("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			again.serve(l)
			want(`event 11 import.queued {"n":11}`)
			want(`event 12 import.queued {"n":12}`)
			log.append("imports", `{"n":13}`)
			want(`event 13 import.queued {"n":13}`)
		})
	}
}

// follow starts a client and returns what it prints, line by line.
func follow(t *testing.T, c *exec.Cmd) <-chan string {
	t.Helper()
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stderr = t.Output()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 100)
	read := make(chan struct{})
	go func() {
		defer close(read)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		_ = c.Process.Kill()
		<-read
		_ = c.Wait()
	})
	return lines
}

// runGo builds the client beside this module, whose requirements it uses.
func runGo(t *testing.T, code string) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	source, binary := filepath.Join(dir, "main.go"), filepath.Join(dir, "client")
	if err := os.WriteFile(source, []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"vet", source}, {"build", "-o", binary, source}} {
		if out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", args[0], err, out)
		}
	}
	return exec.Command(binary)
}

// runJS runs the client in Node, before version 22 with the package ws.
func runJS(t *testing.T, code string) *exec.Cmd {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "node", "-p", "typeof WebSocket").Output(); err != nil {
		t.Fatal(err)
	} else if strings.TrimSpace(string(out)) == "undefined" {
		ws, err := packages()
		if err != nil {
			t.Fatal(err)
		}
		// That of a browser does not end the program when nobody listens for errors.
		code = fmt.Sprintf("const { WebSocket: Base } = await import('file://%s/ws/wrapper.mjs');\n"+
			"globalThis.WebSocket = class extends Base { constructor(...a) { super(...a); this.on('error', () => {}); } };\n", ws) + code
	}
	source := filepath.Join(t.TempDir(), "client.mjs")
	if err := os.WriteFile(source, []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	return exec.Command("node", source)
}

// packages installs what scripts/asyncapi names and returns where it is.
var packages = sync.OnceValues(func() (string, error) {
	dir, err := filepath.Abs("../scripts/asyncapi")
	if err != nil {
		return "", err
	}
	modules := filepath.Join(dir, "node_modules")
	if _, err := os.Stat(filepath.Join(modules, "ws")); err == nil {
		return modules, nil
	}
	npm := exec.CommandContext(context.Background(), "npm", "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	return modules, nil
})

func TestSocketPageCloseCodes(t *testing.T) {
	t.Parallel()
	var got []string
	for _, row := range regexp.MustCompile(`(?m)^\| (\d{4}) \|.*\| (yes|no) \|$`).FindAllStringSubmatch(socketPage(t), -1) {
		got = append(got, row[1])
		back := row[1] < "4500" && row[1] != "1007" && row[1] != "1009"
		if back != (row[2] == "yes") {
			t.Errorf("the page says %q of coming back after %s", row[2], row[1])
		}
	}
	want := strings.Fields("1001 1007 1009 1011 1012 1013 4000 4001 4002 4003 4004 4500 4501 4503 4504")
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("close codes (-want +got):\n%s", d)
	}
}

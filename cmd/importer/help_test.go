package main

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"

	"importer/db/dbtest"
)

// Help says what a flag is for and which variable it has, and nothing of what
// the environment holds.
func TestHelp(t *testing.T) {
	t.Parallel()
	env := []string{"DATABASE_URL=postgres://importer:" + secret + "@db/importer", "DIRECT_DATABASE_URL=postgres://importer:" + secret + "@db/importer", "IMPORTER_TOKEN=" + secret}
	for _, sub := range command(io.Discard, io.Discard).Commands {
		code, stdout, stderr := runProgram(t, env, sub.Name, "--help")
		if code != 0 || !strings.Contains(stdout, sub.Usage) || strings.Contains(stdout+stderr, secret) {
			t.Errorf("%s --help: exit code %d\n%s%s", sub.Name, code, stdout, stderr)
		}
		if sub.Usage == "" || strings.HasSuffix(sub.Usage, ".") || strings.ToLower(sub.Usage[:1]) != sub.Usage[:1] {
			t.Errorf("%s: usage %q is not in the style of the others", sub.Name, sub.Usage)
		}
		for _, flag := range sub.Flags {
			d := flag.(cli.DocGenerationFlag)
			if d.GetUsage() == "" || !strings.Contains(stdout, d.GetUsage()) {
				t.Errorf("%s: --%s is not explained", sub.Name, flag.Names()[0])
			}
			for _, name := range d.GetEnvVars() {
				if !strings.Contains(stdout, "[$"+name+"]") {
					t.Errorf("%s: --%s does not name %s", sub.Name, flag.Names()[0], name)
				}
			}
		}
	}
}

// What the help says of exit codes is what there is. The tests of the commands
// meet each of them.
func TestExitCodesAreDocumented(t *testing.T) {
	t.Parallel()
	_, stdout, _ := runProgram(t, nil, "--help")
	_, list, _ := strings.Cut(stdout, "Exit codes:")
	var got []int
	for _, m := range regexp.MustCompile(`(?m)^ +(\d+) +\S`).FindAllStringSubmatch(list, -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, n)
	}
	if want := []int{0, exitFailed, exitUsage, exitRejects, exitInterrupted}; !slices.Equal(got, want) {
		t.Errorf("the help lists %v, want %v", got, want)
	}
}

func TestVersionCommand(t *testing.T) {
	t.Parallel()
	code, stdout, _ := runProgram(t, nil, "version", "--json")
	var got buildInfo
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != 0 || got != thisBuild() {
		t.Errorf("exit code %d, %q (%v), want %+v", code, stdout, err, thisBuild())
	}
	for _, args := range [][]string{{"version"}, {"--version"}} {
		_, stdout, _ := runProgram(t, nil, args...)
		for _, want := range []string{version, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH} {
			if !strings.Contains(stdout, want) {
				t.Errorf("%v prints %q without %q", args, stdout, want)
			}
		}
	}
}

func TestMigrateCommand(t *testing.T) {
	t.Parallel()
	env := []string{"DATABASE_URL=" + dbtest.EmptyURL(t)}
	for i, enough := range []func(int) bool{func(n int) bool { return n > 5 }, func(n int) bool { return n == 0 }} {
		code, stdout, stderr := runProgram(t, env, "migrate", "--json")
		var got struct{ Applied []string }
		if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != 0 || got.Applied == nil || !enough(len(got.Applied)) {
			t.Errorf("call %d: exit code %d, %q (%v) %s", i+1, code, stdout, err, stderr)
		}
	}
	code, stdout, stderr := runProgram(t, []string{"DATABASE_URL=postgres://importer:" + secret + "@127.0.0.1:1/importer"}, "migrate")
	if code != exitFailed || !strings.HasPrefix(stderr, "importer: The database cannot be reached") || strings.Contains(stdout+stderr, secret) {
		t.Errorf("without a database: exit code %d, %q, %q", code, stdout, stderr)
	}
}

func TestHealthcheckSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := serveProcess(t, []string{"DATABASE_URL=" + dbtest.URL(t)}, "--data-dir", dir)
	if code, _, stderr := runProgram(t, nil, "healthcheck", "--server", p.url); code != 0 || stderr != "" {
		t.Errorf("of a server that is ready: exit code %d, %q", code, stderr)
	}
	if err := os.RemoveAll(filepath.Join(dir, "uploads")); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := runProgram(t, nil, "healthcheck", "--server", p.url); code != exitFailed || !strings.Contains(stderr, "data directory") {
		t.Errorf("without a place for uploads: exit code %d, %q", code, stderr)
	}
}

// TestCompletion presses the tab key in a real shell.
func TestCompletion(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash") // scripts/test has it, too
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(exe, filepath.Join(bin, "importer")); err != nil {
		t.Fatal(err)
	}
	for typed, want := range map[string]string{
		"importer ser":                   "serve",
		"importer serve --metrics-":      "--metrics-addr",
		"importer completion z":          "zsh",
		"importer import --dr":           "--dry-run",
		"importer import catalogue-2026": "",
	} {
		// _comp_initialize stands for the package bash-completion.
		script := `_comp_initialize() { :; }
source <(importer completion bash)
COMP_WORDS=(` + typed + `); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
__importer_bash_autocomplete
echo "${COMPREPLY[@]}"`
		cmd := exec.Command(bash, "-c", script)
		cmd.Env = append(program(nil).Env, "PATH="+bin+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%q and a tab: got %q (%v), want %q", typed, got, err, want)
		}
	}
	for _, shell := range []string{"zsh", "fish", "pwsh"} {
		if code, stdout, _ := runProgram(t, nil, "completion", shell); code != 0 || !strings.Contains(stdout, "--generate-shell-completion") {
			t.Errorf("completion %s: exit code %d, %d bytes", shell, code, len(stdout))
		}
	}
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"importer"
	"importer/db"
)

// checkTime bounds each check.
const checkTime = 15 * time.Second

// What a check may find. Fail means that serve does not work like this.
const (
	stateOK   = "ok"
	stateWarn = "warn"
	stateFail = "fail"
)

// finding is what one check has to say.
type finding struct {
	Check  string `json:"check"`
	State  string `json:"state"`
	Detail string `json:"detail"`       // what is the case
	Do     string `json:"do,omitempty"` // about it
}

func ok(format string, args ...any) finding {
	return finding{State: stateOK, Detail: fmt.Sprintf(format, args...)}
}

func warn(do, format string, args ...any) finding {
	return finding{State: stateWarn, Detail: fmt.Sprintf(format, args...), Do: do}
}

func fail(do, format string, args ...any) finding {
	return finding{State: stateFail, Detail: fmt.Sprintf(format, args...), Do: do}
}

// patient is what the checks look at. The check of the database connects; the
// ones after it that need a connection find none when it failed.
type patient struct {
	*config
	store *db.DB
	exam  db.Examination
}

// check asks one question. It may have nothing to say, where the question does
// not arise, and changes nothing that lasts.
type check struct {
	name string
	ask  func(context.Context, *patient) []finding
}

// checks lists all of them in the order in which they are asked.
func checks() []check {
	return []check{
		{"settings", checkSettings},
		{"address", checkAddress},
		{"data directory", checkDataDir},
		{"uploads", checkUploads},
		{"open files", checkFiles},
		{"database", checkDatabase},
		{"rights", checkRights},
		{"migrations", checkMigrations},
		{"access", checkAccess},
		{"durability", checkDurability},
		{"pooler", checkPooler},
		{"connections", checkConnections},
		{"clock", checkClock},
		{"search", checkSearch},
		{"webhooks", checkWebhooks},
	}
}

func doctorCommand(stdout io.Writer) *cli.Command {
	var c config
	return &cli.Command{
		Name:  "doctor",
		Usage: "check the settings and everything that serve needs around it",
		Description: "Takes the flags and variables of serve. Each line is ok, warn or fail, and says what to do. It changes nothing,\n" +
			"and may be run beside a server.\n" +
			"Exit codes: 0 nothing failed, 1 something did, 2 usage.",
		Flags: append(serveFlags(&c), resultFlag()),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if cmd.Args().Present() {
				return failed{exitUsage, fmt.Errorf("doctor takes no arguments, got %q", cmd.Args().First())}
			}
			findings := examine(ctx, &c, checks())
			if err := ctx.Err(); err != nil {
				return err
			}
			bad := 0
			for _, f := range findings {
				if f.State == stateFail {
					bad++
				}
			}
			if cmd.Bool("json") {
				answer := struct {
					OK     bool      `json:"ok"`
					Checks []finding `json:"checks"`
				}{bad == 0, findings}
				if err := json.NewEncoder(stdout).Encode(answer); err != nil {
					return failed{exitFailed, err}
				}
			} else {
				printFindings(stdout, findings)
			}
			if bad > 0 {
				return failed{exitFailed, fmt.Errorf("%d of %d checks failed", bad, len(findings))}
			}
			return nil
		},
	}
}

// examine asks one check after the other.
func examine(ctx context.Context, c *config, checks []check) (all []finding) {
	p := &patient{config: c}
	defer func() {
		if p.store != nil {
			p.store.Close()
		}
	}()
	for _, check := range checks {
		ctx, cancel := context.WithTimeout(ctx, checkTime)
		for _, f := range check.ask(ctx, p) {
			f.Check = check.name
			all = append(all, f)
		}
		cancel()
	}
	return all
}

func printFindings(to io.Writer, findings []finding) {
	width := 0
	for _, f := range findings {
		width = max(width, len(f.Check))
	}
	paint := map[string]string{}
	if isTerminal(to) {
		paint = map[string]string{stateOK: "\x1b[32m", stateWarn: "\x1b[33m", stateFail: "\x1b[31m"}
	}
	for _, f := range findings {
		color, plain := paint[f.State], ""
		if color != "" {
			plain = "\x1b[0m"
		}
		fmt.Fprintf(to, "%s%-4s%s  %-*s  %s\n", color, f.State, plain, width, f.Check, f.Detail)
		if f.Do != "" {
			fmt.Fprintf(to, "%*s  → %s\n", width+6, "", f.Do)
		}
	}
}

// reason is what is wrong in a line: the sentence for people, or the last word
// of its cause, for the driver names each address it tried, a line each.
func reason(err error) string {
	e, ok := errors.AsType[*importer.Error](err)
	if !ok {
		return err.Error()
	}
	if e.Err == nil {
		return e.Message
	}
	lines := strings.Split(strings.TrimSpace(e.Err.Error()), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// Command importer is the whole program: the server and the tools around it.
// It is the only place that wires the adapters together.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/urfave/cli/v3"

	"importer"
)

// Exit codes beside 0. help tells people.
const (
	exitFailed      = 1   // what was asked for did not succeed
	exitUsage       = 2   // the command line or a setting is wrong
	exitRejects     = 3   // import and watch with --strict: completed, with rejected rows
	exitInterrupted = 130 // 128 + SIGINT, as shells have it
)

const help = `importer serve                  run it; then open http://127.0.0.1:8080
importer import products.csv    upload a file and watch it land
importer doctor                 find out what is wrong with the surroundings

Every flag that names a variable takes it from there, too; a flag wins.

Exit codes:
   0    done
   1    it did not work; standard error says why
   2    the command line or a setting is wrong; nothing was begun
   3    import and watch with --strict: completed, but rows were rejected
   130  interrupted`

// failed ends the program with a code and a sentence.
type failed struct {
	code int
	err  error
}

func (f failed) Error() string { return f.err.Error() }
func (f failed) Unwrap() error { return f.err }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the program at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args, os.Stdout, os.Stderr))
}

// run is main with its surroundings passed in; it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := command(stdout, stderr).Run(ctx, args)
	if err == nil {
		return 0
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return exitInterrupted
	}
	fmt.Fprintln(stderr, "importer:", said(err))
	if f, ok := errors.AsType[failed](err); ok {
		return f.code
	}
	return exitUsage
}

// said puts the sentence for people first, and the values at fault and its
// cause below.
func said(err error) string {
	if f, ok := errors.AsType[failed](err); ok {
		err = f.err
	}
	e, ok := err.(*importer.Error) //nolint:errorlint // one that is wrapped has more to say than its sentence
	if !ok {
		return err.Error()
	}
	text := e.Message
	for _, f := range e.Fields {
		text += fmt.Sprintf("\n  %s %s", strings.TrimPrefix(f.Pointer, "/"), f.Detail)
	}
	if e.Err != nil {
		text += fmt.Sprintf("\n(%v)", e.Err)
	}
	return text
}

func command(stdout, stderr io.Writer) *cli.Command {
	usage := func(_ context.Context, c *cli.Command, err error, _ bool) error {
		return failed{exitUsage, fmt.Errorf("%w (see %s --help)", err, c.FullName())}
	}
	root := &cli.Command{
		Name:           "importer",
		Usage:          "take product catalogues from CSV files into Postgres, live",
		Description:    help,
		Version:        thisBuild().String(),
		Writer:         stdout,
		ErrWriter:      stderr,
		OnUsageError:   usage,
		ExitErrHandler: func(context.Context, *cli.Command, error) {}, // run decides
		Commands: []*cli.Command{
			serveCommand(stdout, stderr),
			importCommand(stdout, stderr),
			watchCommand(stdout, stderr),
			sampleCommand(stdout, stderr),
			listenCommand(stdout, stderr),
			tokenCommand(stdout, stderr),
			migrateCommand(stdout, stderr),
			restoredCommand(stdout, stderr),
			doctorCommand(stdout),
			healthcheckCommand(),
			versionCommand(stdout),
			findPostgresCommand(stdout),
		},
		EnableShellCompletion: true,
		ConfigureShellCompletionCommand: func(c *cli.Command) {
			c.Hidden, c.Usage = false, "print a script that completes commands and flags: bash, zsh, fish or pwsh"
		},
		Action: func(_ context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return failed{exitUsage, fmt.Errorf("there is no command %q (see importer --help)", c.Args().First())}
			}
			return cli.ShowRootCommandHelp(c)
		},
	}
	_ = root.Walk(func(c *cli.Command) error { c.OnUsageError = usage; return nil })
	return root
}

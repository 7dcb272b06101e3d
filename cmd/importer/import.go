package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/urfave/cli/v3"

	"importer"
	"importer/client"
)

func serverFlag() cli.Flag {
	return &cli.StringFlag{Name: "server", Usage: "the server's address", Value: "http://127.0.0.1:8080", Sources: cli.EnvVars("IMPORTER_SERVER")}
}

func tokenFlag() cli.Flag {
	return &cli.StringFlag{Name: "token", Usage: "API token", Sources: cli.EnvVars("IMPORTER_TOKEN")}
}

func strictFlag() cli.Flag {
	return &cli.BoolFlag{Name: "strict", Usage: "exit 3 when rows were rejected"}
}

func jsonFlag() cli.Flag {
	return &cli.BoolFlag{Name: "json", Usage: "JSON lines also on a terminal"}
}

// resultFlag is for commands that print one result, and jsonFlag for those
// that go on printing.
func resultFlag() cli.Flag {
	return &cli.BoolFlag{Name: "json", Usage: "print the result as JSON"}
}

func importCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:      "import",
		Usage:     "upload CSV files and watch them land",
		ArgsUsage: "FILE…",
		Description: "Shows a progress bar on a terminal and JSON lines elsewhere. A dropped connection is taken up again.\n" +
			"Exit codes: 0 completed, 1 failed, 2 usage, 3 completed with rejected rows and --strict.",
		Flags: []cli.Flag{
			serverFlag(), tokenFlag(),
			&cli.BoolFlag{Name: "dry-run", Usage: "check the file, write nothing"},
			strictFlag(), jsonFlag(),
			&cli.StringMapFlag{Name: "map", Usage: "FIELD=COLUMN, where the header's names are not known, e.g. --map sku='Item No'"},
		},
		Action: func(ctx context.Context, c *cli.Command) error {
			if !c.Args().Present() {
				return failed{exitUsage, errors.New("name at least one CSV file: importer import products.csv")}
			}
			cl, err := client.New(client.Options{Server: c.String("server"), Token: c.String("token")})
			if err != nil {
				return failed{exitUsage, err}
			}
			run := importRun{client: cl, show: newReporter(stdout, c.Bool("json")), dryRun: c.Bool("dry-run"), mapping: c.StringMap("map")}
			ended, err := run.files(ctx, c.Args().Slice())
			if err != nil {
				return failed{exitFailed, err}
			}
			return verdict(ended, c.Bool("strict"))
		},
	}
}

// reporter shows how imports go on.
type reporter interface {
	progress(im importer.Import)
	// done shows the end of all imports.
	done(ended []importer.Import)
}

// newReporter draws bars on a terminal and prints JSON lines elsewhere.
func newReporter(stdout io.Writer, asJSON bool) reporter {
	if !asJSON && isTerminal(stdout) {
		return newBars(stdout)
	}
	return jsonLines{json.NewEncoder(stdout)}
}

type importRun struct {
	client  *client.Client
	show    reporter
	dryRun  bool
	mapping map[string]string
}

// files imports one file after the other: of two with the same SKUs, the
// later one wins, as the command line says.
func (r importRun) files(ctx context.Context, names []string) ([]importer.Import, error) {
	var ended []importer.Import
	defer func() { r.show.done(ended) }()
	for _, name := range names {
		im, err := r.file(ctx, name)
		if err != nil {
			return ended, fmt.Errorf("%s: %w", name, err)
		}
		ended = append(ended, im)
	}
	return ended, nil
}

// file uploads one file and follows its import to the end.
func (r importRun) file(ctx context.Context, name string) (importer.Import, error) {
	f, err := os.Open(name)
	if err != nil {
		return importer.Import{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return importer.Import{}, err
	}
	if !info.Mode().IsRegular() {
		return importer.Import{}, errors.New("is not a file")
	}

	type result struct {
		im  importer.Import
		err error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watched := make(chan result, 1)
	watching := false
	id, err := r.client.Upload(ctx, f, client.Upload{
		Filename: filepath.Base(name),
		Size:     info.Size(),
		DryRun:   r.dryRun,
		Mapping:  r.mapping,
		Created: func(id uuid.UUID) {
			watching = true
			go func() {
				im, err := follow(ctx, r.client, id, r.show)
				watched <- result{im, err}
			}()
		},
	})
	if err != nil {
		if !watching {
			return importer.Import{}, err
		}
		return r.abandon(ctx, id, err)
	}
	got := <-watched
	return got.im, got.err
}

// abandon is the end of an upload that broke: an import that ended on the
// server (cancelled there, say) tells why, any other is cancelled.
func (r importRun) abandon(ctx context.Context, id uuid.UUID, why error) (importer.Import, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if im, err := r.client.Import(ctx, id); err == nil && im.State.Ended() {
		return im, nil
	}
	if _, err := r.client.CancelImport(ctx, id); err != nil {
		return importer.Import{}, fmt.Errorf("%w (and the import could not be cancelled: %w)", why, err)
	}
	return importer.Import{}, why
}

// verdict turns the ends of the imports into the program's.
func verdict(ended []importer.Import, strict bool) error {
	var problems []string
	rejected := int64(0)
	for _, im := range ended {
		rejected += im.Counts.Rejected
		switch {
		case im.State == importer.Completed:
		case im.Error != nil:
			problems = append(problems, fmt.Sprintf("%s: %s", im.Filename, im.Error.Message))
		default:
			problems = append(problems, fmt.Sprintf("%s was %s", im.Filename, im.State))
		}
	}
	switch {
	case len(problems) > 0:
		return failed{exitFailed, errors.New(strings.Join(problems, "\n"))}
	case strict && rejected > 0:
		return failed{exitRejects, fmt.Errorf("%d rows were rejected", rejected)}
	}
	return nil
}

// jsonLines prints one import a message, for programs.
type jsonLines struct{ out *json.Encoder }

func (j jsonLines) progress(im importer.Import) { _ = j.out.Encode(im) }

func (jsonLines) done([]importer.Import) {}

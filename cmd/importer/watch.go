package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/urfave/cli/v3"

	"importer"
	"importer/client"
)

func watchCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:      "watch",
		Usage:     "follow an import, or the list of them",
		ArgsUsage: "[ID]",
		Description: "With an ID it shows a progress bar on a terminal and JSON lines elsewhere, until the import has ended.\n" +
			"Without one it prints a line whenever an import changes its state, until it is interrupted.\n" +
			"Exit codes: 0 completed, 1 failed, 2 usage, 3 completed with rejected rows and --strict.",
		Flags: []cli.Flag{serverFlag(), tokenFlag(), strictFlag(), jsonFlag()},
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Len() > 1 {
				return failed{exitUsage, errors.New("watch follows one import or all of them: importer watch [ID]")}
			}
			cl, err := client.New(client.Options{Server: c.String("server"), Token: c.String("token")})
			if err != nil {
				return failed{exitUsage, err}
			}
			if !c.Args().Present() {
				return failure(watchList(ctx, cl, newLister(stdout, c.Bool("json")), stderr))
			}
			id, err := uuid.Parse(c.Args().First())
			if err != nil {
				return failed{exitUsage, fmt.Errorf("%q is no import's ID; importer watch without one shows them", c.Args().First())}
			}
			// What is wrong with the server or the ID is said at once; from
			// then on a lost connection is made again.
			if _, err := cl.Import(ctx, id); err != nil {
				return failure(err)
			}
			show := newReporter(stdout, c.Bool("json"))
			im, err := follow(ctx, cl, id, show)
			if err != nil {
				show.done(nil)
				return failure(err)
			}
			show.done([]importer.Import{im})
			return verdict([]importer.Import{im}, c.Bool("strict"))
		},
	}
}

func failure(err error) error {
	if _, known := errors.AsType[failed](err); known || err == nil {
		return err
	}
	return failed{exitFailed, err}
}

// follow shows an import until it has ended.
func follow(ctx context.Context, c *client.Client, id uuid.UUID, show reporter) (last importer.Import, err error) {
	for im, err := range c.WatchImport(ctx, id) {
		if err != nil {
			return im, err
		}
		show.progress(im)
		last = im
	}
	return last, nil
}

// watchList shows every import once and then again whenever its state changes.
// It returns when ctx ends or the server cannot be reached to begin with.
func watchList(ctx context.Context, c *client.Client, show lister, stderr io.Writer) error {
	var shown map[uuid.UUID]importer.State
	for m, err := range c.Watch(ctx, importer.TopicImports) {
		switch {
		case err != nil:
			return err
		case m.Down != nil && shown == nil:
			return m.Down
		case m.Down != nil:
			fmt.Fprintf(stderr, "importer: %s\n", client.ConnectionLost)
		}
		imports, err := changed(m)
		if err != nil {
			return err
		}
		known := shown
		if m.Snapshot != nil {
			shown = map[uuid.UUID]importer.State{} // no more than a page
		}
		for _, im := range imports {
			if m.Event != nil || known[im.ID] != im.State {
				show(im)
			}
			shown[im.ID] = im.State
		}
	}
	return nil
}

// changed returns the imports a message of the list is about, oldest first.
func changed(m client.Message) ([]importer.Import, error) {
	var data struct {
		Import  *importer.Import
		Imports []importer.Import
	}
	switch {
	case m.Snapshot != nil:
		err := json.Unmarshal(m.Snapshot.Data, &data)
		slices.Reverse(data.Imports)
		return data.Imports, err
	case m.Event != nil:
		if err := json.Unmarshal(m.Event.Data, &data); err != nil || data.Import == nil {
			return nil, err
		}
		return []importer.Import{*data.Import}, nil
	}
	return nil, nil
}

// lister prints one import.
type lister func(importer.Import)

func newLister(stdout io.Writer, asJSON bool) lister {
	if !asJSON && isTerminal(stdout) {
		return func(im importer.Import) { fmt.Fprintln(stdout, listLine(im)) }
	}
	out := json.NewEncoder(stdout)
	return func(im importer.Import) { _ = out.Encode(im) }
}

func listLine(im importer.Import) string {
	at := im.CreatedAt
	if im.FinishedAt != nil {
		at = *im.FinishedAt
	}
	line := fmt.Sprintf("%s  %s  %-9s  %5.1f %%  %s", at.Local().Format(time.DateTime), im.ID, im.State, im.Progress.Percent, im.Filename)
	if im.Error != nil {
		line += ": " + im.Error.Message
	}
	return line
}

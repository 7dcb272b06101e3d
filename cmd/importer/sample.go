package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v3"

	"importer/internal/sample"
)

func sampleCommand(stdout, stderr io.Writer) *cli.Command {
	var o sample.Options
	return &cli.Command{
		Name:      "sample",
		Usage:     "write a catalogue like those users have, as CSV",
		ArgsUsage: "[FILE]",
		Description: "Columns name, sku, description, in that order; some descriptions hold quoted line breaks.\n" +
			"The same options give the same file. Without FILE it goes to standard output.",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "rows", Usage: "data rows", Value: 1_000, Destination: &o.Rows},
			&cli.Float64Flag{Name: "dups", Usage: "share of rows that repeat an earlier SKU, half of them in another case", Value: 0.05, Destination: &o.Repeats},
			&cli.Float64Flag{Name: "bad", Usage: "share of rows without a name or a SKU", Destination: &o.Bad},
			&cli.Uint64Flag{Name: "seed", Usage: "another seed, another catalogue", Value: 1, Destination: &o.Seed},
			&cli.BoolFlag{Name: "json", Usage: "with FILE, print what is in it as JSON"},
		},
		Action: func(_ context.Context, c *cli.Command) error {
			if err := o.Validate(); err != nil {
				return failed{exitUsage, err}
			}
			if !c.Args().Present() {
				_, err := sample.Write(stdout, o)
				return err
			}
			counts, err := writeSample(c.Args().First(), o)
			if err != nil {
				return failed{exitFailed, err}
			}
			if c.Bool("json") {
				return json.NewEncoder(stdout).Encode(counts)
			}
			fmt.Fprintf(stderr, "%s: %d rows, %d SKUs, %d repeated, %d bad\n", c.Args().First(), counts.Rows, counts.Created, counts.Duplicates, counts.Rejected)
			return nil
		},
	}
}

func writeSample(name string, o sample.Options) (sample.Counts, error) {
	f, err := os.Create(name)
	if err != nil {
		return sample.Counts{}, err
	}
	counts, err := sample.Write(f, o)
	if closed := f.Close(); err == nil {
		err = closed
	}
	return counts, err
}

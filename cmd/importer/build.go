package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v3"
)

// version and commit are set by the linker.
var (
	version = "dev"
	commit  = ""
)

// buildInfo says what is running.
type buildInfo struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"` // empty when it was not built from a checkout
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// String is what --version prints.
func (b buildInfo) String() string {
	built := b.Go + ", " + b.Platform
	if b.Commit != "" {
		built = b.Commit + ", " + built
	}
	return b.Version + " (" + built + ")"
}

func thisBuild() buildInfo {
	b := buildInfo{Version: version, Commit: commit, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok && b.Commit == "" {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Commit = s.Value
			}
		}
	}
	return b
}

func versionCommand(stdout io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "version",
		Usage: "print what this is and what it was built from",
		Flags: []cli.Flag{resultFlag()},
		Action: func(_ context.Context, c *cli.Command) error {
			b := thisBuild()
			if c.Bool("json") {
				return json.NewEncoder(stdout).Encode(b)
			}
			fmt.Fprintf(stdout, "importer %s\n", b.Version)
			if b.Commit != "" {
				fmt.Fprintf(stdout, "commit   %s\n", b.Commit)
			}
			fmt.Fprintf(stdout, "go       %s\nplatform %s\n", b.Go, b.Platform)
			return nil
		},
	}
}

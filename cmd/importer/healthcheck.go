package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/urfave/cli/v3"
)

// healthcheckCommand is for container images, which have no curl.
func healthcheckCommand() *cli.Command {
	return &cli.Command{
		Name:  "healthcheck",
		Usage: "exit 0 if the server is ready to work, else say what is missing",
		Flags: []cli.Flag{serverFlag()},
		Action: func(ctx context.Context, c *cli.Command) error {
			ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.String("server")+"/readyz", nil)
			if err != nil {
				return failed{exitUsage, err}
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return failed{exitFailed, err}
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return failed{exitFailed, fmt.Errorf("not ready: %s", missing(resp))}
			}
			return nil
		},
	}
}

// missing is what /readyz says, or the status when somebody else has answered.
func missing(resp *http.Response) string {
	var answer struct{ Missing []string }
	err := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&answer)
	if err != nil || len(answer.Missing) == 0 {
		return resp.Status
	}
	return strings.Join(answer.Missing, " ")
}

package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/urfave/cli/v3"
)

// healthcheckCommand is for container images, which have no curl.
func healthcheckCommand() *cli.Command {
	return &cli.Command{
		Name:  "healthcheck",
		Usage: "exit 0 if the server is ready to work",
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
				return failed{exitFailed, fmt.Errorf("not ready: %s", resp.Status)}
			}
			return nil
		},
	}
}

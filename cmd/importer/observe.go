package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"importer"
	"importer/db"
	"importer/httpd"
	"importer/internal/disk"
	"importer/internal/metrics"
)

// serveMetrics opens the private port. The default one may be taken, by
// another server on this machine say: then there are no metrics of this one.
func serveMetrics(ctx context.Context, c *config, m *metrics.Metrics, log zerolog.Logger) error {
	if c.metricsAddr == "" {
		return nil
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.metricsAddr)
	if err != nil {
		if c.metricsAsked {
			return fmt.Errorf("metrics: %w; choose another address with --metrics-addr", err)
		}
		log.Warn().Err(err).Msg("no metrics and no profiles: the default address cannot be used, choose another with --metrics-addr")
		return nil
	}
	log.Info().Stringer("addr", l.Addr()).Msg("metrics")
	go func() {
		if err := m.Serve(ctx, l, log); err != nil {
			log.Error().Err(err).Msg("metrics are not served any more")
		}
	}()
	return nil
}

func sources(store *database, server *httpd.Server, room func() (free, total uint64, err error)) metrics.Sources {
	return metrics.Sources{
		Store: store,
		Pool:  func() metrics.Pool { return metrics.Pool(store.Pool()) },
		Sockets: func() (int, int64) {
			s := server.SocketStatus()
			return s.Open, s.QueuedBytes
		},
		Room: room,
	}
}

// room asks for the disk with the data directory; nil when nothing is kept there.
func room(c *config) func() (free, total uint64, err error) {
	if c.keepsNothing() {
		return nil
	}
	return func() (free, total uint64, err error) {
		space, err := disk.Room(c.dataDir)
		return space.Free, space.Total, err
	}
}

// ready is what /readyz asks: all that is missing, a sentence each. No cause is
// among them, for it may name hosts and accounts.
func ready(store *db.DB, files uploads, log zerolog.Logger) func(context.Context) []string {
	return func(ctx context.Context) (missing []string) {
		left, err := store.Unmigrated(ctx)
		switch e, ok := errors.AsType[*importer.Error](err); {
		case ok:
			missing = append(missing, e.Message)
		case err != nil:
			missing = append(missing, "The database does not answer in time.")
		case len(left) > 0:
			missing = append(missing, fmt.Sprintf("The database lacks %d migrations, beginning with %s: run importer migrate.", len(left), left[0]))
		}
		writable := files.Writable(ctx)
		if e, ok := errors.AsType[*importer.Error](writable); ok {
			missing = append(missing, "Uploads cannot be kept: "+e.Message)
		} else if writable != nil {
			missing = append(missing, "Uploads cannot be kept: the data directory cannot be written to, or its disk is full.")
		}
		if err := errors.Join(err, writable); err != nil {
			log.Debug().Err(err).Msg("not ready")
		}
		return missing
	}
}

// thisMachine is how the process shows itself to the others.
func thisMachine(node uuid.UUID) importer.Machine {
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	return importer.Machine{ID: node, Name: name, Version: version, StartedAt: time.Now().UTC()}
}

// showUp gives a sign of life again and again until ctx ends.
func showUp(ctx context.Context, store *database, m importer.Machine, log zerolog.Logger) {
	tick := time.NewTicker(importer.MachineEvery)
	defer tick.Stop()
	away := false
	for {
		err := seen(ctx, store, m)
		if err != nil && !away && ctx.Err() == nil {
			log.Warn().Err(err).Msg("sign of life")
		}
		away = err != nil
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func seen(ctx context.Context, store *database, m importer.Machine) error {
	ctx, cancel := context.WithTimeout(ctx, importer.MachineEvery)
	defer cancel()
	return store.MachineSeen(ctx, m)
}

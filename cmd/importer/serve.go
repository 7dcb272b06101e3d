package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"
	"github.com/urfave/cli/v3"

	"importer/actors"
	"importer/client/web"
	"importer/httpd"
	"importer/internal/csvfile"
	"importer/internal/guard"
	"importer/internal/metrics"
)

// drainTime bounds the orderly end: imports hand over, sockets are told.
const drainTime = 20 * time.Second

func serveCommand(stdout, stderr io.Writer) *cli.Command {
	var c config
	return &cli.Command{
		Name:  "serve",
		Usage: "run the server and the dashboard",
		Flags: serveFlags(&c),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if cmd.Args().Present() {
				return failed{exitUsage, fmt.Errorf("serve takes no arguments, got %q", cmd.Args().First())}
			}
			c.metricsAsked = cmd.IsSet("metrics-addr")
			if err := c.validateServe(); err != nil {
				return failed{exitUsage, err}
			}
			return failure(serve(ctx, &c, stdout, c.logger(stderr)))
		},
	}
}

// serve runs until ctx ends or something it cannot do without is lost.
func serve(ctx context.Context, c *config, stdout io.Writer, log zerolog.Logger) error {
	if !c.databaseExists() {
		if err := c.mayListen(ctx, nil); err != nil {
			return err // before a private one is made
		}
	}
	// Then the port: whoever starts a second server should hear of that, not
	// of a locked data directory.
	listener, err := listen(ctx, c.addr)
	if err != nil {
		return err
	}
	defer listener.Close()
	limitMemory(os.Getenv, log)

	store, err := openDatabase(ctx, c, stdout, log)
	if err != nil {
		return err
	}
	defer store.close(log)
	if err := c.mayListen(ctx, store); err != nil {
		return err
	}

	files, err := openUploads(c)
	if err != nil {
		return err
	}
	node := uuid.Must(uuid.NewV7())
	build := thisBuild()
	figures := metrics.New(build.Version, build.Commit)
	if c.webhookAllowPrivate {
		log.Warn().Msg("webhooks may be sent to private addresses and over plain http: not for production")
	}
	system, err := actors.Start(actors.Options{
		Store:        store,
		Events:       store,
		Products:     store,
		Spool:        files,
		OpenRows:     csvfile.Open,
		OnCommit:     store.OnCommit,
		Node:         node,
		MaxFileBytes: c.maxUpload,
		MaxImports:   c.maxImports,
		StrayAfter:   c.strayAfter(),
		Webhooks:     store,

		WebhookTransport: guard.Transport(guard.Options{AllowPrivate: c.webhookAllowPrivate}),

		Observe: figures,
		Log:     log,
		Now:     time.Now,
	})
	if err != nil {
		return err
	}

	server, err := httpd.New(httpd.Options{
		Imports:  store,
		Products: store,
		Webhooks: store,
		Events:   store,
		Access:   store,
		Importer: system,
		Hub:      system,

		WebhookSender: system,

		AdminToken:     c.adminToken,
		ClientIPHeader: c.clientIPHeader,

		Spool:     files,
		Node:      node,
		MaxUpload: c.maxUpload,
		Web:       web.Handler(),
		Ready:     ready(store.DB, files, log),
		Status:    store,
		Room:      room(c),
		Observe:   figures,
		Log:       log,
		Now:       time.Now,
		Version:   build.Version,
		Commit:    build.Commit,
	})
	if err != nil {
		return err
	}

	figures.Ask(sources(store, server, room(c)))
	if err := serveMetrics(ctx, c, figures, log); err != nil {
		return errors.Join(err, system.Shutdown(ctx))
	}
	living, stopLiving := context.WithCancel(ctx)
	var life sync.WaitGroup
	life.Go(func() { showUp(living, store, thisMachine(node), log) })

	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, listener) }()
	fmt.Fprintf(stdout, "Product Importer is ready: %s\n", displayURL(listener.Addr()))
	log.Info().Stringer("addr", listener.Addr()).Str("version", build.Version).Str("commit", build.Commit).Stringer("node", node).Msg("ready")

	var lost error
	select {
	case <-ctx.Done():
	case lost = <-served:
	case lost = <-store.dead():
	}

	// Nobody new; then the imports: their leases are free at once for another machine,
	// and who watches still sees it happen.
	server.Unready()
	drain, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	err = errors.Join(lost, system.Shutdown(drain), server.Shutdown(drain))
	stopLiving()
	life.Wait()
	if left := store.MachineLeft(drain, node); left != nil && lost == nil {
		log.Warn().Err(left).Msg("the others do not know that this machine has left")
	}
	return err
}

func listen(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is in use by another program (perhaps another importer); stop that, or choose another port with --addr", addr)
	}
	return l, err
}

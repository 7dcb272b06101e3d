package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rs/zerolog"
	"github.com/urfave/cli/v3"
	"golang.org/x/net/http/httpguts"
	"golang.org/x/term"

	"importer/actors"
)

// config is what serve and migrate are told. A flag wins over the environment,
// the environment over the default.
type config struct {
	addr        string
	dataDir     string
	databaseURL string
	directURL   string // past a pooler
	privatePG   string // auto or never
	pgBin       string
	maxUpload   int64
	maxImports  int
	logLevel    string

	webhookAllowPrivate bool
	adminToken          string
	clientIPHeader      string

	bucket          string // empty: uploads lie in the data directory
	bucketEndpoint  string
	bucketRegion    string
	bucketAccessKey string
	bucketSecretKey string

	metricsAddr  string
	metricsAsked bool // it is not the default
}

// under puts flags under a heading of the help.
func under(heading string, flags ...cli.Flag) []cli.Flag {
	for _, f := range flags {
		if f, ok := f.(cli.CategorizableFlag); ok {
			f.SetCategory(heading)
		}
	}
	return flags
}

func databaseFlags(c *config) []cli.Flag {
	return under("Database, files and log",
		&cli.StringFlag{Name: "data-dir", Usage: "private Postgres, and uploads if there is no bucket", Value: "./data", Sources: cli.EnvVars("IMPORTER_DATA_DIR"), Destination: &c.dataDir},
		&cli.StringFlag{Name: "database-url", Usage: "Postgres to use; empty: a private one in the data directory", Sources: cli.EnvVars("DATABASE_URL"), Destination: &c.databaseURL},
		&cli.StringFlag{Name: "direct-database-url", Usage: "the same Postgres past a transaction pooler, to listen on; empty: the database URL", Sources: cli.EnvVars("DIRECT_DATABASE_URL"), Destination: &c.directURL},
		&cli.StringFlag{Name: "private-pg", Usage: "auto, or never: refuse to start without a database URL", Value: "auto", Sources: cli.EnvVars("IMPORTER_PRIVATE_PG"), Destination: &c.privatePG},
		&cli.StringFlag{Name: "pg-bin", Usage: "directory of the Postgres server binaries; empty: look for them", Sources: cli.EnvVars("IMPORTER_PG_BIN"), Destination: &c.pgBin},
		&cli.StringFlag{Name: "log-level", Usage: "debug, info, warn or error; empty: warn on a terminal, else info", Sources: cli.EnvVars("IMPORTER_LOG_LEVEL"), Destination: &c.logLevel},
	)
}

func serveFlags(c *config) []cli.Flag {
	return append(under("Server",
		&cli.StringFlag{Name: "addr", Usage: "address to listen on", Value: "127.0.0.1:8080", Sources: cli.EnvVars("IMPORTER_ADDR"), Destination: &c.addr},
		&cli.StringFlag{Name: "metrics-addr", Usage: "private address for /metrics and /debug/pprof, which ask nobody who they are; empty: none", Value: "127.0.0.1:9091", Sources: cli.EnvVars("IMPORTER_METRICS_ADDR"), Destination: &c.metricsAddr},
		&cli.Int64Flag{Name: "max-upload-bytes", Usage: "largest file taken, also after decompression", Value: 2 << 30, Sources: cli.EnvVars("IMPORTER_MAX_UPLOAD_BYTES"), Destination: &c.maxUpload},
		&cli.IntFlag{Name: "max-imports", Usage: "imports that run at once on this machine; others wait in turn", Value: actors.DefaultMaxImports, Sources: cli.EnvVars("IMPORTER_MAX_IMPORTS"), Destination: &c.maxImports},
		&cli.StringFlag{Name: "admin-token", Usage: "opens everything, as a bearer token and on the sign-in page; 16 characters at least. Empty, and no password set: anybody on this machine may do anything, and nobody from elsewhere gets in", Sources: cli.EnvVars("IMPORTER_ADMIN_TOKEN"), Destination: &c.adminToken},
		&cli.StringFlag{Name: "client-ip-header", Usage: "header in which a proxy in front says who asks, such as X-Forwarded-For; empty: there is none. Clients can write it themselves where no proxy does", Sources: cli.EnvVars("IMPORTER_CLIENT_IP_HEADER"), Destination: &c.clientIPHeader},
		&cli.BoolFlag{Name: "webhook-allow-private", Usage: "for development: send webhooks to private addresses, and over plain http", Sources: cli.EnvVars("IMPORTER_WEBHOOK_ALLOW_PRIVATE"), Destination: &c.webhookAllowPrivate},
	), append(bucketFlags(c), databaseFlags(c)...)...)
}

// bucketFlags have the variables that `fly storage create` sets.
func bucketFlags(c *config) []cli.Flag {
	return under("Uploads in object storage, for several machines",
		&cli.StringFlag{Name: "bucket", Usage: "bucket for uploads; empty: they lie in the data directory, and other machines cannot take over", Sources: cli.EnvVars("BUCKET_NAME"), Destination: &c.bucket},
		&cli.StringFlag{Name: "bucket-endpoint", Usage: "URL of the object storage; empty: Amazon S3 in the region", Sources: cli.EnvVars("AWS_ENDPOINT_URL_S3"), Destination: &c.bucketEndpoint},
		&cli.StringFlag{Name: "bucket-region", Usage: "region of the bucket; auto where there are none", Value: regionAuto, Sources: cli.EnvVars("AWS_REGION"), Destination: &c.bucketRegion},
		&cli.StringFlag{Name: "bucket-access-key", Usage: "name of a key that may read, write, list and delete there", Sources: cli.EnvVars("AWS_ACCESS_KEY_ID"), Destination: &c.bucketAccessKey},
		&cli.StringFlag{Name: "bucket-secret-key", Usage: "secret of that key", Sources: cli.EnvVars("AWS_SECRET_ACCESS_KEY"), Destination: &c.bucketSecretKey},
	)
}

// validate reports every problem at once.
func (c *config) validate() error {
	var problems []error
	if !slices.Contains([]string{"auto", "never"}, c.privatePG) {
		problems = append(problems, fmt.Errorf("private-pg is %q, want auto or never", c.privatePG))
	}
	if c.privatePG == "never" && c.databaseURL == "" {
		problems = append(problems, errors.New("DATABASE_URL is not set, and IMPORTER_PRIVATE_PG=never forbids a private Postgres: set DATABASE_URL"))
	}
	if c.directURL != "" && c.databaseURL == "" {
		problems = append(problems, errors.New("DIRECT_DATABASE_URL is set without DATABASE_URL: the private Postgres needs none"))
	}
	if c.logLevel != "" && !slices.Contains([]string{"debug", "info", "warn", "error"}, c.logLevel) {
		problems = append(problems, fmt.Errorf("log level is %q, want debug, info, warn or error", c.logLevel))
	}
	return errors.Join(problems...)
}

func (c *config) validateServe() error {
	problems := []error{c.validate()}
	if c.maxUpload <= 0 {
		problems = append(problems, fmt.Errorf("max-upload-bytes is %d, want more than 0", c.maxUpload))
	}
	if c.maxImports < 1 {
		problems = append(problems, fmt.Errorf("max-imports is %d, want 1 or more", c.maxImports))
	}
	problems = append(problems, c.validateBucket())
	if _, _, err := net.SplitHostPort(c.addr); err != nil {
		problems = append(problems, fmt.Errorf("addr is %q, want HOST:PORT like 127.0.0.1:8080", c.addr))
	}
	if c.clientIPHeader != "" && !httpguts.ValidHeaderFieldName(c.clientIPHeader) {
		problems = append(problems, fmt.Errorf("client-ip-header is %q, want the name of a header like X-Forwarded-For", c.clientIPHeader))
	}
	if c.adminToken != "" && len(c.adminToken) < minToken {
		problems = append(problems, fmt.Errorf("the admin token has %d characters, want %d at least; make one with: openssl rand -hex 24", len(c.adminToken), minToken))
	}
	if _, _, err := net.SplitHostPort(c.metricsAddr); err != nil && c.metricsAddr != "" {
		problems = append(problems, fmt.Errorf("metrics-addr is %q, want HOST:PORT like 127.0.0.1:9091", c.metricsAddr))
	}
	return errors.Join(problems...)
}

// minToken is how many characters an admin token has at least.
const minToken = 16

// logger writes lines for people on a terminal and JSON elsewhere.
func (c *config) logger(stderr io.Writer) zerolog.Logger {
	level, terminal := zerolog.InfoLevel, isTerminal(stderr)
	if terminal {
		level = zerolog.WarnLevel
		stderr = console(stderr)
	}
	if c.logLevel != "" {
		level, _ = zerolog.ParseLevel(c.logLevel) // validated before
	}
	return zerolog.New(stderr).Level(level).With().Timestamp().Logger()
}

func console(terminal io.Writer) io.Writer {
	return zerolog.ConsoleWriter{Out: terminal, TimeFormat: "15:04:05"}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// toolsDirs are the places where `make pg-tools` may have put Postgres
// binaries: beside the checkout or beside the binary.
func toolsDirs() []string {
	dirs := []string{".tools"}
	if exe, err := os.Executable(); err == nil {
		dirs = append(dirs, filepath.Join(filepath.Dir(exe), "..", ".tools"))
	}
	return dirs
}

// displayURL is the address for a browser.
func displayURL(a net.Addr) string {
	return "http://" + strings.Replace(a.String(), "[::]", "localhost", 1)
}

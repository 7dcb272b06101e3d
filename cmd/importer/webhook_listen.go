package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/urfave/cli/v3"

	"importer"
	"importer/client"
)

// maxHeard is more than the body of a delivery may weigh.
const maxHeard = 4 * importer.MaxPayload

func listenCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "webhook-listen",
		Usage: "receive webhooks on this machine and print them, for developing an integration",
		Description: "It checks each signature and prints a line for each event, until it is interrupted.\n" +
			"With --register it adds a webhook for itself at the server and deletes it at the end;\n" +
			"the server has to run with --webhook-allow-private.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "addr", Usage: "address to listen on", Value: "127.0.0.1:8790"},
			&cli.StringFlag{Name: "secret", Usage: "of the webhook, whsec_…; without one no signature is checked", Sources: cli.EnvVars("WEBHOOK_SECRET")},
			&cli.IntFlag{Name: "status", Usage: "what to answer, to see how failures are treated", Value: http.StatusNoContent},
			&cli.BoolFlag{Name: "register", Usage: "add a webhook at the server, and delete it at the end"},
			&cli.StringSliceFlag{Name: "events", Usage: "what to ask for with --register", Value: []string{"*"}},
			&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "print the bodies, too"},
			serverFlag(), tokenFlag(), jsonFlag(),
		},
		Action: func(ctx context.Context, c *cli.Command) error {
			switch {
			case c.Args().Present():
				return failed{exitUsage, fmt.Errorf("webhook-listen takes no arguments, got %q", c.Args().First())}
			case c.Int("status") < 200 || c.Int("status") > 599:
				return failed{exitUsage, fmt.Errorf("status is %d, want one from 200 to 599", c.Int("status"))}
			case c.Bool("register") && c.String("secret") != "":
				return failed{exitUsage, errors.New("with --register the server makes the secret; leave --secret out")}
			}
			l := &webhookListener{out: stdout, status: c.Int("status"), verbose: c.Bool("verbose"), json: c.Bool("json"), seen: map[string]int{}}
			if err := l.trust(c.String("secret")); err != nil {
				return failed{exitUsage, err}
			}
			return failure(l.run(ctx, c, stderr))
		},
	}
}

// webhookListener is a receiver for developers.
type webhookListener struct {
	out     io.Writer
	status  int
	verbose bool
	json    bool

	mu       sync.Mutex
	verifier *standardwebhooks.Webhook // nil: nothing is checked
	seen     map[string]int            // how often an id came
}

func (l *webhookListener) trust(secret string) error {
	if secret == "" {
		return nil
	}
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return errors.New("the secret is not one of a webhook; it looks like whsec_ and base64")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.verifier = verifier
	return nil
}

func (l *webhookListener) run(ctx context.Context, c *cli.Command, stderr io.Writer) error {
	at, err := listen(ctx, c.String("addr"))
	if err != nil {
		return err
	}
	server := &http.Server{Handler: l, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(at) }()
	defer func() { _ = server.Close() }() // who still asks may be cut off
	url := "http://" + at.Addr().(*net.TCPAddr).String() + "/"
	if c.Bool("register") {
		leave, err := l.register(ctx, c, url)
		if err != nil {
			return err
		}
		defer leave()
	}
	fmt.Fprintf(stderr, "Listening for webhooks at %s\n", url)
	select {
	case <-ctx.Done():
		return nil
	case err := <-served:
		return err
	}
}

// register adds a webhook for the listener; leave deletes it.
func (l *webhookListener) register(ctx context.Context, c *cli.Command, url string) (leave func(), err error) {
	cl, err := client.New(client.Options{Server: c.String("server"), Token: c.String("token")})
	if err != nil {
		return nil, err
	}
	events := c.StringSlice("events")
	w, err := cl.CreateWebhook(ctx, importer.WebhookFields{URL: &url, Events: &events}, "")
	if err != nil {
		return nil, err
	}
	return func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = cl.DeleteWebhook(ending, w.ID, 0)
	}, l.trust(w.Secret)
}

// heard is what is printed of a request.
type heard struct {
	At     time.Time       `json:"at"`
	ID     string          `json:"id"`
	Type   string          `json:"type"`
	Times  int             `json:"times"` // that this id came
	Signed string          `json:"signed"`
	Status int             `json:"status"` // that was answered
	Body   json.RawMessage `json:"body"`
}

// ServeHTTP answers as it was told, and 401 to a request that it does not trust.
func (l *webhookListener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxHeard))
	if err != nil {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	h := heard{At: time.Now().UTC(), ID: r.Header.Get("Webhook-Id"), Signed: "not checked", Status: l.status, Body: body}
	if l.verifier != nil {
		h.Signed = "ok"
		if err := l.verifier.Verify(body, r.Header); err != nil {
			h.Signed, h.Status = "bad: "+err.Error(), http.StatusUnauthorized
		}
	}
	var what struct{ Type string }
	if json.Unmarshal(body, &what) != nil {
		h.Body, _ = json.Marshal(string(body)) // a string
	}
	h.Type = what.Type
	l.seen[h.ID]++
	h.Times = l.seen[h.ID]
	w.WriteHeader(h.Status)
	l.print(h)
}

func (l *webhookListener) print(h heard) {
	if l.json {
		_ = json.NewEncoder(l.out).Encode(h) // to people, whom nobody can tell that they do not listen
		return
	}
	again := ""
	if h.Times > 1 {
		again = fmt.Sprintf(", for the %d. time", h.Times)
	}
	// Quoted: what comes in must not move the cursor.
	fmt.Fprintf(l.out, "%s %s %s signature %s, answered %d%s\n", h.At.Format(time.TimeOnly), strconv.Quote(h.Type), strconv.Quote(h.ID), h.Signed, h.Status, again)
	if l.verbose {
		var pretty bytes.Buffer
		if json.Indent(&pretty, h.Body, "", "  ") == nil {
			fmt.Fprintf(l.out, "%s\n", pretty.Bytes())
		}
	}
}

package client_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"importer"
	"importer/client"
	"importer/httpd"
)

// Upload a file and follow its import to the end.
func ExampleClient_Upload() {
	server, stop := exampleServer() // e.g. http://127.0.0.1:8080
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	c, err := client.New(client.Options{Server: server, Token: os.Getenv("IMPORTER_TOKEN")})
	if err != nil {
		log.Fatal(err)
	}
	file := strings.NewReader("sku,name\nTEA-1,Green tea\nTEA-2,Black tea\ntea-1,Green tea from Uji\n")
	id, err := c.Upload(ctx, file, client.Upload{Filename: "teas.csv", Size: file.Size()})
	if err != nil {
		log.Fatal(err)
	}
	var last importer.Import
	for im, err := range c.WatchImport(ctx, id) {
		if err != nil {
			log.Fatal(err)
		}
		last = im // draw im.Progress.Percent
	}
	fmt.Printf("%s is %s: %d rows, %d created, %d repeated\n",
		last.Filename, last.State, last.Counts.Rows, last.Counts.Created, last.Counts.Duplicates)
	// Output: teas.csv is completed: 3 rows, 2 created, 1 repeated
}

// Watch the list of imports: first the state of it, then every change once,
// whatever becomes of the connection in between.
func ExampleClient_Watch() {
	server, stop := exampleServer()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	c, err := client.New(client.Options{Server: server})
	if err != nil {
		log.Fatal(err)
	}
	for m, err := range c.Watch(ctx, importer.TopicImports) {
		if err != nil {
			log.Fatal(err) // coming back is of no use
		}
		switch {
		case m.Snapshot != nil:
			fmt.Printf("%s from event %d on\n", m.Topic, m.Snapshot.Seq)
			file := strings.NewReader("sku,name\nTEA-1,Green tea\n")
			if _, err := c.Upload(ctx, file, client.Upload{Filename: "teas.csv", Size: file.Size()}); err != nil {
				log.Fatal(err)
			}
		case m.Event != nil:
			var change struct{ Import importer.Import }
			if err := json.Unmarshal(m.Event.Data, &change); err != nil {
				log.Fatal(err)
			}
			fmt.Println(m.Event.Seq, m.Event.Kind, change.Import.Filename)
			if change.Import.State.Ended() {
				return
			}
		case m.Down != nil:
			log.Print(m.Down) // Watch is connecting again
		}
	}
	// Output:
	// imports from event 0 on
	// 1 import.created teas.csv
	// 2 import.queued teas.csv
	// 3 import.started teas.csv
	// 4 import.writing teas.csv
	// 5 import.completed teas.csv
}

// exampleServer starts a server with an empty catalogue.
func exampleServer() (url string, stop func()) {
	ctx := context.Background()
	admin, err := pgx.Connect(ctx, os.Getenv("TEST_DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	defer admin.Close(ctx)
	name := fmt.Sprintf("importer_example_%d", time.Now().UnixNano())
	if _, err := admin.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		log.Fatal(err)
	}
	l, err := startLive(os.Getenv("TEST_DATABASE_URL")+" dbname="+name, httpd.SocketOptions{})
	if err != nil {
		log.Fatal(err)
	}
	return l.url, func() {
		if err := l.stop(); err != nil {
			log.Print(err)
		}
	}
}

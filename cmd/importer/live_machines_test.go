package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"importer"
	"importer/client"
	"importer/db/dbtest"
	"importer/internal/sample"
)

func twoMachines(t *testing.T) (databaseURL string, a, b *process) {
	t.Helper()
	databaseURL = dbtest.URL(t)
	env, dir := []string{"DATABASE_URL=" + databaseURL}, t.TempDir()
	return databaseURL, serveProcess(t, env, "--data-dir", dir), serveProcess(t, env, "--data-dir", dir)
}

// What is done on one machine is seen on the other.
func TestEventsReachOtherMachines(t *testing.T) {
	t.Parallel()
	url, a, b := twoMachines(t)
	onB := subscribe(t, "subscriber on B", newFront(t, b), importer.TopicImports)
	eventually(t, "it follows", func() bool { return onB.seq(importer.TopicImports) >= 0 })
	for i := range 20 {
		im := post(t, a, "a.csv", fmt.Appendf(nil, "sku,name\nA-%d,One\n", i))
		watchUntil(t, b, im.ID, func(im importer.Import) bool { return im.State.Ended() })
	}
	log := readLog(t, url)
	eventually(t, "it has seen everything", func() bool {
		return onB.seq(importer.TopicImports) == int64(len(log[importer.TopicImports]))
	})
	onB.check(t, log)
}

// A machine dies while it imports. Those who were connected to it go on at the
// other one, which takes the import over, and nobody sees a bar go back.
func TestMachineDiesDuringAnImport(t *testing.T) {
	t.Parallel()
	url, a, b := twoMachines(t)
	file, want := writeCatalogue(t, sample.Options{Rows: 200_000, Repeats: 0.05, Bad: 0.001, Seed: 6})
	balancer := newFront(t, a)
	list := subscribe(t, "subscriber on A", balancer, importer.TopicImports)
	eventually(t, "it follows", func() bool { return list.seq(importer.TopicImports) >= 0 })
	release := holdUp(t, url, file, 120_000)
	id := upload(t, a, file)
	moved := subscribe(t, "viewer on A", balancer, importer.ImportTopic(id))

	// The viewer on B is told raw percentages. It says when the import is half
	// way, for the machine to die then.
	half, ended := make(chan struct{}), make(chan importer.Import, 1)
	go func() {
		defer close(ended)
		percent, told := 0.0, false
		for m, err := range b.client.Watch(t.Context(), importer.ImportTopic(id)) {
			if err != nil {
				t.Errorf("the viewer's stream ended: %v", err)
				return
			}
			im, ok := shown(t, m)
			if !ok {
				continue
			}
			if im.Progress.Percent < percent {
				t.Errorf("the bar went back from %v to %v %% (%+v)", percent, im.Progress.Percent, m)
			}
			percent = im.Progress.Percent
			if im.Progress.RowsDone > 20_000 && !told {
				told = true
				close(half)
			}
			if im.State.Ended() {
				ended <- im
				return
			}
		}
	}()
	select {
	case <-half:
	case im := <-ended:
		t.Fatalf("the import ended too early: %+v", im)
	}
	before := list.downsSoFar()
	a.kill()
	release()
	balancer.to(b)
	im, ok := <-ended
	if !ok {
		t.FailNow()
	}
	checkCounts(t, im, want)
	if im.Attempts != 2 {
		t.Errorf("%d attempts, want 2", im.Attempts)
	}

	log := readLog(t, url)
	for _, s := range []*subscriber{list, moved} {
		for topic := range s.topics {
			eventually(t, s.name+" has seen everything", func() bool { return s.seq(topic) == int64(len(log[topic])) })
		}
		s.check(t, log)
	}
	if list.downsSoFar() == before {
		t.Error("the subscriber of the dead machine noticed nothing")
	}
	checkSecondImport(t, b, file, want)
}

// holdUp keeps an import of the file from writing past the row given, however
// fast the machine is: somebody else has a product with that SKU under way.
func holdUp(t *testing.T, url, file string, row int) (release func()) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sku, r := "", csv.NewReader(f)
	for i := 0; i < row || sku == ""; i++ {
		rec, err := r.Read()
		if err != nil {
			t.Fatal(err)
		}
		sku = rec[1]
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "BEGIN"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "INSERT INTO products (sku, sku_key, name) VALUES ($1, $2, 'held up')", sku, importer.SKUKey(sku)); err != nil {
		t.Fatal(err)
	}
	release = func() { _ = conn.Close(context.Background()) }
	t.Cleanup(release)
	return release
}

// shown is what a bar would be drawn from.
func shown(t *testing.T, m client.Message) (im importer.Import, ok bool) {
	t.Helper()
	state := struct{ Import *importer.Import }{&im}
	var err error
	switch {
	case m.Snapshot != nil:
		err = json.Unmarshal(m.Snapshot.Data, &state)
		if m.Snapshot.Update != nil {
			return shown(t, client.Message{Update: m.Snapshot.Update})
		}
	case m.Event != nil:
		err = json.Unmarshal(m.Event.Data, &state)
	case m.Update != nil:
		var u importer.ImportUpdate
		err = json.Unmarshal(m.Update.Data, &u)
		im.State, im.Counts, im.Progress = u.State, u.Counts, u.Progress
	default:
		return im, false
	}
	if err != nil {
		t.Error(err)
	}
	return im, err == nil
}

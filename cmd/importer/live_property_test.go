package main

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"importer"
	"importer/db/dbtest"
)

// Two machines on one Postgres, subscribers on both, and whatever can happen
// to them in an order that rapid draws. Whatever it is, each subscriber is told
// every event once and in order, as the log in Postgres has them.
//
// A plan follows from its seed; LIVE_SEED runs that of another one.
func TestEverySubscriberSeesEveryEventOnce(t *testing.T) {
	t.Parallel()
	seeds := []int{1, 2}
	if s, err := strconv.Atoi(os.Getenv("LIVE_SEED")); err == nil {
		seeds = []int{s}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			plan := plans.Example(seed)
			w := newWorld(t)
			for i, s := range plan {
				t.Logf("step %d: %s", i, s)
				w.do(t, s)
			}
			w.settle(t)
			log := readLog(t, w.databaseURL)
			if len(log[importer.TopicImports]) < len(plan) {
				t.Errorf("the plan made %d events only", len(log[importer.TopicImports]))
			}
			for _, s := range w.subscribers {
				s.check(t, log)
			}
		})
	}
}

// step is one thing that happens; who and n are read as it needs them.
type step struct {
	what action
	who  int
	n    int
}

func (s step) String() string { return fmt.Sprintf("%s (who %d, n %d)", s.what, s.who, s.n) }

type action string

const (
	doImport  action = "imports"
	doFail    action = "imports that fail, and a retry"
	doCancel  action = "an upload that is cancelled"
	doCut     action = "a connection is cut"
	doCutAll  action = "all connections are cut"
	doMove    action = "a subscriber is sent to the other machine"
	doPause   action = "a subscriber stops reading"
	doRelease action = "all subscribers read again"
	doRestart action = "a machine is restarted"
	doKill    action = "a machine is killed and started again"
	doJoin    action = "somebody follows the latest import"
)

var plans = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
	return step{
		what: rapid.SampledFrom([]action{
			doImport, doImport, doImport, doImport, doFail, doCancel, doCancel,
			doCut, doCut, doCutAll, doMove, doMove, doPause, doRelease, doRestart, doKill, doJoin, doJoin,
		}).Draw(t, "what"),
		who: rapid.IntRange(0, 11).Draw(t, "who"),
		n:   rapid.IntRange(1, 6).Draw(t, "n"),
	}
}), 30, 30)

// world is two machines, and subscribers that reach them each through a front
// of its own.
type world struct {
	databaseURL string
	dir         string
	machines    [2]*process
	at          map[*subscriber]int // its machine
	subscribers []*subscriber
	latest      uuid.UUID
}

func newWorld(t *testing.T) *world {
	w := &world{databaseURL: dbtest.URL(t), dir: t.TempDir(), at: map[*subscriber]int{}}
	for i := range w.machines {
		w.start(t, i)
	}
	for i := range 6 {
		w.join(t, i%2, importer.TopicImports, importer.TopicProducts)
	}
	return w
}

// start runs machine i; who is behind it comes back to it.
func (w *world) start(t *testing.T, i int) {
	w.machines[i] = serveProcess(t, []string{"DATABASE_URL=" + w.databaseURL}, "--data-dir", w.dir)
	for s, at := range w.at {
		if at == i {
			s.front.to(w.machines[i])
		}
	}
}

func (w *world) join(t *testing.T, machine int, topics ...string) {
	s := subscribe(t, fmt.Sprintf("subscriber %d", len(w.subscribers)), newFront(t, w.machines[machine]), topics...)
	w.subscribers = append(w.subscribers, s)
	w.at[s] = machine
	eventually(t, s.name+" follows "+topics[0], func() bool { return s.seq(topics[0]) >= 0 })
}

func (w *world) do(t *testing.T, s step) {
	t.Helper()
	p := w.machines[s.who%2]
	sub := w.subscribers[s.who%len(w.subscribers)]
	switch s.what {
	case doImport:
		for i := range s.n {
			w.latest = post(t, p, "tiny.csv", fmt.Appendf(nil, "sku,name\nA-%d,One\n", i)).ID
		}
	case doFail:
		w.latest = post(t, p, "wrong.csv", []byte("colour,size\nred,1\n")).ID
		watchUntil(t, p, w.latest, func(im importer.Import) bool { return im.State.Ended() })
		if _, err := p.client.RetryImport(t.Context(), w.latest); err != nil && importer.ErrorCode(err) != importer.Conflict {
			t.Fatal(err)
		}
	case doCancel:
		w.latest = beginUpload(t, p)
		if _, err := p.client.CancelImport(t.Context(), w.latest); err != nil {
			t.Fatal(err)
		}
	case doCut:
		sub.front.cut()
	case doCutAll:
		for _, s := range w.subscribers {
			s.front.cut()
		}
	case doMove:
		w.at[sub] = 1 - w.at[sub]
		sub.front.to(w.machines[w.at[sub]])
		sub.front.cut()
	case doPause:
		sub.pause()
	case doRelease:
		w.release()
	case doRestart:
		if err := p.stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
		w.start(t, s.who%2)
	case doKill:
		p.kill()
		w.start(t, s.who%2)
	case doJoin:
		if w.latest != uuid.Nil {
			w.join(t, s.who%2, importer.ImportTopic(w.latest))
		}
	}
}

func (w *world) release() {
	for _, s := range w.subscribers {
		s.release()
	}
}

// settle waits until nothing more happens and everybody knows.
func (w *world) settle(t *testing.T) {
	t.Helper()
	w.release()
	eventually(t, "all imports have ended", func() bool {
		list, err := w.machines[0].client.Imports(t.Context(), importer.ImportPage{
			States: []importer.State{importer.Uploading, importer.Queued, importer.Scanning, importer.Writing}, Limit: 1})
		return err == nil && list.Total == 0
	})
	log := readLog(t, w.databaseURL)
	for _, s := range w.subscribers {
		for topic := range s.topics {
			want := int64(len(log[topic]))
			eventually(t, fmt.Sprintf("%s has event %d of %s", s.name, want, topic), func() bool { return s.seq(topic) >= want })
		}
	}
}

// beginUpload announces a file that will not come.
func beginUpload(t *testing.T, p *process) uuid.UUID {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/api/uploads", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Tus-Resumable", "1.0.0")
	req.Header.Set("Upload-Length", "100")
	req.Header.Set("Upload-Metadata", "filename YS5jc3Y=") // a.csv
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	at := resp.Header.Get("Location")
	id, err := uuid.Parse(at[strings.LastIndex(at, "/")+1:])
	if err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatalf("%s, Location %q", resp.Status, at)
	}
	return id
}

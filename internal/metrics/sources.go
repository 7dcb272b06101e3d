package metrics

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"importer"
)

// Sources are asked at each scrape.
type Sources struct {
	Store   importer.StatusStore
	Pool    func() Pool
	Sockets func() (open int, queuedBytes int64)
	Room    func() (free, total uint64, err error) // of the disk with the data directory, in bytes; nil when nothing is kept there
}

// Pool is how busy the connections to the database are.
type Pool struct {
	InUse, Idle, Opening, Max int32
	Acquired, Waited          int64
	WaitedFor                 time.Duration
	Abandoned                 int64
}

// Ask adds the figures that are looked up when somebody wants them. Those of
// the database are the same on every machine that shares it: take their
// maximum, not their sum.
func (m *Metrics) Ask(s Sources) { m.registry.MustRegister(&asker{Sources: s}) }

// scrapeTime is how long a scrape waits for the database; the rest of the
// figures comes without it.
const scrapeTime = 2 * time.Second

// asker asks one scrape after the other.
type asker struct {
	Sources
	mu sync.Mutex
}

var (
	socketsOpen   = desc("sockets_open", "WebSockets that are open on this machine.")
	socketsQueued = desc("socket_queued_bytes", "Bytes of events that wait for the clients of this machine.")

	diskFree  = desc("data_dir_free_bytes", "Room left on the disk with the data directory.")
	diskTotal = desc("data_dir_size_bytes", "Size of the disk with the data directory.")

	poolConns     = desc("postgres_pool_connections", "Connections of this machine to the database.", "state")
	poolMax       = desc("postgres_pool_connections_max", "Connections that this machine may have.")
	poolAcquired  = desc("postgres_pool_acquires_total", "Times that a connection was taken from the pool.")
	poolWaited    = desc("postgres_pool_waits_total", "Times that all connections were in use, so that somebody had to wait.")
	poolWaitedFor = desc("postgres_pool_wait_seconds_total", "Time spent waiting for a connection.")
	poolAbandoned = desc("postgres_pool_abandoned_total", "Waits for a connection that were given up.")

	storeUp      = desc("postgres_up", "Whether the database answered this scrape.")
	storeBytes   = desc("postgres_database_bytes", "Size of the database.")
	storeImports = desc("imports", "Imports by state, in the database.", "state")
	storeQueued  = desc("queue_oldest_seconds", "How long the queued import has waited that waits longest; 0 for none.")
	storeSeen    = desc("machines", "Machines on the database that gave a sign of life lately.")
	storeTotal   = desc("products", "Products in the catalogue.")
	storeSends   = desc("webhook_pending_deliveries", "Deliveries that wait for their first or next attempt, up to 100,000.")
	storeOverdue = desc("webhook_overdue_seconds", "How long the delivery is overdue that is so longest, of webhooks that do not fail; 0 for none.")
	storePending = desc("search_pending_products", "Products that wait for the search index.")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
}

// Describe implements prometheus.Collector.
func (a *asker) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		socketsOpen, socketsQueued, diskFree, diskTotal, poolConns, poolMax, poolAcquired, poolWaited, poolWaitedFor, poolAbandoned,
		storeUp, storeBytes, storeImports, storeQueued, storeSeen, storeTotal, storeSends, storeOverdue, storePending,
	} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (a *asker) Collect(to chan<- prometheus.Metric) {
	a.mu.Lock()
	defer a.mu.Unlock()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v float64) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v)
	}
	open, queued := a.Sockets()
	gauge(socketsOpen, float64(open))
	gauge(socketsQueued, float64(queued))

	if a.Room != nil {
		if free, total, err := a.Room(); err == nil {
			gauge(diskFree, float64(free))
			gauge(diskTotal, float64(total))
		}
	}

	p := a.Pool()
	gauge(poolConns, float64(p.InUse), "in_use")
	gauge(poolConns, float64(p.Idle), "idle")
	gauge(poolConns, float64(p.Opening), "opening")
	gauge(poolMax, float64(p.Max))
	count(poolAcquired, float64(p.Acquired))
	count(poolWaited, float64(p.Waited))
	count(poolWaitedFor, p.WaitedFor.Seconds())
	count(poolAbandoned, float64(p.Abandoned))

	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	s, err := a.Store.Status(ctx)
	if err != nil {
		gauge(storeUp, 0)
		return
	}
	gauge(storeUp, 1)
	gauge(storeBytes, float64(s.Bytes))
	for state, n := range s.Imports {
		gauge(storeImports, float64(n), string(state))
	}
	gauge(storeQueued, s.QueuedFor.Seconds())
	alive := 0
	for _, m := range s.Machines {
		if m.Alive {
			alive++
		}
	}
	gauge(storeSeen, float64(alive))
	gauge(storeTotal, float64(s.Indexing.Total))
	gauge(storePending, float64(s.Indexing.Pending))
	gauge(storeSends, float64(s.Webhooks.Pending))
	gauge(storeOverdue, s.Webhooks.OverdueFor.Seconds())
}

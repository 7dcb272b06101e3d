package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"importer/db"
	"importer/internal/pgserver"
)

const (
	oldestPostgres = 14
	slowDatabase   = 20 * time.Millisecond // to answer; each batch asks a few times
	largeSkew      = 2 * time.Second
	hintTime       = 10 * time.Second // for a hint to arrive
)

// checkDatabase connects, to the private Postgres only if it runs.
func checkDatabase(ctx context.Context, p *patient) []finding {
	url, private := p.databaseURL, ""
	if url == "" {
		if p.privatePG == "never" {
			return nil // settings has said so
		}
		found, err := pgserver.Find(pgserver.Options{Root: p.privateRoot(), BinDir: p.pgBin, ToolsDirs: toolsDirs()})
		if err != nil {
			return []finding{fail("mend that, or set DATABASE_URL", "the private Postgres cannot run: %v", err)}
		}
		if found.DSN == "" {
			return []finding{ok("serve starts a private PostgreSQL %s (%s); run doctor again while it runs to have it looked at, too", found.Binary.Version, found.Binary.Dir)}
		}
		url, private = found.DSN, "private "
	}
	store, err := db.Open(db.Options{URL: url, Direct: p.directURL})
	if err != nil {
		return []finding{fail("correct DATABASE_URL", "%s", reason(err))}
	}
	if p.exam, err = store.Examine(ctx); err != nil {
		store.Close()
		return []finding{fail("check DATABASE_URL, the network in between, and that the server runs", "%s", reason(err))}
	}
	p.store = store
	e := p.exam
	switch {
	case e.Major < oldestPostgres:
		return []finding{fail(fmt.Sprintf("use PostgreSQL %d or newer", oldestPostgres), "it is PostgreSQL %s", e.Server)}
	case e.Encoding != "UTF8":
		return []finding{fail("make a database with ENCODING 'UTF8'", "%s holds %s, not UTF8: names in other alphabets would be refused", e.Database, e.Encoding)}
	case e.ReadOnly:
		return []finding{fail("use the address of the primary", "%s is read only: a standby, or told to be", e.Database)}
	case e.RoundTrip > slowDatabase:
		return []finding{warn("run the server near its database", "%sPostgreSQL %s takes %v to answer", private, e.Server, e.RoundTrip.Round(time.Millisecond))}
	}
	return []finding{ok("%sPostgreSQL %s answers in %v, as %s in %s", private, e.Server, e.RoundTrip.Round(10*time.Microsecond), e.Role, e.Database)}
}

func checkRights(_ context.Context, p *patient) []finding {
	switch e := p.exam; {
	case p.store == nil:
		return nil
	case !e.MayCreate:
		return []finding{fail(fmt.Sprintf("GRANT CREATE ON SCHEMA public TO %s, or run importer migrate as another role", e.Role), "%s may not create tables", e.Role)}
	case !e.MayAlter:
		return []finding{fail("run as the role that owns the tables, or give them to this one: REASSIGN OWNED BY …", "%s does not own the tables, so it cannot migrate them", e.Role)}
	}
	return []finding{ok("%s may create and change tables", p.exam.Role)}
}

func checkMigrations(ctx context.Context, p *patient) []finding {
	if p.store == nil {
		return nil
	}
	missing, err := p.store.Unmigrated(ctx)
	switch {
	case err != nil:
		return []finding{fail("run the release that the database belongs to", "%s", reason(err))}
	case len(missing) > 0:
		return []finding{warn("importer migrate, or let serve do it when it starts", "%d are to be applied: %s", len(missing), strings.Join(missing, ", "))}
	}
	return []finding{ok("all are applied")}
}

func checkDurability(_ context.Context, p *patient) []finding {
	switch {
	case p.store == nil:
		return nil
	case !p.exam.Durable:
		return []finding{warn("set fsync and full_page_writes to on", "the database does not make sure that data is on its disk: a power cut may destroy all of it")}
	}
	return []finding{ok("the database puts what it commits on its disk")}
}

// checkPooler looks for a transaction pooler, where nothing can be listened
// for, and sends a hint around.
func checkPooler(ctx context.Context, p *patient) []finding {
	if p.store == nil {
		return nil
	}
	pooled, direct, err := p.store.Pooling(ctx)
	if err != nil {
		return []finding{warn("check DIRECT_DATABASE_URL", "%s", reason(err))}
	}
	const do = "set DIRECT_DATABASE_URL to the database itself, past the pooler; until then machines look for news of each other four times a second"
	if direct == db.TransactionPooling {
		return []finding{warn(do, "%s leads to a transaction pooler, through which nobody can listen", p.listensOn())}
	}
	ctx, cancel := context.WithTimeout(ctx, hintTime)
	defer cancel()
	if err := p.store.Heard(ctx); err != nil {
		return []finding{warn(do, "a hint from one machine to another does not arrive: %s", reason(err))}
	}
	what := map[db.Pooling]string{
		db.NoPooling: "there is none", db.SessionPooling: "there is one that pools sessions, which is fine",
		db.TransactionPooling: "DATABASE_URL leads to a transaction pooler, DIRECT_DATABASE_URL past it",
	}
	return []finding{ok("%s; machines hear each other", what[pooled])}
}

// listensOn names the setting whose database is listened on.
func (c *config) listensOn() string {
	if c.directURL != "" {
		return "DIRECT_DATABASE_URL"
	}
	return "DATABASE_URL"
}

func checkConnections(_ context.Context, p *patient) []finding {
	if p.store == nil {
		return nil
	}
	// One more is listened on.
	need, free := p.exam.Pool+1, p.exam.MaxConnections-p.exam.Connections
	if free < need {
		return []finding{warn("raise max_connections, close others, or lower pool_max_conns in DATABASE_URL", "a machine takes up to %d, but only %d of %d are free", need, free, p.exam.MaxConnections)}
	}
	return []finding{ok("a machine takes up to %d; %d of %d are free", need, free, p.exam.MaxConnections)}
}

func checkClock(_ context.Context, p *patient) []finding {
	if p.store == nil {
		return nil
	}
	skew := p.exam.Skew.Round(time.Millisecond)
	if skew.Abs() > largeSkew+p.exam.RoundTrip/2 {
		return []finding{warn("let both keep time with NTP; imports go on, but the ages that people and figures see are wrong", "the database's clock differs from this machine's by %v", skew.Abs())}
	}
	return []finding{ok("the database's differs from this machine's by %v", skew.Abs())}
}

func checkSearch(ctx context.Context, p *patient) []finding {
	if p.store == nil {
		return nil
	}
	const slower = "searches are right without the extension pg_trgm, but take 0.3 s for each million products"
	indexed, err := p.store.SearchIndexed(ctx)
	switch {
	case err != nil:
		return []finding{warn("look at the database's log", "%s", reason(err))}
	case indexed:
		return []finding{ok("the index is there")}
	case p.exam.Trigrams:
		return []finding{ok("pg_trgm is installed; migrations make the index")}
	case p.exam.Available:
		return []finding{warn("before the first migration let a superuser run CREATE EXTENSION pg_trgm in this database, where migrations may not", slower)}
	}
	return []finding{warn("install the package postgresql-contrib on the database's machine", slower)}
}

package main

import (
	"context"
	"fmt"
	"net"

	"importer"
)

// mayListen refuses to be reachable from elsewhere without credentials: whoever
// reached the port could change the catalogue. store is nil where there is no
// database yet, which has no password.
func (c *config) mayListen(ctx context.Context, store importer.AccessStore) error {
	if c.adminToken != "" || isLoopback(c.addr) {
		return nil
	}
	if store != nil {
		password, err := store.Password(ctx)
		if err != nil || password != "" {
			return err
		}
	}
	return failed{exitUsage, fmt.Errorf("addr is %q, but without credentials the server listens on this machine only: "+
		"set IMPORTER_ADMIN_TOKEN (openssl rand -hex 24), or start with 127.0.0.1 and set a password on the Settings page first", c.addr)}
}

// isLoopback reports whether only this machine can reach an address.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// checkAccess tells the doctor's reader who gets in.
func checkAccess(ctx context.Context, p *patient) []finding {
	switch {
	case p.adminToken != "":
		return []finding{ok("callers need the admin token, a session or an API token")}
	case p.store == nil && p.databaseExists():
		return nil // the check of the database has said why
	case p.store != nil:
		if missing, err := p.store.Unmigrated(ctx); err != nil || len(missing) > 0 {
			break // before the first start nobody has set one
		}
		password, err := p.store.Password(ctx)
		if err != nil {
			return []finding{fail("look at the checks of the database", "whether a password is set cannot be found out: %s", reason(err))}
		}
		if password != "" {
			return []finding{ok("callers need the password, a session or an API token")}
		}
	}
	if _, _, err := net.SplitHostPort(p.addr); err != nil {
		return nil // settings has said so
	}
	if isLoopback(p.addr) {
		return []finding{ok("nobody has to sign in, and only this machine reaches %s", p.addr)}
	}
	return []finding{fail("set IMPORTER_ADMIN_TOKEN, or start on 127.0.0.1 and set a password first", "serve refuses to listen on %s as long as nobody has to sign in", p.addr)}
}

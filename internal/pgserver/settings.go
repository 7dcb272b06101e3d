package pgserver

// arguments are the server's command line. Settings go there and not into
// postgresql.conf, so that each start has exactly these.
func (c *Cluster) arguments() []string {
	settings := []string{
		"log_line_prefix=%e ", // SQLSTATE; first, to hold for complaints about the rest
		"log_destination=stderr",
		"logging_collector=off",
		"lc_messages=C",
		"log_timezone=UTC",
		"timezone=UTC",
		// Details, contexts and statements quote rows; the client gets them.
		"log_error_verbosity=terse",
		"log_min_error_statement=panic",

		"cluster_name=" + appName,
		"listen_addresses=",
		"port=" + socketPort,
		`unix_socket_directories="` + c.layout.run + `"`,
		"unix_socket_permissions=0700",
		"hba_file=" + c.hbaFile(),
		"ident_file=" + c.identFile(),

		// No replica, so the least WAL; few checkpoints, as each makes the
		// pages touched after it be logged in full.
		"wal_level=minimal",
		"max_wal_senders=0",
		"wal_compression=on",
		"checkpoint_timeout=15min",
		"random_page_cost=1.1", // solid state
		"jit=off",              // costs more than it gains on short statements
	}
	if c.throwaway {
		settings = append(settings,
			"fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off",
			"shared_buffers=128MB", "max_wal_size=512MB", "max_connections=200")
	} else {
		settings = append(settings,
			"fsync=on", "synchronous_commit=on",
			"shared_buffers=256MB", "max_wal_size=4GB", "max_connections=100")
	}
	args := []string{"-D", c.layout.data}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	return args
}

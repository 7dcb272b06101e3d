-- Files on their way into the catalogue.
--
-- owner, lease_until and epoch are the lease: owner works on the import until
-- lease_until by this database's clock, and writes nothing under an older
-- epoch. No owner means anyone may claim it from not_before on.
CREATE TABLE imports (
	id            uuid        PRIMARY KEY, -- v7: sorts by time
	filename      text        NOT NULL,
	size          bigint      NOT NULL,
	state         text        NOT NULL CHECK (state IN
		('uploading', 'queued', 'scanning', 'writing', 'completed', 'failed', 'cancelled')),
	dry_run       boolean     NOT NULL,
	resumable     boolean     NOT NULL,
	batch_rows    integer     NOT NULL CHECK (batch_rows > 0),

	-- What the head of the file said. Before the scan, mapping is what the
	-- user mapped by hand.
	encoding      text        NOT NULL DEFAULT '',
	delimiter     text        NOT NULL DEFAULT '',
	mapping       jsonb       NOT NULL DEFAULT '{}',
	columns       jsonb       NOT NULL DEFAULT '[]',
	header        bytea,

	rows          bigint      NOT NULL DEFAULT 0,
	created       bigint      NOT NULL DEFAULT 0,
	updated       bigint      NOT NULL DEFAULT 0,
	unchanged     bigint      NOT NULL DEFAULT 0,
	duplicates    bigint      NOT NULL DEFAULT 0,
	rejected      bigint      NOT NULL DEFAULT 0,
	progress      jsonb       NOT NULL DEFAULT '{}', -- its percent never falls
	error         jsonb,

	owner         uuid,
	lease_until   timestamptz NOT NULL DEFAULT now(),
	epoch         bigint      NOT NULL DEFAULT 1,
	not_before    timestamptz NOT NULL DEFAULT now(),
	attempts      integer     NOT NULL DEFAULT 1,
	-- Claims since it last got further, and how far that was: 0 before writing,
	-- then 1 + batches in the ledger.
	stuck_claims  integer     NOT NULL DEFAULT 0,
	stuck_at      bigint      NOT NULL DEFAULT 0,

	created_at    timestamptz NOT NULL,
	bytes_at      timestamptz NOT NULL DEFAULT now(), -- when the upload last grew
	uploaded_at   timestamptz,                        -- when it was whole
	started_at    timestamptz,
	finished_at   timestamptz
) WITH (fillfactor = 50); -- renewed every few seconds, in place

CREATE INDEX imports_unfinished ON imports (id)
	WHERE state IN ('uploading', 'queued', 'scanning', 'writing');
CREATE INDEX imports_finished ON imports (finished_at);

-- The ledger: what each batch did, written in the batch's transaction.
CREATE TABLE import_batches (
	import_id uuid    NOT NULL REFERENCES imports ON DELETE CASCADE,
	batch     integer NOT NULL,
	created   integer NOT NULL,
	updated   integer NOT NULL,
	unchanged integer NOT NULL,
	PRIMARY KEY (import_id, batch)
);

CREATE TABLE import_rejects (
	import_id uuid   NOT NULL REFERENCES imports ON DELETE CASCADE,
	line      bigint NOT NULL,
	reason    text   NOT NULL,
	field     text   NOT NULL,
	sku       text   NOT NULL,
	name      text   NOT NULL,
	raw       bytea, -- NULL when the record was too long to keep
	PRIMARY KEY (import_id, line)
);

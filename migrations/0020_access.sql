-- Who may come in. Nothing here opens a door: the password is an argon2id
-- hash, all else is the SHA-256 of something random.

CREATE TABLE access_password (
	single     boolean     PRIMARY KEY DEFAULT true CHECK (single),
	hash       text        NOT NULL,
	changed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE sessions (
	id         uuid        PRIMARY KEY,
	secret     bytea       NOT NULL UNIQUE,
	address    text        NOT NULL,
	browser    text        NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	seen_at    timestamptz NOT NULL DEFAULT now(),
	ends_at    timestamptz NOT NULL -- at the latest
);

CREATE TABLE api_tokens (
	id           uuid        PRIMARY KEY,
	secret       bytea       NOT NULL UNIQUE,
	name         text        NOT NULL,
	scope        text        NOT NULL CHECK (scope IN ('read', 'import', 'write', 'admin')),
	hint         text        NOT NULL,
	created_at   timestamptz NOT NULL DEFAULT now(),
	last_used_at timestamptz,
	expires_at   timestamptz
);

-- For one WebSocket each, within seconds.
CREATE TABLE ws_tickets (
	secret     bytea       PRIMARY KEY,
	kind       text        NOT NULL,
	caller     uuid        NOT NULL, -- the session or token it came from
	name       text        NOT NULL,
	scope      text        NOT NULL,
	until      timestamptz,          -- that one's end
	expires_at timestamptz NOT NULL
);

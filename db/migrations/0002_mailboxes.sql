-- Where mail comes from and leaves through.

-- Mailboxes of one group share what they have seen: one conversation, one case.
CREATE TABLE mailbox_group (
	id        uuid PRIMARY KEY,
	tenant_id uuid NOT NULL REFERENCES tenant,
	name      text NOT NULL,
	UNIQUE (tenant_id, name)
);

CREATE TABLE outbound_mailbox (
	id             uuid PRIMARY KEY,
	tenant_id      uuid NOT NULL REFERENCES tenant,
	name           text NOT NULL,
	host           text NOT NULL,
	port           integer NOT NULL CHECK (port BETWEEN 1 AND 65535),
	tls            text NOT NULL CHECK (tls IN ('implicit', 'starttls', 'clear')),
	ca_file        text NOT NULL DEFAULT '',
	insecure       boolean NOT NULL DEFAULT false, -- certificate not verified; shows in state and metrics
	username       text NOT NULL DEFAULT '',       -- '': no login
	credential_id  uuid REFERENCES credential,
	sender_name    text NOT NULL DEFAULT '',
	sender_address text NOT NULL,
	bcc_archive    text NOT NULL DEFAULT '',       -- a copy of everything goes here
	is_default     boolean NOT NULL DEFAULT false,
	is_active      boolean NOT NULL DEFAULT true,
	changed_at     timestamptz NOT NULL DEFAULT now(),
	created_at     timestamptz NOT NULL DEFAULT now(),
	UNIQUE (tenant_id, name)
);
CREATE UNIQUE INDEX outbound_mailbox_one_default ON outbound_mailbox (tenant_id) WHERE is_default;

-- Written by whoever sends; apart from its settings so that these stay quiet.
CREATE TABLE outbound_mailbox_state (
	outbound_mailbox_id uuid PRIMARY KEY REFERENCES outbound_mailbox ON DELETE CASCADE,
	tenant_id       uuid NOT NULL,
	state           text NOT NULL DEFAULT 'starting' CHECK (state IN ('starting', 'ok', 'backing_off', 'auth_failed', 'off')),
	reason          text NOT NULL DEFAULT '',
	remedy          text NOT NULL DEFAULT '',
	failures        integer NOT NULL DEFAULT 0,
	since           timestamptz NOT NULL DEFAULT now(),
	last_success_at timestamptz,
	next_try_at     timestamptz
) WITH (fillfactor = 10);

CREATE TABLE mailbox (
	id             uuid PRIMARY KEY,
	tenant_id      uuid NOT NULL REFERENCES tenant,
	address        text NOT NULL, -- folded; the group address that customers write to
	description    text NOT NULL DEFAULT '',
	kind           text NOT NULL DEFAULT 'queue' CHECK (kind IN ('queue', 'personal')),
	protocol       text NOT NULL DEFAULT 'imap' CHECK (protocol IN ('imap', 'pop3')),
	host           text NOT NULL,
	port           integer NOT NULL CHECK (port BETWEEN 1 AND 65535),
	tls            text NOT NULL CHECK (tls IN ('implicit', 'starttls', 'clear')),
	ca_file        text NOT NULL DEFAULT '',
	insecure       boolean NOT NULL DEFAULT false,
	username       text NOT NULL,
	credential_id  uuid REFERENCES credential,
	group_id       uuid NOT NULL REFERENCES mailbox_group,
	queue_id       uuid REFERENCES queue,
	outbound_mailbox_id uuid REFERENCES outbound_mailbox,
	sender_trust   text NOT NULL DEFAULT 'standard' CHECK (sender_trust IN ('standard', 'strict', 'internal')),
	rung5          boolean NOT NULL DEFAULT false, -- match by subject and participant within a window
	rung5_days     integer NOT NULL DEFAULT 14 CHECK (rung5_days BETWEEN 1 AND 3650),
	auto_reply     boolean NOT NULL DEFAULT true,
	after_intake   text NOT NULL DEFAULT 'keep' CHECK (after_intake IN ('keep', 'seen')),
	poll_s         integer NOT NULL DEFAULT 120 CHECK (poll_s BETWEEN 1 AND 86400),
	size_limit     bigint NOT NULL DEFAULT 52428800 CHECK (size_limit BETWEEN 1024 AND 209715200),
	credit         integer NOT NULL DEFAULT 500 CHECK (credit BETWEEN 1 AND 100000),
	start_from     text NOT NULL DEFAULT 'now' CHECK (start_from IN ('now', 'date', 'all')),
	start_date     timestamptz,
	is_loud        boolean NOT NULL DEFAULT false, -- old mail is not quiet
	is_active      boolean NOT NULL DEFAULT true,
	changed_at     timestamptz NOT NULL DEFAULT now(),
	added_at       timestamptz NOT NULL DEFAULT now(),
	UNIQUE (tenant_id, address),
	CHECK (start_from <> 'date' OR start_date IS NOT NULL)
);

CREATE TABLE mailbox_state (
	mailbox_id      uuid PRIMARY KEY REFERENCES mailbox ON DELETE CASCADE,
	tenant_id       uuid NOT NULL,
	state           text NOT NULL DEFAULT 'starting' CHECK (state IN ('starting', 'ok', 'backing_off', 'auth_failed', 'off')),
	reason          text NOT NULL DEFAULT '', -- what the server or the network said, no secrets
	remedy          text NOT NULL DEFAULT '', -- what a person should do
	failures        integer NOT NULL DEFAULT 0,
	version         bigint NOT NULL DEFAULT 0, -- sequence of its mailbox.events
	since           timestamptz NOT NULL DEFAULT now(),
	last_success_at timestamptz,
	last_error_at   timestamptz,
	next_try_at     timestamptz,
	has_idle        boolean,
	seen_uids       bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10);

-- The cursor. last_uid only grows under one uidvalidity; nothing below floor_uid is ours.
CREATE TABLE mailbox_folder (
	id          uuid PRIMARY KEY,
	tenant_id   uuid NOT NULL,
	mailbox_id  uuid NOT NULL REFERENCES mailbox ON DELETE CASCADE,
	name        text NOT NULL, -- UTF-8; spoken to the server in its own encoding
	is_active   boolean NOT NULL DEFAULT true,
	uidvalidity bigint,
	floor_uid   bigint NOT NULL DEFAULT 1,
	last_uid    bigint NOT NULL DEFAULT 0,
	synced_at   timestamptz,
	UNIQUE (mailbox_id, name)
) WITH (fillfactor = 10);

-- The one table of leases. Whoever holds one reads its row FOR SHARE, with owner and epoch, in every transaction.
CREATE TABLE lease (
	kind    text NOT NULL,
	name    text NOT NULL,
	owner   text NOT NULL,
	epoch   bigint NOT NULL,
	expires timestamptz NOT NULL,
	PRIMARY KEY (kind, name)
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- Actions on the server after intake: durable, repeatable, void under another uidvalidity.
CREATE TABLE server_action (
	id          uuid PRIMARY KEY,
	tenant_id   uuid NOT NULL,
	mailbox_id  uuid NOT NULL,
	folder_id   uuid NOT NULL,
	uidvalidity bigint NOT NULL,
	uid         bigint NOT NULL,
	action      text NOT NULL CHECK (action IN ('seen')),
	state       text NOT NULL DEFAULT 'due' CHECK (state IN ('due', 'done', 'void')),
	due_at      timestamptz NOT NULL,
	attempts    integer NOT NULL DEFAULT 0,
	done_at     timestamptz,
	UNIQUE (folder_id, uidvalidity, uid, action)
);
CREATE INDEX server_action_due ON server_action (mailbox_id, due_at) WHERE state = 'due';

-- What arrived: the ledger, the raw bytes, the messages.

CREATE TABLE blob (
	id        uuid PRIMARY KEY,
	tenant_id uuid NOT NULL,
	sha256    bytea NOT NULL,
	size      bigint NOT NULL,
	bytes     bytea COMPRESSION lz4 NOT NULL
) WITH (toast_tuple_target = 8160);

-- The ledger: every UID at or above its folder's floor has a row, which ends in a terminal state or says why it waits.
-- Waiting: received, retrying, action_needed. Terminal: the others.
CREATE TABLE intake (
	id            uuid PRIMARY KEY,
	tenant_id     uuid NOT NULL,
	mailbox_id    uuid NOT NULL,
	folder_id     uuid NOT NULL,
	uidvalidity   bigint NOT NULL,
	uid           bigint NOT NULL,
	state         text NOT NULL CHECK (state IN ('received', 'retrying', 'action_needed', 'case', 'attached', 'personal',
	                  'filtered', 'duplicate', 'quarantined', 'gone', 'dead')),
	reason        text NOT NULL DEFAULT '',
	blob_id       uuid,
	size          bigint NOT NULL DEFAULT 0,
	internal_date timestamptz,
	noticed_at    timestamptz, -- when the server's EXISTS line told us of it
	received_at   timestamptz NOT NULL, -- the recorded intake time: `now` in every later decision about it
	decided_at    timestamptz,
	is_quiet      boolean NOT NULL DEFAULT false,
	message_id    uuid,
	case_id       uuid,
	UNIQUE (folder_id, uidvalidity, uid)
) WITH (fillfactor = 60);
CREATE INDEX intake_waiting ON intake (mailbox_id) WHERE state IN ('received', 'retrying', 'action_needed');
CREATE INDEX intake_message ON intake (message_id);

-- identity: the first 16 bytes of sha256 over tenant and what makes two mails the same one. The body is capped; the
-- rest is read from the blob.
CREATE TABLE message (
	id             uuid PRIMARY KEY,
	tenant_id      uuid NOT NULL,
	identity       uuid NOT NULL UNIQUE,
	direction      text NOT NULL CHECK (direction IN ('in', 'out', 'note')),
	kind           text NOT NULL DEFAULT 'normal',
	is_automatic   boolean NOT NULL DEFAULT false,
	is_quiet       boolean NOT NULL DEFAULT false,
	message_id     text NOT NULL DEFAULT '', -- the Message-ID header, without brackets
	in_reply_to    text[] NOT NULL DEFAULT '{}',
	reference_ids  text[] NOT NULL DEFAULT '{}',
	from_name      text NOT NULL DEFAULT '',
	from_address   text NOT NULL DEFAULT '', -- folded
	to_addresses   text[] NOT NULL DEFAULT '{}',
	cc_addresses   text[] NOT NULL DEFAULT '{}',
	subject        text NOT NULL DEFAULT '',
	body           text COMPRESSION lz4 NOT NULL DEFAULT '',
	body_is_cut    boolean NOT NULL DEFAULT false,
	sender_level   text NOT NULL DEFAULT 'unknown' CHECK (sender_level IN ('failed', 'unknown', 'authenticated')),
	variant_of     uuid,                            -- same id, sender and date, another body
	is_suspicious  boolean NOT NULL DEFAULT false,  -- another sender under a known Message-ID
	defects        text[] NOT NULL DEFAULT '{}',
	blob_id        uuid,
	size           bigint NOT NULL DEFAULT 0,
	author_user_id uuid,                            -- out and note
	mailbox_id     uuid,                            -- the receiving one; NULL for out and note
	sent_at        timestamptz,                     -- its Date
	created_at     timestamptz NOT NULL
);
-- Where-is looks up by Message-ID and by sender; hash and short indexes, since strangers choose the length.
CREATE INDEX message_header_id ON message (md5(message_id));
CREATE INDEX message_from ON message (md5(from_address), created_at);

CREATE TABLE attachment (
	message_id   uuid NOT NULL,
	position     integer NOT NULL,
	tenant_id    uuid NOT NULL,
	name         text NOT NULL,
	type         text NOT NULL,
	content_id   text NOT NULL DEFAULT '',
	size         bigint NOT NULL,
	sha256       bytea NOT NULL,
	is_inline    boolean NOT NULL,
	raw_offset   bigint NOT NULL, -- where its encoded bytes stand in the raw mail
	raw_length   bigint NOT NULL,
	encoding     text NOT NULL CHECK (encoding IN ('identity', 'base64', 'quoted-printable', 'uuencode')),
	PRIMARY KEY (message_id, position)
);

CREATE TABLE quarantine (
	id         uuid PRIMARY KEY,
	tenant_id  uuid NOT NULL,
	intake_id  uuid NOT NULL UNIQUE,
	reason     text NOT NULL CHECK (reason IN ('parser', 'too_big')),
	detail     text NOT NULL DEFAULT '',
	created_at timestamptz NOT NULL,
	ended_at   timestamptz,
	ended_by   uuid
);

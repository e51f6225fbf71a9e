-- Cases, who takes part, what happened.

CREATE TABLE case_file (
	id             uuid PRIMARY KEY,
	tenant_id      uuid NOT NULL,
	number         bigint NOT NULL,
	version        bigint NOT NULL, -- of its last record; +1 a transaction that says something of it, no gaps
	state          text NOT NULL CHECK (state IN ('open', 'waiting', 'closed', 'merged')),
	subject        text NOT NULL,
	subject_base   text NOT NULL, -- without prefixes and tags, folded
	queue_id       uuid,
	team_id        uuid,
	assignee_id    uuid,
	mailbox_id     uuid,          -- that received the opener
	group_id       uuid NOT NULL,
	opener_message_id uuid,
	root_header_id text NOT NULL DEFAULT '', -- Message-ID that every mail of ours refers to
	message_count  integer NOT NULL DEFAULT 0,
	is_touched     boolean NOT NULL DEFAULT false, -- a person has worked on it
	is_quiet       boolean NOT NULL DEFAULT false,
	merged_into    uuid,
	opened_at      timestamptz NOT NULL,
	changed_at     timestamptz NOT NULL,
	closed_at      timestamptz,
	UNIQUE (number, tenant_id)
) WITH (fillfactor = 60);
CREATE INDEX case_file_assignee ON case_file (assignee_id) WHERE assignee_id IS NOT NULL AND state IN ('open', 'waiting');
-- Rung 5: base subject in a window; the hash keeps long subjects out of the index.
CREATE INDEX case_file_subject ON case_file (md5(subject_base), opened_at);

-- One row a fact; the record of version V is the list of its rows, in order. `data` is what is published (no subject,
-- address or text); `detail` is what the decision rested on and stays here.
CREATE TABLE case_event (
	case_id     uuid NOT NULL,
	version     bigint NOT NULL,
	ordinal     integer NOT NULL,
	tenant_id   uuid NOT NULL,
	kind        text NOT NULL,
	author_kind text NOT NULL CHECK (author_kind IN ('system', 'user', 'sender')),
	author_id   uuid,
	cause       uuid NOT NULL, -- ce_id of the record at the root of this chain
	hop         integer NOT NULL,
	data        jsonb NOT NULL,
	detail      jsonb,
	created_at  timestamptz NOT NULL,
	PRIMARY KEY (case_id, version, ordinal)
);

CREATE TABLE participant (
	case_id   uuid NOT NULL,
	address   text NOT NULL, -- folded
	tenant_id uuid NOT NULL,
	role      text NOT NULL CHECK (role IN ('opener', 'added', 'confirmed')),
	name      text NOT NULL DEFAULT '',
	added_at  timestamptz NOT NULL,
	PRIMARY KEY (case_id, address)
);

-- Membership. A message may belong to no case. Pending: visible, but no reopening, no participant, nothing goes out.
CREATE TABLE case_message (
	message_id    uuid NOT NULL,
	case_id       uuid NOT NULL,
	tenant_id     uuid NOT NULL,
	position      integer NOT NULL, -- within the case
	is_pending    boolean NOT NULL DEFAULT false,
	is_external   boolean NOT NULL DEFAULT false, -- its sender was no participant
	is_unverified boolean NOT NULL DEFAULT false, -- its DMARC failed
	matched_by    text NOT NULL,
	evidence      jsonb NOT NULL DEFAULT '{}', -- all that was found, what decided and why
	confirmed_by  uuid,
	confirmed_at  timestamptz,
	created_at    timestamptz NOT NULL,
	PRIMARY KEY (message_id, case_id)
);
CREATE INDEX case_message_case ON case_message (case_id, position);

-- Every Message-ID seen or referred to. id: first 16 bytes of sha256(tenant, mailbox group, normalised id). `case_id`
-- changes only under the old case's lock.
CREATE TABLE message_ref (
	id         uuid PRIMARY KEY,
	tenant_id  uuid NOT NULL,
	case_id    uuid NOT NULL,
	message_id uuid, -- the message that bears it, once seen
	created_at timestamptz NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX message_ref_case ON message_ref (case_id);

CREATE TABLE follower (
	case_id   uuid NOT NULL,
	user_id   uuid NOT NULL,
	tenant_id uuid NOT NULL,
	added_at  timestamptz NOT NULL,
	PRIMARY KEY (case_id, user_id)
);

CREATE TABLE timer (
	id        uuid PRIMARY KEY,
	tenant_id uuid NOT NULL,
	case_id   uuid NOT NULL,
	kind      text NOT NULL CHECK (kind IN ('assign_again')),
	due_at    timestamptz NOT NULL,
	UNIQUE (case_id, kind)
);
CREATE INDEX timer_due ON timer (due_at);

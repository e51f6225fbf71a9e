-- What leaves: one message an audience, one copy a recipient.

-- Serials are signed into tokens; drawn before the mail is composed.
CREATE SEQUENCE outbound_serial AS bigint MINVALUE 1;

CREATE TABLE outbound_message (
	id             uuid PRIMARY KEY,
	tenant_id      uuid NOT NULL,
	serial         bigint NOT NULL UNIQUE,
	case_id        uuid NOT NULL,
	case_version   bigint NOT NULL, -- of the record that made it due
	audience       text NOT NULL CHECK (audience IN ('customer', 'staff')),
	kind           text NOT NULL CHECK (kind IN ('reply', 'auto_reply', 'notice')),
	reason         text NOT NULL,   -- why it is sent: case_opened, assigned, message_added, ...
	user_id        uuid,            -- staff: the token is bound to this user
	message_id     uuid,            -- the message of ours that it carries, or (auto-reply, notice) that it is about
	outbound_mailbox_id uuid NOT NULL,
	mailbox_reason text NOT NULL,   -- why this outbound mailbox
	header_id      text NOT NULL UNIQUE, -- Message-ID, fixed before the first attempt; without brackets
	envelope_from  text NOT NULL,   -- '': null return path
	bytes          bytea COMPRESSION lz4 NOT NULL, -- the whole mail, CRLF; the same for every recipient
	created_at     timestamptz NOT NULL
);
-- Natural key: an effect happens once, however often its cause is delivered.
CREATE UNIQUE INDEX outbound_once ON outbound_message (case_id, case_version, audience, kind, reason,
	(COALESCE(user_id, '00000000-0000-0000-0000-000000000000'::uuid)));
CREATE UNIQUE INDEX outbound_one_auto_reply ON outbound_message (case_id) WHERE kind = 'auto_reply';

CREATE TABLE outbound_copy (
	id              uuid PRIMARY KEY,
	tenant_id       uuid NOT NULL,
	outbound_id     uuid NOT NULL REFERENCES outbound_message,
	outbound_mailbox_id uuid NOT NULL,
	recipient       text NOT NULL, -- folded domain, local part as given
	role            text NOT NULL CHECK (role IN ('to', 'cc', 'bcc', 'archive')),
	state           text NOT NULL CHECK (state IN ('queued', 'sending', 'accepted', 'deferred', 'failed', 'unknown', 'bounced')),
	attempts        integer NOT NULL DEFAULT 0,
	next_attempt_at timestamptz NOT NULL,
	owner           text,          -- claimed by this sender until `expires`; the row stays queued until `sending`
	epoch           bigint NOT NULL DEFAULT 0,
	expires         timestamptz,
	reply_code      integer NOT NULL DEFAULT 0,
	reply_text      text NOT NULL DEFAULT '',
	changed_at      timestamptz NOT NULL,
	UNIQUE (outbound_id, recipient)
) WITH (fillfactor = 60);
CREATE INDEX outbound_copy_due ON outbound_copy (outbound_mailbox_id, next_attempt_at) WHERE state IN ('queued', 'deferred');
CREATE INDEX outbound_copy_sending ON outbound_copy (expires) WHERE state = 'sending';
CREATE INDEX outbound_copy_recipient ON outbound_copy (recipient);

-- Notices in the system.
CREATE TABLE notification (
	id           uuid PRIMARY KEY,
	tenant_id    uuid NOT NULL,
	user_id      uuid NOT NULL,
	case_id      uuid NOT NULL,
	case_version bigint NOT NULL,
	kind         text NOT NULL,
	created_at   timestamptz NOT NULL,
	read_at      timestamptz,
	UNIQUE (case_id, case_version, kind, user_id)
);
CREATE INDEX notification_unread ON notification (user_id, created_at) WHERE read_at IS NULL;

-- Token buckets. Keys are sorted, coarse last: 'address:…' < 'domain:…' < 'mailbox:…'.
CREATE TABLE budget (
	key        text PRIMARY KEY,
	tenant_id  uuid NOT NULL,
	tokens     double precision NOT NULL,
	updated_at timestamptz NOT NULL
) WITH (fillfactor = 50);

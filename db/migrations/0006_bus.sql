-- The outbox, and the bus engine that lives in PostgreSQL.

-- seq is drawn after the lock of the row's case (mailbox) is held, so that order per key is commit order.
CREATE SEQUENCE outbox_seq AS bigint CACHE 1;

CREATE TABLE outbox (
	seq         bigint PRIMARY KEY DEFAULT nextval('outbox_seq'),
	ce_id       uuid NOT NULL,
	tenant_id   uuid NOT NULL,
	topic       text NOT NULL,
	key         text NOT NULL,
	key_hash    integer NOT NULL, -- murmur2 of the key, sign bit cleared; modulo the topic's partitions
	type        text NOT NULL,
	subject     text NOT NULL,
	sequence    bigint NOT NULL DEFAULT 0,
	traceparent text NOT NULL DEFAULT '',
	value       bytea NOT NULL,
	created_at  timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
        autovacuum_vacuum_insert_threshold = -1, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE bus_topic (
	name       text PRIMARY KEY,
	partitions integer NOT NULL CHECK (partitions BETWEEN 1 AND 1000),
	retention_hours integer NOT NULL DEFAULT 168
);

-- The counter stays locked until commit: offsets are free of gaps and become visible in order.
CREATE TABLE bus_partition (
	topic       text NOT NULL REFERENCES bus_topic,
	partition   integer NOT NULL,
	next_offset bigint NOT NULL DEFAULT 0,
	first_offset bigint NOT NULL DEFAULT 0, -- below it all is trimmed
	PRIMARY KEY (topic, partition)
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

CREATE TABLE bus_log (
	topic       text NOT NULL,
	partition   integer NOT NULL,
	log_offset  bigint NOT NULL,
	ce_id       uuid NOT NULL,
	tenant_id   uuid NOT NULL,
	key         text NOT NULL,
	type        text NOT NULL,
	subject     text NOT NULL,
	sequence    bigint NOT NULL,
	traceparent text NOT NULL,
	value       bytea NOT NULL,
	created_at  timestamptz NOT NULL, -- ce_time
	PRIMARY KEY (topic, partition, log_offset)
);

-- On both engines: `clean` is false from take to release, so that a crash is noticed; on the postgres engine this row is
-- the group's offset as well. Topic and partition of a group are taken, confirmed and released by owner and epoch.
CREATE TABLE bus_position (
	group_name  text NOT NULL,
	topic       text NOT NULL,
	partition   integer NOT NULL,
	owner       text,
	epoch       bigint NOT NULL DEFAULT 0,
	expires     timestamptz,
	next_offset bigint NOT NULL DEFAULT 0,
	is_clean    boolean NOT NULL DEFAULT true,
	crashes     integer NOT NULL DEFAULT 0,
	trying      bigint, -- the offset that is being tried alone after a crash
	PRIMARY KEY (group_name, topic, partition)
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

CREATE TABLE bus_member (
	group_name text NOT NULL,
	member     text NOT NULL,
	expires    timestamptz NOT NULL,
	PRIMARY KEY (group_name, member)
) WITH (fillfactor = 10);

CREATE TABLE dead_letter (
	id          uuid PRIMARY KEY,
	tenant_id   uuid NOT NULL,
	group_name  text NOT NULL,
	topic       text NOT NULL,
	partition   integer NOT NULL,
	log_offset  bigint NOT NULL,
	ce_id       uuid NOT NULL,
	key         text NOT NULL,
	type        text NOT NULL,
	subject     text NOT NULL,
	sequence    bigint NOT NULL,
	traceparent text NOT NULL,
	value       bytea NOT NULL,
	ce_time     timestamptz NOT NULL,
	reason      text NOT NULL,
	created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
	replay_at   timestamptz, -- the group takes it as a batch of one
	replays     integer NOT NULL DEFAULT 0,
	ended_at    timestamptz, -- replayed with success
	UNIQUE (group_name, topic, partition, log_offset)
);
CREATE INDEX dead_letter_replay ON dead_letter (group_name, replay_at) WHERE replay_at IS NOT NULL;

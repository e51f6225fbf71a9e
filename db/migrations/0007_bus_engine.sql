-- serves: 7
-- The second engine of the bus: which one this installation has, and what a move between them must not mix up.

-- One row: where the relay puts what comes out of the outbox. Services of the other engine stand by, and all of them
-- while a move is under way; it ends by itself, should the mover die.
CREATE TABLE bus_engine (
	is_one boolean PRIMARY KEY DEFAULT true CHECK (is_one),
	name   text NOT NULL CHECK (name IN ('postgres', 'kafka')),
	since  timestamptz NOT NULL DEFAULT clock_timestamp(),
	moving_until timestamptz
);
INSERT INTO bus_engine (name) SELECT 'postgres' WHERE EXISTS (SELECT FROM bus_topic);

-- kafka: where a group begins on a partition as long as the brokers know no offset of it; null: at the oldest record.
ALTER TABLE bus_position ADD start_offset bigint;

-- The engines count offsets apart: a record is one dead letter by its id.
ALTER TABLE dead_letter DROP CONSTRAINT dead_letter_group_name_topic_partition_log_offset_key,
	ADD UNIQUE (group_name, topic, ce_id);

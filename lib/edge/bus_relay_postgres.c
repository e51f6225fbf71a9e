/* SPDX-License-Identifier: Apache-2.0
 * The producing side of the postgres engine: one statement moves a batch from the outbox to the log.
 */
#include "bus_postgres.h"

#include <stdlib.h>

#include "base/banned.h"

struct pg_bus {
	struct bus base;
	struct arena arena; /* of one relay() */
};

/* Rows of a topic (or partition) that nobody has installed stay where they are: the outbox's age tells of them. Counters
 * are locked in (topic, partition) order and stay locked until commit, so offsets have no gaps and become visible in
 * order. */
static const char move_sql[] =
	"WITH moved AS ("
	"  DELETE FROM outbox WHERE seq = ANY (ARRAY("
	"    SELECT o.seq FROM outbox o JOIN bus_topic t ON t.name = o.topic"
	"    JOIN bus_partition p ON p.topic = o.topic AND p.partition = o.key_hash % t.partitions"
	"    ORDER BY o.seq LIMIT $1)) RETURNING *"
	"), placed AS ("
	"  SELECT m.*, m.key_hash % t.partitions AS partition FROM moved m JOIN bus_topic t ON t.name = m.topic"
	"), counts AS ("
	"  SELECT topic, partition, count(*) AS n FROM placed GROUP BY topic, partition"
	"), locked AS ("
	"  SELECT p.topic, p.partition, c.n FROM bus_partition p JOIN counts c USING (topic, partition)"
	"  ORDER BY p.topic, p.partition FOR NO KEY UPDATE OF p"
	"), added AS ("
	"  UPDATE bus_partition p SET next_offset = p.next_offset + l.n FROM locked l"
	"  WHERE p.topic = l.topic AND p.partition = l.partition"
	"  RETURNING p.topic, p.partition, p.next_offset - l.n AS base"
	"), logged AS ("
	"  INSERT INTO bus_log (topic, partition, log_offset, ce_id, tenant_id, key, type, subject, sequence, traceparent,"
	"                       value, created_at)"
	"  SELECT topic, partition, a.base + row_number() OVER (PARTITION BY topic, partition ORDER BY p.seq) - 1, p.ce_id,"
	"         p.tenant_id, p.key, p.type, p.subject, p.sequence, p.traceparent, p.value, p.created_at"
	"  FROM placed p JOIN added a USING (topic, partition) RETURNING topic"
	") SELECT (SELECT count(*) FROM logged),"
	"  (SELECT count(pg_notify(topic, '')) FROM (SELECT DISTINCT topic FROM logged) AS told)";

struct bus *pg_bus_open(const struct bus_options *options, struct err *err)
{
	struct pg_bus *bus = xcalloc(1, sizeof *bus);

	(void)options;
	(void)err;
	bus->base.ops = &bus_postgres_ops;
	arena_init(&bus->arena);
	return &bus->base;
}

void pg_bus_close(struct bus *base)
{
	struct pg_bus *bus = (struct pg_bus *)base;

	arena_done(&bus->arena);
	free(bus);
}

int pg_bus_relay(struct bus *base, struct db *relay_db, const char *owner, int64_t epoch, int limit, int *out_moved,
                 bool *out_lost_lease, struct err *err)
{
	struct pg_bus *bus = (struct pg_bus *)base;
	struct db_result *rows CLEANUP(db_result_done) = NULL;
	struct db_args move;

	arena_reset(&bus->arena);
	db_args_init(&move, &bus->arena);
	db_arg_int(&move, limit);

	/* One flush: a process that is stopped in here holds its locks only until the server is done with what it got. */
	*out_lost_lease = false;
	if (bus_begin_as_relay(relay_db, &bus->arena, owner, epoch, err) < 0 ||
	    db_queue(relay_db, move_sql, &move, &rows, err) < 0 || db_commit(relay_db, err) < 0) {
		*out_lost_lease = bus_roll_back_as_relay(relay_db);
		return err_prefix(err, "could not move the outbox");
	}
	*out_moved = (int)db_int(rows, 0, 0);
	return 0;
}

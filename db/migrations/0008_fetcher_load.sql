-- How much the fetchers have to do: what an autoscaler asks.

-- What each fetcher says of itself. A row counts while its fetcher's lease (kind 'fetcher') lives.
CREATE TABLE fetcher_report (
	fetcher   text PRIMARY KEY,
	mailboxes integer NOT NULL,
	late      integer NOT NULL -- mailboxes whose new mail waits longer than it should, though there is credit for it
) WITH (fillfactor = 10);

-- One row. A mailbox that is late, or that nobody has taken for a minute, weighs as much as fifty quiet ones. Where no
-- fetcher lives, mailboxes without an owner ask for nothing more: one that starts takes them all.
CREATE VIEW fetcher_load AS
SELECT f.fetchers, m.mailboxes, m.unowned, f.late,
	m.mailboxes + 50 * (f.late + CASE WHEN f.fetchers > 0 THEN m.unowned ELSE 0 END) AS load
FROM (
	SELECT count(*) AS fetchers, coalesce(sum(r.late), 0) AS late
	FROM lease l LEFT JOIN fetcher_report r ON r.fetcher = l.name
	WHERE l.kind = 'fetcher' AND l.expires > clock_timestamp()
) f, (
	SELECT count(*) AS mailboxes,
		count(*) FILTER (WHERE greatest(l.expires, b.changed_at) < clock_timestamp() - interval '1 minute') AS unowned
	FROM mailbox b LEFT JOIN lease l ON l.kind = 'mailbox' AND l.name = b.id::text
	WHERE b.is_active AND b.protocol = 'imap'
) m;

-- Only numbers: the autoscaler's role needs no other right.
GRANT SELECT ON fetcher_load TO PUBLIC;

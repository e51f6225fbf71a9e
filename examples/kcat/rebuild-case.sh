#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rebuild-case.sh CASE-ID [KCAT-OPTION...]: the state of a case from its events alone, as a JSON object
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
export CASE=${1:?which case? its id is the key of its events}
shift

# The values as protoc prints them: first the version, then the rest. A repeat (a version that was seen) changes nothing,
# nor does a fact that is not named here: it may be one of a later contract.
"$here/print-events.sh" -e "$@" | awk '
	function word() { gsub(/"/, "", $2); return $2 }
	function time(us) { return strftime("%Y-%m-%dT%H:%M:%S", us / 1000000, 1) sprintf(".%06dZ", us % 1000000) }
	/^[0-9]+:[0-9]+ / { is_new = 0 }
	/^version:/ && $2 == version + 1 { version = $2; is_new = 1; fact = "" }
	!is_new { next }
	/^number:/ { number = $2 }
	/^time_unix_us:/ { changed_at = time($2); if (version == 1) created_at = changed_at }
	/^  [a-z_]+ \{/ { fact = $1 }
	/^  message_added \{/ { messages++ }
	/^  assigned \{/ { assignee = team = "" }
	fact == "case_opened" && $1 == "state:" || fact == "state_changed" && $1 == "to:" { state = tolower(substr($2, 12)) }
	fact == "case_opened" && $1 == "queue_id:" || fact == "queue_changed" && $1 == "to_queue_id:" { queue = word() }
	(fact == "case_opened" || fact == "assigned") && $1 == "team_id:" { team = word() }
	fact == "assigned" && $1 == "user_id:" { assignee = word() }
	fact == "followed" && $1 == "user_id:" { user = word(); delete followers[user] }
	fact == "followed" && $1 == "following:" { followers[user] }
	END {
		if (!version)
			exit 1
		for (user in followers)
			list = list (list ? ", " : "") "\"" user "\""
		printf "{\"id\": \"%s\", \"number\": %s, \"version\": %s, \"state\": \"%s\", \"queue_id\": \"%s\", ", ENVIRON["CASE"],
			number, version, state, queue
		printf "\"team_id\": \"%s\", \"assignee_id\": \"%s\", \"messages\": %d, \"follower_ids\": [%s], ", team, assignee,
			messages, list
		printf "\"created_at\": \"%s\", \"changed_at\": \"%s\"}\n", created_at, changed_at
	}'

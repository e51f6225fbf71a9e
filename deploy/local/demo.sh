# shellcheck shell=bash disable=SC2034 # names are used by render
# SPDX-License-Identifier: Apache-2.0
# The sample mails of `make run`, and what is shown once it is ready. Sourced by run.sh.
#
# samples/N-name.eml are sent by SMTP, as the world would; samples/reply.eml answers the automatic reply that the first of
# them gets. They are sent once in a RUN_DIR's life: the same mail again would be the same message.

DEMO_SECONDS=${DEMO_SECONDS:-60}

demo_send() {
	local file ids=()
	wait_for "the mailbox is watched" mailbox_is_ok
	if [ -e "$DIR/samples.sent" ]; then
		NUMBER=$(cat "$DIR/samples.sent")
		say "the sample mails were sent by an earlier start"
		return
	fi
	for file in "$HERE"/samples/[0-9]*.eml; do
		say "sending $(basename "$file")"
		demo_submit "$file"
		ids+=("$(header message-id "$file")")
	done
	wait_for "the automatic reply to the first mail" demo_auto_reply "${ids[0]}"
	say "sending reply.eml, the customer's answer to the automatic reply"
	demo_submit "$HERE/samples/reply.eml"
	ids+=("$(header message-id "$HERE/samples/reply.eml")")
	wait_for "every sample mail is in a case" demo_all_in_cases "${ids[@]}"
	wait_for "the automatic reply is in the customer's mailbox" has_mail "$CUSTOMER_USER" "$CUSTOMER_PASSWORD"
	wait_for "a notice is in the agent's mailbox" has_mail "$AGENT_USER" "$AGENT_PASSWORD"
	echo "$NUMBER" >"$DIR/samples.sent"
}

CUSTOMER_USER=customer@client.example
AGENT_USER=agent@demo.example

demo_submit() {
	local sender
	sender=$(header from "$1")
	DATE=$(LC_ALL=C date -R)
	render "$1" >"$DIR/log/sample.eml"
	curl -sS --crlf --max-time 20 --url "smtp://$MAIL_HOST:$SMTP_PORT" --mail-from "$sender" --mail-rcpt support@demo.example \
		--upload-file "$DIR/log/sample.eml" || die "the sample mail $(basename "$1") could not be sent"
	rm -f "$DIR/log/sample.eml"
}

# header NAME FILE: what stands between the angle brackets.
header() { sed -n "/^\$/q; s/^$1:.*<\(.*\)>.*/\1/Ip" "$2" | head -n 1; }

# json_value KEY: of the first object on standard input.
json_value() { sed -n "s/.*\"$1\": *\"\{0,1\}\([^\",}]*\).*/\1/p" | head -n 1; }

# wait_for WHAT COMMAND...: ask until it says yes, tell that we wait, give up with the services' last complaint.
wait_for() {
	local what=$1 until=$((SECONDS + DEMO_SECONDS)) told=$((SECONDS + 2))
	shift
	until "$@"; do
		is_running || die "the services ended while we waited until $what"
		[ "$SECONDS" -lt "$until" ] || die "waited $DEMO_SECONDS s in vain: $what; see $DIR/log. $(grep -hE '"level":"(warn|error)"' "$DIR"/log/*.log | tail -n 1)"
		if [ "$SECONDS" -ge "$told" ]; then
			say "waiting: $what"
			told=$((SECONDS + 5))
		fi
		sleep 0.1
	done
	say "$what"
}

mailbox_is_ok() { [ "$(casectl mailbox show support@demo.example --json | json_value state)" = ok ]; }

# Its Message-ID and the case's number are what the sample reply is filled in with.
demo_auto_reply() {
	local line
	NUMBER=$(casectl where-is --message-id "$1" --json 2>/dev/null | json_value case)
	[ -n "$NUMBER" ] && [ "$NUMBER" != null ] || return 1
	line=$(casectl outbound list --json | grep "\"case\": *${NUMBER}[,}]" | grep '"kind": *"auto_reply"' | grep '"state": *"accepted"') || return 1
	REPLY_ID=$(json_value message_id <<<"$line")
}

demo_all_in_cases() {
	local id
	for id; do
		case "$(casectl where-is --message-id "$id" --json 2>/dev/null | json_value state)" in
		case | attached) ;;
		*) return 1 ;;
		esac
	done
}

# imap USER PASSWORD PATH [CURL-OPTION...]; the password does not show in the list of processes.
imap() {
	local user=$1 password=$2 path=$3
	shift 3
	curl -s --max-time 10 -K <(printf 'user = "%s:%s"\n' "$user" "$password") "$@" "imap://$MAIL_HOST:$IMAP_PORT/$path"
}

mail_count() { imap "$1" "$2" '' -X 'STATUS INBOX (MESSAGES)' | tr -d '\r' | sed -n 's/.*MESSAGES \([0-9]*\).*/\1/p'; }

has_mail() {
	local count
	count=$(mail_count "$1" "$2")
	[ "${count:-0}" -gt 0 ]
}

demo_show() {
	demo_show_mail
	cat <<-END

		try:
		  $(shown_path "$DIR")/casectl case list
		  $(shown_path "$DIR")/casectl case show ${NUMBER:-1}
		  $(shown_path "$DIR")/casectl case reply ${NUMBER:-1} --text 'We are looking into it.'
		  $(shown_path "$DIR")/casectl where-is --from customer@client.example
		  $(shown_path "$DIR")/casectl --help
		  printf 'From: you@client.example\nSubject: Hello\n\nA question.\n' | curl --url smtp://127.0.0.1:$SMTP_PORT \\
		    --mail-from you@client.example --mail-rcpt support@demo.example --upload-file -
		send mail by SMTP to 127.0.0.1:$SMTP_PORT and read it by IMAP at 127.0.0.1:$IMAP_PORT; users, passwords and
		all else that programs need to know: $(shown_path "$DIR")/env
		$(demo_bus)
		\`$(stop_command)\` ends it
	END
}

demo_bus() {
	case "$BUS" in
	kafka) echo "the bus is a Kafka broker at 127.0.0.1:$KAFKA_PORT; \`casectl events\` reads along" ;;
	*) echo "the bus is in PostgreSQL; BUS=kafka makes it a Kafka broker" ;;
	esac
}

demo_show_mail() {
	echo
	echo "mailcase is ready"
	echo
	casectl case list
	demo_mailbox "$CUSTOMER_USER" "$CUSTOMER_PASSWORD"
	demo_mailbox "$AGENT_USER" "$AGENT_PASSWORD"
}

stop_command() {
	if [ "$DIR" = "$ROOT/run" ]; then echo "make stop"; else echo "make stop RUN_DIR=$DIR"; fi
}

shown_path() {
	case "$1" in
	"$PWD"/*) echo "${1#"$PWD"/}" ;;
	*) echo "$1" ;;
	esac
}

# The newest mails of a mailbox, one line each; casectl reads what is encoded in their headers.
demo_mailbox() {
	local count n mail=$DIR/log/shown.eml
	count=$(mail_count "$1" "$2")
	echo
	echo "in the mailbox of $1 (${count:-0}):"
	for ((n = ${count:-0}; n > 0 && n > ${count:-0} - 5; n--)); do
		imap "$1" "$2" "INBOX;MAILINDEX=$n;SECTION=HEADER" >"$mail"
		echo "  $(casectl parse <<<"$mail" | sed -n 's/.*"subject": *"\(\([^"\\]\|\\.\)*\)".*/\1/p')"
	done
	rm -f "$mail"
}

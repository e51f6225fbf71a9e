#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check-layering.sh: the arrows of the tree point down only. Run at the top of the tree. The rules are in `uses`, `only`
# and `names` below; each breach is one line.
set -eu

files=$(find lib services tools -name '*.[ch]' 2>/dev/null | sort)
[ -n "$files" ] || exit 0

# shellcheck disable=SC2086 # names of source files hold no blanks
awk '
function breach(why) { printf "%s:%d: %s\n", FILENAME, FNR, why; breaches++ }
function allow(layer, list) { uses[layer] = " " list " " }
BEGIN {
	# What each layer may include beside itself.
	allow("base", "")
	allow("mail", "base")
	allow("protocol", "base")
	allow("domain", "mail protocol base")
	allow("wire", "domain mail protocol base")
	allow("edge", "wire domain mail protocol base")	# the answers of the parser child are wire
	allow("record", "edge wire domain mail protocol base")
	allow("desk", "record edge wire domain mail protocol base")
	allow("kit", "record edge wire domain mail protocol base")
	allow("program", "kit desk record edge wire domain mail protocol base")

	# Outside headers that a single layer knows.
	only["^libpq"] = only["^curl/"] = only["^sodium"] = only["^microhttpd"] = only["^seccomp"] = "edge"
	only["^librdkafka/"] = only["^ares"] = "edge"
	only["^gmime/"] = only["^glib"] = only["^gumbo"] = only["^uchardet"] = "mail"
	only["\\.pb-c\\.h$"] = only["^protobuf-c/"] = "wire"
}
FNR == 1 {
	parts = split(FILENAME, part, "/")
	layer = part[1] == "lib" ? part[2] : "program"
	folder = FILENAME
	sub("/[^/]*$", "", folder)
	if (FILENAME ~ /\.h$/) {
		if (part[parts] in first)
			breach("the name is taken by " first[part[parts]])
		first[part[parts]] = FILENAME
	}
	if (!(layer in uses))
		breach("unknown layer " layer)
	banned = 0
}
/^#include/ {
	name = $2
	gsub(/[<>"]/, "", name)
	if (banned)
		breach("banned.h is the last #include")
	banned = name ~ /(^|\/)banned\.h$/
	for (pattern in only)
		if (name ~ pattern && layer != only[pattern])
			breach("<" name "> belongs to lib/" only[pattern])
	if ($2 ~ /^"/ && index(name, "/") && name !~ /\.pb-c\.h$/) {
		split(name, step, "/")
		if (!(step[1] in uses) || step[1] == "program")
			breach("\"" name "\" is no header of lib: a program includes its own headers by bare name, none of another")
		else if (step[1] != layer && !index(uses[layer], " " step[1] " "))
			breach((layer == "program" ? "a program" : "lib/" layer) " may not include \"" name "\"")
	} else if ($2 ~ /^"/ && name !~ /\.pb-c\.h$/ && (getline unused < (folder "/" name)) < 0) {
		breach("\"" name "\" is not in the same folder: write layer/name.h")
	}
	close(folder "/" name)
}
/(^|[^a-z_])(secure_)?getenv *\(/ && FILENAME != "lib/base/conf.c" && !/^[ \t]*\/?\*/ { breach("getenv belongs to lib/base/conf.c") }
END { exit breaches > 0 }
' $files || { echo "layering: see above" >&2; exit 1; }

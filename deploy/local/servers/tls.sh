# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# A certificate authority of our own in DIR/tls and a certificate for this machine; sourced by servers.sh.

tls_make() {
	[ ! -s "$DIR/tls/server.pem" ] || return 0
	need_commands openssl
	mkdir -p "$DIR/tls"
	chmod 755 "$DIR/tls"
	if ! tls_authority || ! tls_certificate; then
		die "openssl could not make certificates: $(tail -n 1 "$DIR/log/openssl.log")"
	fi
}

tls_authority() {
	(umask 077 && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=mailcase local authority" \
		-addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign" \
		-keyout "$DIR/tls/ca.key" -out "$DIR/tls/ca.pem") 2>>"$DIR/log/openssl.log" &&
		chmod 644 "$DIR/tls/ca.pem"
}

tls_certificate() {
	local request=$DIR/tls/server.req extensions=$DIR/tls/server.ext
	printf '%s\n' "subjectAltName=DNS:localhost,DNS:mail.localhost,IP:127.0.0.1" "basicConstraints=CA:FALSE" >"$extensions"
	(umask 077 && openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=localhost" \
		-keyout "$DIR/tls/server.key" -out "$request" &&
		openssl x509 -req -in "$request" -days 3650 -CA "$DIR/tls/ca.pem" -CAkey "$DIR/tls/ca.key" \
			-set_serial "0x$(secret 8)" -extfile "$extensions" -out "$DIR/tls/server.new") 2>>"$DIR/log/openssl.log" &&
		chmod 644 "$DIR/tls/server.new" && mv "$DIR/tls/server.new" "$DIR/tls/server.pem" && rm -f "$request" "$extensions"
}

# SPDX-License-Identifier: Apache-2.0
# All programs of mailcase in one image: the command says which of them a container runs.
#
#	docker build -t mailcase .                                          the image
#	docker build -t mailcase --build-arg BASE=debian:bookworm-slim .    on Debian 12
#	docker build -t mailcase-demo --target demo .                       with the sample mail server
#
# It needs no writable file system, no capability and no root.
ARG BASE=debian:trixie-slim

FROM ${BASE} AS build
WORKDIR /src
COPY deploy/local/deps.sh deploy/local/
RUN deploy/local/deps.sh build && rm -rf /var/lib/apt/lists/*
COPY Makefile ./
COPY scripts scripts
COPY db db
COPY proto proto
COPY lib lib
COPY services services
COPY tools tools
RUN make -s -j"$(nproc)" all && install -D -s -t /out/bin build/bin/*
# The packages of the libraries that the programs are linked with: their names differ between Debian's releases.
RUN ldd /out/bin/* | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p' | sort -u | xargs -r -n 1 realpath | sed 's|.*/|*/|' \
	| xargs -r -d '\n' dpkg-query -S | sed 's/:.*//' | sort -u >/out/packages && grep -q libpq /out/packages

FROM ${BASE} AS runtime
COPY --from=build /out/packages /usr/local/share/mailcase/packages
RUN apt-get -q update \
	&& xargs -r env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install ca-certificates \
		</usr/local/share/mailcase/packages \
	&& rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log \
	&& groupadd --gid 65532 mailcase \
	&& useradd --uid 65532 --gid 65532 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin mailcase
COPY --from=build /out/bin/ /usr/local/bin/
ENV MAILCASE_OPS_LISTEN=:9464
EXPOSE 9464

# Dovecot and Postfix as `make run` has them, and what sets up a desk and sends it the sample mails.
FROM runtime AS demo
RUN apt-get -q update \
	&& env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install \
		curl dovecot-core dovecot-imapd dovecot-lmtpd openssl postfix procps \
	&& rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log
COPY deploy/local /usr/local/share/mailcase/local
COPY deploy/compose/demo.sh /usr/local/bin/demo
STOPSIGNAL SIGTERM
ENTRYPOINT ["demo"]

# The last stage is what `docker build` makes.
FROM runtime AS mailcase
ARG BASE
ARG VERSION=0.1.0
ARG REVISION=
ARG CREATED=
LABEL org.opencontainers.image.title="mailcase" \
	org.opencontainers.image.description="Turns mail into cases: fetcher, threader, router, notifier, casectl" \
	org.opencontainers.image.licenses="Apache-2.0" \
	org.opencontainers.image.version="${VERSION}" \
	org.opencontainers.image.revision="${REVISION}" \
	org.opencontainers.image.created="${CREATED}" \
	org.opencontainers.image.base.name="${BASE}"
USER 65532:65532
STOPSIGNAL SIGTERM
# Whether its loop turns: a service that waits for its database is alive.
HEALTHCHECK --interval=10s --timeout=6s --start-period=20s CMD ["casectl", "probe", "--live"]
CMD ["casectl", "--help"]

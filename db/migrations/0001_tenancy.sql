-- Who works here: tenants, users, teams, queues, and what they may log in with.
--
-- Every table has its tenant and every look-up starts from it; keys of hot tables lead with the globally unique id.
-- Configuration tables have foreign keys; hot tables (mail, cases, bus) have none: they cost a locked look-up a row and
-- what they would guard is guarded by the one place that writes the row.

CREATE TABLE tenant (
	id              uuid PRIMARY KEY,
	name            text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
	title           text NOT NULL DEFAULT '',
	number_sequence text NOT NULL, -- case numbers: one sequence a tenant, gaps allowed
	time_zone       text NOT NULL DEFAULT 'UTC',
	created_at      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE app_user (
	id         uuid PRIMARY KEY,
	tenant_id  uuid NOT NULL REFERENCES tenant,
	login      text NOT NULL,
	name       text NOT NULL DEFAULT '',
	time_zone  text NOT NULL DEFAULT 'UTC',
	role       text NOT NULL DEFAULT 'agent' CHECK (role IN ('agent', 'supervisor', 'administrator')),
	is_active  boolean NOT NULL DEFAULT true,
	mail_notices boolean NOT NULL DEFAULT true, -- wants notices by mail (in-system notices are always kept)
	created_at timestamptz NOT NULL DEFAULT now(),
	UNIQUE (tenant_id, login)
);

-- Addresses are stored folded (lower case); the first is where notices go.
CREATE TABLE user_address (
	address   text NOT NULL,
	tenant_id uuid NOT NULL REFERENCES tenant,
	user_id   uuid NOT NULL REFERENCES app_user ON DELETE CASCADE,
	position  integer NOT NULL DEFAULT 0,
	PRIMARY KEY (address, tenant_id)
);
CREATE INDEX user_address_user ON user_address (user_id, position);

CREATE TABLE team (
	id           uuid PRIMARY KEY,
	tenant_id    uuid NOT NULL REFERENCES tenant,
	name         text NOT NULL,
	distribution text NOT NULL DEFAULT 'round_robin' CHECK (distribution IN ('direct', 'round_robin', 'least_busy')),
	direct_user_id uuid REFERENCES app_user, -- whom `direct` means
	next_turn    bigint NOT NULL DEFAULT 1, -- counts assignments; moved under the team's lock
	time_zone    text NOT NULL DEFAULT 'UTC',
	created_at   timestamptz NOT NULL DEFAULT now(),
	UNIQUE (tenant_id, name)
) WITH (fillfactor = 10);

CREATE TABLE team_member (
	team_id      uuid NOT NULL REFERENCES team ON DELETE CASCADE,
	user_id      uuid NOT NULL REFERENCES app_user ON DELETE CASCADE,
	tenant_id    uuid NOT NULL REFERENCES tenant,
	capacity     integer CHECK (capacity >= 0), -- most open cases at once; NULL: unlimited
	absent_until timestamptz,                   -- away until then
	last_turn    bigint NOT NULL DEFAULT 0,     -- the team's turn at which this member was last given a case
	assigned     bigint NOT NULL DEFAULT 0,     -- cases given by distribution, ever
	PRIMARY KEY (team_id, user_id)
) WITH (fillfactor = 10);

CREATE TABLE queue (
	id             uuid PRIMARY KEY,
	tenant_id      uuid NOT NULL REFERENCES tenant,
	name           text NOT NULL,
	subject_format text NOT NULL DEFAULT '[#%d]' CHECK (position('%d' IN subject_format) > 0),
	team_id        uuid REFERENCES team,
	closed_policy  text NOT NULL DEFAULT 'reopen_within' CHECK (closed_policy IN ('reopen', 'reopen_within', 'new_case')),
	reopen_days    integer NOT NULL DEFAULT 30 CHECK (reopen_days BETWEEN 0 AND 36500),
	time_zone      text NOT NULL DEFAULT 'UTC',
	created_at     timestamptz NOT NULL DEFAULT now(),
	UNIQUE (tenant_id, name)
);

-- Secrets are sealed with the key of MAILCASE_SEAL_KEY_FILE before they come here.
CREATE TABLE credential (
	id         uuid PRIMARY KEY,
	tenant_id  uuid NOT NULL REFERENCES tenant,
	kind       text NOT NULL CHECK (kind IN ('password')),
	sealed     bytea NOT NULL,
	updated_at timestamptz NOT NULL DEFAULT now()
);

-- Keys that sign our tokens; sealed. Retired keys still verify as long as cases live.
CREATE TABLE token_key (
	tenant_id  uuid NOT NULL REFERENCES tenant,
	key_id     smallint NOT NULL CHECK (key_id BETWEEN 0 AND 255),
	sealed     bytea NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	retired_at timestamptz,
	PRIMARY KEY (tenant_id, key_id)
);

-- What the log cannot give back (recovered from a PostgreSQL backup), and what needs no recovery.

-- Bearer tokens: only the SHA-256 of the secret is kept.
CREATE TABLE api_tokens (
    tenant_id     uuid        NOT NULL,
    id            text        NOT NULL,
    secret_sha256 bytea       NOT NULL CHECK (octet_length(secret_sha256) = 32),
    subject       text        NOT NULL,
    roles         text[]      NOT NULL DEFAULT '{}',
    scopes        text[]      NOT NULL DEFAULT '{}',
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz,
    last_used_at  timestamptz,
    revoked_at    timestamptz,
    PRIMARY KEY (tenant_id, id)
);
-- A token names no tenant: it is found by its id alone.
CREATE UNIQUE INDEX api_tokens_id ON api_tokens (id);

-- Credentials of connectors, sealed: never in clear.
CREATE TABLE credentials (
    tenant_id  uuid        NOT NULL,
    id         uuid        NOT NULL,
    kind       text        NOT NULL,
    name       text        NOT NULL,
    sealed     bytea       NOT NULL,
    key_id     text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, kind, name)
);

CREATE TABLE ct_watched_domains (
    tenant_id          uuid        NOT NULL,
    id                 uuid        NOT NULL,
    domain             text        NOT NULL,
    include_subdomains boolean     NOT NULL DEFAULT true,
    created_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, domain)
);

-- How far each Certificate Transparency log was read; logs belong to no tenant.
CREATE TABLE ct_log_checkpoints (
    log_url    text        NOT NULL PRIMARY KEY,
    tree_size  bigint      NOT NULL CHECK (tree_size >= 0),
    root_hash  bytea,
    next_index bigint      NOT NULL CHECK (next_index >= 0),
    last_error text,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- Side effects to deliver at least once. After a restore every row that was not delivered is held.
CREATE TABLE outbox (
    tenant_id       uuid        NOT NULL,
    id              uuid        NOT NULL,
    event_sequence  bigint      NOT NULL,
    kind            text        NOT NULL,
    idempotency_key text        NOT NULL,
    sealed_payload  bytea       NOT NULL,
    status          text        NOT NULL DEFAULT 'pending'
                    CHECK (status IN ('pending', 'leased', 'delivered', 'dead', 'held')),
    attempts        integer     NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    lease_epoch     bigint,
    lease_until     timestamptz,
    last_error      text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    delivered_at    timestamptz,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, idempotency_key)
);
CREATE INDEX outbox_due ON outbox (next_attempt_at) WHERE status IN ('pending', 'leased');

-- Answers to repeated requests; an answer holds no secret in clear.
CREATE TABLE idempotency_keys (
    tenant_id      uuid        NOT NULL,
    key            text        NOT NULL,
    request_sha256 bytea       NOT NULL,
    event_sequence bigint,
    status_code    integer,
    response       bytea,
    created_at     timestamptz NOT NULL DEFAULT now(),
    finished_at    timestamptz,
    PRIMARY KEY (tenant_id, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- Where signed evidence was archived; the log itself keeps everything.
CREATE TABLE audit_archives (
    tenant_id      uuid        NOT NULL,
    id             uuid        NOT NULL,
    first_sequence bigint      NOT NULL,
    last_sequence  bigint      NOT NULL CHECK (last_sequence >= first_sequence),
    location       text        NOT NULL,
    sha256         text        NOT NULL,
    tree_head      text        NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);

-- One token bucket a tenant.
CREATE TABLE rate_limits (
    tenant_id  uuid             NOT NULL PRIMARY KEY,
    tokens     double precision NOT NULL,
    updated_at timestamptz      NOT NULL DEFAULT now()
);

-- How far the projection has read: one row, written in the transaction that writes the rows.
CREATE TABLE projection_checkpoint (
    singleton  boolean     NOT NULL PRIMARY KEY DEFAULT true CHECK (singleton),
    sequence   bigint      NOT NULL CHECK (sequence >= 0),
    updated_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO projection_checkpoint (sequence) VALUES (0);

-- The fencing epoch of the leader: one row, whose epoch only rises.
CREATE TABLE leadership (
    singleton    boolean     NOT NULL PRIMARY KEY DEFAULT true CHECK (singleton),
    epoch        bigint      NOT NULL CHECK (epoch >= 0),
    replica      text,
    elected_at   timestamptz,
    heartbeat_at timestamptz
);
INSERT INTO leadership (epoch) VALUES (0);

-- Restores of this deployment, and whether side effects are still held after them.
CREATE TABLE restore_state (
    id                   uuid        NOT NULL PRIMARY KEY,
    backup_sha256        text        NOT NULL,
    cut_sequence         bigint      NOT NULL,
    step                 text        NOT NULL,
    side_effects_held    boolean     NOT NULL DEFAULT true,
    started_at           timestamptz NOT NULL DEFAULT now(),
    finished_at          timestamptz,
    released_at          timestamptz
);

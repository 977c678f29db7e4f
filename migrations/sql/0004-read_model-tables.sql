-- The read model's bare tables. No schema is named: they are made in `read_model` and, by a rebuild, in a shadow of it.
-- No default, no foreign key, no clock: every value comes from an event.

CREATE TABLE tenants (
    tenant_id  uuid        NOT NULL,
    name       text        NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE TABLE owners (
    tenant_id uuid NOT NULL,
    id        uuid NOT NULL,
    kind      text NOT NULL,
    name      text NOT NULL,
    email     text NOT NULL
);

CREATE TABLE issuers (
    tenant_id  uuid    NOT NULL,
    id         uuid    NOT NULL,
    kind       text    NOT NULL,
    name       text    NOT NULL,
    chain      text[]  NOT NULL,
    public_key text    NOT NULL,
    internal   boolean NOT NULL
);

CREATE TABLE certificate_profiles (
    tenant_id  uuid    NOT NULL,
    id         uuid    NOT NULL,
    name       text    NOT NULL,
    version    bigint  NOT NULL,
    spec       jsonb   NOT NULL,
    active     boolean NOT NULL,
    created_by text    NOT NULL
);

CREATE TABLE identities (
    tenant_id  uuid  NOT NULL,
    id         uuid  NOT NULL,
    kind       text  NOT NULL,
    name       text  NOT NULL,
    owner_id   uuid  NOT NULL,
    issuer_id  uuid,
    attributes jsonb NOT NULL,
    status     text  NOT NULL
);

CREATE TABLE identity_transitions (
    tenant_id   uuid        NOT NULL,
    identity_id uuid        NOT NULL,
    sequence    bigint      NOT NULL,
    from_state  text        NOT NULL,
    to_state    text        NOT NULL,
    event_type  text        NOT NULL,
    reason      text,
    occurred_at timestamptz NOT NULL
);

CREATE TABLE certificates (
    tenant_id           uuid   NOT NULL,
    id                  uuid   NOT NULL,
    fingerprint         text   NOT NULL,
    serial              text   NOT NULL,
    subject             text   NOT NULL,
    sans                text[] NOT NULL,
    issuer              text   NOT NULL,
    status              text   NOT NULL,
    not_before          timestamptz,
    not_after           timestamptz,
    revoked_at          timestamptz,
    revocation_reason   text,
    renewed_at          timestamptz,
    replaces_id         uuid,
    superseded_by       text,
    ca_id               uuid,
    owner_id            uuid,
    key_algorithm       text   NOT NULL,
    deployment_location text   NOT NULL,
    source              text   NOT NULL,
    certificate_der     bytea
);

CREATE TABLE ca_authorities (
    tenant_id       uuid        NOT NULL,
    id              uuid        NOT NULL,
    parent_id       uuid,
    common_name     text        NOT NULL,
    kind            text        NOT NULL,
    certificate_pem text        NOT NULL,
    signer_handle   text        NOT NULL,
    serial          text        NOT NULL,
    not_after       timestamptz NOT NULL,
    predecessor_id  uuid
);

CREATE TABLE ca_issued_certs (
    tenant_id   uuid NOT NULL,
    ca_id       uuid NOT NULL,
    serial      text NOT NULL,
    issued_at   timestamptz,
    revoked_at  timestamptz,
    reason_code bigint
);

CREATE TABLE ca_crls (
    tenant_id     uuid        NOT NULL,
    ca_id         uuid        NOT NULL,
    crl_number    bigint      NOT NULL,
    crl_der       bytea       NOT NULL,
    this_update   timestamptz NOT NULL,
    next_update   timestamptz NOT NULL,
    revoked_count bigint      NOT NULL
);

-- Events that could not be applied; the tenant is null where the event does not say one.
CREATE TABLE projection_faults (
    tenant_id  uuid,
    sequence   bigint NOT NULL,
    event_id   text,
    event_type text,
    reason     text   NOT NULL
);

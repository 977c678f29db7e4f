-- Row-level security of the tenant tables in public, and what the application role may do.

ALTER TABLE api_tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_tokens FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON api_tokens TO trstctl_app
    USING (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid);
CREATE POLICY owner ON api_tokens TO trstctl_owner USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON api_tokens TO trstctl_app;

ALTER TABLE credentials ENABLE ROW LEVEL SECURITY;
ALTER TABLE credentials FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON credentials TO trstctl_app
    USING (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid);
CREATE POLICY owner ON credentials TO trstctl_owner USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON credentials TO trstctl_app;

ALTER TABLE ct_watched_domains ENABLE ROW LEVEL SECURITY;
ALTER TABLE ct_watched_domains FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON ct_watched_domains TO trstctl_app
    USING (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid);
CREATE POLICY owner ON ct_watched_domains TO trstctl_owner USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON ct_watched_domains TO trstctl_app;

ALTER TABLE outbox ENABLE ROW LEVEL SECURITY;
ALTER TABLE outbox FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON outbox TO trstctl_app
    USING (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid);
CREATE POLICY owner ON outbox TO trstctl_owner USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON outbox TO trstctl_app;

ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE idempotency_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON idempotency_keys TO trstctl_app
    USING (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid);
CREATE POLICY owner ON idempotency_keys TO trstctl_owner USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_keys TO trstctl_app;

ALTER TABLE audit_archives ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_archives FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON audit_archives TO trstctl_app
    USING (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid);
CREATE POLICY owner ON audit_archives TO trstctl_owner USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON audit_archives TO trstctl_app;

ALTER TABLE rate_limits ENABLE ROW LEVEL SECURITY;
ALTER TABLE rate_limits FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON rate_limits TO trstctl_app
    USING (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid);
CREATE POLICY owner ON rate_limits TO trstctl_owner USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON rate_limits TO trstctl_app;

GRANT SELECT, INSERT, UPDATE, DELETE ON ct_log_checkpoints TO trstctl_app;
GRANT SELECT ON projection_checkpoint, restore_state, schema_migrations TO trstctl_app;
GRANT SELECT, UPDATE ON leadership TO trstctl_app;

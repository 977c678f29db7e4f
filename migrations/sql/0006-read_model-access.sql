-- What readers need: secondary indexes, row-level security, and the application role's right to read.
CREATE INDEX identities_owner ON identities (tenant_id, owner_id);
CREATE INDEX certificates_expiry ON certificates (tenant_id, not_after) WHERE status = 'active';

ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenants FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON tenants TO trstctl_app
    USING (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid);
CREATE POLICY owner ON tenants TO trstctl_owner USING (true) WITH CHECK (true);
GRANT SELECT ON tenants TO trstctl_app;

ALTER TABLE owners ENABLE ROW LEVEL SECURITY;
ALTER TABLE owners FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON owners TO trstctl_app
    USING (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid);
CREATE POLICY owner ON owners TO trstctl_owner USING (true) WITH CHECK (true);
GRANT SELECT ON owners TO trstctl_app;

ALTER TABLE issuers ENABLE ROW LEVEL SECURITY;
ALTER TABLE issuers FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON issuers TO trstctl_app
    USING (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid);
CREATE POLICY owner ON issuers TO trstctl_owner USING (true) WITH CHECK (true);
GRANT SELECT ON issuers TO trstctl_app;

ALTER TABLE certificate_profiles ENABLE ROW LEVEL SECURITY;
ALTER TABLE certificate_profiles FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON certificate_profiles TO trstctl_app
    USING (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid);
CREATE POLICY owner ON certificate_profiles TO trstctl_owner USING (true) WITH CHECK (true);
GRANT SELECT ON certificate_profiles TO trstctl_app;

ALTER TABLE identities ENABLE ROW LEVEL SECURITY;
ALTER TABLE identities FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON identities TO trstctl_app
    USING (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid);
CREATE POLICY owner ON identities TO trstctl_owner USING (true) WITH CHECK (true);
GRANT SELECT ON identities TO trstctl_app;

ALTER TABLE identity_transitions ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity_transitions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON identity_transitions TO trstctl_app
    USING (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid);
CREATE POLICY owner ON identity_transitions TO trstctl_owner USING (true) WITH CHECK (true);
GRANT SELECT ON identity_transitions TO trstctl_app;

ALTER TABLE certificates ENABLE ROW LEVEL SECURITY;
ALTER TABLE certificates FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON certificates TO trstctl_app
    USING (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid);
CREATE POLICY owner ON certificates TO trstctl_owner USING (true) WITH CHECK (true);
GRANT SELECT ON certificates TO trstctl_app;

ALTER TABLE ca_authorities ENABLE ROW LEVEL SECURITY;
ALTER TABLE ca_authorities FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON ca_authorities TO trstctl_app
    USING (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid);
CREATE POLICY owner ON ca_authorities TO trstctl_owner USING (true) WITH CHECK (true);
GRANT SELECT ON ca_authorities TO trstctl_app;

ALTER TABLE ca_issued_certs ENABLE ROW LEVEL SECURITY;
ALTER TABLE ca_issued_certs FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON ca_issued_certs TO trstctl_app
    USING (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid);
CREATE POLICY owner ON ca_issued_certs TO trstctl_owner USING (true) WITH CHECK (true);
GRANT SELECT ON ca_issued_certs TO trstctl_app;

ALTER TABLE ca_crls ENABLE ROW LEVEL SECURITY;
ALTER TABLE ca_crls FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON ca_crls TO trstctl_app
    USING (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid);
CREATE POLICY owner ON ca_crls TO trstctl_owner USING (true) WITH CHECK (true);
GRANT SELECT ON ca_crls TO trstctl_app;

ALTER TABLE projection_faults ENABLE ROW LEVEL SECURITY;
ALTER TABLE projection_faults FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON projection_faults TO trstctl_app
    USING (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('trstctl.tenant_id', true), '')::uuid);
CREATE POLICY owner ON projection_faults TO trstctl_owner USING (true) WITH CHECK (true);
GRANT SELECT ON projection_faults TO trstctl_app;

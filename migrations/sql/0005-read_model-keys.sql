-- Primary keys of the read model, tenant first. A rebuild makes them after loading, or once it must merge.
ALTER TABLE tenants ADD PRIMARY KEY (tenant_id);
ALTER TABLE owners ADD PRIMARY KEY (tenant_id, id);
ALTER TABLE issuers ADD PRIMARY KEY (tenant_id, id);
ALTER TABLE certificate_profiles ADD PRIMARY KEY (tenant_id, id);
ALTER TABLE identities ADD PRIMARY KEY (tenant_id, id);
ALTER TABLE identity_transitions ADD PRIMARY KEY (tenant_id, identity_id, sequence);
ALTER TABLE certificates ADD PRIMARY KEY (tenant_id, id);
ALTER TABLE ca_authorities ADD PRIMARY KEY (tenant_id, id);
ALTER TABLE ca_issued_certs ADD PRIMARY KEY (tenant_id, ca_id, serial);
ALTER TABLE ca_crls ADD PRIMARY KEY (tenant_id, ca_id, crl_number);
ALTER TABLE projection_faults ADD PRIMARY KEY (sequence);

-- A revocation and a succession name a certificate by its fingerprint.
CREATE INDEX certificates_fingerprint ON certificates (tenant_id, fingerprint);
CREATE INDEX certificate_profiles_name ON certificate_profiles (tenant_id, name);

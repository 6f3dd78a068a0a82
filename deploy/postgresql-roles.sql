-- What the role that the portal runs as may do. Run as the owner of the tables, after every `migrate`:
--
--     psql "$MIGRATE_DATABASE_URL" -v ON_ERROR_STOP=1 -v role=sallyport_web -f deploy/postgresql-roles.sql
--
-- The audit's events can be read and added, never changed: the start of the portal is refused otherwise. The
-- audit's head may be updated, because appending locks and moves it; a trigger lets it only follow the events.

GRANT USAGE ON SCHEMA public TO :"role";
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO :"role";
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO :"role";

REVOKE ALL ON omaccess_auditevent, omaccess_audithead, django_migrations FROM :"role";
GRANT SELECT, INSERT ON omaccess_auditevent TO :"role";
GRANT SELECT, UPDATE ON omaccess_audithead TO :"role";
GRANT SELECT ON django_migrations TO :"role";

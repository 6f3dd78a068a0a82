-- What the role that the portal runs as may do. Run after every `migrate`, as the owner of the tables:
--
--     psql "$MIGRATE_DATABASE_URL" -v ON_ERROR_STOP=1 -v role=sallyport_web -f deploy/postgresql-roles.sql
--
-- The audit's events can be read and added, never changed: the start of the portal is refused otherwise. The
-- audit's head may be updated, because appending locks and moves it; a trigger lets it only follow the events.
--
-- It may be run any number of times, also while the portal runs: all of it holds at once, or nothing of it.

BEGIN;

-- The blocks below know the role by this; psql puts no variable of its own into a block.
SET LOCAL sallyport.role TO :"role";

DO $$
DECLARE
    running text := current_setting('sallyport.role');
    owner text;
BEGIN
    SELECT relowner::regrole::text INTO owner FROM pg_class WHERE oid = to_regclass('public.omaccess_auditevent');
    IF owner IS NULL THEN
        RAISE EXCEPTION 'There is no table omaccess_auditevent here. Run `manage.py migrate` first, in this database.';
    END IF;
    -- The owner takes back whatever it gave away, and so does whoever may become it; a superuser may become anybody.
    IF pg_has_role(running, owner, 'MEMBER') THEN
        RAISE EXCEPTION 'The role % owns the tables, or may act as their owner %. The portal needs a role of its own.',
            running, owner;
    END IF;

    -- Only the owner makes things in this schema: whoever can, puts an operator before the one that a trigger means.
    -- Before PostgreSQL 15 everybody may, the owner of the tables perhaps only as one of everybody.
    IF NOT has_schema_privilege(owner, 'public', 'CREATE WITH GRANT OPTION') THEN
        EXECUTE format('GRANT USAGE, CREATE ON SCHEMA public TO %s', owner);
    END IF;
    EXECUTE format('REVOKE CREATE ON SCHEMA public FROM PUBLIC, %I', running);
    -- No schema of its own and no temporary table, either of which would be found before the real one.
    EXECUTE format('REVOKE CREATE, TEMPORARY ON DATABASE %I FROM PUBLIC, %I', current_database(), running);

    -- What later migrations make can be used at once, so that no upgrade hangs on when this file is run.
    EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %s IN SCHEMA public '
        'GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO %I', owner, running);
    EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %s IN SCHEMA public '
        'GRANT USAGE, SELECT ON SEQUENCES TO %I', owner, running);
END $$;

GRANT USAGE ON SCHEMA public TO :"role";
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO :"role";
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO :"role";

REVOKE ALL ON omaccess_auditevent, omaccess_audithead, django_migrations FROM PUBLIC, :"role";
GRANT SELECT, INSERT ON omaccess_auditevent TO :"role";
GRANT SELECT, UPDATE ON omaccess_audithead TO :"role";
GRANT SELECT ON django_migrations TO :"role";

COMMIT;

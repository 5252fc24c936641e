-- A function or operator in a schema with the name of a built-in one and other argument types, of a role that is
-- neither a superuser nor one that the current role is a member of. :'schema' is the schema's name.
--   its type, name and arguments, its role; no row if there is none
WITH trusted AS (SELECT oid FROM pg_roles WHERE rolsuper OR pg_has_role(oid, 'MEMBER'))
SELECT 'function ' || p.oid::regprocedure, p.proowner::regrole
FROM pg_proc p
JOIN pg_namespace n ON n.oid = p.pronamespace AND n.nspname = :'schema'
WHERE p.proowner NOT IN (SELECT oid FROM trusted)
    AND EXISTS (SELECT FROM pg_proc c WHERE c.pronamespace = 'pg_catalog'::regnamespace
        AND c.proname = p.proname)
    AND NOT EXISTS (SELECT FROM pg_proc c WHERE c.pronamespace = 'pg_catalog'::regnamespace
        AND c.proname = p.proname AND c.proargtypes = p.proargtypes)
UNION ALL
SELECT 'operator ' || o.oid::regoperator, o.oprowner::regrole
FROM pg_operator o
JOIN pg_namespace n ON n.oid = o.oprnamespace AND n.nspname = :'schema'
WHERE o.oprowner NOT IN (SELECT oid FROM trusted)
    AND EXISTS (SELECT FROM pg_operator c WHERE c.oprnamespace = 'pg_catalog'::regnamespace
        AND c.oprname = o.oprname)
    AND NOT EXISTS (SELECT FROM pg_operator c WHERE c.oprnamespace = 'pg_catalog'::regnamespace
        AND c.oprname = o.oprname AND c.oprleft = o.oprleft AND c.oprright = o.oprright)
LIMIT 1;

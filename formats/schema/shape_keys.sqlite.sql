-- The keys and indexes of all tables, as facts. Virtual tables, which require their module, have no root page.
--   table, fact: "primary key (a, b)", "unique (a)", "index x unique on (a)", "foreign key (a) references t (b) …"
SELECT t, 'primary key (' || group_concat(name || collation, ', ') || ')' FROM (
    SELECT m.name AS t, c.name AS name,
        coalesce((SELECT iif(upper(x.coll) = 'BINARY', '', ' COLLATE ' || upper(x.coll))
            FROM pragma_index_list(m.name) l, pragma_index_xinfo(l.name) x
            WHERE l.origin = 'pk' AND x.key AND x.cid = c.cid), '') AS collation
    FROM sqlite_schema m, pragma_table_info(m.name) c
    WHERE m.type = 'table' AND m.rootpage > 0 AND c.pk > 0
    ORDER BY m.name, c.pk)
GROUP BY t
UNION ALL
SELECT t, iif(origin = 'u', 'unique', 'index ' || i || iif(u, ' unique', '') || ' on')
    || ' (' || group_concat(name, ', ') || ')' || iif(partial, ' partial', '') FROM (
    SELECT m.name AS t, l.name AS i, l.origin AS origin, l."unique" AS u, l.partial AS partial,
        coalesce(x.name, 'expression') || iif(upper(x.coll) = 'BINARY', '', ' COLLATE ' || upper(x.coll))
            || iif(x."desc", ' DESC', '') AS name
    FROM sqlite_schema m, pragma_index_list(m.name) l, pragma_index_xinfo(l.name) x
    WHERE m.type = 'table' AND m.rootpage > 0 AND l.origin <> 'pk' AND x.key
    ORDER BY m.name, l.name, x.seqno)
GROUP BY t, i
UNION ALL
SELECT t, 'foreign key (' || group_concat(f, ', ') || ') references ' || target || ' ('
    || group_concat(c, ', ') || ') on update ' || u || ' on delete ' || d FROM (
    SELECT m.name AS t, k.id AS id, k."from" AS f, k."table" AS target, coalesce(k."to", '') AS c,
        k.on_update AS u, k.on_delete AS d
    FROM sqlite_schema m, pragma_foreign_key_list(m.name) k
    WHERE m.type = 'table' AND m.rootpage > 0
    ORDER BY m.name, k.id, k.seq)
GROUP BY t, id;

#!/usr/bin/env bats
# The protocol of ticks: what can happen to a target, a state and a loader between two of them. Whatever it is, nothing is lost, and
# nothing is taken for there that is not.

load helpers
load sync_helpers

# The tree gets a tag, which the next tick brings.
tag() {
    printf '%s' "$1" >"$run_dir/tags/$1"
    settled
}

tags() { # of those, what the target has
    sql "SELECT key FROM tags WHERE run_uuid = '$RUN' AND value = key ORDER BY key" | xargs
}

# The database as it is, under another name; and back.
keep() {
    if [ "$dialect" = sqlite ]; then cp "$n.db" kept.db; else createdb -T "$database" "${database}_kept"; fi
}

restore() {
    if [ "$dialect" = sqlite ]; then
        cp kept.db "$n.db"
    else
        dropdb "$database"
        createdb -T "${database}_kept" "$database"
    fi
}

# killed IN AT: a tick whose loader is killed before a call of stopping.c; the next one brings all. False when it made no such call.
killed() {
    local loader
    mlruns-dump -q --since st --next-state st.new tree >tick.mlr
    stopping "$1" "$2" ml-load -q --sync --promote st.new=st "$url" <tick.mlr 2>err &
    loader=$!
    wait_for ended_or $loader stopped $loader
    stopped $loader || { wait $loader; return 1; }
    kill -KILL $loader
    wait $loader || true
}

# How many calls a tick makes that brings one tag.
calls_of() {
    tag counted
    mlruns-dump -q --since st --next-state st.new tree >tick.mlr
    (STOP_COUNT=count stopping "$1" 0 ml-load -q --sync --promote st.new=st "$url" <tick.mlr)
    cat count
}

@test "a delta is refused if the target was restored, emptied or replaced, and a full stream brings everything" {
    restored() { restore; }
    emptied() { use "$dialect" empty; }
    swapped() { use "$dialect"; }
    targets() {
        while IFS='|' read -r what message; do
            use "$dialect" empty
            begin_ticks
            keep
            tag a
            tick
            tag b
            tick
            assert_equal "$(tags)" "a b"
            tag c
            cp st was
            $what
            [ "$what" = emptied ] || state >before
            tick --json
            assert_status 2
            assert_contains "$stderr" "base: the stream has the changes since generation 3, $message"
            assert_equal "$output" '{"refused":"base"}'
            cmp st was
            if [ "$what" != emptied ]; then
                state >after
                cmp before after
            elif [ "$dialect" = sqlite ]; then
                [ ! -e "$n.db" ]
            fi
            rm st
            tick
            assert_status 0
            assert_equal "$(tags)" "a b c"
            tag d
            tick
            assert_status 0
            assert_equal "$(tags)" "a b c d"
            [ "$dialect" = sqlite ] || dropdb "${database}_kept" 2>/dev/null || true
        done <<END
restored|but the target is at 1
emptied|which is unknown to the target
swapped|which is unknown to the target
END
    }
    both targets empty
}

@test "after a loader killed between its COMMIT and any later call the next tick continues" {
    last_calls() {
        begin_ticks
        count=$(calls_of writes)
        unpromoted=0
        for back in 6 5 4 3 2 1 0; do
            tag "t$back"
            cp st was
            killed writes $((count - back))
            if cmp -s st was && [ "$(tags)" != "${tags_before-}" ]; then unpromoted=$((unpromoted + 1)); fi
            tick
            assert_status 0
            assert_contains " $(tags) " " t$back "
            tick
            assert_status 0
            assert_contains "$stderr" "nothing to write"
            tags_before=$(tags)
        done
        [ $unpromoted -gt 0 ]
    }
    both last_calls empty
}

@test "SQLite: a loader killed between two slices leaves complete rows, and the next tick brings the rest" {
    use sqlite empty
    ml-schema create -q "$url"
    cp "$n.db" made.db
    old_tree
    mlruns-dump -q tree >whole.mlr
    (STOP_COUNT=count stopping commits 0 ml-load -q --sync "$url" <whole.mlr)
    count=$(cat count)
    [ "$count" -gt 15 ]
    step=$([ -n "${DEEP-}" ] && echo 1 || echo 6)
    for ((at = 1; at <= count + 1; at += step)); do
        cp made.db "$n.db"
        rm -f st st.new "$n.db-journal"
        mlruns-dump -q --next-state st.new tree >tick.mlr
        stopping commits $at ml-load -q --sync --promote st.new=st "$url" <tick.mlr 2>err &
        loader=$!
        wait_for ended_or $loader stopped $loader
        kill -KILL $loader 2>/dev/null || true
        wait $loader || true # it has ended by itself where it made no such commit: their number goes by time
        assert_equal "$(sql "PRAGMA foreign_key_check; PRAGMA integrity_check")" ok
        slices=$(sql "SELECT (SELECT count(*) FROM runs) + (SELECT count(*) FROM metrics) + (SELECT count(*) FROM tags)")
        echo "$at: $slices rows" >&2
        tick
        assert_status 0
        ml-verify -q --subset --data-only "$url" <whole.mlr
        tick
        assert_contains "$stderr" "nothing to write"
    done
}

@test "a leftover state.new of any kind, or of an earlier tick, does no harm" {
    left() {
        begin_ticks
        tag a
        tick
        mlruns-dump -q --since st --next-state earlier.new tree >earlier.mlr
        for what in garbage earlier; do
            tag "$what"
            if [ $what = garbage ]; then echo garbage >st.new; else cp earlier.new st.new; fi
            tick
            assert_status 0
            assert_contains "$(tags)" $what
        done
        # not removed, as if the stream had come from elsewhere
        tag b
        mlruns-dump -q --since st --next-state st.new tree >tick.mlr
        cp st was
        for what in garbage earlier; do
            if [ $what = garbage ]; then echo garbage >st.new; else cp earlier.new st.new; fi
            state >before
            run_split ml-load --sync --promote st.new=st "$url" <tick.mlr
            assert_status 2
            state >after
            cmp before after
            cmp st was
        done
    }
    both left empty
}

@test "a copied state's tick is refused once another copy's was committed, as it may have changed what the source has changed back" {
    copies() {
        begin_ticks
        printf A >$run_dir/tags/turns
        settled
        tick
        cp st copy
        printf B >$run_dir/tags/turns
        settled
        tick # 3
        printf A >$run_dir/tags/turns
        tag a
        mv st original
        mv copy st
        state >before
        tick # from 2, with nothing to say of the tag that turns
        assert_status 2
        assert_contains "$stderr" "base: the stream has the changes since generation 2, but the target is at 3"
        state >after
        cmp before after
        mv original st
        tick
        assert_status 0
        assert_equal "$(tags) $(sql "SELECT value FROM tags WHERE key = 'turns'")" "a A"
    }
    both copies empty
}

@test "if a dump omits something, fails or is truncated, what is complete is loaded, and the rest with a later tick" {
    dumps() {
        begin_ticks
        cp $run_dir/meta.yaml good
        echo "status: [" >$run_dir/meta.yaml
        tag a
        printf x >"tree/$EXP/$DELETED/tags/other"
        settled
        tick
        assert_equal "$dumped" 1
        assert_status 1
        assert_equal "$(sql "SELECT count(*) FROM tags WHERE key = 'other'")" 1
        cat good >$run_dir/meta.yaml
        settled
        tick
        assert_equal "$dumped" 0
        assert_status 0
        assert_equal "$(tags)" a
        tag b
        cp st was
        state >before
        mv tree away
        tick
        assert_equal "$dumped" 2
        assert_status 2
        mv away tree
        mlruns-dump -q --since st --next-state st.new tree >whole.mlr
        head -c $(($(stat -c %s whole.mlr) - 10)) whole.mlr >cut.mlr
        run_split ml-load --sync --promote st.new=st "$url" <cut.mlr
        assert_status 2
        cmp st was
        state >after
        cmp before after
        tick
        assert_status 0
        assert_equal "$(tags)" "a b"
    }
    both dumps empty
}

@test "PostgreSQL: the next tick knows whether a connection was lost before or after its COMMIT" {
    use postgresql empty
    begin_ticks
    for when in before after; do
        tag $when
        mlruns-dump -q --since st --next-state st.new tree >tick.mlr
        rm -f port
        python3 "$ROOT/tests/commit_proxy.py" $when "$PGPORT" port &
        wait_for test -s port
        cp st was
        run_split ml-load --sync --promote st.new=st \
            "postgresql://$PGUSER:$PGPASSWORD@127.0.0.1:$(cat port)/$database?sslmode=disable&gssencmode=disable" <tick.mlr
        wait
        assert_status 2
        assert_contains "$stderr" "the server may or may not have committed"
        cmp st was
        PGDATABASE=$database wait_for no_session
        assert_equal "$(tags | grep -cw $when)" "$([ $when = before ] && echo 0 || echo 1)"
        tick
        assert_status 0
        [ $when = before ] || assert_contains "$stderr" "nothing to write"
        assert_contains "$(tags)" $when
        assert_equal "$(cmp -s st was && echo same)" ""
        tick
        assert_contains "$stderr" "nothing to write"
    done
}

# held TEXT|N COMMAND...: runs ml-load in the background, $loader, until it stops: before it sends this to the server, or before its
# Nth slice. `go_on` lets it go on: $status, $stderr, $output.
held() {
    local at=$1
    shift
    case $at in
    [0-9]*) stopping clocks $((2 * at - 1)) "$@" <tick.mlr >out 2>err & ;;
    *) STOP_TEXT=$at stopping writes 1 "$@" <tick.mlr >out 2>err & ;;
    esac
    loader=$!
    wait_for ended_or $loader stopped $loader
    stopped $loader
}

go_on() {
    status=0
    kill -CONT $loader
    wait $loader || status=$?
    output=$(cat out) stderr=$(cat err)
}

purge_run() {
    for table in tags params metrics latest_metrics; do
        sql "DELETE FROM $table WHERE run_uuid = '$RUN'"
    done
    sql "DELETE FROM logged_model_metrics; DELETE FROM runs WHERE run_uuid = '$RUN'"
}

@test "PostgreSQL: a run purged after its comparison does not return in a delta, but does in a full stream" {
    use postgresql empty
    begin_ticks
    tag a
    mlruns-dump -q --since st --next-state st.new tree >tick.mlr
    lines=$(wc -l <"$PGDIR/log")
    held "SAVEPOINT written" ml-load --sync --json --promote st.new=st "$url"
    purge_run
    go_on
    assert_status 0
    assert_contains "$(tail -n "+$lines" "$PGDIR/log")" "violates foreign key constraint" # 23503
    assert_equal "$(jq -c '[.kinds.run.purged, .kinds.tag.purged, .kinds.tag.added]' <<<"$output")" "[1,1,0]"
    assert_equal "$(sql "SELECT count(*) FROM runs WHERE run_uuid = '$RUN'")" 0
    mlruns-dump -q tree >tick.mlr
    run_split ml-load --sync "$url" <tick.mlr
    tag b
    mlruns-dump -q tree >tick.mlr
    held "SAVEPOINT written" ml-load --sync "$url"
    purge_run
    go_on
    assert_status 0
    assert_equal "$(tags)" "a b"
    ml-verify -q --subset --data-only "$url" <tick.mlr
}

@test "PostgreSQL: transient errors are retried" {
    use postgresql
    begin_ticks
    psql -qX "$database" <<'END'
CREATE SEQUENCE tries;
CREATE TABLE failing (code text);
CREATE FUNCTION once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('tries') = 1 THEN
        RAISE EXCEPTION 'not this time' USING ERRCODE = (SELECT code FROM failing);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER once BEFORE INSERT ON tags FOR EACH ROW EXECUTE FUNCTION once();
END
    for code in 40001 40P01 23505 55P03 23503; do
        sql "DELETE FROM failing; INSERT INTO failing VALUES ('$code')"
        psql -qAtX "$database" -c "SELECT setval('tries', 1, false)" >/dev/null
        tag "of$code"
        tick
        assert_status 0
        assert_equal "$(sql "SELECT last_value FROM tries")" 2
        assert_contains "$(tags)" "of$code"
    done
    sql "DELETE FROM failing; INSERT INTO failing VALUES ('23514')" # and nothing else is
    psql -qAtX "$database" -c "SELECT setval('tries', 1, false)" >/dev/null
    tag bad
    cp st was
    tick
    assert_status 2
    assert_equal "$(sql "SELECT last_value FROM tries")" 1
    cmp st was
}

@test "SQLite: what others write between two slices is noticed: a taken id, a name, the same stream" {
    use sqlite empty
    ml-schema create -q "$url"
    sql "INSERT INTO experiments (experiment_id, name, lifecycle_stage, workspace) VALUES (0, 'Default', 'active', 'default')"
    cp "$n.db" made.db
    mlruns-dump -q "$ROOT/tests/data/mlruns" >tick.mlr
    took_id() {
        sql "INSERT INTO experiments (experiment_id, name, lifecycle_stage, workspace) VALUES ($EXP, 'taken', 'active', 'default')"
    }
    took_name() {
        sql "INSERT INTO experiments (experiment_id, name, lifecycle_stage, workspace) VALUES (5, 'churn prediction', 'active', 'default')"
    }
    same_stream() { ml-load -q --sync "$url" <tick.mlr; }
    while read -r at what experiments id; do
        cp made.db "$n.db"
        held "$at" ml-load --sync "$url"
        $what
        go_on
        assert_status 0
        assert_equal "$(sql "SELECT count(*) FROM experiments")" "$experiments"
        assert_equal "$(sql "SELECT e.name FROM runs r JOIN experiments e ON e.experiment_id = r.experiment_id WHERE r.run_uuid = '$RUN'")" \
            "churn prediction"
        assert_equal "$(sql "SELECT count(DISTINCT experiment_id) FROM (SELECT experiment_id FROM runs WHERE run_uuid = '$RUN' UNION ALL SELECT experiment_id FROM
            trace_info UNION ALL SELECT experiment_id FROM datasets UNION ALL SELECT experiment_id FROM logged_models)")" 1
        [ "$id" = - ] || assert_equal "$(sql "SELECT experiment_id FROM experiments WHERE name = 'churn prediction'")" "$id"
        assert_equal "$(sql "SELECT count(*) FROM runs")" 4
        assert_equal "$(sql "PRAGMA foreign_key_check; PRAGMA integrity_check")" ok
        ml-verify -q --subset --data-only "$url" <tick.mlr
        sync <tick.mlr
        assert_contains "$stderr" "nothing to write"
    done <<END
1 took_id 4 $((EXP + 1))
1 took_name 3 5
1 same_stream 3 $EXP
2 same_stream 3 $EXP
7 same_stream 3 $EXP
END
}

marks() { # how many states the target knows
    sql "SELECT count(*) FROM experiment_tags WHERE key LIKE 'mlruns-tools.sync.%'"
}

@test "after several ticks that were committed but not promoted the next one is still a delta, and finds what they brought" {
    unpromoted() {
        begin_ticks
        assert_equal "$(sql "SELECT substr(value, 1, 4) FROM experiment_tags WHERE key LIKE 'mlruns-tools.sync.%'")" "1,0,"
        for i in 1 2 3; do
            tag "t$i"
            [ $i != 1 ] || { # an experiment, which is renamed before its id is in the state
                cp -r tree/$EXP tree/99
                rm -r tree/99/*/
                sed -i "s/^experiment_id: .*/experiment_id: '99'/; s/^name: .*/name: new/; s/^creation_time: .*/creation_time: 5/" tree/99/meta.yaml
                cp -r tree/$EXP/$DELETED tree/99/aa
                sed -i "s/^experiment_id: .*/experiment_id: '99'/; s/^run_id: .*/run_id: aa/; s/^run_uuid: .*/run_uuid: aa/" tree/99/aa/meta.yaml
                settled
            }
            mlruns-dump -q --since st --next-state st.new tree >tick.mlr
            run_split ml-load --sync "$url" <tick.mlr
            assert_status 0
            assert_contains "$(sql "SELECT value FROM experiment_tags WHERE key LIKE 'mlruns-tools.sync.%'")" "$((i + 1)),1,"
            sed -i "s/^name: .*/name: new $i/; s/^last_update_time: .*/last_update_time: 199525335846$i/" tree/99/meta.yaml
            settled
        done
        tag d
        tick
        assert_status 0
        assert_equal "$(tags)" "d t1 t2 t3"
        assert_equal "$(sql "SELECT e.name FROM runs r JOIN experiments e ON e.experiment_id = r.experiment_id WHERE r.run_uuid = 'aa'")" "new 3"
        assert_equal "$(sql "SELECT count(*) FROM experiments WHERE name LIKE 'new%'")" 1
        mlruns-dump -q tree | ml-verify -q --subset --use-state st "$url"
        tick
        assert_contains "$stderr" "nothing to write"
    }
    both unpromoted empty
}

@test "what an unpromoted tick may have brought is sent again, even if the source has changed it back since" {
    # SOURCE is changed to VALUE; TICK dumps it
    change_tree() {
        printf '%s' "$1" >"$run_dir/tags/turns"
        sed -i "/^deleted_time: /d; s/^lifecycle_stage: .*/lifecycle_stage: $([ "$1" = A ] && echo active || echo deleted)/" $run_dir/meta.yaml
        [ "$1" = A ] || echo "deleted_time: 1795253358570" >>$run_dir/meta.yaml
        settled
    }
    dump_tree() { mlruns-dump -q --since st --next-state st.new tree >tick.mlr; }
    change_db() {
        sqlite3 job.db "UPDATE tags SET value = '$1' WHERE key = 'turns' AND run_uuid = '$RUN';
            UPDATE runs SET lifecycle_stage = '$([ "$1" = A ] && echo active || echo deleted)', deleted_time =
            $([ "$1" = A ] && echo NULL || echo 1795253358570) WHERE run_uuid = '$RUN'"
    }
    dump_db() { mldb-dump -q --since st --next-state st.new sqlite:///job.db >tick.mlr; }
    back() {
        begin_ticks
        change_tree A
        tick
        rm -f job.db st.db
        for of in tree db; do
            if [ $of = db ]; then
                use "$dialect" empty
                rm st
                mlruns-dump -q tree | ml-load -q sqlite:///job.db
                dump_db
                ml-load -q --sync --promote st.new=st "$url" <tick.mlr
            fi
            for lost in "" "lost"; do
                change_$of B
                dump_$of
                ml-load -q --sync "$url" <tick.mlr # and is killed before it promotes
                change_$of A
                [ -z "$lost" ] || dump_$of # and the next one is killed before it loads
                dump_$of
                run_split ml-load --sync --json --promote st.new=st "$url" <tick.mlr
                assert_status 0
                assert_equal "$(jq -c '[.kinds.run.changed, .kinds.tag.changed, .kinds.metric.added // 0]' <<<"$output")" "[1,1,0]"
                assert_equal "$(sql "SELECT t.value, r.lifecycle_stage, coalesce(r.deleted_time, 0) FROM tags t JOIN runs r ON r.run_uuid = t.run_uuid
                    WHERE t.key = 'turns' AND r.run_uuid = '$RUN'")" "A|active|0"
                dump_$of
                run_split ml-load --sync --promote st.new=st "$url" <tick.mlr
                assert_contains "$stderr" "nothing to write"
            done
        done
    }
    both back empty
}

@test "a target without experiments keeps no generation: everything is sent each time until there is one" {
    registry() {
        ml-schema create -q "$url"
        rm -f models.db st
        ml-schema create -q sqlite:///models.db
        sqlite3 models.db "INSERT INTO registered_models (name, creation_time, last_updated_time, workspace) VALUES ('m', 1, 1, 'default')"
        touch -d '-1 hour' models.db
        for i in 1 2; do
            mldb-dump -q --since st --next-state st.new sqlite:///models.db >tick.mlr
            run_split ml-load --sync --promote st.new=st "$url" <tick.mlr
            assert_status 0
            [ ! -e st ]
            assert_equal "$(sql "SELECT count(*) FROM registered_models")" 1
        done
        assert_contains "$stderr" "nothing to write"
        sql "INSERT INTO experiments (experiment_id, name, lifecycle_stage, workspace) VALUES (0, 'Default', 'active', 'default')"
        mldb-dump -q --since st --next-state st.new sqlite:///models.db >tick.mlr
        run_split ml-load --sync --promote st.new=st "$url" <tick.mlr
        assert_equal "$(marks)" 1
        mldb-dump -q --since st --next-state st.new sqlite:///models.db >tick.mlr
        run_split ml-load --sync --promote st.new=st "$url" <tick.mlr
        assert_status 0
        assert_equal "$(ml-transform --json <tick.mlr | jq -c 'select(.kind == "header") | has("base")')" true
    }
    both registry empty
}

@test "the target forgets a state that a full stream replaces" {
    replaced() {
        begin_ticks
        keep
        tag a
        tick
        restore
        mlruns-dump -q --next-state st.new tree >tick.mlr
        run_split ml-load --sync --promote st.new=st "$url" <tick.mlr
        assert_status 0
        assert_equal "$(marks)" 1
        tag b
        tick
        assert_status 0
        assert_equal "$(marks) $(tags)" "1 a b"
    }
    both replaced empty
}

# A delta's parts, what others write once it was compared with the target, and what must be so in the end; PostgreSQL: before which
# statement.
@test "what others write after a tick's comparison is taken into account: nothing is lost, and no row comes without its owner" {
    experiment="(SELECT experiment_id FROM experiments WHERE name = 'churn prediction')"
    ids_listed="SELECT ',' || value || ',' FROM registered_model_tags WHERE key = '_mlflow_experiment_ids'"
    dataset() {
        cp -r tree/$EXP/datasets/f0f767130bbba991f8af3ae6be87bb50 tree/$EXP/datasets/aa
        sed -i 's/^digest: .*/digest: "12"/' tree/$EXP/datasets/aa/meta.yaml
        cp -r $run_dir/inputs/8007f528a2c4949a144a0e2e127cc8cf $run_dir/inputs/bb
        sed -i 's/_id: .*/_id: aa/' $run_dir/inputs/bb/meta.yaml
    }
    their_dataset() {
        sql "INSERT INTO datasets (dataset_uuid, experiment_id, name, digest, dataset_source_type, dataset_source) VALUES ('theirs', $experiment,
            'customers-2024', '12', 'http', '{}')"
    }
    dataset_is() {
        assert_status 0
        assert_equal "$(sql "SELECT count(*) FROM inputs WHERE source_id = 'theirs' AND destination_id = '$RUN'")" 1
        assert_equal "$(sql "SELECT count(*) FROM inputs WHERE source_type = 'DATASET' AND source_id NOT IN (SELECT dataset_uuid FROM datasets)")" 0
    }
    param() { printf 1 >$run_dir/params/new; }
    their_param() { sql "INSERT INTO params (run_uuid, key, value) VALUES ('$RUN', 'new', '2')"; }
    param_is() {
        assert_status 2
        assert_contains "$stderr" "value is '1' in the source and '2' in the target"
        cmp st st.base
        tick --on-conflict skip
        assert_status 1
        assert_equal "$(sql "SELECT value FROM params WHERE key = 'new'")" 2
    }
    purged() { printf 1 >$run_dir/tags/late; }
    their_purged() { purge_run; }
    purged_is() {
        assert_status 0
        assert_equal "$(sql "SELECT (SELECT count(*) FROM runs WHERE run_uuid = '$RUN') + (SELECT count(*) FROM tags WHERE run_uuid = '$RUN')")" 0
    }
    list() { printf ',0,7,' >tree/models/support-answer/tags/_mlflow_experiment_ids; }
    their_list() { sql "UPDATE registered_model_tags SET value = ',0,8,' WHERE key = '_mlflow_experiment_ids'"; }
    list_is() {
        assert_status 0
        assert_contains "$(sql "$ids_listed")" ",8,"
        assert_contains "$(sql "$ids_listed")" ",7,"
    }
    model() { printf 1 >tree/models/churn/tags/late; }
    their_model() {
        for table in registered_model_aliases model_version_tags model_versions registered_model_tags registered_models; do
            sql "DELETE FROM $table WHERE name = 'churn'"
        done
    }
    model_is() {
        assert_status 0
        assert_equal "$(sql "SELECT count(*) FROM registered_model_tags WHERE name = 'churn'")" 0
    }
    version() {
        cp -r tree/models/churn/version-1 tree/models/churn/version-2
        sed -i 's/^version: .*/version: 2/; s/^creation_timestamp: .*/creation_timestamp: 1995253358570/' tree/models/churn/version-2/meta.yaml
    }
    their_version() {
        sql "INSERT INTO model_versions (name, version, creation_time, current_stage, workspace) VALUES ('churn', 2, 5, 'None', 'default')"
    }
    version_is() {
        assert_status 2
        assert_contains "$stderr" "creation_timestamp is "
        cmp st st.base
    }
    alias() { printf 1 >tree/models/churn/aliases/late; }
    their_alias() { sql "UPDATE model_versions SET current_stage = 'Deleted_Internal' WHERE name = 'churn'"; }
    alias_is() {
        assert_status 0
        assert_equal "$(sql "SELECT count(*) FROM registered_model_aliases WHERE alias = 'late'")" 0
    }
    others() {
        begin_ticks
        keep
        cp st st.base
        cp -rp tree tree.base
        while IFS='|' read -r what before; do
            [ -n "$before" ] || [ "$dialect" = sqlite ] || continue
            echo "$what" >&2
            restore
            cp st.base st
            rm -rf tree
            cp -rp tree.base tree
            $what
            settled
            mlruns-dump -q --since st --next-state st.new tree >tick.mlr
            held "$([ "$dialect" = sqlite ] && echo 1 || echo "$before")" ml-load --sync --promote st.new=st "$url"
            "their_$what"
            go_on
            "${what}_is"
            [ "$dialect" = postgresql ] || assert_equal "$(sql "PRAGMA foreign_key_check; PRAGMA integrity_check")" ok
        done <<'END'
dataset|INSERT INTO datasets (
param|INSERT INTO params (
purged|SAVEPOINT written
list|SAVEPOINT written
model|SAVEPOINT written
version|INSERT INTO model_versions (
alias|
END
        rm -rf tree.base
    }
    both others empty
}

@test "SQLite: if others take the id or name of a delta's new experiment after its comparison, what belongs to known ones still comes" {
    use sqlite empty
    begin_ticks
    keep
    cp st st.base
    cp -rp tree tree.base
    while read -r theirs; do
        restore
        cp st.base st
        rm -rf tree
        cp -rp tree.base tree
        cp -r tree/$EXP tree/99
        rm -r tree/99/*/ && mkdir tree/99/tags
        sed -i "s/^experiment_id: .*/experiment_id: '99'/; s/^name: .*/name: new/; s/^creation_time: .*/creation_time: 5/" tree/99/meta.yaml
        sed -i 's/^name: .*/name: renamed/; s/^last_update_time: .*/last_update_time: 1995253358461/' tree/$EXP/meta.yaml
        cp -r tree/$EXP/$DELETED tree/99/aa
        sed -i "s/^experiment_id: .*/experiment_id: '99'/; s/^run_id: .*/run_id: aa/; s/^run_uuid: .*/run_uuid: aa/" tree/99/aa/meta.yaml
        echo "1995253358461 9 9" >>$run_dir/metrics/loss
        tag a
        mlruns-dump -q --since st --next-state st.new tree >tick.mlr
        held 1 ml-load --sync --promote st.new=st "$url"
        sql "INSERT INTO experiments (experiment_id, name, lifecycle_stage, workspace) VALUES ($theirs, 'active', 'default')"
        go_on
        assert_status 0
        assert_equal "$(tags)" a
        assert_equal "$(sql "SELECT value FROM latest_metrics WHERE run_uuid = '$RUN' AND key = 'loss'")" 9.0
        assert_equal "$(sql "SELECT e.name FROM runs r JOIN experiments e ON e.experiment_id = r.experiment_id WHERE r.run_uuid = 'aa'")" new
        mlruns-dump -q tree | ml-verify -q --subset --use-state st "$url"
        tag b
        tick
        assert_status 0
        assert_equal "$(tags)" "a b"
        assert_equal "$(sql "SELECT count(*) FROM experiments WHERE name IN ('new', 'renamed')")" 2
    done <<END
99, 'taken'
5, 'new'
END
}

@test "SQLite: a -wal left by others stays as it is while there is nothing to write" {
    use sqlite empty
    begin_ticks
    cp st was
    python3 - "$n.db" <<'END' # a commit that no checkpoint has brought into the file, by a program that was killed
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA journal_mode = WAL")
db.execute("PRAGMA wal_autocheckpoint = 0")
db.execute("UPDATE runs SET user_id = user_id || '!'")
os._exit(0)
END
    [ -s "$n.db-wal" ]
    sums() { sha256sum "$n.db" "$n.db-wal"; }
    sums >before
    tick # empty
    assert_status 0
    sums >after
    cmp before after
    mlruns-dump -q tree >whole.mlr
    run_split ml-load --sync "$url" <whole.mlr # and one with records that are all there
    assert_status 0
    sums >after
    cmp before after
    run_split ml-load --sync --dry-run "$url" <whole.mlr
    assert_status 0
    sums >after
    cmp before after
    tag a
    tick
    assert_status 0
    assert_equal "$(tags)" a
    assert_equal "$(sql "PRAGMA journal_mode")" wal
    assert_equal "$(sql "SELECT count(*) FROM runs WHERE user_id LIKE '%!'")" "$(sql "SELECT count(*) FROM runs")"
}
